#!/usr/bin/env python3
"""A real vLLM on this machine's CPU: its processes, by what they do, and how to end them all.

    .venv/bin/python tools/vllm/server.py PORT      runs one until Ctrl-C (tools/vllm/setup.py installs it)

vLLM is several processes: the API server starts the engine core, and that starts a worker. Of them the API
server alone is our child; the others stay for ever when it is killed, so they are remembered.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-vllm"
MODEL_NAME = "tiny"
CONTEXT = 1024
START_LIMIT_S = 400
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "TORCHDYNAMO_DISABLE": "1",     # no C++ compiler is wanted, nor the wait for it in the first answers
}
GONE = (FileNotFoundError, ProcessLookupError)
TITLES = {"engine": "VLLM::EngineCore", "worker": "VLLM::Worker"}


class Process:
    """One process, for ever: a number that was given to another one since is not taken for it."""

    def __init__(self, pid: int):
        self.pid = pid
        self.born = self._stat()[19]

    def _stat(self) -> list[str]:
        """The fields of /proc/PID/stat from the state on."""
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()

    @property
    def is_running(self) -> bool:
        try:
            fields = self._stat()
        except GONE:
            return False
        return fields[19] == self.born and fields[0] != "Z"

    @property
    def title(self) -> str:
        try:
            return pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except GONE:
            return ""

    def send(self, number: int) -> None:
        if self.is_running:
            os.kill(self.pid, number)


def family_of(pid: int) -> list[Process]:
    """All that descend from it, itself left out."""
    found: list[Process] = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(*GONE):
            for child in (task / "children").read_text().split():
                with contextlib.suppress(*GONE):
                    found.append(Process(int(child)))
    return found + [p for child in found for p in family_of(child.pid)]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve_command(port: int) -> list[str]:
    return [str(VENV / "bin" / "vllm"), "serve", str(VENV / "model"), "--host", "127.0.0.1", "--port", str(port),
            "--served-model-name", MODEL_NAME, "--max-model-len", str(CONTEXT), "--enforce-eager"]


def serve_environment() -> dict[str, str]:
    """What it needs beside our own."""
    return {**ENVIRONMENT, "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}"}


class Vllm:
    """One vLLM server. `start` returns at once and `wait` when it can answer; both can be called again after
    it has ended or was ended. Always `stop` it, or its engine stays."""

    type = "vllm"

    def __init__(self, name: str, log: pathlib.Path, port: int | None = None):
        self.name, self.log = name, log
        self.port = port or free_port()
        self.process: subprocess.Popen | None = None
        self.family: list[Process] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- life ---

    def start(self) -> None:
        self.stop()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(serve_command(self.port), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **serve_environment()})

    def wait(self, limit_s: float = START_LIMIT_S) -> Vllm:
        end = time.monotonic() + limit_s
        while not self.is_well():
            if self.has_ended():
                raise AssertionError(f"vLLM {self.name} ended at its start:\n{self.last_lines()}")
            if time.monotonic() > end:
                raise AssertionError(f"vLLM {self.name} has not started within {limit_s:.0f} s:\n{self.last_lines()}")
            time.sleep(0.25)
        self.family = family_of(self.process.pid)
        return self

    def ensure(self) -> Vllm:
        """Started again if it has to be, and ready."""
        is_starting = not self.family
        if self.has_ended() or not (is_starting or self.is_whole()):
            self.start()
        return self.wait()

    def stop(self) -> None:
        """Ends every process of it, also those that an ended API server has left behind."""
        if self.process is None:
            return
        remembered = {p.pid: p for p in self.family}
        roots = [p.pid for p in self.family if p.is_running] + ([] if self.has_ended() else [self.process.pid])
        for pid in roots:
            remembered.update({p.pid: p for p in family_of(pid)})
        self.process.kill()
        self.process.wait()
        for one in remembered.values():
            one.send(signal.SIGKILL)
        end = time.monotonic() + 20
        while any(p.is_running for p in remembered.values()):
            if time.monotonic() > end:
                raise AssertionError(f"processes of vLLM {self.name} cannot be ended: {sorted(remembered)}")
            time.sleep(0.02)
        self.process, self.family = None, []

    # --- what it is like ---

    def is_well(self) -> bool:
        try:
            return urllib.request.urlopen(self.url + "/health", timeout=2).status == 200
        except OSError:
            return False

    def has_ended(self) -> bool:
        """Its API server has, or was never started."""
        return self.process is None or self.process.poll() is not None

    def is_whole(self) -> bool:
        """None of the processes that do its work has ended."""
        if self.has_ended():
            return False
        titles = [p.title for p in self.family if p.is_running]
        return all(any(t.startswith(title) for t in titles) for title in TITLES.values())

    def running_requests(self) -> int:
        """As its metrics tell: being answered or waiting."""
        text = urllib.request.urlopen(self.url + "/metrics", timeout=5).read().decode()
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in text.splitlines()
                   if line.startswith(("vllm:num_requests_running", "vllm:num_requests_waiting{")))

    def last_lines(self, count: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    # --- what is done to it ---

    def part(self, role: str) -> Process:
        """`api`, `engine` or `worker`."""
        assert self.process
        if role == "api":
            return Process(self.process.pid)
        return next(p for p in self.family if p.title.startswith(TITLES[role]))

    def send(self, role: str, number: int) -> None:
        self.part(role).send(number)


def main() -> None:
    log = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"vllm-{sys.argv[1]}.log"
    one = Vllm("one", log, int(sys.argv[1]))
    try:
        one.start()
        print(f"starting, log in {log}", flush=True)
        one.wait()
        print(f"model {MODEL_NAME} on {one.url}", flush=True)
        one.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        one.stop()


if __name__ == "__main__":
    main()
