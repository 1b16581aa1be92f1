// How a state looks: always a shape of its own beside a word, never colour alone.

import { el, svg } from "./dom.js";
import { clock, exactClock, lasting } from "./words.js";

// In a box of 16: a disc with a tick, a triangle, an octagon with a cross, a ring with a bar, a
// ring of dots.
const SHAPES = {
  ok: [["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "body"], ["M4.8 8.3l2.3 2.3 4.2-4.8", "sign"]],
  warn: [["M8 1.2 15.4 14.4H.6Z", "body"], ["M8 5.8v4M8 11.8v.6", "sign"]],
  bad: [["M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z", "body"], ["M5.4 5.4l5.2 5.2M10.6 5.4 5.4 10.6", "sign"]],
  off: [["M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z", "ring"], ["M5.2 8h5.6", "ring"]],
  wait: [["M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z", "dots"]],
};

export function mark(level) {
  return svg("svg", { class: `mark ${level}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    SHAPES[level].map(([d, name]) => svg("path", { d, class: name })));
}

export function stateWord(level, word) {
  return el("span", { class: `state ${level}` }, mark(level), el("span", null, word));
}

// A moment, with all its digits on demand.
export function when(ms, nowMs) {
  return el("time", { datetime: new Date(ms).toISOString(), title: `${new Date(ms).toDateString()} ${exactClock(ms)}` },
    clock(ms, nowMs));
}

// How long since; app.js keeps it true every second.
export function since(ms, nowMs) {
  return el("span", { class: "since", "data-since": ms }, lasting((nowMs - ms) / 1000));
}

// The icon of the tab: the same shapes.
const COLOURS = { ok: "#1f8a55", warn: "#c98500", bad: "#d3382e", off: "#77756f", wait: "#77756f" };

export function iconUrl(level) {
  const strokes = SHAPES[level].map(([d, name]) => name === "body" ? `<path d="${d}" fill="${COLOURS[level]}"/>`
    : `<path d="${d}" fill="none" stroke="${name === "sign" ? "#fff" : COLOURS[level]}" stroke-width="2"/>`);
  return `data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${strokes.join("")}</svg>`)}`;
}
