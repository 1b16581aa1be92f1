// The first three questions: can users get answers, what is broken, what does it cost.

import { area, pair, shares } from "./charts.js";
import { el } from "./dom.js";
import { lastVerdict, WORSE } from "./judge.js";
import { mark, since, stateWord, when } from "./marks.js";
import { count, figure, listOf, millis, percent, sentence } from "./words.js";

// --- can users get answers? ---

function fromWords(model, now) {
  const { judged, serving } = model;
  const start = Date.parse(serving.since);
  const at = [" since ", when(start, now), " (", since(start, now), ")"];
  const rest = judged.extras.length > 0 ? `; ${judged.extras.join("; ")}` : "";
  if (!judged.from) {
    return [`no answers: ${judged.reason}`, at, rest, "."];
  }
  const { names, tier } = judged.from;
  const all = model.tiers[tier - 1].backends.length;
  const who = names.length <= 3 ? listOf(names)
    : names.length === all ? `all ${all} backends` : `${names.length} of ${all} backends`;
  return ["answers come from ", el("strong", null, who), judged.from.of > 1 ? ` (tier ${judged.from.tier} of ${judged.from.of})` : "", at, rest, "."];
}

const CHAIN_MOST = 4;

function chainTier(model, tier, backends) {
  const serves = (name) => model.serving.tier === tier.tier && model.serving.backends.includes(name);
  const order = [...tier.backends].sort((a, b) => serves(b.name) - serves(a.name));
  const shown = order.length > CHAIN_MOST + 1 ? order.slice(0, CHAIN_MOST) : order;
  const members = shown.map(({ name }) => {
    const { level, word } = backends.get(name).judged;
    return el("span", { class: serves(name) ? "member serves" : "member" }, mark(level),
      el("span", { class: "unseen" }, `${word}: `), el("span", { class: "name" }, name),
      serves(name) ? el("span", { class: "unseen" }, " (serves)") : null);
  });
  const left = order.length - shown.length;
  return el("li", { class: model.serving.tier === tier.tier ? "serves" : null },
    el("span", { class: "number" }, el("span", { class: "unseen" }, "Tier "), tier.tier), members,
    left > 0 ? el("span", { class: "member more" }, `+ ${left}`) : null);
}

export function answersView(status, now) {
  const worstFirst = [...status.models].sort((a, b) => WORSE.indexOf(a.judged.level) - WORSE.indexOf(b.judged.level));
  return el("ul", { class: "models" }, worstFirst.map((model) => el("li",
    { "data-key": model.name, class: `model ${model.judged.level}` },
    stateWord(model.judged.level, model.judged.word),
    el("div", { class: "told" },
      el("p", null, el("b", { class: "name" }, model.name), ": ", fromWords(model, now)),
      model.tiers.length > 1 || model.tiers[0].backends.length > 1
        ? el("ol", { class: "chain", "aria-label": `Tiers of ${model.name}` },
          model.tiers.map((tier) => chainTier(model, tier, status.byName))) : null))));
}

// --- what is broken, and why? ---

function placesWords(places) {
  const texts = places.map(({ model, tier, member }) =>
    `tier ${tier} of ${model.name}${model.serving.backends.includes(member.name) ? ", serving" : ""}`);
  return texts.length > 0 ? sentence(listOf(texts, 2)) : "In no tier";
}

// Many with one cause are one line.
function brokenGroup(group, now) {
  const { level, word, why } = group[0].judged;
  const start = Math.min(...group.map((b) => Date.parse(b.since)));
  return el("li", { "data-key": `group ${word} ${why}`, class: `fault ${level}` }, stateWord(level, word),
    el("div", { class: "told" },
      el("p", null, el("strong", null, count(group.length, "backend")), ": ", el("span", { class: "why" }, why),
        ", the first since ", when(start, now), " (", since(start, now), ")."),
      el("p", { class: "detail" }, el("span", { class: "name" }, listOf(group.map((b) => b.name), 12)), ".")));
}

function groupsOf(broken) {
  const groups = new Map();
  for (const backend of broken) {
    const key = `${backend.judged.word} ${backend.judged.why}`;
    groups.set(key, [...(groups.get(key) ?? []), backend]);
  }
  return [...groups.values()];
}

const MANY = 8;

function brokenItem(backend, places, now) {
  const { level, word, why } = backend.judged;
  const start = Date.parse(backend.since);
  const last = lastVerdict(backend);
  const detail = last && level !== "off" ? el("p", { class: "detail" }, "Last failed request: ", last.text,
    last.times > 1 ? ` (${figure(last.times)} times)` : "", ", ", when(last.at, now), ".") : null;
  return el("li", { "data-key": backend.name, class: `fault ${level}` }, stateWord(level, word),
    el("div", { class: "told" },
      el("p", null, el("b", { class: "name" }, backend.name), ": ", el("span", { class: "why" }, why),
        ", since ", when(start, now), " (", since(start, now), ")."),
      detail, el("p", { class: "detail" }, `${placesWords(places)}.`)));
}

