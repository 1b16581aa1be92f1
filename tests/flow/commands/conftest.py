"""`cli("status", …)` runs a command of the binary under test to its end; `start` leaves it running."""

from __future__ import annotations

import os
import subprocess
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
def cli_env():
    """Our environment without what it says to the binary, and `extra`."""
    return environment


@pytest.fixture
def cli():
    def run(*args: str, env: dict[str, str] | None = None, cwd=None, limit_s: float = LIMIT_S) -> Result:
        done = subprocess.run([str(BINARY), *args], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=limit_s, env=environment(env), cwd=cwd, text=True, check=False)
        return judged(done.returncode, done.stdout, done.stderr)
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
