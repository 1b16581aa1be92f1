"""Hours and weeks that no test can wait for: figures of an hour laid over a real /status, and a history
file with incidents of a week."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import pathlib
import random
import sqlite3
import time

from playwright.sync_api import Page, Route

SLOTS = 120
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1180, "height": 900}

FAST = """
listen: 127.0.0.1:0
admin: 127.0.0.1:0
workers: 1
health: {interval: 200ms, timeout: 1s, degraded_after: 800ms, down_after: 2, up_after: 1, hang_after: 0, counters: 0}
breaker: {trial: 300ms, trial_max: 1s, dwell: 0, slow_start: 0}
deadlines: {connect: 500ms, first_token: 1s, stall: 1s, total: 10s}
retry: {same_backend: 0}
streams: {calibrate: 0}
"""


def config(urls: dict[str, tuple[str, str]], models: dict[str, list[list[str]]], more: str = "") -> str:
    """`urls`: backend to its type and URL; `models`: the tiers of each."""
    quoted = json.dumps  # JSON strings are YAML strings
    lines = [FAST, more, "\nbackends:\n"]
    lines += [f"  {quoted(name)}: {{type: {type_}, url: '{url}'}}\n" for name, (type_, url) in urls.items()]
    lines.append("models:\n")
    for model, tiers in models.items():
        lines.append(f"  {quoted(model)}:\n    tiers:\n")
        lines += ["      - {" + ", ".join(f"{quoted(b)}: x" for b in tier) + "}\n" for tier in tiers]
    return "".join(lines)


def headline(page: Page) -> str:
    return page.locator("h1").inner_text()


def wait_headline(page: Page, words: str) -> None:
    page.wait_for_function("(words) => document.querySelector('h1').textContent.includes(words)", arg=words)


def width_over(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def hour(seed: int, fallback_from: int | None = None, slow: bool = False) -> dict:
    """A working day's hour; from slot `fallback_from` on answers come from a weaker tier."""
    r = random.Random(seed)
    rows: dict[str, list] = {k: [] for k in ("requests", "failed", "last_resort", "degraded", "tokens_per_s",
                                             "first_token_p50_ms", "first_token_p99_ms")}
    for i in range(SLOTS):
        weak = fallback_from is not None and i >= fallback_from
        swing = 1 + 0.3 * math.sin(i / 17 + seed) + r.uniform(-0.08, 0.08)
        requests = round((40 + 12 * seed % 50) * swing)
        rows["requests"].append(requests)
        rows["failed"].append(r.randint(2, 5) if weak and i == fallback_from else 0)
        rows["last_resort"].append(0)
        rows["degraded"].append(round(requests * r.uniform(0.86, 1)) if weak else 0)
        rows["tokens_per_s"].append(round((420 if weak else 1450) * swing * (0.6 if slow else 1), 1))
        middle = r.choice([362, 363, 512]) if weak else r.choice([90, 128, 128, 181])
        rows["first_token_p50_ms"].append(middle)
        rows["first_token_p99_ms"].append(middle * r.choice([4, 4, 6, 8]))
    total = {k: sum(rows[k]) for k in ("requests", "failed", "last_resort", "degraded")}
    total |= {"tokens": round(sum(rows["tokens_per_s"]) * 30), "first_token_p50_ms": 128,
              "first_token_p99_ms": 2048 if fallback_from is not None else 724}
    return {"slot_s": 30, "total": total, **rows}


def with_hours(hours: dict[str, dict], backends: dict[str, dict] | None = None):
    """A handler that lets the gateway answer and lays these over it: `hours` by model, fields by backend."""
    def handle(route: Route) -> None:
        answer = route.fetch()
        status = answer.json()
        for model in status["models"]:
            if "trend" in model and model["name"] in hours:
                model["trend"] = hours[model["name"]]
        for backend in status["backends"]:
            backend |= (backends or {}).get(backend["name"], {})
        route.fulfill(response=answer, body=json.dumps(status))
    return handle


# --- a week ---

COLUMNS = ("id, at_ms, kind, severity, incident, times, backend, other, model, word, was, cause, "
           "number1, number2, number3")


