#!/usr/bin/env python3
"""A backend of several processes, as vLLM is one: what a guard starts in the stories.

    story_engine.py --port N --state FOLDER [OPTION…]

The front serves HTTP; a core in a session of its own makes the tokens, and a worker of the core (in a session
of its own, too, and deaf to SIGTERM) does nothing but live. As seen with vLLM 0.32: /health and /metrics are
answered by the front alone, with the figures that the core told last; the front ends with status 0 when the core
has died; the core and the worker live on when the front is killed.

It counts: the answer to any question is " 0 1 2 …", and it goes on where an assistant's message ends, so that a
token that is lost or doubled shows. What it does stands in FOLDER/mode, one word. Each start appends a line
to FOLDER/starts: its pid, its arguments, and which processes of earlier starts are alive still.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import pathlib
import signal
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from counting import COUNT, first_number

TOKEN_S = 0.02


def mode(state: pathlib.Path) -> str:
    try:
        return (state / "mode").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def is_alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def note(state: pathlib.Path, name: str, what: dict) -> None:
    with open(state / name, "a", encoding="utf-8") as f:
        f.write(json.dumps(what) + "\n")


def notes(state: pathlib.Path, name: str) -> list[dict]:
    path = state / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Figures:
    """Shared by the front and the core: tokens made so far, requests at work."""

    def __init__(self) -> None:
        self.map, self.lock = mmap.mmap(-1, 16), threading.Lock()

    def add(self, tokens: int, running: int) -> None:
        with self.lock:
            made, now = self.read()
            self.map[:] = struct.pack("qq", made + tokens, now + running)

    def read(self) -> tuple[int, int]:
        return struct.unpack("qq", self.map[:])


# --- the core ---


class Core:
    def __init__(self, state: pathlib.Path, figures: Figures):
        self.state, self.figures = state, figures
        self.name = f"\0story-core-{os.getpid()}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.name)
        self.listener.listen(64)

    def run(self) -> None:
        os.setsid()
        note(self.state, "family", {"pid": os.getpid(), "role": "core"})
        if mode(self.state) == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note(self.state, "family", {"pid": os.getpid(), "role": "worker"})
            while True:
                time.sleep(60)
        threading.Thread(target=self.eat, daemon=True).start()
        while True:
            threading.Thread(target=self.make, args=(self.listener.accept()[0],), daemon=True).start()

    def eat(self) -> None:
        hog = []
        while True:
            time.sleep(0.02)
            if mode(self.state) == "eat":
                hog.append(bytearray(os.urandom(1 << 20) * 8))

    def make(self, front: socket.socket) -> None:
        """Tokens until the front has enough of them."""
        self.figures.add(0, 1)
        try:
            with front:
                while True:
                    time.sleep(TOKEN_S)
                    self.figures.add(1, 0)
                    front.sendall(b"t")
        except OSError:
            pass
        finally:
            self.figures.add(0, -1)


# --- the front ---


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    core: Core

    def answer(self, body: str, kind: str = "application/json") -> None:
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        made, running = self.core.figures.read()
        if self.path == "/metrics":
            self.answer(f"vllm:num_requests_running {running}\nvllm:num_requests_waiting 0\n"
                        f"vllm:generation_tokens_total {made}\n", "text/plain")
        elif self.path == "/v1/models":
            self.answer('{"object":"list","data":[{"id":"counter","object":"model"}]}')
        else:
            self.answer("")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        begin = first_number(body)
        end = min(COUNT, begin + body.get("max_tokens", COUNT))
        with socket.socket(socket.AF_UNIX) as core:
            core.connect(self.core.name)
            if body.get("stream"):
                self.stream(core, range(begin, end))
                return
            for _ in range(begin, end):
                if not core.recv(1):
                    raise ConnectionResetError
        text = "".join(f" {n}" for n in range(begin, end))
        self.answer(json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "counter", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}))

    def stream(self, core: socket.socket, numbers: range) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event({"role": "assistant", "content": ""})
        for n in numbers:
            if not core.recv(1):
                raise ConnectionResetError
            self.event({"content": f" {n}"})
        self.event({}, "stop")
        self.chunk("data: [DONE]\n\n")
        self.chunk("")

    def event(self, delta: dict, finish: str | None = None) -> None:
        self.chunk("data: " + json.dumps({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "counter",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + "\n\n")

    def chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client has gone, or the core


def follow(core_pid: int) -> None:
    """The front knows at once, and leaves as vLLM does: with status 0."""
    os.waitpid(core_pid, 0)
    print("EngineCore died unexpectedly. Shutting down.", flush=True)
    time.sleep(0.2)
    os._exit(0)


def leave(core_pid: int) -> None:
    os.kill(core_pid, signal.SIGKILL)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    state = options.state
    left = [p for p in notes(state, "family") if is_alive(p["pid"])]
    note(state, "family", {"pid": os.getpid(), "role": "front"})
    note(state, "starts", {"pid": os.getpid(), "args": rest, "left": left})
    if mode(state) == "crash":
        print("RuntimeError: no kernel image is available for execution on the device", file=sys.stderr, flush=True)
        os._exit(1)
    if mode(state) == "slow":
        time.sleep(600)
    if mode(state) == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    core = Core(state, Figures())
    core_pid = os.fork()
    if core_pid == 0:
        core.run()
    core.listener.close()
    if mode(state) != "deaf":
        signal.signal(signal.SIGTERM, lambda *_: leave(core_pid))
    threading.Thread(target=follow, args=(core_pid,), daemon=True).start()
    Handler.core = core
    Server(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
