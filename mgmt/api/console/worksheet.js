// SQL: type, run, see rows and where each step ran.
import {h, put, show} from "./dom.js";
import {call} from "./api.js";
import {commandLine, errorNotice, open} from "./dialog.js";
import {empty} from "./map.js";
import {chosen} from "./database.js";
import {count, seconds} from "./format.js";

const CHANGES = /^\s*(drop|truncate|delete|alter|revoke)\b/i;
let kept = "SELECT * FROM sys.v$version";

export function worksheetPage(context, rest) {
  const text = h("textarea", {id: "sql", rows: 7, spellcheck: "false", "aria-label": "SQL", value: kept, oninput: () => { kept = text.value; },
    onkeydown: (e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); go(); } }});
  const database = h("select", {id: "w-db", "aria-label": "Database"}), place = h("select", {id: "w-at", "aria-label": "Data instance"}), schema = h("input", {id: "w-schema", placeholder: "schema", size: 10, "aria-label": "Schema", spellcheck: "false"});
  const rows = h("select", {id: "w-rows", "aria-label": "Rows at most"}, [100, 500, 2000, 10000].map((n) => h("option", {value: n}, `${count(n)} rows`)));
  const limit = h("select", {id: "w-limit", "aria-label": "Time at most"}, [5, 30, 120, 600].map((n) => h("option", {value: n, selected: n === 30}, `${n} s`)));
  const run = h("button", {type: "button", class: "primary", id: "w-run", onclick: () => go()}, "Run"), stop = h("button", {type: "button", class: "danger", id: "w-cancel", hidden: true, onclick: () => cancel()}, "Cancel");
  const analyze = h("button", {type: "button", onclick: () => go(`EXPLAIN ANALYZE ${text.value}`)}, "Run and measure the plan");
  const status = h("span", {class: "small muted num", role: "status"}), out = h("div", {class: "stack"});
  const node = h("div", {class: "stack"}, h("div", {class: "page-head"}, h("div", {class: "grow"}, h("h1", {}, "SQL worksheet"), h("p", {}, "One statement at a time, as the instance administrator; it commits by itself."))),
    h("section", {class: "panel"}, h("div", {class: "body stack"}, text, h("div", {class: "inline"}, run, stop, analyze, h("span", {class: "faint small"}, "Ctrl+Enter runs"), status)),
      h("header", {class: "inline"}, ["Database", database, "at", place, "names in", schema, "at most", rows, limit].map((x) => typeof x === "string" ? h("span", {class: "small muted"}, x) : x))), out);
  let number = "", clock = 0, options = "";

  function ask(sql) {
    return new Promise((answer) => {
      const {dialog, form} = open("Run a statement that changes or removes things?", h("div", {class: "log sql"}, sql), commandLine(`ttIsql -e "${sql.replace(/\s+/g, " ").trim()}" ${database.value}`),
        h("div", {class: "actions"}, h("button", {type: "button", onclick: () => dialog.close("no")}, "Keep it"), h("button", {type: "submit", value: "yes", class: "danger solid"}, "Run it")));
      form.addEventListener("submit", () => answer(true));
      dialog.addEventListener("close", () => answer(false));
    });
  }

  async function go(sql = text.value) {
    if (number || !sql.trim()) return;
    if (CHANGES.test(sql) && !(await ask(sql))) return;
    number = crypto.getRandomValues(new Uint32Array(4)).join("-");
    const began = performance.now();
    run.disabled = analyze.disabled = true;
    stop.hidden = false;
    clock = setInterval(() => { status.textContent = `running, ${seconds((performance.now() - began) / 1000)}`; }, 100);
    try {
      draw(await call("sql/run", {name: database.value, text: sql, number, instance: place.value, schema: schema.value.trim().toUpperCase(), rows_max: Number(rows.value), timeout_s: Number(limit.value), explain: !/^\s*explain/i.test(sql)}));
    } catch (error) {
      status.textContent = "";
      put(out, errorNotice(error));
    } finally {
      clearInterval(clock);
      number = "";
      run.disabled = analyze.disabled = false;
      stop.hidden = true;
    }
  }

  async function cancel() {
    stop.disabled = true;
    try { await call("sql/cancel", {number}); } catch (error) { put(out, errorNotice(error)); } finally { stop.disabled = false; }
  }

  function draw(reply) {
    const isPlan = reply.columns.length === 1 && /plan/i.test(reply.columns[0]);
    status.textContent = reply.error ? "" : `${reply.tag} · ${seconds(reply.elapsed_us / 1e6)} at ${reply.instance}${reply.more ? " · there are more rows" : ""}`;
    const plan = isPlan ? reply.rows.map((r) => r[0]) : reply.plan;
    put(out,
      reply.error ? h("div", {class: "notice bad", role: "alert", "data-sqlstate": reply.error.sqlstate}, h("div", {class: "grow"}, h("b", {}, reply.error.message), h("div", {class: "small"}, [reply.error.sqlstate, reply.error.detail, reply.error.hint, reply.error.position ? `at character ${reply.error.position}` : ""].filter(Boolean).join(" · ")))) : null,
      reply.notices.map((n) => h("div", {class: "notice warn"}, n)),
      reply.columns.length && !isPlan ? h("section", {class: "panel"}, h("header", {}, h("h2", {}, `${count(reply.rows.length)} ${reply.rows.length === 1 ? "row" : "rows"}${reply.more ? ", and more" : ""}`)),
        h("div", {class: "result"}, reply.rows.length ? h("table", {}, h("thead", {}, h("tr", {}, reply.columns.map((c) => h("th", {scope: "col"}, c)))), h("tbody", {}, reply.rows.map((r) => h("tr", {}, r.map((v) => h("td", {}, v === null ? h("span", {class: "null"}, "NULL") : v)))))) : empty("No rows", "The statement found none."))) : null,
      plan.length ? h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Plan, and where each step ran")), h("pre", {class: "plan"}, plan.join("\n"))) : null);
    if (reply.error && reply.error.position && !isPlan) { text.focus(); text.setSelectionRange(reply.error.position - 1, reply.error.position); }
  }

  put(out, h("section", {class: "panel"}, empty("Nothing has run", "Rows, the plan, and the replica sets that took part show here.")));
  return {
    node,
    title: "SQL worksheet",
    update(picture) {
      const db = picture.databases.find((one) => one.name === database.value) || chosen(picture, rest);
      const now = JSON.stringify([picture.databases.map((one) => one.name), db && db.elements.map((e) => [e.instance, e.state])]);
      if (now === options) return;
      options = now;
      const at = place.value;
      show(database, picture.databases.map((one) => h("option", {value: one.name, selected: db && one.name === db.name}, one.name)));
      show(place, h("option", {value: ""}, "any instance"), db ? db.elements.filter((e) => e.replica_set).map((e) => h("option", {value: e.instance, selected: e.instance === at, disabled: e.state === "down"}, `${e.instance}${e.state === "opened" ? "" : ` (${e.state})`}`)) : []);
    },
    close() { if (number) cancel(); },
  };
}
