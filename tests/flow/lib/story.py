"""A story of a failure: clients ask a gateway without pause, the first tier is hurt, and all is watched."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from counting import WHOLE, first_number, words
from fake_llm import Behaviour, Request, Wire, completion, delta
from gateway import BINARY, Answer, Gateway, wait_until
from guarded import Guard

LOOK_S = 0.02
APART_S = 0.2  # clients do not begin together: a fault finds their answers in different places


def counts_on(gap_s: float = 0.01) -> Behaviour:
    """A standby that counts, too, and goes on where the other one has stopped."""
    def play(q: Request, w: Wire) -> None:
        rest = words(first_number(q.json))
        if not q.json.get("stream"):
            w.pause(gap_s * len(rest))
            w.reply(200, completion("".join(rest)))
            return
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in rest:
            w.event(delta(word))
            w.pause(gap_s)
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()
    return play


# --- the clients ---


@dataclass
class Asked:
    began: float
    ended: float
    stream: bool
    first: str  # who began the answer
    last: str   # who ended it
    trouble: str


def judge_stream(answer: Answer, text: str | None) -> str:
    """What is wrong with it; empty: nothing. `text` None: only its form is judged."""
    if answer.status != 200:
        return f"status {answer.status}: {answer.body[:200]!r}"
    if not answer.is_whole_stream:
        return f"not a whole stream: …{answer.body[-200:]!r}"
    if any("error" in c for c in answer.chunks):
        return f"an error in the stream: …{answer.body[-300:]!r}"
    ends = [c["choices"][0]["finish_reason"] for c in answer.chunks if c.get("choices")]
    if [e for e in ends if e] not in (["stop"], ["length"]):
        return f"finish reasons {[e for e in ends if e]}"
    if text is not None and answer.streamed_text != text:
        return f"it says {answer.streamed_text!r}"
    return ""


def judge_plain(answer: Answer, text: str | None) -> str:
    if answer.status != 200:
        return f"status {answer.status}: {answer.body[:200]!r}"
    if text is not None and answer.text != text:
        return f"it says {answer.text!r}"
    return "" if answer.text else "an empty answer"


class Load:
    """Clients who each ask again as soon as they are answered: some for streams, some for plain answers."""

    def __init__(self, gateway: Gateway, streams: int = 3, plain: int = 1, text: str | None = WHOLE, **body):
        self.gateway, self.text, self.body = gateway, text, body
        self.asked: list[Asked] = []
        self.is_over, self.may_ask = threading.Event(), threading.Event()
        self.may_ask.set()
        self.busy: dict[int, bool] = {}
        kinds = [True] * streams + [False] * plain
        self.threads = [threading.Thread(target=self._ask, args=(k,), daemon=True) for k in kinds]

    def __enter__(self) -> Load:
        for t in self.threads:
            t.start()
            time.sleep(APART_S)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.is_over.set()
        for t in self.threads:
            t.join(60)

    def rest(self) -> None:
        """What is asked already is waited for; then nobody asks until `go_on`."""
        self.may_ask.clear()
        wait_until(lambda: self.at_work == 0, 60, "all are answered")

    def go_on(self) -> None:
        self.may_ask.set()

    @property
    def at_work(self) -> int:
        return sum(self.busy.values())

    def _ask(self, stream: bool) -> None:
        me = threading.get_ident()
        while not self.is_over.is_set():
            self.busy[me] = self.may_ask.is_set()
            if not self.busy[me]:
                self.may_ask.wait(LOOK_S)
                continue
            began = time.monotonic()
            try:
                answer = self.gateway.chat(stream=stream, timeout=60, **self.body)
                trouble = (judge_stream if stream else judge_plain)(answer, self.text)
                trouble += f" ({answer.trail})" if trouble else ""
                first = last = answer.backend
                if stream and not trouble:
                    last = next((c["_backend"] for c in reversed(answer.chunks) if "_backend" in c), first)
            except OSError as e:
                first, last, trouble = "", "", repr(e)
            self.asked.append(Asked(began, time.monotonic(), stream, first, last, trouble))
            time.sleep(LOOK_S)

    @property
    def troubles(self) -> list[str]:
        return [a.trouble for a in list(self.asked) if a.trouble]

    def served_by(self, name: str, since: float = 0, count: int = 1) -> bool:
        return sum(a.began >= since and a.first == a.last == name for a in list(self.asked)) >= count

    def summary(self, tier1: str) -> str:
        by = Counter("both" if a.first != a.last else "tier 1" if a.last == tier1 else "tier 2"
                     for a in self.asked if not a.trouble)
        streams = sum(a.stream for a in self.asked)
        return (f"{len(self.asked)} requests ({streams} streams): {by['tier 1']} by tier 1, {by['tier 2']} by tier 2, "
                f"{by['both']} begun by the one and ended by the other, {len(self.troubles)} errors")


# --- the watchers ---


class Watch(threading.Thread):
    """Everything new that `look` tells, with its time."""

    def __init__(self, look: Callable[[], tuple]):
        super().__init__(daemon=True)
        self.look = look
        self.seen: list[tuple[float, tuple]] = []
        self.is_over = threading.Event()

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.is_over.set()
        self.join(10)

    def run(self) -> None:
        while not self.is_over.wait(LOOK_S):
            with contextlib.suppress(OSError, ValueError):
                told = self.look()
                if not self.seen or self.seen[-1][1] != told:
                    self.seen.append((time.monotonic(), told))

    def first(self, since: float, is_it: Callable[[tuple], bool]) -> float | None:
        return next((at for at, told in list(self.seen) if at >= since and is_it(told)), None)


def status_row(gateway: Gateway, name: str) -> str:
    """What `fallthrough status` prints of this backend: its cells STATE and WHY."""
    out = subprocess.run([str(BINARY), "status", "--admin", gateway.admin_url], capture_output=True, text=True,
                         timeout=30, check=True).stdout
    titles = next(line for line in out.splitlines() if line.startswith("MODEL"))
    row = next(line for line in out.splitlines() if line.split()[2:3] == [name])
    return " ".join(row[titles.index("STATE"):titles.index("SINCE")].split())


@dataclass
class Story:
    """What a test does and waits for in it."""

    gateway: Gateway
    guard: Guard
    load: Load
    tier1: str = "engine"
    limit_s: float = 30
    hurt_at: float = 0
    row: str = ""

    def __post_init__(self) -> None:
        self.of_gateway = Watch(lambda: look_at_gateway(self.gateway, self.tier1))
        self.of_guard = Watch(lambda: look_at_guard(self.guard))

    def is_served(self, since: float = 0) -> bool:
        return self.load.served_by(self.tier1, since, 3)

    def begin(self) -> None:
        self.guard.wait_state("READY", self.limit_s)
        self.gateway.wait_state(self.tier1, "HEALTHY", self.limit_s)
        wait_until(self.is_served, self.limit_s, "tier 1 serves")

    def hurt(self, how: Callable[[], None]) -> None:
        self.hurt_at = time.monotonic()
        how()

    def is_down(self, told: tuple) -> bool:
        return told[0] == "DOWN"

    def wait_seen(self, words: str = "DOWN") -> tuple[str, dict]:
        """Both have seen it; returns what `fallthrough status` said then, with these words, and the guard's incident."""
        def told_by_gateway() -> bool:
            self.row = status_row(self.gateway, self.tier1)
            return self.row.startswith("DOWN") and words in self.row
        wait_until(told_by_gateway, self.limit_s, f"the gateway tells of it: {words}")
        wait_until(self.guard_saw, self.limit_s, "the guard sees it")
        return self.row, self.guard.told()["incident"]

    def guard_saw(self) -> float | None:
        return self.of_guard.first(self.hurt_at, lambda told: told[0] not in ("READY", "LOADING", "STARTING"))

    def wait_well(self, restarts: int = 1) -> dict:
        told = self.guard.wait_restarted(restarts, self.limit_s)
        back = time.monotonic()
        self.gateway.wait_state(self.tier1, "HEALTHY", self.limit_s)
        wait_until(lambda: self.is_served(back), self.limit_s, "tier 1 serves again")
        return told

    def end(self, title: str, incident: dict) -> str:
        """Judges the clients' answers; the story in one line."""
        end = time.monotonic()
        assert not self.load.troubles, "\n".join(self.load.troubles[:5] + self.gateway.lines[-60:])
        saw = self.of_gateway.first(self.hurt_at, self.is_down) or end
        guard_saw = self.guard_saw() or end
        ready = self.of_guard.first(guard_saw, lambda told: told[0] == "READY") or end
        back = next(a.began for a in self.load.asked if a.began > ready and a.first == a.last == self.tier1)
        return (f"{title}: seen by the gateway after {saw - self.hurt_at:.1f} s, by the guard after "
                f"{guard_saw - self.hurt_at:.1f} s; tier 1 answers again after {back - self.hurt_at:.1f} s; "
                f"status: \"{self.row}\"; guard: \"{incident['cause']}: {incident['reason']}\"; {self.load.summary(self.tier1)}")


def look_at_gateway(gateway: Gateway, name: str) -> tuple:
    return tuple(gateway.backend(name)[key] for key in ("state", "reason"))


def look_at_guard(guard: Guard) -> tuple:
    told = guard.told()
    return told["state"], told["restarts"]["total"]


@contextlib.contextmanager
def playing(gateway: Gateway, guard: Guard, load: Load, **more):
    """A story that is going on: clients ask, and both are watched."""
    story = Story(gateway, guard, load, **more)
    with story.of_gateway, story.of_guard, load:
        yield story


def family(folder: pathlib.Path, role: str) -> int:
    """The newest process of that role of a story_engine.py."""
    lines = (folder / "family").read_text().splitlines()
    return next(p["pid"] for p in map(json.loads, reversed(lines)) if p["role"] == role)
