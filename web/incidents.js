// The timeline: incidents of a week out of events, as a strip and as a list.

import { el, svg } from "./dom.js";
import { mark, since, when } from "./marks.js";
import { clock, count, dayName, exactClock, hourClock, lasting, listOf, plain, plainText, sentence, weekday } from "./words.js";

const KEPT = 8000;
const PAGE = 2000;
const PAGES_MOST = 3;

// The last seven days of the calendar, today whole: { from, to }.
function weekOf(now) {
  const day = new Date(now);
  day.setHours(0, 0, 0, 0);
  const from = new Date(day);
  from.setDate(from.getDate() - 6);
  day.setDate(day.getDate() + 1);
  return { from: from.getTime(), to: day.getTime() };
}

// Events by number; bounded, the oldest go.
export class Events {
  constructor() {
    this.all = new Map();
    this.last = 0;
    this.isCut = false; // there were more in this week than are held here
  }

  take(event) {
    this.last = Math.max(this.last, event.id);
    if (event.severity === "info" && !["closed", "gateway", "operator"].includes(event.kind)) {
      return;
    }
    this.all.set(event.id, { ...event, ms: Date.parse(event.at) });
    if (this.all.size > KEPT) {
      this.all.delete(Math.min(...this.all.keys()));
      this.isCut = true;
    }
  }

  // A week of them, by severity and a page at a time, the newest first.
  async load(getJson, kinds) {
    const take = (answer) => answer.events.forEach((event) => this.take(event));
    for (const kind of kinds) {
      take(await getJson(`/events?since=7d&kind=${kind}&limit=${PAGE}`));
    }
    let until = "";
    for (let page = 0; page < PAGES_MOST; page++) {
      const answer = await getJson(`/events?since=7d&severity=warning&limit=${PAGE}${until}`);
      take(answer);
      if (page === 0) {
        this.last = Math.max(this.last, answer.last);
      }
      if (answer.events.length < PAGE) {
        return;
      }
      until = `&until=${encodeURIComponent(answer.events[0].at)}`;
    }
    this.isCut = true;
  }
}

const SEVERITY = { info: 0, warning: 1, error: 2 };
const LEVEL = ["off", "warn", "bad"];

function begin(id, event) {
  return { id, events: [], start: event.ms, end: event.ms, severity: 0, closed: null, names: new Set() };
}

function join(incident, event) {
  incident.events.push(event);
  incident.start = Math.min(incident.start, event.ms);
  incident.end = Math.max(incident.end, event.ms);
  incident.severity = Math.max(incident.severity, SEVERITY[event.severity]);
  for (const name of [event.backend, event.backend ? null : event.model]) {
    if (name) {
      incident.names.add(name);
    }
  }
}

// One number may stand for several stories, where there is no history: a restart counts anew.
function runOf(event, starts) {
  return starts.findLastIndex((ms) => ms <= event.ms);
}

function settle(incident, starts) {
  if (incident.closed) {
    const well = Date.parse(incident.closed.word); // it closes a while after that
    incident.end = well >= incident.start && well <= incident.closed.ms ? well : incident.closed.ms;
  }
  const isOver = incident.closed || starts.some((ms) => ms > incident.end);
  return { ...incident, isOpen: !isOver, level: LEVEL[incident.severity] };
}

// { incidents, starts, orders }: the newest first. What belongs to none (a wrong key) is one of its own.
export function incidentsOf(events, now) {
  const sorted = [...events.all.values()].filter((e) => e.ms >= weekOf(now).from).sort((a, b) => a.id - b.id);
  const starts = sorted.filter((e) => e.kind === "gateway" && e.word === "started").map((e) => e.ms);
  const found = new Map();
  const orders = sorted.filter((e) => e.kind === "operator");
  for (const event of sorted.filter((e) => e.kind !== "gateway" && e.kind !== "operator")) {
    const key = event.incident === null ? `e${event.id}` : `${event.incident}.${runOf(event, starts)}`;
    if (!found.has(key) && event.kind !== "closed") {
      found.set(key, { key, ...begin(event.incident, event) });
    }
    const incident = found.get(key) ?? found.get([...found.keys()].findLast((k) => k.startsWith(`${event.incident}.`)));
    if (incident && event.kind === "closed") {
      incident.closed = event;
    } else if (incident) {
      join(incident, event);
    }
  }
  const incidents = [...found.values()].map((i) => i.id === null ? { ...settle(i, starts), isOpen: false } : settle(i, starts));
  return { incidents: incidents.sort((a, b) => b.start - a.start), starts, orders };
}