const BROKEN_ORDER = { bad: 0, warn: 1, wait: 2, off: 3 };

export function brokenView(status, now) {
  const broken = status.backends
    .filter((b) => b.judged.level !== "ok" && b.state !== "STOPPED")
    .sort((a, b) => BROKEN_ORDER[a.judged.level] - BROKEN_ORDER[b.judged.level] || Date.parse(a.since) - Date.parse(b.since));
  if (broken.length === 0) {
    const well = status.backends.filter((b) => b.judged.level === "ok").length;
    const rest = status.backends.length - well;
    return el("p", { class: "quiet" }, mark("ok"), el("span", null, "Nothing. ",
      rest === 0 ? (well === 1 ? "The backend is healthy." : well === 2 ? "Both backends are healthy." : `All ${count(well, "backend")} are healthy.`)
        : `${count(well, "backend is", "backends are")} healthy, ${rest} stopped until needed.`));
  }
  return el("ul", { class: "faults" }, (broken.length > MANY ? groupsOf(broken) : broken.map((b) => [b]))
    .map((group) => group.length > 2 ? brokenGroup(group, now)
      : group.map((b) => brokenItem(b, status.places.get(b.name), now))));
}

// --- what does it cost? ---

const SLOTS = 120;

const newest = (row) => row.findLast((value) => value !== null) ?? null;
const highest = (row) => Math.max(...row.map((value) => value ?? 0), 0);

// The running slot has hardly begun: what it says jumps.
const settled = (row) => row.length > 1 ? row.slice(0, -1) : row;

function cell(title, text, note, chart) {
  return el("td", { "data-title": title }, el("div", { class: "cell" },
    el("span", { class: "value" }, text, note ? el("small", null, ` ${note}`) : null), chart));
}

function shareChart(trend) {
  const ratio = (row) => row.map((value, i) => trend.requests[i] > 0 ? value / trend.requests[i] : null);
  const bad = trend.failed.map((value, i) => value + trend.last_resort[i]);
  return shares(ratio(trend.degraded), ratio(bad), SLOTS,
    `Share of degraded and failed answers over the last hour: ${percent(trend.total.degraded, trend.total.requests)} degraded, ${
      percent(trend.total.failed + trend.total.last_resort, trend.total.requests)} failed`);
}

function costRow(model) {
  const { trend } = model;
  const { total } = trend;
  const title = el("th", { scope: "row", class: "name" }, model.name);
  if (total.requests === 0 && total.tokens === 0) {
    return el("tr", { "data-key": model.name, class: "idle" }, title,
      el("td", { colspan: 5 }, "No requests in the last hour."));
  }
  const speed = settled(trend.tokens_per_s);
  const whole = total.requests - total.failed - total.last_resort;
  const failed = total.failed > 0 ? `${count(total.failed, "request")}, ${percent(total.failed, total.requests)}` : "none";
  const resort = total.last_resort > 0 ? `+ ${figure(total.last_resort)} by last resort` : "";
  return el("tr", { "data-key": model.name },
    title,
    cell("Requests", figure(total.requests), null, null),
    cell("Failed", failed, resort, null),
    cell("Degraded", percent(total.degraded, whole), null,
      total.degraded + total.failed + total.last_resort > 0 ? shareChart(trend) : null),
    cell("First token, p50 / p99", `${millis(total.first_token_p50_ms)} / ${millis(total.first_token_p99_ms)}`, null,
      total.first_token_p50_ms === null ? null : pair(trend.first_token_p50_ms, trend.first_token_p99_ms, SLOTS,
        `First token over the last hour: the middle is now ${millis(newest(trend.first_token_p50_ms))}, one of a hundred takes ${
          millis(newest(trend.first_token_p99_ms))}`)),
    cell("Tokens/s", figure(newest(speed) ?? 0), highest(speed) > 0 ? `most ${figure(highest(speed))}` : "",
      total.tokens === 0 ? null : area(trend.tokens_per_s, SLOTS, `Tokens a second over the last hour: now ${figure(newest(speed) ?? 0)}, at most ${
        figure(highest(speed))}`)));
}

export function costsView(status) {
  if (!status.models.every((model) => model.trend)) {
    return el("p", { class: "quiet" }, "…");
  }
  return el("table", { class: "costs" },
    el("caption", { class: "unseen" }, "Requests, failures and speed of each model in the last hour"),
    el("thead", null, el("tr", null, ["Model", "Requests", "Failed", "Degraded", "First token, p50 / p99", "Tokens/s"]
      .map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", null, status.models.map(costRow)));
}
