"""A client by bytes: sends what it is told, reads whole HTTP responses, sees how a connection ends."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def post(body: bytes | dict, headers: str = "", path: str = "/v1/chat/completions", version: str = "1.1") -> bytes:
    """A well-formed POST with a Content-Length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (f"POST {path} HTTP/{version}\r\nHost: x\r\n{headers}"
            f"Content-Length: {len(data)}\r\n\r\n").encode("latin-1") + data


def get(path: str = "/health", headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode("latin-1")


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool  # ended by its own framing

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"

    @property
    def text(self) -> str:
        return self.json["choices"][0]["message"]["content"]


class Ended(Exception):
    """The gateway closed the connection before a response was complete."""


class RawClient:
    def __init__(self, port: int, timeout: float = 10, receive_buffer: int | None = None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self.was_reset = False

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.sock.close()  # a test that fails leaves nothing behind for the next one

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes | str) -> RawClient:
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def send_if_open(self, data: bytes) -> RawClient:
        """As send, for what the gateway may refuse to read to its end."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def more(self) -> bool:
        """Reads some; False at the end of the connection. A gateway that is silent is a TimeoutError."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            self.was_reset = True
            return False
        self.rest += data
        return data != b""

    def take_until(self, mark: bytes) -> bytes:
        while mark not in self.rest:
            if not self.more():
                raise Ended(self.rest)
        at = self.rest.index(mark) + len(mark)
        out, self.rest = self.rest[:at], self.rest[at:]
        return out

    def take(self, size: int) -> bytes:
        while len(self.rest) < size:
            if not self.more():
                raise Ended(self.rest)
        out, self.rest = self.rest[:size], self.rest[size:]
        return out

    def head(self) -> tuple[int, dict[str, str]]:
        lines = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        pairs = [line.split(": ", 1) for line in lines[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), f"a header is given twice: {pairs}"
        return int(status), headers

    def chunk(self) -> bytes | None:
        """The next chunk of a stream; None after its clean end."""
        size = int(self.take_until(b"\r\n"), 16)
        if size == 0:
            assert self.take_until(b"\r\n") == b"\r\n"
            return None
        data = self.take(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    def response(self, to_head: bool = False) -> Response:
        """One response by its framing; `is_whole` is False when the connection ended inside of it."""
        status, headers = self.head()
        pieces: list[bytes] = []
        if to_head or status in (100, 204, 304):
            return Response(status, headers, b"", True)
        try:
            if "content-length" in headers:
                return Response(status, headers, self.take(int(headers["content-length"])), True)
            if headers.get("transfer-encoding") == "chunked":
                while (piece := self.chunk()) is not None:
                    pieces.append(piece)
                return Response(status, headers, b"".join(pieces), True)
        except Ended:
            return Response(status, headers, b"".join(pieces) + self.rest, False)
        while self.more():
            pass
        body, self.rest = self.rest, b""
        return Response(status, headers, body, not self.was_reset)

    def ends(self) -> bool:
        """True when the connection is closed by the gateway with nothing more to read."""
        while self.more():
            pass
        return self.rest == b""

    def is_open(self) -> bool:
        """True when another request can be made on this connection."""
        self.send(get("/v1/models"))
        return self.response().status == 200