// --- words ---

const COUNTED = [["unserved", "request failed", "requests failed"], ["cut", "answer was cut", "answers were cut"],
  ["queue", "request was turned away", "requests were turned away"],
  ["last_resort", "request got the last resort", "requests got the last resort"]];

function harm(incident) {
  const sum = (kind) => incident.events.filter((e) => e.kind === kind).reduce((all, e) => all + e.times, 0);
  const parts = COUNTED.map(([kind, one, many]) => [sum(kind), one, many]).filter(([n]) => n > 0);
  return parts.map(([n, one, many]) => count(n, one, many));
}

// What a model loses belongs to one incident, though several backends had a part in it: only where
// none of the same time lost anything is that said.
function harmWords(incident, all) {
  const hurt = harm(incident);
  if (hurt.length > 0) {
    return sentence(listOf(hurt));
  }
  const end = (one) => one.isOpen ? Infinity : one.end;
  const isShared = all.some((one) => one.start <= end(incident) && end(one) >= incident.start && harm(one).length > 0);
  return isShared ? "" : "No request lost";
}

// The worst that was said, the first of those; a state says more than a count.
function mainEvent(incident) {
  const worst = incident.events.filter((e) => SEVERITY[e.severity] === incident.severity);
  return worst.find((e) => e.kind === "state") ?? worst.find((e) => e.kind === "restart" || e.kind === "gpu") ?? worst[0];
}

const TITLES = {
  state: (e) => [e.backend, e.word === "DOWN" ? "went down" : e.word === "DEGRADED" ? "was degraded" : `is ${e.word}`, e.cause],
  unserved: (e) => [e.model, "gave no answer", e.word],
  cut: (e) => [e.model, "answers were cut", e.word],
  queue: (e) => [e.model, "turned requests away", e.word],
  last_resort: (e) => [e.model, "answered as a last resort", e.word],
  budget: (e) => [e.model, "used up its retry budget", e.word],
  gpu: (e) => [e.backend, `has GPUs ${e.word}`, e.cause],
  breaker: (e) => [e.backend, `had its breaker ${e.word}`, e.cause],
};

// Name, what it did, and why; in the gateway's own words where there are none here.
function titleOf(incident) {
  const event = mainEvent(incident);
  const [name, did, why] = TITLES[event.kind]?.(event) ?? [];
  return name ? [el("span", { class: "name" }, name), ` ${did}`, why ? `: ${plainText(plain(why))}` : ""]
    : sentence(plainText(event.text));
}

function spanWords(incident, now) {
  if (incident.isOpen) {
    return [when(incident.start, now), " – now · ", since(incident.start, now)];
  }
  const sameDay = new Date(incident.start).toDateString() === new Date(incident.end).toDateString();
  const to = sameDay ? hourClock(incident.end) : clock(incident.end, now);
  return [when(incident.start, incident.start), hourClock(incident.start) === to ? "" : ` – ${to}`,
    incident.end > incident.start ? ` · ${lasting(Math.max((incident.end - incident.start) / 1000, 1))}` : ""];
}

// --- the strip ---

const STRIP = { width: 700, height: 40, line: 26 };

function stripView(incidents, starts, now) {
  const week = weekOf(now);
  const xOf = (ms) => Math.max(0, ((ms - week.from) / (week.to - week.from)) * STRIP.width);
  const bar = (i) => {
    const end = i.isOpen ? now : i.end;
    const width = Math.max(xOf(end) - xOf(i.start), 3);
    const height = i.level === "bad" ? 20 : 10;
    return svg("rect", { class: i.level, x: Math.min(xOf(i.start), STRIP.width - width).toFixed(1),
      y: STRIP.line - height, width: width.toFixed(1), height });
  };
  const days = Array.from({ length: 7 }, (_, i) => new Date(week.from).setDate(new Date(week.from).getDate() + i));
  const open = incidents.filter((i) => i.isOpen).length;
  return el("figure", { class: "strip" },
    svg("svg", { viewBox: `0 0 ${STRIP.width} ${STRIP.height}`, preserveAspectRatio: "none", role: "img",
      "aria-label": `The last seven days: ${count(incidents.length, "incident")}, ${open} open, ${
        count(starts.length, "start")} of the gateway` },
    days.map((ms) => svg("path", { class: "day", d: `M${xOf(ms).toFixed(1)} 0V${STRIP.height}` })),
    svg("path", { class: "base", d: `M0 ${STRIP.line}H${xOf(now).toFixed(1)}` }),
    svg("path", { class: "now", d: `M${xOf(now).toFixed(1)} 0V${STRIP.line}` }),
    starts.map((ms) => svg("path", { class: "start", d: `M${xOf(ms).toFixed(1)} ${STRIP.line + 3}l3 7h-6Z` })),
    [...incidents].reverse().map(bar)),
    el("figcaption", { "aria-hidden": "true" },
      days.map((ms) => el("span", null, weekday(ms), el("span", { class: "date" }, ` ${new Date(ms).getDate()}`)))));
}

