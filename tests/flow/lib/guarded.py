"""`fallthrough guard` under test, with verbs, around tests/flow/lib/fake_engine.py."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from gateway import BINARY, FORBIDDEN, wait_until
from ports import free_port

ENGINE = pathlib.Path(__file__).parent / "fake_engine.py"
# Short times, so that a test waits for conditions and not for the clock.
DEFAULTS = {
    "listen": "127.0.0.1:0",
    "interval": "100ms",
    "health_timeout": "2s",
    "start_timeout": "60s",
    "hang_after": "0",
    "probe_timeout": "1s",
    "stop": "{term: 2s, rest: 500ms, kill: 5s}",
    "backoff": "{first: 50ms, max: 200ms}",
}


def is_alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def mount_point() -> pathlib.Path | None:
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return pathlib.Path(line.split()[1])
    return None


def own_cgroup() -> pathlib.Path:
    root = mount_point()
    if root is None:
        pytest.skip("cgroup v2 is not mounted")
    own = next(line for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return root / own[3:].lstrip("/")


class Guard:
    """`command`: words instead of the fake engine's; other keywords are keys of its file."""

    def __init__(self, folder: pathlib.Path, mode: str = "", load: float = 0, more: list[str] | None = None,
                 command: list[str] | None = None, env: dict[str, str] | None = None, port: int | None = None,
                 backend: str = "", prefix: list[str] | None = None, engine: pathlib.Path = ENGINE, **extra: str):
        self.folder = folder
        self.port = port or free_port()
        self.expected_code: int | None = 0
        self.lines: list[str] = []
        self.set_mode(mode)
        words = command if command is not None else [
            sys.executable, "-S", str(engine), "--port", str(self.port), "--state", str(folder),
            "--load", str(load), *(more or [])]
        keys = {**DEFAULTS, **extra}
        text = "".join(f"{key}: {value}\n" for key, value in keys.items() if value)
        text += f"command: {json.dumps(words)}\n"
        text += f"backend: {{url: 'http://127.0.0.1:{self.port}'{', ' + backend if backend else ''}}}\n"
        self.file = folder / "guard.yaml"
        self.file.write_text(text, encoding="utf-8")
        self.process = subprocess.Popen(
            [*(prefix or []), str(BINARY), "guard", "-c", str(self.file)], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1", **(env or {})})
        self.done = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as out:
            for line in out:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        self.done.set()

    # --- verbs ---

    def set_mode(self, mode: str) -> None:
        new = self.folder / "mode.new"
        new.write_text(mode, encoding="utf-8")
        new.rename(self.folder / "mode")

    def starts(self) -> list[dict]:
        path = self.folder / "starts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def logged(self, text: str) -> list[str]:
        return [line for line in list(self.lines) if text in line]

    def address(self) -> int:
        def look() -> int | None:
            for line in list(self.lines):
                if m := re.search(r"msg=guarding listen=\S+?:(\d+)", line):
                    return int(m[1])
            assert self.process.poll() is None, "\n".join(self.lines)
            return None
        return wait_until(look, 20, "the guard says that it listens")

    def get(self, path: str = "/guard", headers: dict[str, str] | None = None) -> tuple[int, dict]:
        conn = http.client.HTTPConnection("127.0.0.1", self.address(), timeout=10)
        try:
            conn.request("GET", path, headers=headers or {})
            answer = conn.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            conn.close()

    def told(self) -> dict:
        return self.get()[1]

    def wait_state(self, state: str, limit_s: float = 30) -> dict:
        try:
            return wait_until(lambda: (t := self.told())["state"] == state and t, limit_s, f"state {state}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.told()}\n" + "\n".join(self.lines[-40:])) from None

    def wait_restarted(self, count: int = 1, limit_s: float = 30) -> dict:
        """READY again after so many restarts."""
        return wait_until(lambda: (t := self.told())["state"] == "READY" and t["restarts"]["total"] >= count and t,
                          limit_s, f"READY after {count} restarts")

    def term(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self, limit_s: float = 30) -> int:
        if self.process.poll() is None:
            self.term()
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the guard did not end:\n" + "\n".join(self.lines[-40:])) from None
        self.done.wait(5)
        return self.process.returncode

    def judge(self) -> None:
        pids = [s["pid"] for s in self.starts()]
        code = self.stop()
        bad = [line for line in self.lines if any(f in line for f in FORBIDDEN)]
        assert not bad, "\n".join(self.lines[-80:])
        assert self.expected_code in (None, code), f"ended with {code}:\n" + "\n".join(self.lines[-80:])
        left = [pid for pid in pids if is_alive(pid)]
        assert not left, f"left behind: {left}"


class NotifySocket:
    """What a service manager hears: `abstract` or at a path."""

    def __init__(self, folder: pathlib.Path, abstract: bool):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = f"@fallthrough-{os.getpid()}-{time.monotonic_ns()}" if abstract else str(folder / "notify")
        self.socket.bind("\0" + self.name[1:] if abstract else self.name)
        self.heard: list[str] = []
        self.socket.settimeout(0.2)
        self.ended = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while not self.ended:
            try:
                self.heard.append(self.socket.recv(65536).decode())
            except TimeoutError:
                continue

    def all(self, key: str) -> list[str]:
        return [line[len(key) + 1:] for text in list(self.heard) for line in text.split("\n")
                if line.startswith(key + "=")]

    def at(self, line: str) -> int:
        """The first datagram that has this line."""
        for i, text in enumerate(list(self.heard)):
            if line in text.split("\n"):
                return i
        return -1

    def close(self) -> None:
        self.ended = True
        self.thread.join()
        self.socket.close()
