"""A mock backend with gateways in front of it, and the loads that run against them."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import time

from . import peers
from .cases import EVENTS_BESIDE, SLOW_PEER_CONNECTIONS, Case
from .gateways import Running, Starter, Wiring
from .machine import Deadline, Failure, Process, streams_at_most

SAMPLE_S = 0.05  # between two looks at a process's memory


@dataclasses.dataclass
class Place:
    """Where all of it runs."""

    tools: pathlib.Path
    binary: pathlib.Path
    folder: pathlib.Path
    load_core: int
    gateway_core: int
    deadline: Deadline


@dataclasses.dataclass
class Outcome:
    """What one load saw, and what it cost the path."""

    report: dict
    cost_us: float
    rss_mib: float  # the most; 0: not looked at


class Stage:
    """For one case: started, used, stopped."""

    def __init__(self, place: Place):
        self.place = place
        self.starter = Starter(place.tools, place.binary, place.folder, place.deadline)
        self.processes: list[Process] = []
        self.running: dict[str, Running] = {}
        self.mock_port = 0

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes):
            process.stop()

    def start_mock(self, name: str = "mock", tokens: int = 100, rate: int = 0, stamped: bool = False,
                   port: int = 0) -> Process:
        command = [str(self.place.tools / "mock_backend"), "--tokens", str(tokens), "--rate", str(rate)]
        command += ["--stamped"] if stamped else []
        command += ["--port", str(port)] if port else []
        mock = Process(name, command, {self.place.load_core}, self.place.folder)
        self.processes.append(mock)
        self.mock_port = mock.wait_port(self.place.deadline)
        return mock

    def wiring(self, **more) -> Wiring:
        return Wiring(**{"backend": self.mock_port, "cores": frozenset({self.place.gateway_core}), **more})

    def start(self, name: str, wiring: Wiring, alias: str = "") -> Running:
        """A gateway by the name of its kind; `alias` where there are several of one."""
        if name in peers.PEERS:
            running = peers.start(name, wiring, self.place.folder, self.place.deadline)
        else:
            running = self.starter.start(name, wiring)
        self.processes.append(running.process)
        self.running[alias or name] = running
        return running

    def stop(self, name: str) -> None:
        self.running.pop(name).process.stop()

    # --- loads ---

    def connections(self, path: str, case: Case) -> int:
        if path in peers.SLOW:
            return min(case.connections, SLOW_PEER_CONNECTIONS)
        return streams_at_most(case.connections)

    def load_command(self, path: str, case: Case, seconds: int, rate: int, requests: int = 0) -> list[str]:
        running = self.running.get(path)
        asks_stream = case.is_stream or (case.others_stream and path != "fallthrough")
        port = self.mock_port if not running else running.streams if asks_stream else running.plain
        command = [str(self.place.tools / "load"), "--port", str(port), "--body-bytes", str(case.body_bytes),
                   "--connections", str(self.connections(path, case)), "--ramp-ms", str(case.ramp_ms)]
        command += ["--requests", str(requests)] if requests else ["--seconds", str(seconds)]
        if asks_stream:
            command += ["--stream"] + (["--stamped"] if case.is_paced else [])
            if path not in peers.PEERS:
                command += ["--events", str(case.tokens + EVENTS_BESIDE)]
        command += ["--rate", str(rate)] if rate else []
        for line in running.headers if running else ():
            command += ["--header", line]
        return command

    def load(self, path: str, case: Case, seconds: int, rate: int = 0, requests: int = 0) -> Outcome:
        """Runs one load. Its report, and the CPU time of the gateway meanwhile."""
        command = self.load_command(path, case, seconds, rate, requests)
        running = self.running.get(path)
        before = running.process.cpu_us() if running else 0
        load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=lambda: os.sched_setaffinity(0, {self.place.load_core}))
        try:
            most = self.watch(load, running) if running and "RSS, MiB" in case.figures else 0
            out, said = load.communicate(timeout=self.place.deadline.left_s())
        except BaseException:
            load.kill()
            load.wait()
            raise
        cost = running.process.cpu_us() - before if running else 0
        if load.returncode != 0:
            raise Failure(f"wrong answers: {said.decode().strip()} {out.decode().strip()[:120]}")
        return Outcome(json.loads(out), cost, most)

    def watch(self, load: subprocess.Popen, running: Running) -> float:
        """The most memory that a gateway has while a load runs."""
        most = 0.0
        while load.poll() is None:
            self.place.deadline.left_s()
            most = max(most, running.process.rss_mib())
            time.sleep(SAMPLE_S)
        return most
