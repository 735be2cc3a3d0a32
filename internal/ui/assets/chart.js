// The chart of a batch's life: how many requests ended between two samples, as a rate, with what failed of them.

import { el, svg } from "./dom.js";
import { count, duration, rate, time } from "./format.js";

const wide = 720, high = 200, left = 66, right = 8, up = 10, low = 24; // units of the drawing
const steps = 120; // columns at most

// lost is what failed, expired or was cancelled.
const lost = (s) => s.failed + (s.expired ?? 0) + (s.cancelled ?? 0);

// columns joins samples, whose counts only grow, into at most steps spans of time.
export function columns(samples, most = steps) {
  const sorted = samples.filter((s, i) => i === 0 || s.at > samples[i - 1].at);
  if (sorted.length < 2) return [];
  const begin = sorted[0].at, end = sorted.at(-1).at;
  const width = Math.max((end - begin) / most, 1);
  const out = [];
  let from = sorted[0];
  for (const s of sorted.slice(1)) {
    if (s.at - from.at < width && s !== sorted.at(-1)) continue;
    const span = s.at - from.at;
    out.push({
      from: from.at, to: s.at,
      completed: Math.max(0, s.completed - from.completed) / span, failed: Math.max(0, lost(s) - lost(from)) / span,
    });
    from = s;
  }
  return out;
}

// chart draws samples; whole says whether they are of all of the batch's life.
export function chart(samples, whole) {
  const bars = columns(samples);
  if (!bars.length) return el("p", { class: "soft" }, "There is nothing to draw yet.");
  const begin = bars[0].from, end = bars.at(-1).to;
  const most = nice(Math.max(...bars.map((b) => b.completed + b.failed), 0.001));
  const x = (at) => left + (wide - left - right) * (at - begin) / Math.max(end - begin, 1);
  const y = (v) => high - low - (high - low - up) * v / most;
  const peak = bars.reduce((a, b) => (b.completed + b.failed > a.completed + a.failed ? b : a));
  const total = samples.at(-1);
  const said = `${whole ? "Over its whole life" : "Since this page was opened"}, ${duration(end - begin)}: ` +
    `${count(total.completed)} completed and ${count(lost(total))} did not, at most ${rate(peak.completed + peak.failed)}.`;
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": said });
  for (const part of [0, 0.5, 1]) {
    const at = y(most * part);
    picture.append(svg("line", { class: "grid", x1: left, x2: wide - right, y1: at, y2: at }),
      svg("text", { class: "tick", x: left - 6, y: at + 4, "text-anchor": "end" }, part ? rate(most * part) : "0"));
  }
  for (const b of bars) {
    const at = x(b.from), width = Math.max(x(b.to) - at - (bars.length > 40 ? 0.5 : 1.5), 0.8);
    const tip = `${time(b.from)}, ${duration(b.to - b.from)}: ${rate(b.completed)} completed, ${rate(b.failed)} did not`;
    const column = svg("g", {}, svg("title", {}, tip));
    const base = high - low;
    if (b.failed) column.append(svg("rect", { class: "f-bad", x: at, width, y: y(b.failed), height: Math.max(base - y(b.failed), 1) }));
    if (b.completed) column.append(svg("rect", { class: "f-ok", x: at, width, y: y(b.completed + b.failed), height: Math.max(y(b.failed) - y(b.completed + b.failed), 0.5) }));
    picture.append(column);
  }
  const day = end - begin > 86400 ? { dateStyle: "short", timeStyle: "short" } : { timeStyle: end - begin > 600 ? "short" : "medium" };
  const label = (at) => new Intl.DateTimeFormat(undefined, day).format(new Date(at * 1000));
  picture.append(svg("text", { class: "tick", x: left, y: high - 6 }, label(begin)),
    svg("text", { class: "tick", x: wide - right, y: high - 6, "text-anchor": "end" }, label(end)));
  return el("figure", {}, picture,
    el("figcaption", {},
      el("span", { class: "legend" }, el("i", { class: "k-ok" }), "completed"), el("span", { class: "legend" }, el("i", { class: "k-bad" }), "failed, expired or cancelled"),
      el("span", { class: "soft" }, said)));
}

// nice is the least of 1, 2, 5 times a power of ten that is not below v.
function nice(v) {
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= v * 0.999);
}
