// The statement cache: what takes the time, and what is not local.
import {h, show} from "./dom.js";
import {call} from "./api.js";
import {errorNotice, open} from "./dialog.js";
import {chip, empty} from "./map.js";
import {chosen, switcher} from "./database.js";
import {count, seconds} from "./format.js";
import {every} from "./polling.js";

const LOCAL = {general: 0, "co-located": 1, single: 2, "": 3};
const TONES = {general: "warn", "co-located": "info", single: "good"};
const ORDERS = {
  time: ["most time", (a, b) => b.total_s - a.total_s],
  slow: ["slowest", (a, b) => b.p95_s - a.p95_s],
  local: ["least local", (a, b) => LOCAL[a.plan] - LOCAL[b.plan] || b.total_s - a.total_s],
  count: ["most often", (a, b) => b.count - a.count],
  errors: ["most failures", (a, b) => b.errors - a.errors],
};

export function statementsPage(context, rest) {
  const head = h("div", {class: "page-head"}), body = h("section", {class: "panel"}), problem = h("div", {});
  const find = h("input", {type: "search", placeholder: "Search in statements", "aria-label": "Search in statements", oninput: () => draw()});
  const order = h("select", {"aria-label": "Order", onchange: () => draw()}, Object.entries(ORDERS).map(([key, [text]]) => h("option", {value: key}, `${text} first`)));
  const plans = h("select", {"aria-label": "Plan", onchange: () => draw()}, [["*", "all plans"], ["general", "general only"], ["co-located", "co-located only"], ["single", "single only"]].map(([value, text]) => h("option", {value}, text)));
  const list = h("div", {class: "flush"});
  body.append(h("header", {}, find, order, plans), list);
  const node = h("div", {class: "stack"}, head, problem, body);
  let rows = null, name = "", stop = null;

  async function explain(row) {
    const plan = h("pre", {class: "log"}, "…");
    open("Statement", h("div", {class: "sql log"}, row.text),
      h("dl", {class: "dl"}, [["User", row.user], ["Plan", row.plan || "–"], ["Run", `${count(row.count)} times, ${count(row.errors)} failed`], ["Rows", count(row.rows)], ["Time in all", seconds(row.total_s)],
        ["p50 / p95 / p99", `${seconds(row.p50_s)} / ${seconds(row.p95_s)} / ${seconds(row.p99_s)}`], ["Longest", seconds(row.longest_s)], ["Run at", row.instances.join(", ")]].map(([k, v]) => [h("dt", {}, k), h("dd", {class: "num"}, v)])),
      h("div", {class: "field"}, h("label", {}, "How it is run now"), plan), h("div", {class: "actions"}, h("button", {type: "submit", class: "primary"}, "Close")));
    try {
      const reply = await call("sql/run", {name, text: `EXPLAIN ${row.text}`, schema: row.user, timeout_s: 10});
      plan.textContent = reply.error ? reply.error.message : reply.rows.map((r) => r[0]).join("\n");
    } catch (error) { plan.textContent = error.message; }
  }

  function draw() {
    if (rows === null) return;
    const word = find.value.trim().toLowerCase();
    const shown = rows.filter((r) => (plans.value === "*" || r.plan === plans.value) && (!word || r.text.toLowerCase().includes(word) || r.user.toLowerCase().includes(word)))
      .sort(ORDERS[order.value][1]).slice(0, 200);
    if (!shown.length) { show(list, empty(rows.length ? "Nothing fits" : "The statement caches are empty", rows.length ? "No statement of the cache fits the search." : "Statements show here once clients run some.")); return; }
    show(list, h("table", {}, h("thead", {}, h("tr", {}, ["Statement", "Plan", "#Count", "#Total", "#p50", "#p95", "#p99", "#Longest", "#Failed"].map((t) => h("th", {scope: "col", class: t.startsWith("#") ? "right" : null}, t.replace("#", ""))))),
      h("tbody", {}, shown.map((r) => h("tr", {class: "pick", tabindex: 0, "data-key": `${r.user} ${r.text}`.slice(0, 300), onclick: () => explain(r), onkeydown: (e) => { if (e.key === "Enter") explain(r); }},
        h("td", {}, h("span", {class: "sql clip"}, r.text), h("span", {class: "small faint"}, r.user)), h("td", {}, r.plan ? chip(r.plan, TONES[r.plan]) : h("span", {class: "faint"}, r.kind)),
        [count(r.count), seconds(r.total_s), seconds(r.p50_s), seconds(r.p95_s), seconds(r.p99_s), seconds(r.longest_s), r.errors ? count(r.errors) : "–"].map((v) => h("td", {class: "right nowrap"}, v)))))));
  }

  return {
    node,
    title: "Statements",
    update(picture) {
      const db = chosen(picture, rest);
      if (!db) { show(node, h("h1", {}, "Statements"), h("section", {class: "panel"}, empty("No database yet", "Make one with ttGridAdmin dbCreate."))); return; }
      if (db.name === name) return;
      name = db.name;
      show(head, h("div", {class: "grow"}, h("h1", {}, "Statements"), h("p", {}, `The statement caches of ${name}, put together. A “single” plan runs at one element, “co-located” at every lead, “general” gathers rows first.`)), switcher(picture, db, "statements"));
      if (stop) stop();
      stop = every(3000, async () => {
        try { rows = (await call("databases/statements", {name, limit: 500})).statements; show(problem); draw(); } catch (error) { if (error.status !== 401) show(problem, errorNotice(error)); }
      });
    },
    close() { if (stop) stop(); },
  };
}
