// What ran and what happened: operations, events, and both on one time line.
import {h, show} from "./dom.js";
import {call} from "./api.js";
import {timeline} from "./charts.js";
import {act, errorNotice} from "./dialog.js";
import {chip, empty, eventRow} from "./map.js";
import {moment, seconds, severity} from "./format.js";
import {every} from "./polling.js";

const ROWS = [["Instances", ["instance", "membership"]], ["Leads", ["lead"]], ["Copies", ["sync", "element"]], ["Management", ["management"]], ["Model, maps", ["model", "map", "database"]]];
const SPANS = [[15, "15 minutes"], [60, "1 hour"], [360, "6 hours"], [1440, "1 day"]];
const TONES = {running: "info", done: "good", failed: "bad", cancelled: "warn"};

export function operationsPage(context) {
  const find = h("input", {type: "search", placeholder: "Search events and operations", "aria-label": "Search", oninput: () => draw()});
  const kind = h("select", {"aria-label": "Kind", onchange: () => draw()}, [["", "everything"], ["fault", "faults and warnings"], ["operation", "operations"], ["lead", "failovers"], ["sync", "copies in sync"], ["model", "model"]].map(([value, text]) => h("option", {value}, text)));
  const span = h("select", {"aria-label": "Time", onchange: () => draw()}, SPANS.map(([minutes, text]) => h("option", {value: minutes}, text)));
  const line = h("div", {class: "body"}), list = h("div", {class: "flush"}), events = h("ul", {class: "plain-list"}), problem = h("div", {});
  const node = h("div", {class: "stack"}, h("div", {class: "page-head"}, h("div", {class: "grow"}, h("h1", {}, "Operations and events"), h("p", {}, "What ran, who asked for it, how it ended; and what happened to the grid meanwhile.")), h("div", {class: "inline"}, find, kind)),
    problem, h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Time line"), span), line), h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Operations")), list), h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Events")), events));
  let operations = [];

  const fits = (text) => !find.value.trim() || text.toLowerCase().includes(find.value.trim().toLowerCase());
  const wanted = (e) => fits(e.text) && (!kind.value || e.kind === kind.value || (kind.value === "fault" && (e.severity === "fault" || e.severity === "warning")));

  function draw() {
    const to = Date.now() * 1000, from = to - Number(span.value) * 60e6;
    const inTime = context.events.filter((e) => e.at_us >= from);
    const width = Math.max(320, Math.min(1100, line.clientWidth - 32 || 900));
    const rows = ROWS.map(([name, kinds]) => ({name, marks: inTime.filter((e) => kinds.includes(e.kind)).map((e) => ({at: e.at_us, tone: severity(e.severity), text: `${moment(e.at_us)} ${e.text}`}))}));
    rows.push({name: "Operations", bars: operations.filter((o) => (o.ended_us || to) >= from).map((o) => ({from: Math.max(from, o.started_us), to: o.ended_us || to, tone: {running: "info", done: "good", failed: "bad", cancelled: "warn"}[o.state] || "info",
      text: `${o.kind} ${o.subject}: ${o.state}, ${seconds(((o.ended_us || to) - o.started_us) / 1e6)}`}))});
    show(line, timeline(rows, from, to, width));
    const chosen = operations.filter((o) => fits(`${o.kind} ${o.subject} ${o.by} ${o.state} ${o.message}`)).slice(-40).reverse();
    show(list, chosen.length ? h("table", {}, h("thead", {}, h("tr", {}, ["", "Operation", "State", "Step", "Started", "Took", "Asked for by", ""].map((t) => h("th", {scope: "col"}, t)))), h("tbody", {}, chosen.map((o) => h("tr", {"data-operation": o.id}, h("td", {class: "faint"}, o.id),
      h("td", {}, h("b", {}, o.kind), " ", o.subject, o.message && o.state !== "done" ? h("div", {class: "small bad-text"}, o.message) : null), h("td", {}, chip(o.state, TONES[o.state])), h("td", {class: "small"}, o.state === "running" ? `${o.step} of ${o.steps}: ${o.title}` : `${o.steps}`),
      h("td", {class: "nowrap"}, moment(o.started_us)), h("td", {class: "nowrap"}, seconds(((o.ended_us || Date.now() * 1000) - o.started_us) / 1e6)), h("td", {class: "small"}, o.by || "–"),
      h("td", {class: "right"}, o.state === "running" ? h("button", {type: "button", class: "danger", "data-key": `c${o.id}`, onclick: () => act({title: `Cancel operation ${o.id}`, text: `${o.kind} ${o.subject} ends after the step in hand. What is done stays done.`, destructive: true, verb: "Cancel it",
        path: "operations/cancel", streams: false, body: {id: o.id}, command: `ttGridAdmin operationCancel ${o.id}`})}, "Cancel") : null))))) : empty(operations.length ? "Nothing fits" : "No operation yet", "Long commands show here while they run and afterwards."));
    const told = context.events.filter(wanted).slice(-200).reverse();
    show(events, told.length ? told.map(eventRow) : empty("No event fits", "Clear the search to see all of them."));
  }

  const stop = every(2000, async () => {
    try { operations = (await call("operations/list")).operations; show(problem); } catch (error) { if (error.status !== 401) show(problem, errorNotice(error)); }
    draw();
  });
  return {node, title: "Operations", update() {}, happened() { draw(); }, close: stop};
}
