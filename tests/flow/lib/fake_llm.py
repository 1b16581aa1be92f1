"""A scripted backend that can misbehave at any byte.

A FakeLLM speaks enough of vLLM, llama.cpp, OpenAI (`type="vllm"` …), Ollama (`type="ollama"`) or Anthropic
(`type="anthropic"`) to be a backend, records every request, and does for each chat request what its `chat` says: a function that
gets the request and the wire. Ready-made behaviours are the functions below the class; a list of
behaviours is played one a request, the last one for ever.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    raw_head: bytes
    body: bytes
    connection: int = 0  # serial number, from 1
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_calibration(self) -> bool:
        """The gateway asks for itself: which models there are, or what can be resumed."""
        return self.headers.get("user-agent", "").endswith(" calibration")

    @property
    def is_offer(self) -> bool:
        """It asks what a model can take."""
        return self.is_calibration and self.path.endswith(("/props", "/api/show"))

    @property
    def is_vitals(self) -> bool:
        """The gateway looks for signs of life: it reads counters, or asks for one token."""
        return self.headers.get("user-agent", "").endswith(" vitals")

    @property
    def is_count(self) -> bool:
        """The gateway asks how many tokens a text has."""
        return self.headers.get("user-agent", "").endswith(" tokens")

    @property
    def is_own(self) -> bool:
        """Not what a client asked for, nor a probe."""
        return self.is_calibration or self.is_vitals or self.is_count


class PeerLeft(Exception):
    """The gateway closed its side while the script was still talking."""


class Wire:
    """One connection, as a script sees it."""

    def __init__(self, sock: socket.socket, llm: FakeLLM):
        self.sock, self.llm = sock, llm
        self.keep = True

    def send(self, data: bytes | str) -> None:
        try:
            self.sock.sendall(data.encode() if isinstance(data, str) else data)
        except OSError as e:
            self.llm.cancelled_at.append(time.monotonic())
            raise PeerLeft from e

    def drip(self, data: bytes, size: int = 1, gap_s: float = 0.0) -> None:
        for i in range(0, len(data), size):
            self.send(data[i:i + size])
            if gap_s:
                time.sleep(gap_s)

    def pause(self, seconds: float) -> None:
        """Waits, but notices at once when the gateway leaves or the test ends."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.llm.stopping.is_set():
            if self.peer_has_left():
                self.llm.cancelled_at.append(time.monotonic())
                raise PeerLeft
            time.sleep(0.005)

    def peer_has_left(self) -> bool:
        self.sock.setblocking(False)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.sock.setblocking(True)

    def hang(self) -> None:
        self.pause(3600)

    def reset(self) -> None:
        self.keep = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.keep = False
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    # --- shorthand for well-formed answers ---

    def head(self, status: int = 200, content_type: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}"]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
        self.send("\r\n".join(lines) + "\r\n\r\n")

    def reply(self, status: int, body: bytes | str | dict | list, content_type: str = "application/json",
              **headers: str) -> None:
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(data)}"]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode() + data)

    def begin_stream(self, content_type: str = "text/event-stream") -> None:
        self.head(200, content_type, transfer_encoding="chunked")

    def chunk(self, data: bytes | str) -> None:
        data = data.encode() if isinstance(data, str) else data
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def event(self, payload: dict | str) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self.chunk(f"data: {text}\n\n")

    def named_event(self, payload: dict) -> None:
        """As Anthropic sends it: the type is the event's name, too."""
        self.chunk(named(payload))

    def line(self, payload: dict) -> None:
        self.chunk(json.dumps(payload) + "\n")

    def end_stream(self) -> None:
        self.send(b"0\r\n\r\n")


Behaviour = Callable[[Request, Wire], None]


def reusing_socket() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


