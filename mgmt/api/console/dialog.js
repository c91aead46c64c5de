// Dialogs: what is about to happen, the command that does the same, and how it gets on.
import {h, append} from "./dom.js";
import {stream, call} from "./api.js";

export function commandLine(text) {
  const button = h("button", {type: "button", class: "plain", onclick: async () => {
    await navigator.clipboard.writeText(text).catch(() => {});
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }}, "Copy");
  return h("div", {class: "command"}, h("code", {}, text.split(" ").map((word) => [h("span", {class: "word"}, word), " "])), button);
}

export function errorNotice(error) {
  return h("div", {class: "notice bad", role: "alert"}, h("div", {class: "grow"}, h("b", {}, error.message),
    error.hint ? h("div", {class: "small"}, error.hint) : null));
}

/** Open a dialog with this content; it goes away when it is closed. */
export function open(title, ...content) {
  const dialog = h("dialog", {"aria-label": title});
  const form = h("form", {method: "dialog"}, h("h2", {}, title));
  append(form, content);
  dialog.append(form);
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  return {dialog, form};
}

/**
 * An action: says what it does, shows the ttGridAdmin command, asks, does it and shows how it gets on.
 * danger: the word that has to be typed first, for what cannot be undone.
 * body and command may be functions of the fields.
 */
export function act({title, text, path, body, command, streams = true, danger = "", destructive = false, verb = "Do it", fields = [], done}) {
  const values = () => Object.fromEntries(fields.map((f) => [f.name, f.input.value]));
  const resolved = (thing) => (typeof thing === "function" ? thing(values()) : thing);
  const line = h("div", {});
  const redraw = () => { line.replaceChildren(commandLine(resolved(command))); };
  const typed = h("input", {autocomplete: "off", spellcheck: "false", "aria-label": `Type ${danger} to confirm`, oninput: () => { go.disabled = typed.value !== danger; }});
  const log = h("pre", {class: "log", hidden: true, "aria-live": "polite"});
  const failure = h("div", {});
  const cancel = h("button", {type: "button", onclick: () => made.dialog.close()}, "Cancel");
  const go = h("button", {type: "submit", "data-key": "go", class: danger || destructive ? "danger solid" : "primary", disabled: danger !== ""}, verb);
  for (const f of fields) f.input.addEventListener("input", redraw);
  redraw();
  const made = open(title, h("p", {class: "muted"}, text),
    fields.map((f) => h("div", {class: "field"}, h("label", {for: f.input.id || null}, f.label), f.input)),
    h("div", {class: "field"}, h("label", {}, "The same on the command line"), line),
    danger ? h("div", {class: "field"}, h("label", {}, "This cannot be undone. Type ", h("b", {}, danger), " to confirm:"), typed) : null,
    log, failure, h("div", {class: "actions"}, cancel, go));
  made.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    failure.replaceChildren();
    const say = (text) => { log.hidden = false; log.textContent += (log.textContent ? "\n" : "") + text; log.scrollTop = log.scrollHeight; };
    try {
      const reply = streams
        ? await stream(path, resolved(body), (e) => say(e.kind === "step" ? `${e.text} …` : e.kind === "line" ? e.text : `  ${e.text}`))
        : await call(path, resolved(body));
      for (const message of reply.messages || []) say(message);
      if (!log.textContent) say("Done");
      cancel.textContent = "Close";
      cancel.focus();
      go.hidden = true;
      if (done) done(reply);
    } catch (error) {
      failure.replaceChildren(errorNotice(error));
      go.disabled = false;
    }
  });
  return made;
}
