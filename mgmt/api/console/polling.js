// Asks again and again while a page is looked at, never twice at a time.

/** Call `task` now and every `ms`; returns what ends it. */
export function every(ms, task) {
  let ended = false, timer = 0;
  async function turn() {
    if (ended) return;
    if (!document.hidden) { try { await task(); } catch (error) { console.debug(error); } }
    if (!ended) timer = setTimeout(turn, ms);
  }
  turn();
  return () => { ended = true; clearTimeout(timer); };
}