class FakeLLM:
    def __init__(self, name: str = "fake", type: str = "vllm", chat: Behaviour | list[Behaviour] | None = None):
        self.name, self.type = name, type
        self.requests: list[Request] = []
        self.cancelled_at: list[float] = []
        self.connections = 0
        self.chat = chat if chat is not None else answers()
        self.health: Behaviour = lambda _q, w: w.reply(200, {"status": "ok"})
        self.models: Behaviour = lists_models()
        self.calibration: Behaviour = answers()
        self.offer: Behaviour = replies(404)  # to GET /props, POST /api/show
        self.token: Behaviour = answers("yes")  # to the gateway's own request for one token
        self.tokenize: Behaviour = replies(404)  # real servers have it; most tests are about chunks
        self.metrics: Behaviour = replies(404)
        self.slots: Behaviour = replies(404)
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.socks: set[socket.socket] = set()
        self.listener: socket.socket | None = None
        # Keeps the port while nobody listens: else it could be given to another test meanwhile.
        self.place = reusing_socket()
        self.place.bind(("127.0.0.1", 0))
        self.port = self.place.getsockname()[1]
        self.start()

    # --- life ---

    def start(self) -> None:
        """Listens (again on the same port after a stop)."""
        self.stopping.clear()
        self.listener = reusing_socket()
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(512)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self) -> None:
        """As a killed process: the port refuses, every connection is cut."""
        self.stopping.set()
        if self.listener is not None:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        with self.lock:
            socks = list(self.socks)
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Stops for good: the port is anybody's again."""
        self.stop()
        self.place.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- what was asked ---

    @property
    def chats(self) -> list[Request]:
        return [r for r in list(self.requests) if r.method == "POST" and not r.is_own]

    @property
    def probes(self) -> list[Request]:
        return [r for r in list(self.requests) if r.method == "GET" and not r.is_own]

    @property
    def counts(self) -> list[Request]:
        return [r for r in list(self.requests) if r.is_count]

    @property
    def calibrations(self) -> list[Request]:
        return [r for r in list(self.requests) if r.method == "POST" and r.is_calibration and not r.is_offer]

    @property
    def looks(self) -> list[Request]:
        return [r for r in list(self.requests) if r.method == "GET" and r.is_calibration and not r.is_offer]

    @property
    def offer_questions(self) -> list[Request]:
        return [r for r in list(self.requests) if r.is_offer]

    @property
    def token_requests(self) -> list[Request]:
        return [r for r in list(self.requests) if r.method == "POST" and r.is_vitals]

    @property
    def readings(self) -> list[Request]:
        return [r for r in list(self.requests) if r.method == "GET" and r.is_vitals]

    # --- the server ---

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                serial = self.connections
                self.socks.add(sock)
            threading.Thread(target=self._serve, args=(sock, serial), daemon=True).start()

    def _serve(self, sock: socket.socket, serial: int) -> None:
        wire = Wire(sock, self)
        rest = b""
        try:
            while wire.keep and not self.stopping.is_set():
                request, rest = self._read(sock, rest)
                if request is None:
                    break
                request.connection = serial
                with self.lock:
                    self.requests.append(request)
                self._behaviour(request)(request, wire)
                if request.headers.get("connection", "").lower() == "close":
                    break
        except (PeerLeft, OSError):
            pass
        finally:
            with self.lock:
                self.socks.discard(sock)
            sock.close()

    def _behaviour(self, request: Request) -> Behaviour:
        if request.is_offer:
            return self.offer
        if request.is_calibration:
            return self.calibration if request.method == "POST" else self.models
        if request.is_vitals:
            reads = {"/metrics": self.metrics, "/slots": self.slots}
            return self.token if request.method == "POST" else reads.get(request.path, self.models)
        if request.is_count:
            return self.tokenize
        if request.method != "POST":
            return self.health
        with self.lock:
            if isinstance(self.chat, list):
                return self.chat.pop(0) if len(self.chat) > 1 else self.chat[0]
            return self.chat

    @staticmethod
    def _read(sock: socket.socket, rest: bytes) -> tuple[Request | None, bytes]:
        while b"\r\n\r\n" not in rest:
            data = sock.recv(65536)
            if not data:
                return None, b""
            rest += data
        head, rest = rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            data = sock.recv(1 << 20)
            if not data:
                return None, b""
            rest += data
        return Request(method, path, headers, head, rest[:length]), rest[length:]


# --- well-formed answers ---

