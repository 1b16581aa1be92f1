#!/usr/bin/env python3
"""A backend that is a process of its own, so that it can be killed, and carries hundreds of streams at little cost.

    stream_server.py [--first-token SECONDS] [--interval SECONDS] [--tokens N]

Prints `listening PORT`. To the question `Q` it answers the tokens of `answer(Q, N)`, one an interval, the first after
--first-token; to a question with half of that answer behind it, it goes on exactly there, as a server does that has
continue_final_message. To anything that is not the beginning of its answer it says 400. GET /asked lists what it was
asked: [[question, the half answer behind it], …], GET /times when (time.monotonic): {question: [[read, spoken], …]},
a pair for each time it was asked: the whole request was read; the first token went out.
"""

from __future__ import annotations

import argparse
import heapq
import json
import selectors
import socket
import time


def answer(question: str, count: int) -> list[str]:
    """Each token of each answer is unlike any other, so that one that is lost, doubled or another's is seen."""
    return [f"{'' if i == 0 else ' '}{question}:{i}" for i in range(count)]


def after(tokens: list[str], given: str) -> list[str]:
    """What of the tokens is left behind the text that was given, their beginning."""
    left = len(given)
    for i, token in enumerate(tokens):
        if left < len(token):
            return [token[left:], *tokens[i + 1:]]
        left -= len(token)
    return []


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(delta: dict, finish: str | None = None) -> bytes:
    body = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1700000000, "model": "x",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return chunk(b"data: " + json.dumps(body).encode() + b"\n\n")


STREAM_HEAD = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
               + event({"role": "assistant", "content": ""}))
STREAM_END = event({}, "stop") + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def plain(status: int, body: dict | list) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (status, len(data), data)


class Client:
    def __init__(self, sock: socket.socket):
        self.sock, self.raw, self.tokens = sock, b"", []
        self.times: list[float] = []

    def request(self) -> tuple[bytes, bytes] | None:
        """The next whole request, as head and body."""
        head, mark, rest = self.raw.partition(b"\r\n\r\n")
        if not mark:
            return None
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        size = int(lengths[0]) if lengths else 0
        if len(rest) < size:
            return None
        self.raw = rest[size:]
        return head, rest[:size]


class Server:
    def __init__(self, first_token: float, interval: float, tokens: int):
        self.first_token, self.interval, self.tokens = first_token, interval, tokens
        self.asked: list[tuple[str, str]] = []
        self.times: dict[str, list[list[float]]] = {}
        self.due: list[tuple[float, int, Client]] = []
        self.serial = 0
        self.waiting = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.waiting.register(self.listener, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in self.waiting.select(wait):
                self.accept() if key.data is None else self.guarded(self.read, key.data)
            while self.due and self.due[0][0] <= time.monotonic():
                self.guarded(self.speak, heapq.heappop(self.due)[2])

    def guarded(self, action, client: Client) -> None:
        """A client that has left is forgotten."""
        try:
            action(client)
        except OSError:
            if client.sock.fileno() >= 0:
                self.waiting.unregister(client.sock)
                client.sock.close()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.waiting.register(sock, selectors.EVENT_READ, Client(sock))

    def read(self, client: Client) -> None:
        piece = client.sock.recv(65536)
        if not piece:
            raise ConnectionError
        client.raw += piece
        while (request := client.request()) is not None:
            head, body = request
            if head.startswith(b"POST "):
                self.begin(client, json.loads(body))
            else:
                known = {b"/asked": self.asked, b"/times": self.times}
                client.sock.sendall(plain(200, known.get(head.split(b" ")[1], {"status": "ok"})))

    def begin(self, client: Client, request: dict) -> None:
        messages = request["messages"]
        given = messages.pop()["content"] if messages[-1]["role"] == "assistant" else ""
        question = messages[-1]["content"]
        tokens = answer(question, self.tokens)
        self.asked.append((question, given))
        if not "".join(tokens).startswith(given):
            client.sock.sendall(plain(400, {"error": {"message": "not the beginning of my answer", "code": 400}}))
            return
        client.tokens, client.times = after(tokens, given), [time.monotonic()]
        self.times.setdefault(question, []).append(client.times)
        client.sock.sendall(STREAM_HEAD)
        self.speak_at(client, time.monotonic() + self.first_token)

    def speak_at(self, client: Client, due: float) -> None:
        self.serial += 1
        heapq.heappush(self.due, (due, self.serial, client))

    def speak(self, client: Client) -> None:
        if not client.tokens:
            client.sock.sendall(STREAM_END)
            return
        client.sock.sendall(event({"content": client.tokens.pop(0)}))
        if len(client.times) == 1:
            client.times.append(time.monotonic())
        self.speak_at(client, time.monotonic() + (self.interval if client.tokens else 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-token", type=float, default=0.0)
    parser.add_argument("--interval", type=float, default=0.0)
    parser.add_argument("--tokens", type=int, default=40)
    o = parser.parse_args()
    server = Server(o.first_token, o.interval, o.tokens)
    print(f"listening {server.listener.getsockname()[1]}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