class Week:
    """Events as the gateway writes them, the oldest first."""

    def __init__(self, now_ms: int):
        self.now_ms = now_ms
        self.rows: list[tuple] = []
        self.incident = 0

    def moment(self, ago_s: float) -> str:
        at = datetime.datetime.fromtimestamp(self.now_ms / 1000 - ago_s, datetime.timezone.utc)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def add(self, ago_s: float, kind: str, severity: int, incident: int = 0, times: int = 1, backend: str = "",
            other: str = "", model: str = "", word: str = "", was: str = "", cause: str = "", numbers=(0, 0, 0)) -> None:
        self.rows.append((int(self.now_ms - ago_s * 1000), kind, severity, incident, times, backend, other, model,
                          word, was, cause, *numbers))

    def outage(self, ago_s: float, lasted_s: float, backend: str, cause: str, resumed: int = 2, failed: int = 0,
               settle_s: float = 60) -> None:
        self.incident += 1
        n = self.incident
        self.add(ago_s, "state", 2, n, backend=backend, word="DOWN", was="HEALTHY", cause=cause)
        self.add(ago_s - 0.1, "failover", 0, n, 3, backend=backend, model="llama-3.1-8b", word="resume", cause="reset")
        if resumed:
            self.add(ago_s - 0.4, "resume", 0, n, resumed, backend=backend, other="gpu2", model="llama-3.1-8b",
                     cause=f"{backend}:reset,gpu2:resumed", numbers=(240, 0, 0))
        if failed:
            self.add(ago_s - 1, "unserved", 2, n, failed, model="llama-3.1-8b", word="all_backends_unavailable",
                     cause=f"{backend}:reset", numbers=(503, 12, 0))
        self.add(ago_s - lasted_s, "state", 0, n, backend=backend, word="HEALTHY", was="DOWN", cause="probe answered 200")
        end = ago_s - lasted_s - settle_s
        self.add(end, "closed", 0, n, backend=backend, word=self.moment(ago_s - lasted_s), cause=cause,
                 numbers=(int((lasted_s + settle_s) * 1000), 5, 0))

    def slow(self, ago_s: float, lasted_s: float, backend: str) -> None:
        self.incident += 1
        n = self.incident
        self.add(ago_s, "state", 1, n, backend=backend, word="DEGRADED", was="HEALTHY", cause="probe answered slowly")
        self.add(ago_s - lasted_s, "state", 0, n, backend=backend, word="HEALTHY", was="DEGRADED", cause="probe answered 200")
        self.add(ago_s - lasted_s - 60, "closed", 0, n, backend=backend, word=self.moment(ago_s - lasted_s),
                 cause="probe answered slowly", numbers=(int((lasted_s + 60) * 1000), 3, 0))

    def crowd(self, ago_s: float, times: int) -> None:
        self.incident += 1
        self.add(ago_s, "queue", 1, self.incident, times, model="llama-3.1-8b", word="queue_full", numbers=(503, 2, 0))
        self.add(ago_s - 130, "closed", 0, self.incident, model="llama-3.1-8b", word=self.moment(ago_s - 70),
                 cause="queue_full", numbers=(130000, 2, 0))

    def write(self, file: pathlib.Path) -> None:
        rows = sorted(self.rows, key=lambda row: row[0])
        with contextlib.closing(sqlite3.connect(file)) as db, db:
            last = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
            marks = ", ".join("?" * 15)
            db.executemany(f"INSERT INTO events ({COLUMNS}) VALUES ({marks})",
                           [(last + 1 + i, *row) for i, row in enumerate(rows)])


def a_week(file: pathlib.Path) -> Week:
    """Thirty-odd incidents: a nightly restart of one backend, a bad Tuesday, crowds at noon."""
    week = Week(int(time.time() * 1000))
    day = 86400
    week.add(6.9 * day, "gateway", 0, word="started", cause="version 0.1.0", numbers=(8, 0, 0))
    for ago in range(6, 0, -1):
        week.outage(ago * day - 2000, 95, "gpu1", "request failed: reset", resumed=ago + 1)
        week.slow(ago * day - 30000, 300 + 40 * ago, "small")
    for k in range(9):
        week.outage(3.4 * day - k * 2100, 420 + 31 * k, "gpu2", "hung: it has work and answers, but no token comes",
                    resumed=k, failed=3 if k % 4 == 0 else 0)
    week.outage(2.2 * day, 5400, "gpu1", "probe failed: connect_refused", resumed=0, failed=14)
    week.add(2.15 * day, "gateway", 0, word="stopped", cause="signal 15", numbers=(8, 0, 0))
    week.add(2.15 * day - 9, "gateway", 0, word="started", cause="version 0.1.0", numbers=(8, 0, 0))
    for k in range(4):
        week.crowd((k + 0.6) * day, 17 + 9 * k)
    week.outage(8000, 62, "gpu1", "request failed: first_token_timeout", resumed=1)
    week.write(file)
    return week