def completion(text: str, model: str = "fake-model", finish: str = "stop", **extra: Any) -> dict:
    return {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1700000000, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                         "logprobs": None, "finish_reason": finish}],
            "usage": {"prompt_tokens": 7, "completion_tokens": len(text.split()),
                      "total_tokens": 7 + len(text.split())}, **extra}


def delta(content: str | None = None, finish: str | None = None, role: str | None = None,
          index: int = 0, **more: Any) -> dict:
    d: dict[str, Any] = {}
    if role:
        d["role"] = role
    if content is not None:
        d["content"] = content
    d.update(more)
    return {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000,
            "model": "fake-model",
            "choices": [{"index": index, "delta": d, "logprobs": None, "finish_reason": finish}]}


def usage_chunk(words: int) -> dict:
    return {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000,
            "model": "fake-model", "choices": [],
            "usage": {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words}}


def pieces(text: str) -> list[str]:
    """'Hello big world' → 'Hello', ' big', ' world': what a model's tokens look like."""
    words = text.split(" ")
    return words[:1] + [" " + w for w in words[1:]]


def stream_openai(q: Request, w: Wire, text: str, gap_s: float = 0.0, finish: str = "stop") -> None:
    w.begin_stream()
    w.event(delta("", role="assistant"))
    for piece in pieces(text):
        w.event(delta(piece))
        if gap_s:
            w.pause(gap_s)
    w.event(delta(finish=finish))
    if (q.json.get("stream_options") or {}).get("include_usage"):
        w.event(usage_chunk(len(pieces(text))))
    w.event("[DONE]")
    w.end_stream()


def stream_ollama(q: Request, w: Wire, text: str, gap_s: float = 0.0, done_reason: str = "stop") -> None:
    def line(content: str, done: bool, **more: Any) -> dict:
        return {"model": q.json["model"], "created_at": "2026-11-21T05:24:02.1Z",
                "message": {"role": "assistant", "content": content}, "done": done, **more}

    w.begin_stream("application/x-ndjson")
    for piece in pieces(text):
        w.line(line(piece, False))
        if gap_s:
            w.pause(gap_s)
    w.line(line("", True, done_reason=done_reason, total_duration=1, prompt_eval_count=7,
                eval_count=len(pieces(text))))
    w.end_stream()


def named(payload: dict) -> str:
    return f"event: {payload['type']}\ndata: {json.dumps(payload)}\n\n"


def message_start(model: str = "claude-fake", **usage: int) -> dict:
    return {"type": "message_start", "message": {
        "id": "msg_fake", "type": "message", "role": "assistant", "content": [], "model": model,
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 1, **usage}}}


def block_start(index: int = 0, **block: Any) -> dict:
    return {"type": "content_block_start", "index": index, "content_block": block or {"type": "text", "text": ""}}


def block_delta(index: int = 0, **delta: Any) -> dict:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def block_text(text: str) -> dict:
    return block_delta(type="text_delta", text=text)


def block_stop(index: int = 0) -> dict:
    return {"type": "content_block_stop", "index": index}


def message_end(stop_reason: str | None = "end_turn", output_tokens: int = 3, **usage: int) -> list[dict]:
    return [{"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": None},
             "usage": {"output_tokens": output_tokens, **usage}}, {"type": "message_stop"}]


def text_message(text: str, stop_reason: str = "end_turn", model: str = "claude-fake") -> list[dict]:
    """All events of an answer of one text."""
    return [message_start(model), block_start(), {"type": "ping"}, *[block_text(p) for p in pieces(text)],
            block_stop(), *message_end(stop_reason, len(pieces(text)))]


def stream_anthropic(_q: Request, w: Wire, text: str, gap_s: float = 0.0, stop_reason: str = "end_turn") -> None:
    w.begin_stream()
    for event in text_message(text, stop_reason):
        w.named_event(event)
        if gap_s and event["type"] == "content_block_delta":
            w.pause(gap_s)
    w.end_stream()


# --- behaviours ---

