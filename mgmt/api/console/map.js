// The grid map: rows are replica sets, columns data spaces, each cell an element.
import {h, icon, show} from "./dom.js";
import {meter} from "./charts.js";
import {count, moment, severity, size, tone, clock} from "./format.js";
import {open, commandLine} from "./dialog.js";

export const chip = (word, kind) => h("span", {class: `chip ${kind === undefined ? tone(word) : kind}`}, word);

export function empty(title, text) {
  return h("div", {class: "empty"}, h("b", {}, title), text);
}

function look(element, set) {
  if (element.state === "down" || / failed/.test(element.state)) return "bad";
  if (element.state !== "opened" && element.state !== "loaded") return element.state === "unloaded" || element.state === "created" ? "idle" : "warn";
  if (set && (element.role === "catching-up" || element.role === "waiting-for-seed" || !set.in_sync.includes(element.element))) return "warn";
  return "";
}

function word(element, set) {
  if (look(element, set) === "warn" && /^(opened|loaded)$/.test(element.state)) return "catching up";
  return element.state;
}

function cell(element, set, warnAt) {
  const isLead = set && set.lead === element.element && element.state !== "down";
  const kind = look(element, set);
  const known = element.size_kb > 0;
  return h("button", {type: "button", class: `cell ${kind}`, "data-key": `e${element.element}`, "data-element": element.element,
    "data-state": word(element, set), "data-lead": isLead ? "yes" : null, onclick: () => details(element, set)},
  h("span", {class: "cell-top"}, h("b", {}, element.host), isLead ? h("span", {class: "lead"}, icon("star"), "lead") : null),
  h("span", {class: "inline"}, chip(word(element, set), kind === "" ? "good" : kind), element.mark ? chip(element.mark, "warn") : null),
  h("span", {class: "facts"},
    h("span", {}, "lag ", h("b", {class: "num"}, isLead ? "–" : count(element.lag))),
    h("span", {}, h("b", {class: "num"}, count(element.state === "down" ? -1 : element.connections)), " conn."),
    h("span", {class: "opt"}, `element ${element.element}`)),
  h("span", {class: "meter"}, meter(known ? element.used_kb / element.size_kb : 0, warnAt, "memory against PermSize"),
    h("span", {class: "num nowrap"}, known ? `${Math.round((100 * element.used_kb) / element.size_kb)} %` : "–"),
    h("span", {class: "opt nowrap"}, known ? `of ${size(element.size_kb)}` : "")));
}

function details(element, set) {
  const row = (name, value) => [h("dt", {}, name), h("dd", {class: "num"}, value)];
  open(`Element ${element.element}`,
    h("dl", {class: "dl"},
      row("Instance", element.instance), row("State", chip(word(element, set), look(element, set) || "good")),
      row("Role", element.role || "–"), row("Since", moment(element.since_us)),
      row("Replica set", element.replica_set || "outside the map"), row("Data space", element.data_space),
      row("Term", count(element.term)), row("Log position", count(element.lsn)),
      row("Behind the lead", element.lag < 0 ? "–" : `${count(element.lag)} entries`),
      row("Memory", `${size(element.used_kb)} of ${size(element.size_kb)}`), row("Log kept", size(element.log_kb)),
      row("Connections", count(element.connections)),
      element.message ? row("Message", element.message) : null),
    h("div", {class: "field"}, h("label", {}, "On the command line"), commandLine("ttGridAdmin dbStatus -element")),
    h("div", {class: "actions"}, h("button", {type: "submit", class: "primary"}, "Close")));
}

/** The three words as chips. */
export const words = (db) => db.words.map((w) => chip(w));

