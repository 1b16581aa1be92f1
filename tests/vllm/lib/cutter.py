"""Cuts answers of a real server short: a relay that breaks a connection after so many bytes or events."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)


class Cutter:
    """Stands between the gateway and a server. Only answers to POST are cut, after `max_bytes` of the whole
    response or after `max_events` events, whichever comes first."""

    type = "vllm"

    def __init__(self, name: str, port: int, max_bytes: int | None = None, max_events: int | None = None,
                 how: str = "reset"):
        self.name, self.to = name, port
        self.max_bytes, self.max_events, self.how = max_bytes, max_events, how
        self.seen = 0  # bytes of the last answer that were let through
        self.was_cut = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            with near, socket.create_connection(("127.0.0.1", self.to)) as far:
                self._relay(near, far)
        except OSError:
            pass  # one of them has gone, and now both have

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        # One thread for both ways: a socket in which another one waits is not closed by close().
        sent, is_post = b"", False
        while True:
            for ready in select.select([near, far], [], [])[0]:
                data = ready.recv(65536)
                if not data:
                    return
                if ready is near:
                    is_post = is_post or data.startswith(b"POST ")
                    far.sendall(data)
                    continue
                allowed = self._allowed(sent, data) if is_post else len(data)
                near.sendall(data[:allowed])
                if is_post:
                    sent += data[:allowed]
                    self.seen = len(sent)
                if allowed < len(data):
                    self.was_cut = True
                    if self.how == "reset":
                        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return

    def _allowed(self, sent: bytes, data: bytes) -> int:
        """So many of these bytes may still go."""
        allowed = len(data)
        if self.max_bytes is not None:
            allowed = min(allowed, self.max_bytes - len(sent))
        if self.max_events is not None:
            end = self._end_of_events(sent + data)
            allowed = min(allowed, end - len(sent))
        return max(allowed, 0)

    def _end_of_events(self, answer: bytes) -> int:
        at = 0
        for _ in range(self.max_events or 0):
            found = answer.find(b"\n\n", at)
            if found < 0:
                return len(answer)
            at = found + 2
        return at
