"""`cli("status", …)` runs a command of the binary under test to its end; `start` leaves it running."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from dataclasses import dataclass

import pytest
from gateway import BINARY, FORBIDDEN

LIMIT_S = 30


@dataclass
class Result:
    code: int
    out: str
    err: str


def environment(extra: dict[str, str] | None) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith("FALLTHROUGH_")}
    return {**own, "ASAN_OPTIONS": "detect_leaks=1", **(extra or {})}


def judged(code: int, out: str, err: str) -> Result:
    bad = [line for line in (out + err).splitlines() if any(f in line for f in FORBIDDEN)]
    assert not bad, err
    return Result(code, out, err)


@pytest.fixture
def cli():
    def run(*args: str, env: dict[str, str] | None = None, cwd=None, limit_s: float = LIMIT_S) -> Result:
        done = subprocess.run([str(BINARY), *args], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=limit_s, env=environment(env), cwd=cwd, text=True, check=False)
        return judged(done.returncode, done.stdout, done.stderr)
    return run


def read_terminal(terminal: int, limit_s: float) -> bytes:
    """All that is written until nobody has the other side open."""
    out, end = b"", time.monotonic() + limit_s
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # EIO is the end of a terminal
            return out
        if not piece:
            return out
        out += piece
    raise AssertionError(f"not at its end within {limit_s} s:\n{out.decode()}")


@pytest.fixture
def on_terminal():
    """As `cli`, with standard output on a terminal. `env` begins without what decides on colour."""
    def run(*args: str, env: dict[str, str] | None = None, limit_s: float = LIMIT_S) -> Result:
        own = {k: v for k, v in environment(None).items() if k not in ("NO_COLOR", "TERM")}
        ours, its = pty.openpty()
        process = subprocess.Popen([str(BINARY), *args], stdin=subprocess.DEVNULL, stdout=its,
                                   stderr=subprocess.PIPE, env={**own, "TERM": "xterm", **(env or {})})
        os.close(its)
        try:
            out = read_terminal(ours, limit_s)
            _, err = process.communicate(timeout=limit_s)
        finally:
            os.close(ours)
            if process.poll() is None:
                process.kill()
                process.communicate()
        return judged(process.returncode, out.decode().replace("\r\n", "\n"), err.decode())
    return run


@pytest.fixture
def start():
    """A command that goes on while the test does something; `finish(p)` waits for its end."""
    running: list[subprocess.Popen] = []

    def begin(*args: str, env: dict[str, str] | None = None) -> subprocess.Popen:
        running.append(subprocess.Popen([str(BINARY), *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment(env), text=True))
        return running[-1]

    yield begin
    for one in running:
        if one.poll() is None:
            one.kill()
        one.communicate()


@pytest.fixture
def finish():
    def wait(process: subprocess.Popen, limit_s: float = LIMIT_S) -> Result:
        out, err = process.communicate(timeout=limit_s)
        return judged(process.returncode, out, err)
    return wait
