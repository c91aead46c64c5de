// The model: what is wanted against what is in force.
import {h, show} from "./dom.js";
import {call} from "./api.js";
import {act, errorNotice} from "./dialog.js";
import {chip, empty} from "./map.js";
import {moment} from "./format.js";

const TONES = {added: "good", removed: "bad", changed: "warn"};
const side = (which, number = 0) => ({version: {which, number}});

export function modelPage(context) {
  const difference = h("div", {}), versions = h("div", {class: "flush"}), problem = h("div", {}), title = h("h2", {}, "Latest against current");
  const apply = h("button", {type: "button", class: "primary", "data-action": "apply", onclick: () => act({title: "Apply the latest model", verb: "Apply", destructive: true,
    text: "Installations, instances and configuration files are made, changed and removed on the hosts as the difference says, and new instances are started.",
    path: "models/apply", body: {}, command: "ttGridAdmin modelApply", done: () => load()})}, "Apply");
  const back = h("button", {type: "button", hidden: true, onclick: () => load()}, "Latest against current");
  const node = h("div", {class: "stack"}, h("div", {class: "page-head"}, h("div", {class: "grow"}, h("h1", {}, "Model"), h("p", {}, "The latest version is edited with ttGridAdmin; applying makes it come true and current.")), h("div", {class: "actions"}, apply)),
    problem, h("section", {class: "panel"}, h("header", {}, title, back), difference), h("section", {class: "panel"}, h("header", {}, h("h2", {}, "Versions")), versions));
  let key = "";

  function draw(reply) {
    show(difference, reply.differences.length ? reply.differences.map((d) => h("div", {class: "diff", "data-change": d.change}, h("div", {}, chip(d.change, TONES[d.change])),
      h("div", {}, h("b", {}, `${d.kind} ${d.name}`), d.details.length ? h("ul", {}, d.details.map((line) => h("li", {}, line))) : null))) : empty("No difference", "What is wanted is in force."));
  }

  async function compare(number, name) {
    try {
      draw(await call("models/compare", {left: side("number", number), right: side("latest")}));
      title.textContent = `Latest against version ${name}`;
      back.hidden = false;
    } catch (error) { show(problem, errorNotice(error)); }
  }

  async function load() {
    try {
      const [compared, listed] = await Promise.all([call("models/compare", {left: side("current"), right: side("latest")}), call("models/list")]);
      draw(compared);
      title.textContent = "Latest against current";
      back.hidden = true;
      apply.disabled = !compared.differences.length;
      show(versions, h("table", {}, h("thead", {}, h("tr", {}, ["Version", "State", "Created", "Applied", ""].map((t) => h("th", {scope: "col"}, t)))), h("tbody", {}, listed.versions.slice().reverse().map((v) => h("tr", {}, h("td", {}, v.version),
        h("td", {}, chip(v.state, /current/i.test(v.state) ? "good" : /latest|writable/i.test(v.state) ? "info" : "")), h("td", {class: "nowrap"}, moment(v.created_us)), h("td", {class: "nowrap"}, moment(v.applied_us)),
        h("td", {class: "right"}, h("button", {type: "button", class: "plain", "data-key": `v${v.version}`, onclick: () => compare(v.version, v.version)}, "Compare with latest")))))));
      show(problem);
    } catch (error) { if (error.status !== 401) show(problem, errorNotice(error)); }
  }

  return {
    node,
    title: "Model",
    update(picture) {
      const now = `${picture.model_latest}/${picture.model_current}`;
      if (now !== key) { key = now; load(); }
    },
    happened(event) { if (event && (event.kind === "model" || (event.kind === "operation" && /modelApply.*: (done|failed|cancelled)/.test(event.text)))) load(); },
  };
}
