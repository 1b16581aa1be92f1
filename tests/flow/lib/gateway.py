"""The real binary under test, with verbs. Its log is judged when it ends."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("FALLTHROUGH_BINARY", ROOT / "build" / "fallthrough"))

# Sanitizers keep freed memory and are slow: tests of memory and of times ask.
IMAGE = BINARY.read_bytes() if BINARY.exists() else b""
SANITIZED = b"__asan_init" in IMAGE or b"__tsan_init" in IMAGE

# What must never be in a log, whatever a test does.
FORBIDDEN = ("CHECK failed", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
             "WARNING: ThreadSanitizer", "SUMMARY: ")


def wait_until(condition: Callable[[], Any], limit_s: float = 20.0, what: str = "condition") -> Any:
    """Polls until the condition is true and returns its value; fails the test after the limit."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:.1f} s: {what}")
        time.sleep(0.01)


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes, took_s: float):
        self.status, self.headers, self.body, self.took_s = status, headers, body, took_s

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.json["choices"][0]["message"]["content"]

    @property
    def trail(self) -> str:
        return self.headers.get("x-fallthrough-attempts", "")

    @property
    def backend(self) -> str:
        return self.headers.get("x-fallthrough-backend", "")

    # --- of a stream ---

    @property
    def payloads(self) -> list[str]:
        return [e[len("data: "):] for e in self.body.decode().split("\n\n") if e.startswith("data: ")]

    @property
    def chunks(self) -> list[dict]:
        return [json.loads(p) for p in self.payloads if p != "[DONE]"]

    @property
    def streamed_text(self) -> str:
        return "".join(c["choices"][0]["delta"].get("content") or ""
                       for c in self.chunks if c.get("choices"))

    @property
    def is_whole_stream(self) -> bool:
        return self.payloads[-1:] == ["[DONE]"]


class Gateway:
    def __init__(self, config: str, folder: pathlib.Path, env: dict[str, str] | None = None,
                 nofile: int | None = None, before: list[str] | None = None):
        self.config_file = folder / "fallthrough.yaml"
        self.config_file.write_text(config, encoding="utf-8")
        self.lines: list[str] = []
        self.expected_code = 0
        self.is_ending = False
        limit = ["prlimit", f"--nofile={nofile}:{nofile}"] if nofile else []
        self.process = subprocess.Popen(
            [*limit, *(before or []), str(BINARY), "serve", "-c", str(self.config_file)], stderr=subprocess.PIPE,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1", **(env or {})})
        self.log_done = threading.Event()
        threading.Thread(target=self._read_log, daemon=True).start()
        found = wait_until(self._ports, 20, "the gateway says that it listens")
        self.port, self.admin_port = found

    def _read_log(self) -> None:
        assert self.process.stderr
        with self.process.stderr as log:
            for line in log:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        self.log_done.set()

    def _ports(self) -> tuple[int, int] | None:
        if self.process.poll() is not None:
            raise AssertionError("gateway ended at start:\n" + "\n".join(self.lines))
        for line in self.lines:
            m = re.search(r'msg"?[=:]"?listening"?[ ,]"?api"?[=:]"?[^ ,]*?:(\d+)"?[ ,]"?admin"?[=:]"?[^ ,]*?:(\d+)', line)
            if m:
                return int(m[1]), int(m[2])
        return None

    # --- verbs ---

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
                admin: bool = False, timeout: float = 30) -> Answer:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        conn = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=timeout)
        began = time.monotonic()
        try:
            conn.request(method, path, data, {"content-type": "application/json", **(headers or {})})
            response = conn.getresponse()
            try:
                payload = response.read()
            except http.client.IncompleteRead as e:
                payload = e.partial
            except ConnectionResetError:
                payload = b""
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, payload,
                          time.monotonic() - began)
        finally:
            conn.close()

    def chat(self, content: str = "Hi", model: str = "m", headers: dict[str, str] | None = None,
             timeout: float = 30, **more: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
        return self.request("POST", "/v1/chat/completions", body, headers, timeout=timeout)

    def raw(self, data: bytes, timeout: float = 10) -> bytes:
        """Bytes in, all bytes out until the gateway closes or is silent for `timeout`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as sock:
            sock.sendall(data)
            out = b""
            try:
                while piece := sock.recv(65536):
                    out += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return out

    def open_chat(self, body: dict, headers: str = "") -> socket.socket:
        """Sends a chat request and returns the socket, nothing read."""
        data = json.dumps(body).encode()
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + headers.encode() +
                     f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        return sock

    def status(self) -> dict:
        return self.request("GET", "/status", admin=True).json

    def backend(self, name: str) -> dict:
        return next(b for b in self.status()["backends"] if b["name"] == name)

    def state(self, name: str) -> str:
        return self.backend(name)["state"]

    def wait_state(self, name: str, state: str, limit_s: float = 20) -> dict:
        return wait_until(lambda: (b := self.backend(name))["state"] == state and b, limit_s,
                          f"{name} is {state}")

    def wait_probed(self, *names: str) -> None:
        """Until the first probe of each has been judged (its reason is no longer `starting`)."""
        for name in names:
            wait_until(lambda n=name: self.backend(n)["reason"] != "starting", 20, f"{name} is probed")

    def logged(self, text: str) -> list[str]:
        return [line for line in list(self.lines) if text in line]

    def rss_kb(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def cpu_s(self) -> float:
        """Processor time that it has used so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fd_count(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def signal(self, number: int) -> None:
        self.is_ending = self.is_ending or number in (signal.SIGTERM, signal.SIGINT)
        self.process.send_signal(number)

    def stop(self, limit_s: float = 40) -> int:
        if self.process.poll() is None:
            if not self.is_ending:  # a second one would not let it drain
                self.signal(signal.SIGTERM)
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the gateway did not end after SIGTERM:\n" + "\n".join(self.lines[-30:]))
        self.log_done.wait(20)
        return self.process.returncode

    def judge(self) -> None:
        """Ends it and fails the test on what must never happen."""
        code = self.stop()
        bad = [line for line in self.lines if any(f in line for f in FORBIDDEN)]
        assert not bad, "forbidden in the log:\n" + "\n".join(self.lines[-80:])
        assert code == self.expected_code, f"gateway ended with {code}:\n" + "\n".join(self.lines[-80:])