def answers(text: str = "Hello from the fake model", gap_s: float = 0.0, finish: str = "stop") -> Behaviour:
    def play(q: Request, w: Wire) -> None:
        if q.path.endswith("/api/chat"):
            stream_ollama(q, w, text, gap_s, finish)
        elif q.path.endswith("/v1/messages"):
            stream_anthropic(q, w, text, gap_s, "end_turn" if finish == "stop" else finish)
        elif q.json.get("stream"):
            stream_openai(q, w, text, gap_s, finish)
        else:
            w.reply(200, completion(text, finish=finish))
    return play


def lists_models(root: str = "org/model", loaded: bool = True) -> Behaviour:
    """What a vLLM or llama.cpp (GET /v1/models) or an Ollama (GET /api/ps) says it has, under the names that
    the fixture `gateway` gives: up-NAME."""
    def play(q: Request, w: Wire) -> None:
        name = f"up-{w.llm.name}"
        if q.path.endswith("/api/ps"):
            entry = {"name": name, "model": name, "size": 5, "digest": root, "expires_at": str(time.time())}
            w.reply(200, {"models": [entry] if loaded else []})
        else:
            w.reply(200, {"object": "list", "data": [
                {"id": name, "object": "model", "created": int(time.monotonic() * 1000), "root": root,
                 "max_model_len": 1024, "permission": [{"id": f"modelperm-{time.monotonic()}"}]}]})
    return play


def replies(status: int, body: Any = None, content_type: str = "application/json", **headers: str) -> Behaviour:
    shape = body if body is not None else {"error": {"message": f"scripted {status}", "type": "x", "code": status}}
    return lambda _q, w: w.reply(status, shape, content_type, **headers)


def counts(running: int = 0, waiting: int = 0, generated: Callable[[], int] = lambda: 7,
           kv: float = 0.1) -> Behaviour:
    """vLLM's metrics; `generated` is asked at each reading."""
    def play(_q: Request, w: Wire) -> None:
        label = '{engine="0",model_name="m"}'
        w.reply(200, f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{label} {running}.0\n"
                     f"vllm:num_requests_waiting{label} {waiting}.0\nvllm:kv_cache_usage_perc{label} {kv}\n"
                     f"vllm:prompt_tokens_total{label} 5.0\n"
                     f"vllm:generation_tokens_total{label} {generated()}.0\n", "text/plain")
    return play


def tokenizes(prompt: int = 7) -> Behaviour:
    """POST /tokenize as vLLM and llama.cpp answer it: a token a word; a conversation has `prompt` (vLLM only)."""
    def play(q: Request, w: Wire) -> None:
        assert q.path == "/tokenize" and q.json["model"] == f"up-{w.llm.name}"
        if w.llm.type == "llamacpp":
            w.reply(200, {"tokens": list(range(len(pieces(q.json["content"]))))})
            return
        count = prompt if "messages" in q.json else len(pieces(q.json["prompt"]))
        w.reply(200, {"count": count, "max_model_len": 1024, "tokens": list(range(count)), "token_strs": None})
    return play


def resets() -> Behaviour:
    return lambda _q, w: w.reset()


def closes() -> Behaviour:
    return lambda _q, w: w.close()


def hangs() -> Behaviour:
    return lambda _q, w: w.hang()


def hangs_after_head() -> Behaviour:
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.hang()
    return play


def sends(data: bytes, then: str = "close") -> Behaviour:
    """Raw bytes, then close, reset or hang."""
    def play(_q: Request, w: Wire) -> None:
        w.send(data)
        getattr(w, then)()
    return play


def streams_then(text: str, then: str) -> Behaviour:
    """Role chunk and `text`, then close, reset or hang without a finish_reason."""
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for piece in pieces(text):
            w.event(delta(piece))
        getattr(w, then)()
    return play


def events(*payloads: dict | str, end: bool = True) -> Behaviour:
    """These SSE payloads as they are; a clean chunked end unless end is False."""
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        for payload in payloads:
            w.event(payload)
        if end:
            w.end_stream()
        else:
            w.close()
    return play


def messages(*payloads: dict, then: str = "end_stream") -> Behaviour:
    """These events of Anthropic's as they are, then what the wire does."""
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        for payload in payloads:
            w.named_event(payload)
        getattr(w, then)()
    return play
