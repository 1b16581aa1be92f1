"""Cores, ports, descriptors, and processes with what they cost."""

from __future__ import annotations

import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPARE_FILES = 1500  # descriptors that a gateway needs beside those of its streams: nginx keeps 1,024 connections


class Failure(Exception):
    """A path did not do what was asked of it; the others go on without it."""


class Deadline:
    """When the bench must be done."""

    def __init__(self, limit_s: float):
        self.limit_s = limit_s
        self.end = time.monotonic() + limit_s

    def left_s(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            sys.exit(f"bench: not done within {self.limit_s:.0f} s; is the machine busy?")
        return left


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def pick_cores() -> tuple[int, int]:
    """One core for the load and the mock, one for the gateways."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        print("bench: only one core; the load and the gateways share it", file=sys.stderr)
    return cores[0], cores[1 % len(cores)]


def raise_files() -> int:
    """As many descriptors as may be had, for this process and its children. How many that are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most if most != resource.RLIM_INFINITY else 1 << 20


def streams_at_most(wanted: int) -> int:
    """Each stream takes two descriptors of a gateway."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files == resource.RLIM_INFINITY else min(wanted, (files - SPARE_FILES) // 2)


def free_ports(count: int) -> list[int]:
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [h.getsockname()[1] for h in holders]
    for h in holders:
        h.close()
    return ports


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise Failure(f"{name} is not installed (tools/install.sh bench)")
    return found


class Process:
    """A program on given cores, with its children. Its output goes to a file."""

    def __init__(self, name: str, command: list[str], cores: set[int], folder: pathlib.Path,
                 env: dict[str, str] | None = None):
        self.name = name
        self.output = folder / f"{name}.log"
        with self.output.open("wb") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          cwd=folder, env={**os.environ, **(env or {})},
                                          preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def pids(self) -> list[int]:
        found = [self.popen.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_us(self) -> float:
        """CPU time so far, of all threads, in the scheduler's own resolution (/proc/PID/stat has
        10 ms only): the clock of another process, as clock_getcpuclockid(3) names it."""
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids()) / 1000

    def main_thread_us(self) -> float:
        """CPU time so far of the main thread: in fallthrough the control thread."""
        pid = self.popen.pid
        return int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1000

    def rss_mib(self) -> float:
        kb = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    kb += int(line.split()[1])
        return kb / 1024

    def tail(self) -> str:
        return self.output.read_text(errors="replace")[-2000:]

    def wait_ready(self, url: str, limit_s: float, deadline: Deadline) -> None:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                raise Failure(f"{self.name} ended at once: {self.tail()}")
            try:
                with urllib.request.urlopen(url, timeout=min(2, deadline.left_s())) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        raise Failure(f"{self.name} is not ready after {limit_s:.0f} s: {self.tail()}")

    def wait_port(self, deadline: Deadline) -> int:
        """The port that one of our own programs says it listens on, in its first line."""
        while "\n" not in self.output.read_text():
            if self.popen.poll() is not None:
                raise Failure(f"{self.name} ended at once: {self.tail()}")
            deadline.left_s()
            time.sleep(0.01)
        return int(self.output.read_text().split()[1])

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(5)

    def stop(self) -> None:
        if self.popen.poll() is not None:
            return
        children = self.pids()[1:]
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        for pid in children:
            if self._is_child(pid):
                os.kill(pid, signal.SIGKILL)

    def _is_child(self, pid: int) -> bool:
        """Whether it is still there, and still one of ours: its files are in our folder."""
        try:
            return os.readlink(f"/proc/{pid}/cwd") == str(self.output.parent)
        except OSError:
            return False
