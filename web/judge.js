// What /status means to somebody who has just been woken: a level, a word, a sentence. Nothing here
// touches the page.

import { count, figure, listOf, plain, plainText } from "./words.js";

export const WORSE = ["bad", "warn", "wait", "off", "ok"];

const OPERATOR = { draining: "Draining", disabled: "Disabled" };
const HELD_BACK = { ramp: "Returning", dwell: "Returning", open: "On trial", held: "Held", drained: "Spared" };

// Every place that a backend has: in which model, in which tier, and how it stands there.
export function placesOf(status) {
  const places = new Map(status.backends.map((b) => [b.name, []]));
  for (const model of status.models) {
    for (const tier of model.tiers) {
      for (const member of tier.backends) {
        places.get(member.name)?.push({ model, tier: tier.tier, member });
      }
    }
  }
  return places;
}

// { level, word, why } of a backend; `places` are its own.
export function judgeBackend(backend, places) {
  const why = plainText(backend.why);
  if (backend.operator) {
    return { level: "off", word: OPERATOR[backend.operator] ?? backend.operator,
      why: `Taken out by an operator${backend.operator === "draining" ? "; running answers end" : ""}` };
  }
  if (backend.state === "STOPPED") {
    return { level: "off", word: "Stopped", why };
  }
  if (backend.state === "LOADING" || ["loading", "guard_starting", "rising"].includes(backend.reason)) {
    return { level: "wait", word: "Loading", why };
  }
  if (backend.state === "DOWN") {
    return { level: "bad", word: backend.reason === "hung" ? "Hung" : "Down", why };
  }
  const held = places.find(({ member }) => member.status in HELD_BACK);
  if (backend.state === "DEGRADED") {
    return { level: "warn", word: "Degraded", why: held ? `${why}; ${plainText(held.member.why)}` : why };
  }
  if (held) {
    const share = held.member.status === "ramp" ? ` (${held.member.share} % now)` : "";
    return { level: "warn", word: HELD_BACK[held.member.status], why: plainText(held.member.why) + share };
  }
  return { level: "ok", word: "Healthy", why };
}

// What the newest whole minute says: slots are short, and the running one has hardly begun.
function recent(trend) {
  const sum = (row) => row.slice(-3).reduce((all, one) => all + one, 0);
  return { requests: sum(trend.requests), failed: sum(trend.failed) };
}

function weaker(degrade) {
  const words = [];
  if (degrade?.max_tokens) {
    words.push(`shorter answers: at most ${figure(degrade.max_tokens)} tokens`);
  }
  if (degrade && degrade.temperature !== null) {
    words.push(`temperature ${degrade.temperature}`);
  }
  return words.length === 0 && degrade?.notice ? ["answers carry a notice"] : words;
}

function reasonOfNobody(model, backends) {
  const all = model.tiers.flatMap((t) => t.backends).map((m) => backends.get(m.name));
  const words = new Set(all.map((b) => b.operator ? "off" : b.state));
  return words.size === 1 && words.has("DOWN") ? "every backend is down"
    : words.has("LOADING") ? "what is left is loading" : "no backend can take a request";
}

function failuresOf(model) {
  const now = model.trend ? recent(model.trend) : { requests: 0, failed: 0 };
  return now.failed > 0 && now.failed * 20 >= now.requests
    ? `${figure(now.failed)} of ${count(now.requests, "request")} failed in the last 90 s` : "";
}

function servedBy(model, backends) {
  const { tier, backends: names } = model.serving;
  const first = backends.get(names[0]);
  const slow = names.length > 0 && names.every((n) => backends.get(n)?.state === "DEGRADED");
  const standing = model.tiers[tier - 1].backends.filter((m) => names.includes(m.name));
  const full = standing.length > 0 && standing.every((m) => m.status === "full");
  const reserve = standing.every((m) => !["usable", "full"].includes(m.status));
  const extras = weaker(first?.degrade);
  if (model.waiting > 0) {
    extras.push(`${count(model.waiting, "request waits", "requests wait")} for a slot, ${model.queue} may`);
  } else if (full) {
    extras.push("all slots are taken");
  }
  if (reserve) {
    extras.push("nobody better is usable");
  }
  return { extras, slow, reserve, isCrowded: model.waiting > 0 };
}

