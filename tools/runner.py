"""What the steps of check.py share: running a command with a sign of life, counting, telling."""

from __future__ import annotations

import atexit
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
JOBS = max(2, os.cpu_count() or 2)
HEARTBEAT_S = 15
TAIL_LINES = 40

_running: set[subprocess.Popen] = set()


def say(text: str) -> None:
    print(text, flush=True)


def tail(text: str, lines: int = TAIL_LINES) -> str:
    kept = text.rstrip().splitlines()[-lines:]
    return "\n".join("    " + line for line in kept)


class Report:
    """Passed and failed checks of all steps; every failure is shown when it happens."""

    def __init__(self) -> None:
        self.passed = 0
        self.failures: list[str] = []
        self.times: list[tuple[str, float]] = []
        self._lock = threading.Lock()

    def ok(self, count: int = 1) -> None:
        with self._lock:
            self.passed += count

    def fail(self, name: str, output: str = "") -> None:
        with self._lock:
            self.failures.append(name)
        say(f"FAILED {name}\n{tail(output)}" if output.strip() else f"FAILED {name}")

    def judge(self, name: str, code: int, output: str) -> bool:
        """One check that stands or falls with the exit status of a command."""
        if code == 0:
            self.ok()
        else:
            self.fail(f"{name} (exit status {code})", output)
        return code == 0

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        say(f"== {title}")
        began, passed, failed = time.monotonic(), self.passed, len(self.failures)
        try:
            yield
        finally:
            took = time.monotonic() - began
            self.times.append((title, took))
            say(f"   {took:.1f} s, {self.passed - passed} passed, "
                f"{len(self.failures) - failed} failed")

    def finish(self) -> int:
        say("== times")
        for title, took in self.times:
            say(f"   {took:7.1f} s  {title}")
        for name in self.failures:
            say(f"FAILED {name}")
        say(f"{self.passed} passed, {len(self.failures)} failed")
        return 1 if self.failures else 0


class Beside:
    """Another verb of check.py, on what the processors have left, beside what is in the block; at its end its output is shown and its
    checks count for the report. For work that needs a processor, beside tests that mostly wait."""

    def __init__(self, report: Report, verb: str, limit_s: float):
        self.report, self.verb, self.limit_s = report, verb, limit_s

    def __enter__(self) -> None:
        self.out = tempfile.NamedTemporaryFile(prefix="fallthrough-check-")
        command = ["chrt", "--idle", "0", "nice", "-n", "19", sys.executable, str(ROOT / "tools" / "check.py"), self.verb]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        _running.add(self.process)
        self.began = time.monotonic()

    def __exit__(self, *_) -> None:
        with self.report.step(f"{self.verb}, begun beside the above"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(max(1.0, self.limit_s - (time.monotonic() - self.began)))
            if self.process.poll() is None:
                _kill(self.process)
            _running.discard(self.process)
            output = pathlib.Path(self.out.name).read_text(encoding="utf-8", errors="replace")
            say(re.sub("^", "   | ", output.rstrip(), flags=re.MULTILINE))
            self.count(output)

    def count(self, output: str) -> None:
        last = re.search(r"^(\d+) passed, (\d+) failed$", output, re.MULTILINE)
        failed = re.findall(r"^FAILED (.*)$", output.split("== times")[-1], re.MULTILINE)
        self.report.ok(int(last[1]) if last else 0)
        for name in failed:
            self.report.fail(name)
        if not last or int(last[2]) != len(failed):
            self.report.fail(f"{self.verb} (exit status {self.process.returncode})")


def _kill(process: subprocess.Popen) -> None:
    """The child and what it started: each child has a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@atexit.register
def _kill_all() -> None:
    for process in list(_running):
        _kill(process)


def _last_line(path: pathlib.Path) -> str:
    lines = path.read_bytes()[-400:].decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[-100:]


def run(command: Sequence[str | pathlib.Path], what: str, limit_s: float = 900,
        env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and all output. Shows every 15 s that it still runs; ended after the limit."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(prefix="fallthrough-check-") as out:
        process = subprocess.Popen([str(c) for c in command], cwd=ROOT, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, **(env or {})})
        _running.add(process)
        note = ""
        while process.poll() is None:
            left = limit_s - (time.monotonic() - began)
            try:
                process.wait(max(0.0, min(HEARTBEAT_S, left)))
            except subprocess.TimeoutExpired:
                took = time.monotonic() - began
                if took >= limit_s:
                    _kill(process)
                    note = f"\nended by check.py after {limit_s:.0f} s"
                else:
                    say(f"   … {what}, {took:.0f} s: {_last_line(pathlib.Path(out.name))}")
        _running.discard(process)
        output = pathlib.Path(out.name).read_text(encoding="utf-8", errors="replace")
        return process.returncode, output + note
