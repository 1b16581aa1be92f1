// The status page: asks for /status every two seconds and at every event, and shows what it says.

import { answersView, brokenView, costsView } from "./answers.js";
import { followEvents, getJson, hasToken, NeedsToken, postAction, Refused, setToken } from "./api.js";
import { backendsView, questionOf } from "./backends.js";
import { byId, el, show } from "./dom.js";
import { Events, incidentsView } from "./incidents.js";
import { judgeAll, judgeBackend, judgeModel, placesOf } from "./judge.js";
import { iconUrl, mark, since, when } from "./marks.js";
import { count, exactClock, lasting, sentence } from "./words.js";

const POLL_MS = 2000;
const TREND_MS = 10000;
const FEW_SHOWN = 12;

const page = {
  status: null, // as told, with what is made of it
  receivedMs: 0, // our clock
  skewMs: 0, // the gateway's clock is so much ahead of ours
  trends: new Map(),
  trendMs: -Infinity,
  lostMs: 0, // 0: not lost
  events: null,
  stories: new Map(), // of the incidents that are open to read
  shown: FEW_SHOWN,
  filter: "",
  isOpen: false,
  isAsking: false,
  isWanted: false, // asked for while asking
  isOut: false, // a token is needed
  follower: null,
  turn: 0, // of the follower: a new one ends the one before
};

const nowMs = () => Date.now() + page.skewMs;

// --- showing ---

function setHidden(id, isHidden) {
  byId(id).hidden = isHidden;
}

// The line for those who listen: only when it is new.
function speak(text) {
  if (byId("spoken").textContent !== text) {
    byId("spoken").textContent = text;
  }
}

function setFace(level, text) {
  const sign = { ok: "✓", warn: "▲", bad: "✕", off: "–", wait: "…" }[level];
  const title = `${sign} ${text} · fallthrough`;
  if (document.title !== title) {
    document.title = title;
    byId("icon").href = iconUrl(level);
  }
}

function headlineView(status) {
  const { level, text, since: start } = status.judged;
  const running = status.backends.reduce((all, b) => all + b.in_flight, 0);
  const down = status.backends.filter((b) => b.judged.level === "bad").length;
  byId("headline").dataset.state = level;
  show(byId("headline"), mark(level), el("div", null, el("h1", null, text),
    start === null ? null : el("p", { class: "sum" }, "Since ", when(start, nowMs()), " (", since(start, nowMs()), ")"),
    el("p", { class: "sum" }, [count(status.models.length, "model"),
      `${count(status.backends.length, "backend")}${down > 0 ? `, ${down} down` : ""}`,
      `${count(running, "answer")} running`].join(" · "))));
  setFace(level, text);
  speak(sentence(text));
}

function sectionBody(id) {
  return byId(id).querySelector(".body");
}

function render() {
  const { status } = page;
  if (!status || page.isOut) {
    return;
  }
  const now = nowMs();
  setHidden("door", true);
  setHidden("sections", false);
  headlineView(status);
  show(sectionBody("answers"), answersView(status, now));
  show(sectionBody("broken"), brokenView(status, now));
  show(sectionBody("costs"), costsView(status));
  show(sectionBody("backends"), backendsView(status, page, now));
  show(byId("foot"), `fallthrough ${status.version} · up ${lasting(status.uptime_s)} · `, hasToken()
    ? el("button", { type: "button", class: "link", "data-do": "forget" }, "forget the token")
    : [el("a", { href: "/metrics" }, "metrics"), " · ", el("a", { href: "/status" }, "status as JSON")]);
}

function renderIncidents() {
  show(sectionBody("incidents"), incidentsView(page, nowMs()));
}

function tellLost() {
  const isLost = page.lostMs > 0;
  const heard = page.receivedMs > 0 ? (Date.now() - page.receivedMs) / 1000 : 0;
  byId("pulse").dataset.state = isLost ? "lost" : "live";
  show(byId("pulse"), isLost ? "not connected" : heard > 4 ? `heard ${lasting(heard)} ago`
    : page.receivedMs > 0 ? "live" : "");
  if (isLost !== !byId("lost").hidden) {
    byId("lost").textContent = isLost
      ? `Connection to the gateway lost since ${exactClock(page.lostMs + page.skewMs)}. What is shown below was true then.` : "";
    byId("lost").hidden = !isLost;
    document.body.classList.toggle("stale", isLost);
    if (isLost) {
      setFace("off", "Connection lost");
    } else if (page.status) {
      setFace(page.status.judged.level, page.status.judged.text);
    }
  }
}

// --- asking ---

function take(status) {
  status.places = placesOf(status);
  status.byName = new Map(status.backends.map((b) => [b.name, b]));
  for (const backend of status.backends) {
    backend.judged = judgeBackend(backend, status.places.get(backend.name));
  }
  for (const model of status.models) {
    if (model.trend) {
      page.trends.set(model.name, model.trend);
    }
    model.trend ??= page.trends.get(model.name);
    model.judged = judgeModel(model, status.byName);
  }
  status.judged = judgeAll(status, status.models);
  page.status = status;
  page.receivedMs = Date.now();
  page.skewMs = Date.parse(status.at) - page.receivedMs;
  page.lostMs = 0;
}

