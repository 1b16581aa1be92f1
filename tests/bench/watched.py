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
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from bench import FALLTHROUGH, ROOT, WATCHED, Bench, Deadline, Plan, Process, find_binary, free_ports, say

BARE, TOLD = "bare", "watched"
LIMIT_US = 50.0
SCRAPE_S = 1.0
CONNECTIONS = 2
STREAMS = 20
SECONDS = 1
STREAMS_EVERY = 6  # turns: they take longer
FIGURES = (("plain", "latency_us"), ("streams", "first_token_us"))


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


class Watched(Bench):
    def start_one(self, name: str, backend: int, extra: tuple[str, ...]) -> int:
        plain, admin = free_ports(2)
        config = self.folder / f"{name}.conf"
        lines = [line.format(folder=self.folder) for line in extra]
        config.write_text(FALLTHROUGH.format(plain=plain, admin=admin, backend=backend) + "".join(f"{line}\n" for line in lines))
        process = Process(name, [str(self.binary), "serve", "-c", str(config)], self.gateway_core, self.folder)
        self.processes[name] = process
        process.wait_ready(plain, self.deadline)
        self.ports[name] = {"plain": plain, "streams": plain}
        return admin

    def compare(self, turns: int) -> None:
        backend = self.start_mock()
        self.start_one(BARE, backend, ())
        watcher = Watcher(self.start_one(TOLD, backend, WATCHED))
        say(f"{turns} pairs of turns (load on core {self.load_core}, gateways on {self.gateway_core})")
        try:
            for name in (BARE, TOLD):  # a warm-up
                self.load(name, "plain", SECONDS)
            for number in range(turns):
                for name in (BARE, TOLD) if number % 2 == 0 else (TOLD, BARE):
                    self.turn(name, watcher, number)
        finally:
            watcher.stop()
        print(f"{watcher.scrapes} scrapes, the slowest took {watcher.slowest_s * 1000:.1f} ms as its client saw it")

    def turn(self, name: str, watcher: Watcher, number: int) -> None:
        if name == TOLD:
            watcher.is_on.set()
        for case, figure in FIGURES if number % STREAMS_EVERY == 0 else FIGURES[:1]:
            report, cost_us = self.load(name, case, SECONDS)
            done = report["requests"] if case == "plain" else report["tokens"]
            self.note(f"{case} p50", name, report[figure]["p50"])
            self.note(f"{case} p99", name, report[figure]["p99"])
            self.note(f"{case} CPU", name, cost_us / done)
        watcher.is_on.clear()

    def print_differences(self) -> int:
        code = 0
        print(f"{'figure, µs':<14} {'bare':>10} {'watched':>10} {'added':>10} {'spread':>10}")
        for case, _ in FIGURES:
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
    plan = Plan(rounds=1, plain_turns=1, stream_turns=1, limit_s=limit_s, connections=CONNECTIONS, streams=STREAMS)
    with tempfile.TemporaryDirectory(prefix="fallthrough-watched-") as folder:
        bench = Watched(plan, build / "tests" / "bench", find_binary(build), pathlib.Path(folder))
        bench.deadline = Deadline(limit_s)
        try:
            bench.compare(args.turns)
        except subprocess.TimeoutExpired:
            sys.exit(f"watched: not done within {limit_s} s; is the machine busy?")
        finally:
            bench.stop()
        return bench.print_differences()


if __name__ == "__main__":
    sys.exit(main())
