"""What does not fit into the table of cases: a backend killed under streams, a million requests, numbers of
backends and of workers, and the programs that measure a single function."""

from __future__ import annotations

import json
import os
import subprocess
import time

from .cases import Case, Plan
from .machine import Failure, pick_cores, say
from .stage import Place, Stage
from .table import OURS, Results

BACKENDS = (1, 4, 16, 64, 256)
FLEET = ("outages", "probes/s", "probes in the worst second", "requests", "requests whose first attempt failed",
         "requests without an answer", "a judged probe, ns", "a pick and its report, ns")
PLAIN = Case("plain", "", ())
STORM = Case("storm", "", (), is_stream=True, connections=2000, tokens=30, token_rate=5, seconds=1, ramp_ms=1000)
STORM_KILL_S = 3.0  # every stream has some tokens then, and none has all


def run_storm(plan: Plan, place: Place, results: Results) -> None:
    """2,000 streams, and SIGKILL for the process that makes their tokens. Each goes on at the standby, and is
    counted event by event. There is nothing to compare with: the others cut the streams."""
    results.titles["storm"] = f"{STORM.connections:,} streams × {STORM.token_rate} tokens/s, their backend killed"
    for _ in range(1 if plan.is_quick else plan.rounds):
        with Stage(place) as stage:
            stage.start_mock("standby", STORM.tokens, STORM.token_rate)
            standby = stage.mock_port
            doomed = stage.start_mock("doomed", STORM.tokens, STORM.token_rate)
            gateway = stage.start(OURS, stage.wiring(standby=standby)).process
            streams = stage.connections(OURS, STORM)
            before = gateway.cpu_us()
            load = subprocess.Popen(stage.load_command(OURS, STORM, STORM.seconds, 0, streams), text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    preexec_fn=lambda: os.sched_setaffinity(0, {place.load_core}))
            time.sleep(STORM_KILL_S)
            doomed.kill()
            try:
                out, said = load.communicate(timeout=min(60, place.deadline.left_s()))
            except subprocess.TimeoutExpired:
                load.kill()
                load.communicate()
                raise
            note_storm(results, load.returncode, out, said, gateway.cpu_us() - before)
            if load.returncode != 0:
                changes = [line for line in gateway.output.read_text(errors="replace").splitlines()
                           if "changed state" in line]
                say("storm: what the gateway said of its backends:\n" + "\n".join(changes))


def note_storm(results: Results, code: int, out: str, said: str, cost_us: float) -> None:
    if not out:
        results.lose("storm", OURS, said.strip()[:100])
        return
    report = json.loads(out)
    results.note("storm", "answers whole, with all their tokens", OURS, report["requests"])
    results.note("storm", "answers broken", OURS, report["errors"])
    gap = 1e6 / STORM.token_rate
    for share in ("p50", "p99"):
        results.note("storm", f"longest pause, less the usual {gap / 1000:.0f} ms, {share}, ms", OURS,
                     (report["pause_us"][share] - gap) / 1000)
    if report["requests"]:
        results.note("storm", "CPU µs/stream, all of it", OURS, cost_us / report["requests"])
    if code != 0:
        results.lose("storm", OURS, said.strip()[:100])


