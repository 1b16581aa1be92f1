"""What it adds to requests that a gateway is watched: everything that tells, on, against everything off.

Two gateways of the same program stand side by side on one core before the same mock backend: one bare, one with all of
WATCHED in its configuration, scraped once a second and with a live reader of its events. Short turns of the same load go to the
one and to the other, in changing order; while the bare one is measured nobody scrapes. The connections are few, so that the
latency is what a request takes and not how many stand in line.

Other programs of the machine make the worst hundredth of most turns slower than any of that, so the verdict goes by the quieter
turns: the first quartile of all turns' values, of the one and of the other gateway. The spread beside it, between the first quartile and
the median of the bare one, says how quiet the machine was; where that is more than the limit, there is no verdict (exit status 2).
`instructions.py --watched` tells the cost without a clock.

    watched.py [--turns N] [--build FOLDER]
"""

from __future__ import annotations

import argparse
import http.server
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from bench import ROOT, Deadline, find_binary, pick_cores, say
from benchlib.cases import Case
from benchlib.gateways import WATCHED, Running
from benchlib.stage import Outcome, Place, Stage

BARE, TOLD = "bare", "watched"
LIMIT_US = 50.0
SCRAPE_S = 1.0
STREAMS_EVERY = 6  # turns: they take longer
CASES = (Case("plain", "1.2 KB, 2 connections", (), connections=2),
         Case("streams", "20 streams × 50 tokens/s", (), is_stream=True, connections=20, token_rate=50))
FIGURES = {"plain": "latency_us", "streams": "first_token_us"}


class Sink(http.server.ThreadingHTTPServer):
    """Stands for the collector and the receiver of alerts."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), SinkHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class SinkHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_args) -> None:
        pass


class Watcher:
    """Scrapes while it is asked to, and reads events all the time."""

    def __init__(self, admin: int):
        self.url = f"http://127.0.0.1:{admin}"
        self.is_on, self.is_over = threading.Event(), threading.Event()
        self.scrapes, self.slowest_s = 0, 0.0
        self.events = urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/events", headers={"accept": "text/event-stream"}), timeout=600)
        self.thread = threading.Thread(target=self._scrape, daemon=True)
        self.thread.start()

    def _scrape(self) -> None:
        while not self.is_over.wait(SCRAPE_S):
            if self.is_on.is_set():
                began = time.monotonic()
                with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
                    answer.read()
                self.scrapes += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join()
        self.events.close()


class Comparison:
    def __init__(self, stage: Stage):
        self.stage = stage
        self.seen: dict[tuple[str, str], list[float]] = {}

    def start(self, sink: int) -> Watcher:
        folder = self.stage.place.folder
        self.stage.start_mock(rate=50)
        self.stage.start("fallthrough", self.stage.wiring(), BARE)
        told: Running = self.stage.start(
            "fallthrough", self.stage.wiring(more=WATCHED.format(folder=folder, sink=sink)), TOLD)
        return Watcher(told.admin)

    def compare(self, turns: int) -> None:
        place = self.stage.place
        sink = Sink()
        watcher = self.start(sink.server_address[1])
        say(f"{turns} pairs of turns (load on core {place.load_core}, gateways on {place.gateway_core})")
        try:
            for name in (BARE, TOLD):  # a warm-up
                self.stage.load(name, CASES[0], 1)
            for number in range(turns):
                for name in (BARE, TOLD) if number % 2 == 0 else (TOLD, BARE):
                    self.turn(name, watcher, number)
        finally:
            watcher.stop()
            sink.shutdown()
        print(f"{watcher.scrapes} scrapes, the slowest took {watcher.slowest_s * 1000:.1f} ms as its client saw it")

    def turn(self, name: str, watcher: Watcher, number: int) -> None:
        if name == TOLD:
            watcher.is_on.set()
        for case in CASES if number % STREAMS_EVERY == 0 else CASES[:1]:
            outcome: Outcome = self.stage.load(name, case, 1)
            figure = outcome.report[FIGURES[case.name]]
            done = outcome.report["tokens" if case.is_stream else "requests"]
            self.note(f"{case.name} p50", name, figure["p50"])
            self.note(f"{case.name} p99", name, figure["p99"])
            self.note(f"{case.name} CPU", name, outcome.cost_us / done)
        watcher.is_on.clear()

    def note(self, figure: str, name: str, value: float) -> None:
        self.seen.setdefault((figure, name), []).append(value)

    def print_differences(self) -> int:
        code = 0
        print(f"{'figure, µs':<14} {'bare':>10} {'watched':>10} {'added':>10} {'spread':>10}")
        for case in FIGURES:
            for word in ("p50", "p99", "CPU"):
                bare, told = sorted(self.seen[f"{case} {word}", BARE]), sorted(self.seen[f"{case} {word}", TOLD])
                quiet, added = bare[len(bare) // 4], told[len(told) // 4] - bare[len(bare) // 4]
                spread, verdict = statistics.median(bare) - quiet, ""
                if f"{case} {word}" == "plain p99":
                    code = 2 if spread > LIMIT_US else 1 if added > LIMIT_US else 0
                    verdict = f"  at most {LIMIT_US:.0f}: {('reached', 'NOT reached', 'the machine is too busy to tell')[code]}"
                print(f"{case + ' ' + word:<14} {quiet:10.2f} {quiet + added:10.2f} {added:10.2f} "
                      f"{spread:10.2f}{verdict}")
        return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    args = parser.parse_args()
    build = args.build.resolve()
    limit_s = 60 + args.turns * 2 * 10
    load_core, gateway_core = pick_cores()
    with tempfile.TemporaryDirectory(prefix="fallthrough-watched-") as folder:
        place = Place(build / "tests" / "bench", find_binary(build), pathlib.Path(folder), load_core, gateway_core,
                      Deadline(limit_s))
        with Stage(place) as stage:
            comparison = Comparison(stage)
            try:
                comparison.compare(args.turns)
            except subprocess.TimeoutExpired:
                sys.exit(f"watched: not done within {limit_s} s; is the machine busy?")
    return comparison.print_differences()


if __name__ == "__main__":
    sys.exit(main())
