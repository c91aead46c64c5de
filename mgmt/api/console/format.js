// Numbers, sizes and times as people read them.
const SEVERITY = {good: "good", fault: "bad", warning: "warn", info: "info"};

export const count = (n) => (n === null || n === undefined || n < 0 ? "–" : Math.round(n).toLocaleString("en-US"));

export function rate(n) {
  if (n === null || n === undefined || n < 0) return "–";
  return n >= 100 ? count(n) : n >= 10 ? n.toFixed(1) : n === 0 ? "0" : n.toFixed(2);
}

export function size(kib) {
  if (kib === null || kib === undefined || kib < 0) return "–";
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = kib, unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function seconds(value) {
  if (value === null || value === undefined || value < 0) return "–";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 2 : value < 0.1 ? 1 : 0)} ms`;
  if (value < 90) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 129600) return `${(value / 3600).toFixed(1)} h`;
  return `${Math.round(value / 86400)} d`;
}

const two = (n) => String(n).padStart(2, "0");

export function clock(us) {
  if (!us) return "–";
  const at = new Date(us / 1000);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function moment(us) {
  if (!us) return "–";
  const at = new Date(us / 1000);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return new Date().toDateString() === at.toDateString() ? clock(us) : `${day} ${clock(us)}`;
}

export const severity = (word) => SEVERITY[word] || "info";

/** The tone of an element's, a replica set's, a server's or an operation's word. */
export function tone(word) {
  if (/^(opened|open|ok|Active|Standby|leader|follower|standalone|done|created|loaded|loaded-complete|current|Completed|Complete)$/.test(word)) return "good";
  if (/down|fail|no lead|no quorum|Unknown|incomplete|Incomplete/.test(word)) return "bad";
  if (/ing$|degraded|functional|partial|waiting|evicted|cancelled|catching|loading|in doubt|prepared|unknown/.test(word)) return "warn";
  return "";
}
