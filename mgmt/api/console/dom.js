// Elements are made of text nodes and attributes only: nothing that comes from the grid is ever markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** An HTML element: h("p", {class: "muted"}, "text", child...). */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// What is being pressed or selected is not taken away from under the pointer: it is shown afterwards.
const waiting = new Map();
let pressed = null;
const selected = (node) => { const chosen = getSelection(); return chosen && !chosen.isCollapsed && node.contains(chosen.anchorNode); };
const flush = () => { for (const [node, children] of [...waiting]) { waiting.delete(node); if (node.isConnected) show(node, children); } };
addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { pressed = null; setTimeout(flush, 0); }, true);
document.addEventListener("selectionchange", () => { if (waiting.size && !pressed && getSelection().isCollapsed) flush(); });

/** Put these children in place of all others, and keep the focus where it was if it has the same data-key. */
export function show(node, ...children) {
  if ((pressed && node.contains(pressed)) || selected(node)) {
    waiting.set(node, children);
    return;
  }
  put(node, children);
}

/** The same at once, whatever is selected: for what somebody asked for. */
export function put(node, ...children) {
  waiting.delete(node);
  const focused = document.activeElement;
  const key = focused && node.contains(focused) ? focused.getAttribute("data-key") : null;
  node.replaceChildren();
  append(node, children);
  if (key !== null) {
    const again = [...node.querySelectorAll("[data-key]")].find((one) => one.getAttribute("data-key") === key);
    if (again) again.focus({preventScroll: true});
  }
}

const PATHS = {
  map: "M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM11 11h6v6h-6z",
  database: "M10 2c4 0 7 1.200 7 2.700v10.600C17 16.800 14 18 10 18s-7-1.200-7-2.700V4.700C3 3.200 6 2 10 2zM3 5c0 1.500 3 2.700 7 2.700S17 6.500 17 5M3 10c0 1.500 3 2.700 7 2.700s7-1.200 7-2.700",
  statements: "M3 5h14M3 10h9M3 15h11",
  model: "M10 2l7 4v8l-7 4-7-4V6zM3 6l7 4 7-4M10 10v8",
  operations: "M10 2a8 8 0 1 0 .01 0zM10 5.500V10l3 2",
  worksheet: "M4 5l4 4-4 4M10 14h6",
  star: "M10 1.800l2.500 5.200 5.700.800-4.100 4 1 5.700L10 14.800l-5.100 2.700 1-5.700-4.100-4 5.700-.800z",
};

/** A small drawing; always beside a word. */
export function icon(name) {
  const solid = name === "star";
  return s("svg", {viewBox: "0 0 20 20", "aria-hidden": "true", fill: solid ? "currentColor" : "none",
    stroke: solid ? "none" : "currentColor", "stroke-width": 1.6, "stroke-linejoin": "round", "stroke-linecap": "round"},
  s("path", {d: PATHS[name]}));
}
