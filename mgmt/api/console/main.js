// The shell: the token, the navigation, the stream of events, and one page at a time.
import {h, icon, show} from "./dom.js";
import {call, follow, token, whenRefused} from "./api.js";
import {errorNotice} from "./dialog.js";
import {mapPage} from "./map.js";
import {databasePage} from "./database.js";
import {statementsPage} from "./statements.js";
import {modelPage} from "./model.js";
import {operationsPage} from "./operations.js";
import {worksheetPage} from "./worksheet.js";

const EVENTS_KEPT = 1000;
const app = document.getElementById("app");
const context = {picture: null, events: [], history: new Map()};
let page = null, stop = null, shell = null;

// -- light and dark: the system's choice unless the switch was used
const dark = matchMedia("(prefers-color-scheme: dark)");
function theme(choice) {
  document.documentElement.setAttribute("data-theme", choice || (dark.matches ? "dark" : "light"));
}
theme(localStorage.getItem("tengrid.theme"));
dark.addEventListener("change", () => theme(localStorage.getItem("tengrid.theme")));
function switchTheme() {
  const now = document.documentElement.getAttribute("data-theme") === "dark" ? "light" : "dark";
  localStorage.setItem("tengrid.theme", now);
  theme(now);
}

// -- pages
const PAGES = [
  ["map", "Grid map", "map"], ["database", "Database", "database"], ["statements", "Statements", "statements"],
  ["model", "Model", "model"], ["operations", "Operations", "operations"], ["worksheet", "SQL worksheet", "worksheet"],
];
const MAKERS = {map: mapPage, database: databasePage, statements: statementsPage, model: modelPage, operations: operationsPage, worksheet: worksheetPage};

function route() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return [MAKERS[name] ? name : "map", rest.map(decodeURIComponent)];
}

function turn() {
  if (!shell) return;
  const [name, rest] = route();
  if (page && page.close) page.close();
  page = MAKERS[name](context, rest);
  shell.main.replaceChildren(page.node);
  document.title = `${page.title} · ${context.picture ? context.picture.grid : "TenGrid"}`;
  for (const link of shell.nav.querySelectorAll("a")) {
    if (link.getAttribute("href") === `#/${name}`) { link.setAttribute("aria-current", "page"); link.scrollIntoView({block: "nearest", inline: "nearest"}); }
    else link.removeAttribute("aria-current");
  }
  if (context.picture) refresh();
  scrollTo(0, 0);
}

function refresh() {
  try { page.update(context.picture); } catch (error) { console.error(error); }
}

function makeShell() {
  const live = h("span", {class: "chip", role: "status"}, "connecting");
  const nav = h("nav", {class: "nav", "aria-label": "Pages"}, PAGES.map(([name, title, drawing]) => h("a", {href: `#/${name}`}, icon(drawing), title)));
  const main = h("main", {class: "main", id: "main", tabindex: "-1"});
  const name = h("small", {}, "console");
  const who = h("span", {class: "who"});
  const side = h("aside", {class: "side"},
    h("a", {class: "brand", href: "#/map"}, h("img", {src: "mark.svg", alt: ""}), h("span", {}, "TenGrid", name)), nav,
    h("div", {class: "side-foot"}, live, who, h("div", {class: "row"},
      h("button", {class: "plain", type: "button", onclick: switchTheme, title: "Light or dark"}, "Theme"),
      h("button", {class: "plain", type: "button", onclick: () => { token.forget(); gate(); }, title: "Forget the token"}, "Lock"))));
  shell = {live, nav, main, name, who};
  app.replaceChildren(h("div", {class: "shell"}, side, main));
}

function state(word, text) {
  if (!shell) return;
  shell.live.className = `chip ${word === "live" ? "good" : "bad"}`;
  shell.live.textContent = word === "live" ? "live" : "no connection";
  shell.live.title = text;
  document.body.setAttribute("data-live", word);
}

function start() {
  makeShell();
  turn();
  stop = follow({
    onState: state,
    onPicture(picture) {
      const first = context.picture === null;
      context.picture = picture;
      shell.name.textContent = picture.grid;
      shell.who.textContent = `by ${picture.active}`;
      if (first) document.title = `${page.title} · ${picture.grid}`;
      refresh();
    },
    onHappened(event) {
      context.events.push(event);
      if (context.events.length > EVENTS_KEPT) context.events.shift();
      if (page.happened && context.picture) page.happened(event);
    },
  });
}

// -- the token
function gate(problem) {
  if (stop) { stop(); stop = null; }
  shell = null;
  const input = h("input", {type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true, autofocus: true});
  const failure = h("div", {}, problem ? errorNotice(problem) : null);
  const form = h("form", {class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    try {
      await call("mgmt/status", {});
      start();
    } catch (error) {
      token.forget();
      show(failure, errorNotice(error.status === 401 ? {message: "That is not the token of this grid.", hint: ""} : error));
      input.select();
    }
  }},
  h("span", {class: "brand"}, h("img", {src: "mark.svg", alt: ""}), h("span", {}, "TenGrid console")),
  h("p", {class: "muted"}, "Sign in with the grid’s management token. Its owner finds it in the home of a management instance:"),
  h("div", {class: "command"}, h("code", {}, "cat $TIMESTEN_HOME/conf/api.token")),
  h("div", {class: "field"}, h("label", {for: "token"}, "Token"), input), failure,
  h("div", {class: "actions"}, h("button", {class: "primary", type: "submit"}, "Open the console")),
  h("p", {class: "small faint"}, "It is kept in this tab until you close it or press Lock."));
  app.replaceChildren(h("main", {class: "gate", id: "main"}, form));
  input.focus();
}

whenRefused(() => { if (shell) { token.forget(); gate({message: "The token is no longer accepted.", hint: "Sign in again."}); } });
addEventListener("hashchange", turn);
if (token.get()) start(); else gate();