export function database(db, warnAt) {
  const bySet = new Map();
  for (const e of db.elements) if (e.replica_set) bySet.set(`${e.replica_set}/${e.data_space}`, e);
  const spaces = [...Array(db.data_spaces).keys()].map((i) => i + 1);
  const grid = h("div", {class: "map"});
  const phone = matchMedia("(max-width: 760px)").matches;
  grid.style.gridTemplateColumns = phone ? `repeat(${Math.min(2, spaces.length)}, minmax(0, 1fr))` : `112px repeat(${spaces.length}, minmax(0, 1fr))`;
  const heads = phone && spaces.length > 2 ? [] : spaces.map((n) => h("div", {class: "map-head"}, `Data space ${n}`));
  grid.append(h("div", {class: "map-head corner"}), ...heads);
  for (const set of db.sets) {
    grid.append(h("div", {class: "set", "data-set": set.replica_set, "data-state": set.state},
      h("strong", {}, `Replica set ${set.replica_set}`), h("div", {}, chip(set.state)),
      h("div", {class: "num small"}, `${count(set.buckets)} buckets`), h("div", {class: "num small"}, `term ${set.term}`)));
    for (const n of spaces) {
      const element = bySet.get(`${set.replica_set}/${n}`);
      grid.append(element ? cell(element, set, warnAt) : h("div", {class: "cell empty"}, "no element"));
    }
  }
  const outside = db.elements.filter((e) => !e.replica_set);
  const connections = db.elements.reduce((sum, e) => sum + Math.max(0, e.connections), 0);
  return h("section", {class: "panel", "data-database": db.name},
    h("header", {}, h("h2", {}, h("a", {href: `#/database/${encodeURIComponent(db.name)}`, "data-key": `db-${db.name}`}, db.name)), words(db),
      h("span", {class: "small muted num"}, `${count(connections)} connections · K = ${db.k} · map ${db.map_version}`)),
    db.redistribution ? h("p", {class: "legend"}, `Redistribution: ${db.redistribution.percent} %, ${count(db.redistribution.bucketsLeft)} buckets to go`) : null,
    db.sets.length ? grid : empty("Not distributed yet", "ttGridAdmin dbDistribute puts elements into replica sets."),
    outside.length ? h("div", {class: "map-head legend"}, "Outside the map") : null,
    outside.length ? h("div", {class: "map"}, outside.map((e) => cell(e, null, warnAt))) : null,
    h("p", {class: "legend"}, h("span", {}, "★ leads its replica set"), h("span", {}, "lag: log entries behind the lead"), h("span", {}, "bar: memory against PermSize")));
}

function beside(picture) {
  const item = (name, about, ...end) => h("li", {}, h("span", {class: "grow"}, name, h("small", {}, about)), ...end);
  const used = new Set(picture.databases.flatMap((db) => db.elements.map((e) => e.instance)));
  const spare = picture.instances.filter((one) => !used.has(one.name) || !one.alive);
  return [
    h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Management")),
      h("ul", {class: "plain-list"}, picture.management.map((m) => item(`${m.host}.${m.instance}`,
        m.reachable ? `${m.address}${m.seq === null ? "" : ` · seq ${m.seq}`}${m.message ? ` · ${m.message}` : ""}` : m.message || m.address,
        chip(m.reachable ? m.rep_role : "down", m.reachable ? tone(m.rep_role) : "bad"))))),
    h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Membership servers")),
      h("ul", {class: "plain-list"}, picture.servers.map((server) => item(server.address.replace("!", ":"),
        server.latency_ms ? `${Number(server.latency_ms.split("/")[1] || 0).toFixed(1)} ms, ${server.connections} sessions` : "no answer", chip(server.role))))),
    spare.length ? h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Data instances")),
      h("ul", {class: "plain-list"}, spare.map((one) => item(one.name, `${one.address} · data space ${one.data_space_group || "–"}`,
        chip(one.alive ? "running" : "down", one.alive ? "good" : "bad"))))) : null,
  ];
}

const MARKS = {good: "✓", bad: "✕", warn: "!", info: "·"};

export function eventRow(event) {
  const kind = severity(event.severity);
  return h("li", {class: "event", "data-event": event.id}, h("time", {datetime: new Date(event.at_us / 1000).toISOString(), title: moment(event.at_us)}, clock(event.at_us)),
    h("span", {class: `mark ${kind}-text`, title: event.severity}, MARKS[kind]), h("span", {}, event.text));
}

export function mapPage(context) {
  const left = h("div", {class: "stack"}), right = h("aside", {class: "stack", "aria-label": "Management and membership"});
  const recent = h("ul", {class: "plain-list", "aria-live": "polite"});
  const head = h("p", {});
  const node = h("div", {}, h("div", {class: "page-head"}, h("div", {class: "grow"}, h("h1", {}, "Grid map"), head)),
    h("div", {class: "cols"}, h("div", {class: "stack"}, left,
      h("section", {class: "panel"}, h("header", {}, h("h2", {}, "What happened last"), h("a", {href: "#/operations", class: "small"}, "All events")), recent)), right));
  let told = -1;
  return {
    node,
    title: "Grid map",
    update(picture) {
      const down = new Set(picture.databases.flatMap((db) => db.elements.filter((e) => e.state === "down").map((e) => e.instance)));
      const alive = picture.instances.filter((one) => one.alive && !down.has(one.name)).length;
      head.textContent = `${picture.grid}: ${alive} of ${picture.instances.length} data instances run, K = ${picture.k}`;
      show(left, picture.databases.length ? picture.databases.map((db) => database(db, picture.warn_threshold_pct / 100))
        : h("section", {class: "panel"}, empty("No database yet", "Make one with ttGridAdmin dbCreate; the Model page shows the definitions.")));
      show(right, beside(picture));
      this.happened();
    },
    happened() {
      const newest = context.events.slice(-8).reverse(), last = newest.length ? newest[0].id : 0;
      if (last === told) return; // nothing new: nothing is read out again
      told = last;
      show(recent, newest.length ? newest.map(eventRow) : empty("Nothing yet", "Faults, failovers and operations appear here as they happen."));
    },
  };
}
