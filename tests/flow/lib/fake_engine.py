#!/usr/bin/env python3
"""A backend process that misbehaves on request: what a guard starts in tests.

    fake_engine.py --port N --state FOLDER [--load S] [OPTION…]

It serves /health, /metrics, /v1/models and /v1/chat/completions. What it does from then on stands
in FOLDER/mode, one word (also `once:WORD`: for the first process only). Each start appends a line with its pid and arguments to FOLDER/starts.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import pathlib
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--state", type=pathlib.Path, required=True)
parser.add_argument("--load", type=float, default=0)
options, rest = parser.parse_known_args()
began = time.monotonic()
state = options.state
first = not (state / "starts").exists()
with open(state / "starts", "a", encoding="utf-8") as f:
    leaks = [n for n in os.environ if n.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_"))]
    f.write(json.dumps({"pid": os.getpid(), "args": rest, "leaks": leaks, "group": os.getpgid(0),
                        "sigpipe": signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN,
                        "fds": len(os.listdir("/proc/self/fd")),
                        "cgroup": pathlib.Path("/proc/self/cgroup").read_text()}) + "\n")


def mode() -> str:
    try:
        word = (state / "mode").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    if word.startswith("once:"):
        return word[5:] if first else ""
    return word


def say(text: str) -> None:
    print(text, flush=True)


def grandchild() -> None:
    """One that leaves the process group and outlives us."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (state / "grandchild").write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(600)
        os._exit(0)
    while not (state / "grandchild").exists():
        time.sleep(0.01)


def at_start(word: str) -> None:
    if word == "exit0":
        os._exit(0)
    if word == "exit0_grandchild":
        grandchild()
        os._exit(0)
    if word == "crash":
        say("about to crash")
        os._exit(3)
    if word == "crash_loudly":
        say(f"about to crash with {rest} and another-one")
        os._exit(3)
    if word == "segv":
        ctypes.string_at(0)
    if word == "cuda_oom":
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", file=sys.stderr, flush=True)
        os._exit(1)
    if word == "cache_oom" and "0.5" not in rest:
        say("ValueError: No available memory for the cache blocks.")
        os._exit(1)
    if word == "host_oom":
        hog = []
        while True:
            hog.append(bytearray(os.urandom(1 << 20) * 16))
    if word == "ignore_term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if word == "grandchild":
        grandchild()
    if word == "chatter":
        for i in range(300):
            say(f"line {i}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: str, kind: str = "application/json") -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        loading = time.monotonic() - began < options.load
        if self.path == "/health":
            dead = mode() in ("no_health",)
            self.answer(503 if loading or dead else 200, '{"error":{"message":"Loading model"}}' if loading else "")
        elif self.path == "/metrics":
            if mode() == "mute":
                time.sleep(600)
            busy = mode() in ("hang", "busy")
            made = 7 if mode() in ("hang", "halt") else int(time.monotonic() * 10)
            self.answer(200, f"vllm:num_requests_running {int(busy)}\nvllm:num_requests_waiting 0\n"
                             f"vllm:generation_tokens_total {made}\n", "text/plain")
        elif self.path == "/v1/models":
            self.answer(200, '{"data":[{"id":"fake"}]}')
        else:
            self.answer(404, "{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(state / "asked", "a", encoding="utf-8") as f:
            f.write(json.dumps({"path": self.path, "body": body, "key": self.headers.get("Authorization")}) + "\n")
        if mode() in ("hang", "busy", "mute", "halt"):
            time.sleep(600)
        if mode() == "refuse":
            self.answer(401, '{"error":"Unauthorized"}')
            return
        self.answer(200, '{"choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"length"}]}')

    def log_message(self, *args: object) -> None:
        pass


def follow() -> None:
    """Commands for a running engine."""
    while True:
        time.sleep(0.02)
        word = mode()
        if word == "exit_now":
            say("leaving")
            os._exit(0)
        if word == "kill_now":
            os.kill(os.getpid(), signal.SIGKILL)


if options.load > 0:
    def spin() -> None:
        while time.monotonic() - began < options.load:
            pass
    threading.Thread(target=spin, daemon=True).start()
at_start(mode())
threading.Thread(target=follow, daemon=True).start()
ThreadingHTTPServer.allow_reuse_address = True
ThreadingHTTPServer.request_queue_size = 64
server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
server.daemon_threads = True
if mode() not in ("ignore_term",):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server.serve_forever()
