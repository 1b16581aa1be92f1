"""A collector of traces: takes what OTLP/HTTP sends, reads it with the official package, and can misbehave."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gateway import wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(v) for v in value.array_value.values]
    return getattr(value, kind)


def attributes(of: Any) -> dict[str, Any]:
    keys = [a.key for a in of.attributes]
    assert len(keys) == len(set(keys)), f"an attribute is there twice: {keys}"
    return {a.key: value_of(a.value) for a in of.attributes}


@dataclass
class OneSpan:
    """A span as tests want to see it."""

    span: Span
    resource: dict[str, Any]
    attributes: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.attributes = attributes(self.span)
        assert len(self.span.trace_id) == 16 and len(self.span.span_id) == 8
        assert len(self.span.parent_span_id) in (0, 8)
        assert 0 < self.span.start_time_unix_nano <= self.span.end_time_unix_nano

    def __getitem__(self, key: str) -> Any:
        return self.attributes.get(key)

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def is_server(self) -> bool:
        return self.span.kind == Span.SPAN_KIND_SERVER

    @property
    def is_error(self) -> bool:
        return self.span.status.code == 2

    @property
    def events(self) -> list[str]:
        return [e.name for e in self.span.events]

    def event(self, name: str) -> dict[str, Any]:
        return attributes(next(e for e in self.span.events if e.name == name))


class Collector:
    """Answers 200; `script` is a list of (status, headers) for the first requests, `delay_s` is waited before each answer.
    `certificate`: files of a certificate and its key, to speak TLS as localhost."""

    def __init__(self, script: list[tuple[int, dict[str, str]]] | None = None, delay_s: float = 0.0, rejects: int = 0,
                 certificate: tuple | None = None):
        self.script, self.delay_s, self.rejects = list(script or []), delay_s, rejects
        self.bodies: list[bytes] = []  # of all requests
        self.taken: list[ExportTraceServiceRequest] = []  # of those answered with 200
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.stopping.wait(collector.delay_s)
                status, headers, answer = collector.take(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        port = self.server.server_address[1]
        self.url = f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.lock:
            status, more = self.script.pop(0) if self.script else (200, {})
            self.paths.append(path)
            self.headers.append({k.lower(): v for k, v in headers.items()})
            self.bodies.append(body)
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            if status != 200:
                return status, more, b""
            self.taken.append(request)
            answer = ExportTraceServiceResponse()
            answer.partial_success.rejected_spans = self.rejects
            return 200, {"content-type": "application/x-protobuf", **more}, answer.SerializeToString()

    def stop(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    # --- what came ---

    @property
    def spans(self) -> list[OneSpan]:
        with self.lock:
            return [OneSpan(span, attributes(group.resource)) for request in self.taken
                    for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]

    def wait_servers(self, count: int = 1, limit_s: float = 10) -> list[OneSpan]:
        """Until so many exchanges have been told; the spans of kind SERVER."""
        return wait_until(lambda: len(found := [s for s in self.spans if s.is_server]) >= count and found, limit_s,
                          f"{count} spans of exchanges")

    def story(self) -> tuple[OneSpan, list[OneSpan]]:
        """The one exchange that was told, and its attempts in order."""
        (server,) = self.wait_servers(1)
        attempts = [s for s in self.spans if not s.is_server]
        assert all(s.parent == server.id and s.trace == server.trace for s in attempts)
        return server, sorted(attempts, key=lambda s: s.span.start_time_unix_nano)
