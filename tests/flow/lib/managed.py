"""Backends that the gateway starts itself, for tests: scripted engines and what is told of them."""

from __future__ import annotations

import json
import os
import pathlib
import sys

from gateway import wait_until
from guarded import ENGINE, is_alive
from ports import free_port

MANAGED = {"start_timeout": "30s", "hang_after": "0", "stop_after": "1s",
           "stop": "{term: 2s, rest: 500ms, kill: 5s}", "backoff": "{first: 50ms, max: 200ms}"}


BASE = """listen: 127.0.0.1:0
admin: 127.0.0.1:0
workers: 2
health: {hang_after: 0, counters: 0, interval: 200ms, timeout: 3s, degraded_after: 1500ms, down_after: 3, up_after: 2}
breaker: {trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 0}
streams: {calibrate: 0}
log: {level: debug}
"""


class Engine:
    """Not started by us: `starts` are what the gateway did."""

    def __init__(self, name: str, folder: pathlib.Path, load: float = 0, command: list[str] | None = None,
                 extra: str = "", **keys: str):
        self.name, self.folder, self.port = name, folder, free_port()
        self.words = command or [sys.executable, "-S", str(ENGINE), "--port", str(self.port), "--state", str(folder),
                                 "--load", str(load)]
        self.keys = {**MANAGED, **keys}
        self.extra = extra

    @property
    def yaml(self) -> str:
        keys = "".join(f", {key}: {value}" for key, value in self.keys.items())
        return (f"{{type: vllm, url: 'http://127.0.0.1:{self.port}', {self.extra}"
                f"managed: {{command: {json.dumps(self.words)}{keys}}}}}")

    def set_mode(self, mode: str) -> None:
        new = self.folder / "mode.new"
        new.write_text(mode, encoding="utf-8")
        new.rename(self.folder / "mode")

    def starts(self) -> list[dict]:
        path = self.folder / "starts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def asked(self) -> list[dict]:
        path = self.folder / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def left(self) -> list[int]:
        pids = [s["pid"] for s in self.starts()]
        grandchild = self.folder / "grandchild"
        pids += [int(grandchild.read_text())] if grandchild.exists() else []
        return [pid for pid in pids if is_alive(pid)]


def guards_of(gw) -> list[int]:
    """Guards that this gateway has started and that still run."""
    path = pathlib.Path(f"/proc/{gw.process.pid}/task/{gw.process.pid}/children")
    return [int(pid) for pid in path.read_text().split() if is_alive(int(pid))] if path.exists() else []


def managed(gw, name: str) -> dict:
    return gw.backend(name)["managed"]


def wait_process(gw, name: str, state: str, limit_s: float = 30) -> dict:
    try:
        return wait_until(lambda: (m := managed(gw, name))["state"] == state and m, limit_s, f"{name} is {state}")
    except AssertionError as e:
        raise AssertionError(f"{e}\n{gw.backend(name)}\n" + "\n".join(gw.lines[-40:])) from None