// --- the list ---

const withClocks = (text) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (moment) => exactClock(Date.parse(moment)));

function storyView(story, now) {
  if (!story) {
    return el("p", { class: "detail" }, "…");
  }
  const rows = story.map((event) => el("li", { "data-key": event.id },
    el("time", { datetime: event.at }, exactClock(Date.parse(event.at))), " ",
    el("span", { class: event.severity }, plainText(withClocks(event.text)), event.times > 1 ? ` (${event.times} times)` : "")));
  return el("ol", { class: "story" }, rows, story.length === 0 ? el("li", null, "The gateway has no more of it.") : null);
}

function incidentItem(incident, all, stories, now) {
  const label = incident.level === "bad" ? "Error" : "Warning";
  return el("li", { "data-key": incident.key, class: `incident ${incident.level}` },
    el("details", { "data-incident": incident.id, "data-story": incident.key },
      el("summary", null, mark(incident.level),
        el("span", { class: "unseen" }, `${label}: `),
        el("span", { class: "what" },
          el("span", null,
            el("span", { class: "title" }, incident.isOpen ? el("b", { class: "open" }, "Open") : null,
              titleOf(incident)), " ",
            el("span", { class: harm(incident).length > 0 ? "harm some" : "harm" }, harmWords(incident, all))),
          el("span", { class: "span" }, spanWords(incident, now)))),
      storyView(incident.id === null ? incident.events : stories.get(incident.key), now)));
}

// What somebody did, and is no incident.
function deedItem(key, ms, text) {
  return el("li", { "data-key": key, class: "deed" }, svg("svg", { class: "mark", viewBox: "0 0 16 16",
    "aria-hidden": "true" }, svg("path", { class: "ring", d: "M3 11 8 4l5 7Z" })),
  el("span", null, text, " at ", when(ms, ms), "."));
}

const orderText = (event) => [el("span", { class: "name" }, event.backend), ` was ${event.word} by the operator`];

export function incidentsView({ events, stories, shown }, now) {
  if (!events) {
    return el("p", { class: "quiet" }, "…");
  }
  const { incidents, starts, orders } = incidentsOf(events, now);
  const items = [...incidents.map((i) => ({ ms: i.start, isOpen: i.isOpen, view: () => incidentItem(i, incidents, stories, now) })),
    ...starts.map((ms) => ({ ms, isOpen: false, view: () => deedItem(`start${ms}`, ms, "The gateway started") })),
    ...orders.map((e) => ({ ms: e.ms, isOpen: false, view: () => deedItem(`order${e.id}`, e.ms, orderText(e)) }))]
    .sort((a, b) => b.isOpen - a.isOpen || b.ms - a.ms);
  const days = new Map();
  for (const item of items.slice(0, shown)) {
    const day = item.isOpen ? "Open now" : dayName(item.ms, now);
    days.set(day, [...(days.get(day) ?? []), item.view()]);
  }
  const quiet = incidents.length === 0 ? el("p", { class: "quiet" }, mark("ok"),
    el("span", null, "No incident in the last seven days that this gateway knows of.")) : stripView(incidents, starts, now);
  const more = items.length - shown;
  return [quiet,
    [...days].map(([day, views]) => el("div", { "data-key": day, class: "day" }, el("h3", null, day), el("ol", null, views))),
    more > 0 ? el("p", { "data-key": "more" },
      el("button", { type: "button", "data-do": "older" }, `Show ${Math.min(more, 25)} older of ${more}`)) : null,
    events.isCut && more <= 0 ? el("p", { class: "detail", "data-key": "cut" },
      "There were more: ", el("code", null, "fallthrough events --since 7d"), " tells them all.") : null];
}