def run_growth(plan: Plan, place: Place, results: Results) -> None:
    """Memory after a million requests over 64 connections."""
    count = 20_000 if plan.is_quick else 1_000_000
    results.titles["growth"] = f"{count:,} plain requests, one after the other on 64 connections"
    with Stage(place) as stage:
        stage.start_mock()
        for name in ("nginx", OURS):
            try:
                process = stage.start(name, stage.wiring()).process
                idle = process.rss_mib()
                stage.load(name, PLAIN, 0, requests=count // 10)
                early = process.rss_mib()
                stage.load(name, PLAIN, 0, requests=count - count // 10)
            except Failure as why:
                results.lose("growth", name, str(why)[:100])
                continue
            results.note("growth", "RSS idle, MiB", name, idle)
            results.note("growth", "RSS after a tenth, MiB", name, early)
            results.note("growth", "RSS after all, MiB", name, process.rss_mib())


def run_backends(plan: Plan, place: Place, results: Results) -> None:
    """The same load with more backends behind the one address; and what probing them costs, without load."""
    results.titles["backends"] = "more backends, one process behind them all; 1.2 KB, 64 connections"
    wait_s = 1 if plan.is_quick else 3
    with Stage(place) as stage:
        stage.start_mock()
        for count in BACKENDS:
            alias = f"{count} backends"
            process = stage.start(OURS, stage.wiring(backends=count, probe_interval="1s"), alias).process
            stage.load(alias, PLAIN, 1)
            results.note("backends", "RSS, MiB", alias, process.rss_mib())
            before = process.main_thread_us()
            time.sleep(wait_s)
            per_s = (process.main_thread_us() - before) / wait_s
            results.note("backends", "control thread, µs a second, a probe of each a second", alias, per_s)
            results.note("backends", "control thread, µs for each backend and second", alias, per_s / count)
        for number in range(1 if plan.is_quick else plan.rounds):
            for count in BACKENDS if number % 2 == 0 else reversed(BACKENDS):
                alias = f"{count} backends"
                process = stage.running[alias].process
                before = process.main_thread_us()
                outcome = stage.load(alias, PLAIN, 1)
                worker_us = outcome.cost_us - (process.main_thread_us() - before)  # its probes are counted above
                results.note("backends", "CPU µs/request", alias, worker_us / outcome.report["requests"])
    one, many = (results.values("backends", "CPU µs/request", f"{n} backends") for n in (1, 64))
    for a, b in zip(one, many):
        results.note("backends", "CPU µs/request, 64 backends to 1", OURS, b / a)


def run_workers(plan: Plan, place: Place, results: Results) -> None:
    """One worker and two. With four cores and more the second has a core of its own, and so have mock and load."""
    cores = sorted(os.sched_getaffinity(0))
    has_room = len(cores) >= 4
    load_core, gateway_core = pick_cores()
    second = cores[2] if has_room else load_core
    results.titles["workers"] = "1 and 2 workers; 1.2 KB, 64 connections" + (
        "" if has_room else " (throughput of two cannot be shown on two cores: mock and load need one)")
    with Stage(place) as stage:
        stage.start_mock()
        for count, where in ((1, {gateway_core}), (2, {gateway_core, second})):
            stage.start(OURS, stage.wiring(workers=count, cores=frozenset(where)), f"{count} workers")
            stage.load(f"{count} workers", PLAIN, 1)
        for _ in range(1 if plan.is_quick else plan.rounds):
            speeds = []
            for count in (1, 2):
                outcome = stage.load(f"{count} workers", PLAIN, 1)
                speeds.append(outcome.report["requests"] / outcome.report["seconds"])
                results.note("workers", "CPU µs/request", f"{count} workers",
                             outcome.cost_us / outcome.report["requests"])
                results.note("workers", "requests/s", f"{count} workers", speeds[-1])
            if has_room:
                results.note("workers", "requests/s, 2 workers to 1", OURS, speeds[1] / speeds[0])


def run_functions(plan: Plan, place: Place, results: Results) -> None:
    """A pick, and the JSON scanner beside a library that builds a tree."""
    results.titles["functions"] = "single functions"

    def lines_of(name: str) -> list[str]:
        done = subprocess.run([str(place.tools / name)], stdout=subprocess.PIPE, check=True, text=True,
                              timeout=place.deadline.left_s(),
                              preexec_fn=lambda: os.sched_setaffinity(0, {place.gateway_core}))
        return done.stdout.splitlines()

    for _ in range(1 if plan.is_quick else plan.rounds):
        for line in lines_of("json_speed")[1:]:
            cells = line.split("\t")
            if len(cells) >= 5:
                results.note("functions", f"JSON scanned, {cells[0]}, GB/s", OURS, float(cells[2]))
                results.note("functions", f"JSON scanned, {cells[0]}, GB/s", "jansson", float(cells[4]))
        for line in lines_of("pick_speed"):
            results.note("functions", f"pick, {line[:40].strip()}, ns", OURS, float(line[40:].split()[0]))


def run_fleet(_plan: Plan, place: Place, results: Results) -> None:
    """Up to 1,024 backends for a day of a virtual clock: the gateway's judgement without sockets."""
    results.titles["fleet"] = ("a day of a virtual clock, 100 requests/s; each backend out for 3 minutes every 12 "
                               "hours, and a quarter of all at once")
    done = subprocess.run([str(place.tools / "fleet")], stdout=subprocess.PIPE, check=True, text=True,
                          timeout=place.deadline.left_s(),
                          preexec_fn=lambda: os.sched_setaffinity(0, {place.gateway_core}))
    for line in done.stdout.splitlines()[1:]:
        cells = line.split("\t")
        for figure, cell in zip(FLEET, cells[2:], strict=True):
            results.note("fleet", figure, f"{cells[0]} backends", float(cell))


def compare_streams(results: Results) -> None:
    """What a token costs with many streams open, against one of few: across cases, so not within a round."""
    few = results.values("streams-1", "CPU µs/token", OURS)
    many = results.values("streams-10000", "CPU µs/token", OURS)
    for a, b in zip(few, many):
        results.note("streams-10000", "CPU µs/token, to 1 stream", OURS, b / a)


EXTRAS = {
    "storm": run_storm,
    "growth": run_growth,
    "backends": run_backends,
    "workers": run_workers,
    "functions": run_functions,
    "fleet": run_fleet,
}
