"""Instructions of an exchange, in user space, under callgrind: a number that no clock and no neighbour changes.

The program runs twice with different numbers of exchanges, one after the other on one connection; the difference is the
exchange alone. instructions.py does the same to watch over fallthrough; here the others stand beside it.
"""

from __future__ import annotations

import pathlib
import re
import subprocess

from . import gateways
from .cases import EVENTS_BESIDE, Case, Plan
from .machine import Failure, program
from .stage import Place, Stage
from .table import Results

TOKEN_RATE = 100  # a second: slow enough that each token comes alone, under callgrind, too
PLAIN = Case("plain", "", ())
STREAM = Case("stream", "", (), is_stream=True, tokens=50, token_rate=TOKEN_RATE)
KINDS = ((PLAIN, "instructions/request", 100, 400, 1), (STREAM, "instructions/token", 1, 3, STREAM.tokens))
TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


class Counted(gateways.Starter):
    """Gateways under callgrind, without a master process where there is one."""

    def command_of(self, name: str, folder: pathlib.Path, w: gateways.Wiring) -> tuple[list[str], int, int]:
        running = super().start(name, w)  # once without, for its configuration
        running.process.stop()
        command = list(running.process.popen.args)
        if name == "nginx":
            command += ["-g", "master_process off;"]
        return command, running.plain, running.streams


def count(name: str, case: Case, exchanges: int, place: Place) -> int:
    """Instructions of a whole run with so many exchanges."""
    with Stage(place) as stage:
        stage.start_mock(tokens=case.tokens, rate=case.token_rate)
        folder = place.folder / name
        command, plain, streams = Counted(place.tools, place.binary, place.folder, place.deadline).command_of(
            name, folder, stage.wiring())
        out = folder / "callgrind.out"
        out.unlink(missing_ok=True)
        if name == "relay":
            command += ["--port", str(plain)]
        process = gateways.Process(f"{name}-counted", [program("valgrind"), "--tool=callgrind",
                                                       f"--callgrind-out-file={out}", *command],
                                   {place.gateway_core}, folder)
        stage.processes.append(process)
        process.wait_ready(f"http://127.0.0.1:{plain}/health", 60, place.deadline)
        load = [str(place.tools / "load"), "--port", str(streams if case.is_stream else plain), "--connections", "1",
                "--requests", str(exchanges)]
        load += ["--stream", "--events", str(case.tokens + EVENTS_BESIDE)] if case.is_stream else []
        done = subprocess.run(load, capture_output=True, text=True, timeout=min(120, place.deadline.left_s()))
        if done.returncode != 0:
            raise Failure(f"wrong answers under callgrind: {done.stderr.strip()[:100]}")
        process.stop()
        found = TOTALS.search(out.read_text()) if out.exists() else None
        if not found:
            raise Failure("callgrind wrote no count")
        return int(found[1])


def run_instructions(plan: Plan, place: Place, results: Results) -> None:
    """Instructions in user space of a plain request and of a token."""
    results.titles["instructions"] = "instructions in user space (callgrind)"
    for case, figure, few, many, parts in KINDS:
        for name in ("nginx", "haproxy", "relay", "fallthrough"):
            try:
                more, less = count(name, case, many, place), count(name, case, few, place)
            except Failure as why:
                results.lose("instructions", name, str(why)[:100])
                continue
            results.note("instructions", figure, name, (more - less) / (many - few) / parts)