// { level, word, from, extras } of a model; `backends` by name. `from` is { names, tier, of } or
// null where nobody serves.
export function judgeModel(model, backends) {
  const failing = failuresOf(model);
  if (model.serving.tier === null) {
    return { level: "bad", word: "No answers", from: null, reason: reasonOfNobody(model, backends),
      extras: failing ? [failing] : [] };
  }
  const { extras, slow, reserve, isCrowded } = servedBy(model, backends);
  const word = failing ? "Failing" : model.serving.tier > 1 ? "Fallback" : slow || reserve ? "Degraded"
    : isCrowded ? "Waiting" : "Answering";
  return {
    level: word === "Answering" ? "ok" : "warn", word,
    from: { names: model.serving.backends, tier: model.serving.tier, of: model.tiers.length },
    extras: failing ? [failing, ...extras] : extras,
  };
}

const named = (models) => models.length <= 2 ? listOf(models.map((m) => m.name)) : null;

const everybody = (total) => total === 2 ? "Both models" : `All ${total} models`;

// The headline: { level, text, since } (a moment, or null).
export function judgeAll(status, models) {
  const judged = sayAll(status, models);
  const same = models.filter((m) => m.judged.level === judged.level && m.judged.word !== "Answering");
  const moments = same.map((m) => Date.parse(m.serving.since));
  return { ...judged, since: judged.level === "ok" || moments.length === 0 ? null : Math.min(...moments) };
}

function sayAll(status, models) {
  const total = models.length;
  const of = (word) => models.filter((m) => m.judged.word === word);
  const silent = models.filter((m) => m.judged.level === "bad");
  const weak = models.filter((m) => m.judged.level === "warn");
  const broken = status.backends.filter((b) => b.judged.level === "bad").length;
  if (status.draining) {
    return { level: "warn", text: "The gateway is ending: it takes no new requests" };
  }
  if (silent.length > 0) {
    const who = silent.length === total ? (total === 1 ? silent[0].name : "any model")
      : named(silent) ?? `${silent.length} of ${total} models`;
    return { level: "bad", text: `No answers from ${who}` };
  }
  if (of("Failing").length > 0) {
    return { level: "warn", text: `Requests fail: ${named(of("Failing")) ?? count(of("Failing").length, "model")}` };
  }
  if (of("Fallback").length > 0) {
    const back = of("Fallback");
    const who = back.length === total && total > 1 ? `${everybody(total)} answer`
      : named(back) ? `${named(back)} ${back.length === 1 ? "answers" : "answer"}`
        : `${back.length} of ${total} models answer`;
    return { level: "warn", text: `${who} from a fallback tier` };
  }
  const all = total === 1 ? `${models[0].name} answers` : `${everybody(total)} answer`;
  if (weak.length > 0) {
    const who = named(weak) ?? count(weak.length, "model");
    const how = of("Waiting").length === weak.length ? "requests wait for a slot" : "not at full strength";
    return { level: "warn", text: `${all}; ${how}: ${who}` };
  }
  return broken > 0
    ? { level: "warn", text: `${all}, with ${count(broken, "backend")} down` }
    : { level: "ok", text: all };
}

// Who would serve a model if this backend took no more: a tier's number and names, or null.
export function withoutBackend(model, name) {
  const serving = model.serving.backends.filter((n) => n !== name);
  if (serving.length > 0) {
    return { tier: model.serving.tier, names: serving };
  }
  for (const tier of model.tiers) {
    const names = tier.backends.filter((m) => m.name !== name && ["usable", "full", "ramp"].includes(m.status))
      .map((m) => m.name);
    if (names.length > 0) {
      return { tier: tier.tier, names };
    }
  }
  return null;
}

export function lastVerdict(backend) {
  const v = backend.verdicts.find((one) => one.verdict !== "ok");
  return v ? { at: Date.parse(v.at), times: v.times, text: plain(v.verdict), status: v.status, then: v.then } : null;
}

