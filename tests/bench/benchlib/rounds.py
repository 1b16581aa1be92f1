"""The cases of the table, in interleaved rounds."""

from __future__ import annotations

import statistics

from . import peers
from .cases import CORE_PATHS, Case, Plan
from .machine import Failure, say
from .stage import Outcome, Place, Stage
from .table import Results

REPORTED = {  # figure -> (what the load reports, share)
    "latency p50, µs": ("latency_us", "p50"),
    "latency p99, µs": ("latency_us", "p99"),
    "token delay p50, µs": ("token_delay_us", "p50"),
    "token delay p99, µs": ("token_delay_us", "p99"),
}
ADDED = {  # the same, less what it is without a gateway in the same round
    "added p50, µs": ("latency_us", "p50"),
    "added p99, µs": ("latency_us", "p99"),
    "added p99.9, µs": ("latency_us", "p999"),
    "added first token p50, µs": ("first_token_us", "p50"),
    "added first token p99, µs": ("first_token_us", "p99"),
}


def median_of(turns: list[Outcome], what: str, share: str) -> float:
    return statistics.median(turn.report[what][share] for turn in turns)


class CaseRun:
    """One case, from the start of its gateways to their end."""

    def __init__(self, case: Case, plan: Plan, place: Place, paths: list[str], results: Results):
        self.case, self.plan, self.place, self.results = case, plan, place, results
        self.wanted = paths
        self.gone: set[str] = set()  # paths that failed: their later rounds would be held against others' earlier ones
        # Every stream must have begun before the time for new ones is over.
        least = case.ramp_ms // 1000 + 1 if case.is_stream else 1
        self.seconds = max(least, round(case.seconds * plan.scale))
        self.rate = case.rate

    def run(self) -> None:
        with Stage(self.place) as stage:
            stage.start_mock(tokens=self.case.tokens, rate=self.case.token_rate, stamped=self.case.is_paced)
            paths = ["bare"] + [name for name in self.wanted if self.start(stage, name)]
            self.warm_up(stage, paths)
            rounds = 1 if self.plan.is_quick else min(self.plan.rounds, self.case.rounds_max)
            for number in range(rounds):
                turned = number % len(paths)
                order = [p for p in paths[turned:] + paths[:turned] if p not in self.gone]
                self.measure(stage, order)

    def lose(self, path: str, why: Failure) -> None:
        say(f"{self.case.name}: {path}: {why}")
        self.results.lose(self.case.name, path, str(why).splitlines()[0][:100])

    def start(self, stage: Stage, name: str) -> bool:
        try:
            running = stage.start(name, stage.wiring(upstream=self.case.upstream))
        except Failure as why:
            self.lose(name, why)
            return False
        self.note("RSS idle, MiB", name, running.process.rss_mib())
        return True

    def note(self, figure: str, path: str, value: float) -> None:
        if figure in self.case.figures:
            self.results.note(self.case.name, figure, path, value)

    def warm_up(self, stage: Stage, paths: list[str]) -> None:
        done = {}
        for path in list(paths):
            try:
                done[path] = stage.load(path, self.case, 1).report
            except Failure as why:
                self.lose(path, why)
                paths.remove(path)
        if self.case.share > 0:
            speeds = [done[p]["requests"] / done[p]["seconds"] for p in ("nginx", "fallthrough") if p in done]
            self.rate = max(1, round(min(speeds) * self.case.share)) if speeds else 1000

    def measure(self, stage: Stage, order: list[str]) -> None:
        seen: dict[str, list[Outcome]] = {path: [] for path in order}
        for turn in range(self.case.turns):
            for path in order if turn % 2 == 0 else reversed(order):
                if path in self.gone:
                    continue
                try:
                    seen[path].append(stage.load(path, self.case, self.seconds, self.rate))
                except Failure as why:
                    self.lose(path, why)
                    self.gone.add(path)
        # A round in which a path gave wrong answers has no value of it.
        whole = {path: turns for path, turns in seen.items() if len(turns) == self.case.turns}
        for path, turns in whole.items():
            self.note_counts(stage, path, turns)
            for figure, (what, share) in REPORTED.items():
                self.note(figure, path, median_of(turns, what, share))
            if path != "bare" and "bare" in whole:
                for figure, (what, share) in ADDED.items():
                    self.note(figure, path, median_of(turns, what, share) - median_of(whole["bare"], what, share))

    def note_counts(self, stage: Stage, path: str, turns: list[Outcome]) -> None:
        requests = sum(turn.report["requests"] for turn in turns)
        tokens = sum(turn.report["tokens"] for turn in turns)
        seconds = sum(turn.report["seconds"] for turn in turns)
        self.note("requests/s", path, requests / seconds)
        self.note("tokens/s", path, tokens / seconds)
        if path == "bare":
            return
        cost = sum(turn.cost_us for turn in turns)
        self.note("CPU µs/request", path, cost / requests)
        if tokens:
            self.note("CPU µs/token", path, cost / tokens)
        most = max(turn.rss_mib for turn in turns)
        if most:
            idle = self.results.values(self.case.name, "RSS idle, MiB", path)[0]
            self.note("RSS, MiB", path, most)
            self.note("RSS per stream, KiB", path, (most - idle) * 1024 / stage.connections(path, self.case))


def run_case(case: Case, plan: Plan, place: Place, chosen_peers: list[str], results: Results) -> None:
    paths = list(CORE_PATHS) + ([p for p in chosen_peers if p in peers.PEERS] if case.has_peers else [])
    CaseRun(case, plan, place, paths, results).run()
