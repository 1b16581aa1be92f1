// All backends, those that are not well first, and what an operator may do with each.

import { el } from "./dom.js";
import { withoutBackend } from "./judge.js";
import { since, stateWord } from "./marks.js";
import { count, figure, listOf, millis } from "./words.js";

const FEW = 12;

function matches(backend, filter) {
  const text = `${backend.name} ${backend.type} ${backend.judged.word}`.toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const ORDER = { bad: 0, warn: 1, wait: 2, off: 3, ok: 4 };

function action(verb, backend, text) {
  return el("button", { type: "button", "data-do": verb, "data-backend": backend.name,
    "aria-label": `${text} ${backend.name}` }, text);
}

function actions(backend) {
  return backend.operator
    ? [action("enable", backend, "Enable"), backend.operator === "draining" ? action("disable", backend, "Disable") : null]
    : [action("drain", backend, "Drain"), action("disable", backend, "Disable")];
}

function load(backend) {
  const most = backend.max_concurrent;
  return `${figure(backend.in_flight)}${most === null ? "" : ` of ${most}`}`;
}

function row(backend, now) {
  const { level, word } = backend.judged;
  const cell = (title, ...content) => el("td", { "data-title": title }, content);
  return el("tr", { "data-key": backend.name, class: level },
    el("th", { scope: "row" }, el("span", { class: "name" }, backend.name), " ", el("small", null, backend.type)),
    cell("State", stateWord(level, word), " ", el("small", null, since(Date.parse(backend.since), now))),
    cell("Running", load(backend)),
    cell("Tokens/s", figure(backend.tokens_per_s)),
    cell("First token, p50 / p99", backend.first_token_p50_ms === 0 ? "–"
      : `${millis(backend.first_token_p50_ms)} / ${millis(backend.first_token_p99_ms)}`),
    cell("Failed", backend.attempts === 0 ? "–" : `${figure(backend.failures)} of ${figure(backend.attempts)}`),
    el("td", { class: "actions" }, actions(backend)));
}

const TITLES = ["Backend", "State", "Running", "Tokens/s", "First token, p50 / p99", "Failed"];

export function backendsView(status, { filter, isOpen }, now) {
  const found = status.backends.filter((b) => matches(b, filter))
    .sort((a, b) => ORDER[a.judged.level] - ORDER[b.judged.level]);
  const isWhole = isOpen || filter !== "" || found.length <= FEW;
  const shown = isWhole ? found : found.filter((b) => b.judged.level !== "ok");
  const folded = status.backends.length > FEW && filter === "";
  const well = found.filter((b) => b.judged.level === "ok").length;
  return [
    shown.length > 0 ? el("table", { class: "backends", "data-key": "table" },
      el("caption", { class: "unseen" }, "Backends, their state and load"),
      el("thead", null, el("tr", null, TITLES.map((title) => el("th", { scope: "col" }, title)),
        el("th", { scope: "col" }, el("span", { class: "unseen" }, "Actions")))),
      el("tbody", null, shown.map((b) => row(b, now)))) : null,
    found.length === 0 ? el("p", { class: "quiet", "data-key": "none" }, "No backend is called that.") : null,
    folded ? el("p", { "data-key": "fold" }, el("button", { type: "button", "data-do": "fold", "aria-expanded": String(isOpen) },
      isOpen ? "Hide the healthy ones" : `Show ${count(well, "healthy backend")}`)) : null];
}

// --- what an action would mean ---

function consequence(status, name) {
  const places = status.models.filter((m) => m.tiers.some((t) => t.backends.some((b) => b.name === name)));
  return places.map((model) => {
    const then = withoutBackend(model, name);
    if (!then) {
      return el("li", { class: "wrong" }, el("b", { class: "name" }, model.name), ": nobody else can serve it now.");
    }
    const changes = model.serving.backends.includes(name);
    return el("li", null, el("b", { class: "name" }, model.name), changes
      ? `: answers then come from ${listOf(then.names, 3)} (tier ${then.tier} of ${model.tiers.length}).`
      : ": nothing changes, others serve it.");
  });
}

const ASKED = {
  drain: ["Drain", (b) => `It gets no new requests. ${b.in_flight === 0 ? "No answer is running there."
    : `${count(b.in_flight, "running answer ends", "running answers end")} in peace.`}`],
  disable: ["Disable", (b) => `It gets no requests and is not probed, until it is enabled.${b.in_flight === 0 ? ""
    : ` ${count(b.in_flight, "answer is", "answers are")} running there now.`}`],
  enable: ["Enable", () => "It gets requests again as soon as it is known to be well."],
};

// { title, yes, text } of the question before an action.
export function questionOf(verb, backend, status) {
  const [word, says] = ASKED[verb];
  const rest = verb === "enable" || backend.operator ? [] : consequence(status, backend.name);
  return { title: [`${word} `, el("span", { class: "name" }, backend.name), "?"], yes: `${word} ${backend.name}`,
    text: [el("p", null, says(backend)), rest.length > 0 ? el("ul", null, rest) : null] };
}
