"""TLS on both sides, with certificates made for the test."""

import http.client
import json
import socket
import ssl
import subprocess
import threading

import pytest
from fake_llm import FakeLLM, answers


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


class TlsFront:
    """Ends TLS in front of a FakeLLM."""

    def __init__(self, llm: FakeLLM, certificate, silent: bool = False):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.llm, self.silent = llm, silent
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            if self.silent:
                sock.settimeout(10)
                try:
                    while sock.recv(4096):
                        pass
                except OSError:
                    pass
                return
            try:
                with self.context.wrap_socket(sock, server_side=True) as tls, \
                        socket.create_connection(("127.0.0.1", self.llm.port)) as plain:
                    threading.Thread(target=self._copy, args=(plain, tls), daemon=True).start()
                    self._copy(tls, plain)
            except OSError:
                pass

    @staticmethod
    def _copy(source, sink) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass


def config(url: str, ca: str, top: str = "") -> str:
    return f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
{top}
deadlines: {{connect: 1s, first_token: 5s}}
health: {{interval: 30s, timeout: 3s}}
backends: {{a: {{type: vllm, url: '{url}'{ca}}}}}
models: {{m: {{tiers: [a: x]}}}}
"""


def test_a_backend_is_spoken_to_by_tls_when_its_certificate_and_name_are_right(certificate, llm, gateway):
    front = TlsFront(llm("a", chat=answers("over tls")), certificate)
    gw = gateway(config=config(f"https://localhost:{front.port}", f", tls: {{ca: {certificate[0]}}}"))
    assert gw.chat().text == "over tls"
    assert gw.chat(stream=True).streamed_text == "over tls"
    gw.wait_state("a", "HEALTHY")


@pytest.mark.parametrize("url, ca", [("https://127.0.0.1:{}", True), ("https://localhost:{}", False)],
                         ids=["wrong_name", "unknown_ca"])
def test_no_byte_of_a_request_goes_to_a_backend_that_is_not_who_it_should_be(url, ca, certificate, llm, gateway):
    a = llm("a")
    front = TlsFront(a, certificate)
    gw = gateway(config=config(url.format(front.port), f", tls: {{ca: {certificate[0]}}}" if ca else ""))
    answer = gw.chat()
    assert answer.status == 503 and answer.trail == "a:tls_failed"
    assert not a.requests


def test_a_handshake_that_hangs_ends_at_the_connect_deadline(certificate, llm, gateway):
    front = TlsFront(llm("a"), certificate, silent=True)
    gw = gateway(config=config(f"https://localhost:{front.port}", f", tls: {{ca: {certificate[0]}}}"))
    answer = gw.chat()
    assert answer.status == 503 and answer.took_s < 8
    assert answer.trail.startswith("a:connect_timeout") or answer.trail == ""


def test_the_api_port_speaks_tls(certificate, llm, gateway):
    a = llm("a", chat=answers("x " * 20000))
    gw = gateway(config=config(a.url, "", f"tls: {{cert: {certificate[0]}, key: {certificate[1]}}}"))
    context = ssl.create_default_context(cafile=str(certificate[0]))
    for stream in (False, True):
        conn = http.client.HTTPSConnection("localhost", gw.port, context=context, timeout=10)
        body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "x"}]})
        conn.request("POST", "/v1/chat/completions", body)
        response = conn.getresponse()
        data = response.read()
        conn.close()
        assert response.status == 200 and data.count(b"x") > 10000