function knock(isWrong) {
  page.isOut = true;
  page.follower?.abort();
  setToken(null);
  setHidden("sections", true);
  setHidden("door", false);
  byId("headline").dataset.state = "wait";
  show(byId("headline"), el("h1", null, "Who asks?"));
  byId("door-wrong").textContent = isWrong ? "That is not its token." : "";
  setFace("wait", "Admin token");
  byId("token").focus();
}

function fail(error) {
  if (error instanceof NeedsToken) {
    knock(hasToken());
  } else if (page.lostMs === 0) {
    page.lostMs = page.receivedMs || Date.now();
  }
}

async function refresh() {
  if (page.isOut || page.isAsking) {
    page.isWanted = page.isAsking;
    return;
  }
  page.isAsking = true;
  const wantsTrend = Date.now() - page.trendMs >= TREND_MS;
  try {
    take(await getJson(wantsTrend ? "/status?trend=1" : "/status"));
    render();
    if (wantsTrend) {
      page.trendMs = Date.now();
      renderIncidents(); // the day goes on
    }
  } catch (error) {
    fail(error);
  }
  tellLost();
  page.isAsking = false;
  if (page.isWanted) {
    page.isWanted = false;
    setTimeout(refresh, 100);
  }
}

// --- events ---

function onEvent(event) {
  if (event.id <= page.events.last) { // a gateway without a history has started, and counts anew
    page.events = null;
    page.stories.clear();
    page.follower.abort();
    return;
  }
  page.events.take(event);
  for (const details of document.querySelectorAll("details[open][data-story]")) {
    if (Number(details.dataset.incident) === event.incident) {
      readStory(details);
    }
  }
  refresh();
  renderIncidents();
}

async function follow() {
  const turn = ++page.turn;
  let pauseMs = 1000;
  while (!page.isOut && turn === page.turn) {
    page.follower = new AbortController();
    try {
      if (!page.events) {
        const events = new Events();
        await events.load(getJson, ["gateway", "closed", "operator"]);
        page.events = events;
        renderIncidents();
      }
      await followEvents(page.events.last, page.follower.signal, (event) => {
        pauseMs = 1000;
        onEvent(event);
      });
    } catch (error) {
      if (error instanceof NeedsToken) {
        fail(error);
      }
      pauseMs = error instanceof Refused ? 30000 : pauseMs;
    }
    await new Promise((resume) => setTimeout(resume, pauseMs));
    pauseMs = Math.min(pauseMs * 2, 10000);
  }
}

async function readStory(details) {
  const { incident, story } = details.dataset;
  if (incident === undefined) {
    return;
  }
  try {
    const { events } = await getJson(`/events?incident=${incident}&limit=500`);
    page.stories.set(story, events);
    renderIncidents();
  } catch (error) {
    fail(error);
  }
}

// --- what the reader does ---

let asked = null; // { verb, backend } of the open dialog

function openQuestion(verb, name) {
  const backend = page.status.byName.get(name);
  const question = questionOf(verb, backend, page.status);
  asked = { verb, name };
  show(byId("ask-title"), question.title);
  show(byId("ask-text"), question.text);
  show(byId("ask-yes"), question.yes);
  byId("ask-wrong").textContent = "";
  byId("ask-yes").disabled = false;
  byId("ask").showModal();
  byId("ask-no").focus();
}

async function answerYes() {
  const { verb, name } = asked;
  byId("ask-yes").disabled = true;
  try {
    await postAction(`/backends/${encodeURIComponent(name)}/${verb}`);
    byId("ask").close();
    refresh();
  } catch (error) {
    if (error instanceof NeedsToken) {
      byId("ask").close();
      fail(error);
      return;
    }
    byId("ask-wrong").textContent = `That did not work: ${error instanceof Refused ? error.message : "no answer from the gateway"}.`;
    byId("ask-yes").disabled = false;
  }
}

// Where the button went that opened the dialog, its row has another one.
function giveFocusBack() {
  if (document.activeElement === document.body && asked) {
    const buttons = [...document.querySelectorAll("[data-backend]")];
    buttons.find((button) => button.dataset.backend === asked.name)?.focus();
  }
}

const DO = {
  drain: (name) => openQuestion("drain", name),
  disable: (name) => openQuestion("disable", name),
  enable: (name) => openQuestion("enable", name),
  older: () => {
    page.shown += 25;
    renderIncidents();
  },
  fold: () => {
    page.isOpen = !page.isOpen;
    render();
  },
  forget: () => knock(false),
};

function listen() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) {
      DO[button.dataset.do](button.dataset.backend);
    }
  });
  document.addEventListener("toggle", (event) => {
    if (event.target.matches("details[open][data-story]")) {
      readStory(event.target);
    }
  }, true);
  byId("filter").addEventListener("input", (event) => {
    page.filter = event.target.value.trim();
    render();
  });
  byId("door-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(byId("token").value);
    byId("token").value = "";
    enter();
  });
  byId("ask-no").addEventListener("click", () => byId("ask").close());
  byId("ask-yes").addEventListener("click", answerYes);
  byId("ask").addEventListener("close", giveFocusBack);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
}

function tick() {
  const now = nowMs();
  for (const one of document.querySelectorAll("[data-since]")) {
    const text = lasting((now - Number(one.dataset.since)) / 1000);
    if (one.textContent !== text) {
      one.textContent = text;
    }
  }
  tellLost();
}

async function enter() {
  page.isOut = false;
  page.trendMs = -Infinity;
  await refresh();
  follow();
}

listen();
setInterval(tick, 1000);
setInterval(() => document.hidden || refresh(), POLL_MS);
enter();
