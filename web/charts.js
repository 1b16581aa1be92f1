// Small charts of an hour: a line or bars over a baseline, drawn to the chart's own scale.

import { svg } from "./dom.js";

const WIDTH = 160;
const HEIGHT = 34;
const TOP = 3;

// The running hour: `slots` places, the newest on the right.
function xOf(i, count, slots) {
  return ((slots - count + i + 0.5) / slots) * WIDTH;
}

function yOf(value, most) {
  return HEIGHT - 1 - (most > 0 ? Math.min(value / most, 1) : 0) * (HEIGHT - 1 - TOP);
}

function round(number) {
  return Math.round(number * 10) / 10;
}

// Pieces of a line; where there is no value there is a gap.
function pathOf(values, most, slots) {
  let path = "";
  let isDown = false;
  values.forEach((value, i) => {
    if (value === null) {
      isDown = false;
      return;
    }
    const x = round(xOf(i, values.length, slots));
    const alone = !isDown && (values[i + 1] ?? null) === null;
    path += `${isDown ? "L" : "M"}${x} ${round(yOf(value, most))}${alone ? "h.1" : ""}`;
    isDown = true;
  });
  return path;
}

function areaOf(values, most, slots) {
  const first = round(xOf(0, values.length, slots));
  const last = round(xOf(values.length - 1, values.length, slots));
  const line = pathOf(values, most, slots).replace(/^M/, "L").replaceAll("M", "L");
  return values.length > 0 ? `M${first} ${HEIGHT - 1}${line}L${last} ${HEIGHT - 1}Z` : "";
}

function frame(label, ...content) {
  return svg("svg", {
    class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": label,
  }, svg("path", { class: "base", d: `M0 ${HEIGHT - 0.5}H${WIDTH}` }), content);
}

export function area(values, slots, label) {
  const most = Math.max(...values.map((v) => v ?? 0), 1);
  return frame(label,
    svg("path", { class: "fill", d: areaOf(values, most, slots) }),
    svg("path", { class: "line", d: pathOf(values, most, slots) }));
}

// Two lines on one scale, the usual and the slow ones; logarithmic, for one is ten times the other.
export function pair(usual, slow, slots, label) {
  const logs = (row) => row.map((value) => value === null ? null : Math.log2(Math.max(value, 16) / 8));
  const [low, high] = [logs(usual), logs(slow)];
  const most = Math.max(...high.map((v) => v ?? 0), 1);
  return frame(label,
    svg("path", { class: "line faint", d: pathOf(high, most, slots) }),
    svg("path", { class: "line", d: pathOf(low, most, slots) }));
}

// A share, 0 … 1, a bar a slot; `bad` stands on top of `some`.
export function shares(some, bad, slots, label) {
  const bars = (values, below, name) => values.map((value, i) => {
    const from = yOf(below[i] ?? 0, 1);
    const to = yOf((below[i] ?? 0) + (value ?? 0), 1);
    return value > 0 ? svg("rect", {
      class: name, x: round(xOf(i, values.length, slots) - WIDTH / slots / 2), y: round(to),
      width: round(WIDTH / slots), height: round(Math.max(from - to, 1)),
    }) : null;
  });
  return frame(label, bars(some, [], "some"), bars(bad, some, "bad"));
}
