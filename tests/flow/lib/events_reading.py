"""What the tests of events share: reading them, live readers, and the command."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable

from gateway import BINARY, Gateway, wait_until


def events(gw: Gateway, **query: str | int) -> list[dict]:
    wanted = "&".join(f"{k}={v}" for k, v in query.items())
    answer = gw.request("GET", f"/events?{wanted}", admin=True)
    assert answer.status == 200, answer.body
    return answer.json["events"]


def wait_events(gw: Gateway, condition: Callable[[list[dict]], object], what: str, **query) -> list[dict]:
    """All events once they satisfy the condition."""
    return wait_until(lambda: (e := events(gw, **query)) and condition(e) and e, 15, what)


def kinds(all_events: list[dict]) -> list[str]:
    return [e["kind"] for e in all_events]


class Live:
    """A reader of the stream; collects what comes."""

    def __init__(self, gw: Gateway, query: str = "", headers: dict[str, str] | None = None):
        self.conn = http.client.HTTPConnection("127.0.0.1", gw.admin_port, timeout=60)
        self.conn.request("GET", "/events?" + query, headers={"accept": "text/event-stream", **(headers or {})})
        self.sock = self.conn.sock  # the response takes it over
        self.response = self.conn.getresponse()
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            while line := self.response.readline():
                self.lines.append(line.decode().rstrip("\n"))
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass

    @property
    def events(self) -> list[dict]:
        return [json.loads(line[len("data: "):]) for line in list(self.lines) if line.startswith("data: ")]

    def wait(self, condition: Callable[[list[dict]], object], what: str) -> list[dict]:
        return wait_until(lambda: condition(self.events) and self.events, 15, what)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # ends the thread's reading too
        self.thread.join(10)
        self.response.close()
        self.sock.close()
        self.conn.close()


def run(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([str(BINARY), "events", *args], capture_output=True, text=True, timeout=30,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, check=False)
