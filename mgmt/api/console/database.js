// One database: how it is, what it does, how its rows are spread, and what can be done with it.
import {h, show} from "./dom.js";
import {call} from "./api.js";
import {progress, shares, spark} from "./charts.js";
import {act, errorNotice} from "./dialog.js";
import {chip, empty, words} from "./map.js";
import {count, moment, rate, seconds, size} from "./format.js";
import {every} from "./polling.js";

export function chosen(picture, rest) {
  return picture.databases.find((db) => db.name === rest[0]) || picture.databases[0];
}

/** Links to the other databases, if there are any. */
export function switcher(picture, db, page) {
  if (picture.databases.length < 2) return null;
  return h("div", {class: "inline small"}, picture.databases.map((one) => one === db ? h("b", {}, one.name)
    : h("a", {href: `#/${page}/${encodeURIComponent(one.name)}`}, one.name)));
}

const tile = (title, value, unit, about, values, key) => h("div", {class: "tile", "data-tile": key || title}, h("h3", {}, title),
  h("div", {class: "value"}, value, unit ? h("small", {}, ` ${unit}`) : null), about ? h("div", {class: "small muted num"}, about) : null, values ? spark(values) : null);

const panel = (title, extra, ...body) => h("section", {class: "panel"}, h("header", {}, h("h2", {}, title), extra), ...body);
const table = (heads, rows) => h("div", {class: "flush"}, h("table", {}, h("thead", {}, h("tr", {}, heads.map((t) => h("th", {class: t.startsWith("#") ? "right" : null, scope: "col"}, t.replace(/^#/, ""))))), h("tbody", {}, rows)));

function actions(db) {
  const name = db.name, [, loaded, opened] = db.words;
  const simple = (verb, path, title, text, extra = {}) => h("button", {type: "button", "data-action": path, class: extra.destructive ? "danger" : null, onclick: () => act({
    title, text, path: `databases/${path}`, body: {name, wait_s: 60}, command: `ttGridAdmin db${verb} ${name} -wait 60`, verb, ...extra})}, verb);
  const list = [];
  if (loaded.startsWith("loaded")) {
    list.push(opened === "open"
      ? simple("Close", "close", `Close ${name}`, "No new users are let in; sessions that exist go on.", {destructive: true})
      : simple("Open", "open", `Open ${name}`, "Users may connect."));
    if (opened !== "open") list.push(simple("Unload", "unload", `Unload ${name}`, "Every session ends and the elements leave memory. The rows stay on disk.", {destructive: true}));
  } else {
    list.push(simple("Load", "load", `Load ${name}`, "All elements are loaded into memory."));
  }
  list.push(h("button", {type: "button", "data-action": "distribute", onclick: () => distribute(db)}, "Redistribute"),
    h("button", {type: "button", "data-action": "backup", onclick: () => backup(db)}, "Back up"));
  return list;
}

async function distribute(db) {
  const members = (set) => db.elements.filter((e) => e.replica_set === set.replica_set).map((e) => e.instance);
  const name = db.name, option = (value, text) => h("option", {value}, text || value);
  const change = h("select", {id: "d-change"}, option("add", "Add all free elements to the map"),
    ...(db.sets.length > 1 ? db.sets : []).map((set) => option(`remove ${members(set).join(" ")}`, `Take replica set ${set.replica_set} out (${members(set).join(", ")}); no row is lost`)),
    option("only", "Only put marked changes into force"));
  const throttle = h("input", {id: "d-throttle", type: "number", min: 0, step: 1, value: 0});
  const leaving = (v) => v.change.startsWith("remove ") ? v.change.split(" ").slice(1) : [];
  act({title: `Redistribute ${name}`, text: "Rows move in the background while clients work. It can be throttled and cancelled at any time; what has moved stays.",
    path: "databases/distribute", verb: "Begin", destructive: true,
    fields: [{name: "change", label: "Change", input: change}, {name: "throttle", label: "At most so many rows a second (0: no limit)", input: throttle}],
    body: (v) => ({name, apply: true, rows_per_s: Number(v.throttle) || 0, add: v.change === "add" ? ["all"] : [],
      remove: leaving(v).map((place) => ({place}))}),
    command: (v) => `ttGridAdmin dbDistribute ${name}${v.change === "add" ? " -add all" : leaving(v).map((one) => ` -remove ${one}`).join("")} -apply${Number(v.throttle) ? ` -throttle ${Number(v.throttle)}` : ""}`});
}

async function backup(db) {
  let list = [];
  try { list = (await call("repositories/list")).repositories; } catch (error) { /* shown as none */ }
  const names = list.map((one) => one.name || one);
  const input = names.length ? h("select", {id: "b-repo"}, names.map((n) => h("option", {value: n}, n))) : h("input", {id: "b-repo", value: "", placeholder: "none yet: ttGridAdmin repositoryCreate"});
  act({title: `Back up ${db.name}`, text: "Clients work on meanwhile. The backup is of one moment.", path: "databases/backup", verb: "Back up",
    fields: [{name: "repository", label: "Repository", input}],
    body: (v) => ({name: db.name, repository: v.repository}), command: (v) => `ttGridAdmin dbBackup ${db.name} -repository ${v.repository || "NAME"}`});
}

function redistribution(db, operations) {
  const r = db.redistribution;
  if (!r) return null;
  const running = operations.find((o) => o.kind === "dbDistribute" && o.subject === `database ${db.name}`);
  const limit = h("input", {type: "number", min: 0, step: 1, value: 0, id: "t-limit"});
  const about = [`${count(r.buckets - r.bucketsLeft)} of ${count(r.buckets)} buckets`, r.rows ? `${count(r.rows)} rows` : "",
    r.source ? `replica set ${r.source} → ${r.target}` : "", r.secondsLeft >= 0 ? `about ${seconds(r.secondsLeft)} left` : "", r.waits ? `waits: ${r.waits}` : ""].filter(Boolean).join(" · ");
  return panel("Redistribution", h("div", {class: "actions"},
    h("button", {type: "button", "data-key": "throttle", "data-action": "throttle", disabled: !running, onclick: () => act({title: "Throttle the redistribution", text: "From the next batch on, a second or two from now.",
      path: "databases/throttle", streams: false, verb: "Set", fields: [{name: "limit", label: "Rows a second (0: no limit)", input: limit}],
      body: (v) => ({name: db.name, rows_per_s: Number(v.limit) || 0}), command: (v) => `ttGridAdmin dbDistribute ${db.name} -throttle ${Number(v.limit) || 0}`})}, "Throttle"),
    h("button", {type: "button", class: "danger", "data-key": "cancel-move", "data-action": "cancel", disabled: !running, onclick: () => act({title: "Cancel the redistribution", destructive: true, verb: "Cancel it",
      text: "Buckets that have moved stay where they are; the rest stays where it was. Redistribute again to go on.", path: "operations/cancel", streams: false,
      body: {id: running.id}, command: `ttGridAdmin operationCancel ${running.id}`})}, "Cancel")),
  h("div", {class: "body stack", "data-redistribution": r.percent}, h("div", {class: "inline"}, h("b", {class: "num"}, `${r.percent} %`), h("span", {class: "muted small num"}, about)), progress(r.percent)));
}

export function databasePage(context, rest) {
  const head = h("div", {class: "page-head"}), tiles = h("div", {class: "tiles"}), moving = h("div", {}), below = h("div", {class: "stack"}), problem = h("div", {});
  const errors = h("div", {}), kinds = h("div", {}), transactions = h("div", {}), balance = h("div", {}), backups = h("div", {});
  below.append(h("div", {class: "half"}, kinds, errors), transactions, balance, backups);
  const node = h("div", {class: "stack"}, head, problem, moving, tiles, below);
  let name = "", stops = [], shown = "";

  function drawActivity(a, db) {
    const n = a.numbers, past = a.history;
    const wait = `${count(n.locks_waiting || 0)} waiting · ${count(n.lock_timeouts_total || 0)} timeouts · ${count(n.deadlocks_total || 0)} deadlocks`;
    show(tiles,
      tile("Statements", rate(a.statements.per_s), "/s", `${count(a.statements.total)} since load`, past.map((p) => p.statements_per_s), "statements"),
      tile("Commits", rate(a.commits.per_s), "/s", `median ${seconds(a.commits.p50_s)} · p99 ${seconds(a.commits.p99_s)}`, past.map((p) => p.commits_per_s), "commits"),
      tile("Latency, p95", seconds(a.statements.p95_s), "", `p50 ${seconds(a.statements.p50_s)} · p99 ${seconds(a.statements.p99_s)}`, past.map((p) => p.p95_s), "latency"),
      tile("Failed", rate(past.length ? past.slice(-5).reduce((sum, p) => sum + p.errors_per_s, 0) / Math.min(5, past.length) : -1), "/s", `${count(a.errors.reduce((sum, e) => sum + e.total, 0))} since load`, past.map((p) => p.errors_per_s), "errors"),
      tile("Locks held", count(n.locks_held || 0), "", wait, null, "locks"),
      tile("Transactions", count(n.transactions_open || 0), "open", `${count(n.transactions_prepared || 0)} prepared · ${count(n.transactions_in_doubt || 0)} in doubt`, null, "transactions"),
      tile("Connections", count(db.elements.reduce((sum, e) => sum + Math.max(0, e.connections), 0)), "", `${db.elements.filter((e) => e.state === "opened").length} of ${db.elements.length} elements take users`, null, "connections"),
      tile("Memory", size(db.elements.reduce((sum, e) => sum + Math.max(0, e.used_kb), 0)), "", `of ${size(db.elements.reduce((sum, e) => sum + Math.max(0, e.size_kb), 0))} PermSize, all copies`, null, "memory"));
    show(kinds, panel("Statements by kind", null, a.kinds.length ? table(["Kind", "#per second", "#p50", "#p95", "#p99", "#Total"], a.kinds.map((k) => h("tr", {}, h("td", {}, k.kind),
      [rate(k.times.per_s), seconds(k.times.p50_s), seconds(k.times.p95_s), seconds(k.times.p99_s), count(k.times.total)].map((v) => h("td", {class: "right"}, v))))) : empty("Nothing ran yet", "Statements show here as soon as a client runs some.")));
    show(errors, panel("Failed statements, by code", null, a.errors.length ? table(["Code", "SQLSTATE", "#per second", "#Total"], a.errors.slice(0, 12).map((e) => h("tr", {}, h("td", {class: "mono"}, e.code), h("td", {class: "mono"}, e.sqlstate),
      h("td", {class: "right"}, rate(e.per_s)), h("td", {class: "right"}, count(e.total))))) : empty("No statement failed", "Aborts and errors are counted here by their code.")));
  }

  function drawTransactions(reply) {
    const rows = reply.transactions.slice(0, 100).map((t) => h("tr", {}, h("td", {class: "mono nowrap"}, t.transaction), h("td", {}, chip(t.state, t.state === "open" ? "info" : undefined)), h("td", {class: "right"}, seconds(t.ageMs / 1000)),
      h("td", {}, t.participants.join(", ") || "–"), h("td", {class: "right"}, count(t.rows)), h("td", {class: "right"}, count(t.locks)), h("td", {class: "small"}, t.waitsFor ? `waits for ${t.waitsFor} on ${t.waitsOn}` : "")));
    show(transactions, panel("Transactions and locks", h("span", {class: "small muted"}, reply.silent.length ? `no answer from ${reply.silent.join(", ")}` : ""),
      rows.length ? table(["Transaction", "State", "#Age", "Replica sets", "#Rows", "#Locks", "Waits"], rows) : empty("No open transaction", "Open, prepared and in-doubt transactions show here with what they wait for.")));
  }

  async function countRows() {
    show(balance, panel("Distribution balance", null, empty("Counting…", "Each table is counted where its rows are.")));
    try {
      const reply = await call("databases/balance", {name});
      const rows = reply.tables.map((t) => {
        const total = t.rows.reduce((sum, [, n]) => sum + n, 0), most = Math.max(0, ...t.rows.map(([, n]) => n)), mean = t.rows.length ? total / t.rows.length : 0;
        return h("tr", {}, h("td", {class: "mono"}, `${t.owner}.${t.table}`), h("td", {class: "right"}, count(total)),
          h("td", {}, t.error ? h("span", {class: "bad-text small"}, t.error) : shares(t.rows.map(([rs, n]) => [`replica set ${rs}`, n]))),
          h("td", {class: "right"}, mean && t.rows.length > 1 ? `${(most / mean).toFixed(2)} ×` : "–"));
      });
      show(balance, panel("Distribution balance", h("button", {type: "button", "data-key": "count", onclick: countRows}, "Count again"),
        rows.length ? table(["Table", "#Rows", "Replica sets", "#Fullest / mean"], rows) : empty("No tables", "This database has none yet.")));
    } catch (error) {
      show(balance, panel("Distribution balance", h("button", {type: "button", onclick: countRows}, "Try again"), h("div", {class: "body"}, errorNotice(error))));
    }
  }

  function drawBackups(reply) {
    const rows = reply.transfers.slice(-10).reverse().map((t) => h("tr", {}, h("td", {class: "mono"}, t.name), h("td", {}, t.repository), h("td", {}, chip(t.state)), h("td", {class: "nowrap"}, moment(t.startedUs)),
      h("td", {}, t.finishedUs ? seconds((t.finishedUs - t.startedUs) / 1e6) : "–"), h("td", {class: "small"}, t.message)));
    show(backups, panel("Backups", null, rows.length ? table(["Name", "Repository", "State", "Started", "Took", ""], rows) : empty("No backup yet", "Back up writes one into a repository while clients work.")));
  }

  function begin(db) {
    name = db.name;
    stops.forEach((end) => end());
    show(balance, panel("Distribution balance", h("button", {type: "button", "data-key": "count", "data-action": "count", onclick: countRows}, "Count rows"), empty("Not counted yet", "Counting reads every table once: ask for it when you want to know.")));
    const quiet = (task, draw) => async () => { try { draw(await task()); show(problem); } catch (error) { if (error.status !== 401) show(problem, errorNotice(error)); } };
    stops = [every(1000, quiet(() => call("databases/activity", {name}), (a) => drawActivity(a, chosen(context.picture, [name])))),
      every(2000, quiet(() => call("databases/transactions", {name}), drawTransactions)),
      every(5000, quiet(() => call("databases/transferStatus", {kind: "backup", name}), drawBackups))];
  }

  return {
    node,
    title: "Database",
    update(picture) {
      const db = chosen(picture, rest);
      if (!db) { show(node, h("h1", {}, "Database"), h("section", {class: "panel"}, empty("No database yet", "Make one with ttGridAdmin dbCreate."))); return; }
      if (db.name !== name) begin(db);
      const state = JSON.stringify([db.words, db.map_version, picture.databases.length]);
      if (state !== shown) {
        shown = state;
        show(head, h("div", {class: "grow"}, h("h1", {}, db.name), h("p", {class: "inline"}, words(db), h("span", {class: "small num"}, `K = ${db.k} · ${db.sets.length} replica sets · map ${db.map_version}`), switcher(picture, db, "database"))),
          h("div", {class: "actions"}, actions(db)));
      }
      show(moving, redistribution(db, picture.operations));
    },
    close() { stops.forEach((end) => end()); },
  };
}
