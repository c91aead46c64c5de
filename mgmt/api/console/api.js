// Calls to the management instance. The token lives in sessionStorage, and nowhere else.
const KEY = "tengrid.token";
const PREFIX = "/api/v1/";

export const token = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export class ApiError extends Error {
  constructor(status, body) {
    super(body.message || `HTTP ${status}`);
    this.status = status;
    this.code = body.code || "";
    this.hint = body.hint || "";
    this.detail = body.detail || "";
  }
}

let onRefused = () => {};
export const whenRefused = (callback) => { onRefused = callback; };

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, {...options, redirect: "manual",
      headers: {"Authorization": `Bearer ${token.get()}`, "X-TenGrid-Client": "the console", ...(options.headers || {})}});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, {message: "The management instance does not answer.", hint: "It may be restarting; the console tries again."});
  }
  if (response.type === "opaqueredirect") { // another instance is active now: its console is there
    location.assign("/console/" + location.hash);
    throw new ApiError(307, {message: "Another management instance is the active one now."});
  }
  if (response.status === 401) onRefused();
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new ApiError(response.status, body.error || {});
  }
  return response;
}

const post = (path, body, signal) => send(PREFIX + path, {method: "POST", signal, body: JSON.stringify(body || {}),
  headers: {"Content-Type": "application/json"}});

/** One request, one answer. */
export async function call(path, body, signal) {
  return (await post(path, body, signal)).json();
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

/** A request that tells how it gets on; gives the reply. */
export async function stream(path, body, onEvent) {
  for await (const line of lines(await post(path, body))) {
    if (!line) continue;
    const item = JSON.parse(line);
    if (item.type === "event") onEvent(item);
    else if (item.error) throw new ApiError(200, item.error);
    else return item.reply;
  }
  throw new ApiError(0, {message: "The management instance went away before the end.",
    hint: "The operation goes on when it is back: see Operations."});
}

/** Server-sent events, by fetch, so that the token goes into a header and not into an address. */
export function follow({onPicture, onHappened, onState}) {
  let last = 0, ended = false, control = null;
  async function run() {
    while (!ended) {
      control = new AbortController();
      try {
        const response = await send(`${PREFIX}events?pictures=1&since=${last}`, {signal: control.signal});
        onState("live", "");
        let name = "";
        for await (const line of lines(response)) {
          if (line.startsWith("event: ")) name = line.slice(7);
          else if (line.startsWith("data: ")) {
            const data = JSON.parse(line.slice(6));
            if (name === "picture") onPicture(data);
            else { last = Math.max(last, data.id); onHappened(data); }
          }
        }
        if (!ended) onState("lost", "The stream of events ended.");
      } catch (error) {
        if (ended || error.name === "AbortError" && document.hidden) { /* on purpose */ }
        else if (error.status === 401) return;
        else onState("lost", error.message);
      }
      if (document.hidden) await new Promise((wake) => document.addEventListener("visibilitychange", wake, {once: true}));
      else await new Promise((wake) => setTimeout(wake, 1000));
    }
  }
  const hidden = () => { if (document.hidden && control) control.abort(); }; // nobody looks: nothing is collected
  document.addEventListener("visibilitychange", hidden);
  run();
  return () => { ended = true; document.removeEventListener("visibilitychange", hidden); if (control) control.abort(); };
}
