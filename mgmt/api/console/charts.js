// Drawings in SVG: colours come from classes, numbers from attributes.
import {s} from "./dom.js";

/** A share of a whole, 0..1; the tone follows the threshold. */
export function meter(share, warnAt = 0.9, label = "") {
  const part = Math.max(0, Math.min(1, share));
  const tone = part >= 0.98 ? "c-bad" : part >= warnAt ? "c-warn" : "c-1";
  return s("svg", {viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": label},
    s("rect", {class: "c-track", width: 100, height: 6, rx: 3}),
    s("rect", {class: tone, width: Math.max(part * 100, part > 0 ? 1.5 : 0), height: 6, rx: 3}));
}

export function progress(percent) {
  return s("svg", {viewBox: "0 0 100 8", preserveAspectRatio: "none", class: "progress", role: "progressbar",
    "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100},
  s("rect", {class: "c-track", width: 100, height: 8}), s("rect", {class: "c-1", width: percent, height: 8}));
}

/** The newest values of a number, the last at the right edge. */
export function spark(values, slots = 60) {
  const top = Math.max(1e-9, ...values);
  const step = 100 / (slots - 1), from = 100 - (values.length - 1) * step;
  const at = values.map((v, i) => [from + i * step, 33 - (v / top) * 30]);
  const line = at.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join(" ");
  const drawing = s("svg", {viewBox: "0 0 100 34", preserveAspectRatio: "none", "aria-hidden": "true"});
  if (values.length > 1) {
    drawing.append(s("polygon", {class: "c-area", points: `${from},34 ${line} 100,34`}), s("polyline", {class: "c-line", points: line}));
  }
  return drawing;
}

/** Shares of a whole side by side: [[name, number]...]. */
export function shares(parts) {
  const total = parts.reduce((sum, [, n]) => sum + n, 0);
  const drawing = s("svg", {viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "progress", role: "img",
    "aria-label": parts.map(([name, n]) => `${name}: ${n}`).join(", ")}, s("rect", {class: "c-track", width: 100, height: 10}));
  let x = 0;
  parts.forEach(([name, n], i) => {
    const width = total ? (n / total) * 100 : 0;
    drawing.append(s("rect", {class: `c-${(i % 4) + 1}`, x, width: Math.max(0, width - 0.4), height: 10}, s("title", {}, `${name}: ${n}`)));
    x += width;
  });
  return drawing;
}

/** Events and operations on one time axis: rows of {name, marks: [{at, tone, text}], bars: [{from, to, tone, text}]}. */
export function timeline(rows, fromUs, toUs, width = 900) {
  const left = 92, rowHeight = 26, height = rows.length * rowHeight + 24;
  const x = (us) => left + ((us - fromUs) / (toUs - fromUs)) * (width - left - 12);
  const drawing = s("svg", {viewBox: `0 0 ${width} ${height}`, class: "timeline", role: "img", "aria-label": "Time line of events and operations"});
  const ticks = width < 500 ? 3 : 6;
  for (let i = 0; i <= ticks; i += 1) {
    const us = fromUs + ((toUs - fromUs) * i) / ticks, at = new Date(us / 1000);
    drawing.append(s("line", {class: "c-axis", x1: x(us), x2: x(us), y1: 0, y2: height - 20}),
      s("text", {class: "c-text", x: x(us), y: height - 6, "text-anchor": i === 0 ? "start" : i === ticks ? "end" : "middle"},
        `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`));
  }
  rows.forEach((row, number) => {
    const y = number * rowHeight + 13;
    drawing.append(s("text", {class: "c-text", x: 0, y: y + 4}, row.name), s("line", {class: "c-axis", x1: left, x2: width - 12, y1: y, y2: y}));
    for (const bar of row.bars || []) {
      const a = Math.max(left, x(bar.from));
      drawing.append(s("rect", {class: `c-${bar.tone}`, x: a, y: y - 6, width: Math.max(3, x(bar.to) - a), height: 12, rx: 3}, s("title", {}, bar.text)));
    }
    for (const mark of row.marks || []) {
      const square = mark.tone === "bad";
      drawing.append(s(square ? "rect" : "circle", square
        ? {class: "c-bad", x: x(mark.at) - 4, y: y - 4, width: 8, height: 8, rx: 1}
        : {class: `c-${mark.tone}`, cx: x(mark.at), cy: y, r: 4}, s("title", {}, mark.text)));
    }
  });
  return drawing;
}
