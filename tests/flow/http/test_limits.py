"""Limits of requests and connections, all configured short: each has a clear error, none lets a client
hold the gateway."""

import json
import time

import pytest
from fake_llm import answers
from gateway import SANITIZED, wait_until
from raw_client import CHAT, RawClient, post

START = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
HEADER = 1024
BODY = 64 * 1024
LATE_S = 5  # for a slow machine; the times that are built in are longer


@pytest.fixture(scope="module")
def backend(shared_llm):
    return shared_llm("a", chat=answers("Hello from a"))


@pytest.fixture(scope="module")
def small(backend, shared_gateway):
    """A gateway with small sizes."""
    return shared_gateway(backend, limits=f"{{header: {HEADER}, body: {BODY}}}")


@pytest.fixture(scope="module")
def quick(backend, shared_gateway):
    """A gateway without patience."""
    return shared_gateway(backend, limits="{header_time: 600ms, body_time: 600ms, idle_time: 600ms}")


def head_of_size(size: int) -> bytes:
    head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Fill: "
    return head + b"f" * (size - len(head) - 4) + b"\r\n\r\n"


def body_of_size(size: int) -> bytes:
    body = json.dumps({**CHAT, "user": ""}).encode()
    return body.replace(b'"user": ""', b'"user": "%s"' % (b"u" * (size - len(body))))


def in_chunks(body: bytes, size: int) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size))


def refusal(client: RawClient, status: int, code: str) -> None:
    response = client.response()
    assert response.status == status, response.body
    assert response.json["error"]["code"] == code
    assert response.closes
    assert client.ends()


# --- sizes ---

def test_a_head_of_exactly_the_limit_is_served(small):
    with RawClient(small.port) as client:
        assert client.send(head_of_size(HEADER)).response().status == 200
        for byte in head_of_size(HEADER):
            client.send(bytes([byte]))
        assert client.response().status == 200


@pytest.mark.parametrize("pieces", [1, 2, HEADER + 1])
def test_a_head_of_one_byte_more_is_refused(pieces, small):
    data = head_of_size(HEADER + 1)
    size = -(-len(data) // pieces)
    with RawClient(small.port) as client:
        for i in range(0, len(data), size):
            client.send_if_open(data[i:i + size])
        refusal(client, 431, "headers_too_large")


def test_a_head_without_end_is_refused_at_the_limit(small):
    with RawClient(small.port) as client:
        client.send_if_open(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100_000)
        refusal(client, 431, "headers_too_large")


def test_the_limit_counts_for_each_of_pipelined_heads(small):
    with RawClient(small.port) as client:
        client.send(head_of_size(HEADER) * 5)
        assert [client.response().status for _ in range(5)] == [200] * 5


def test_a_body_of_exactly_the_limit_is_served(small, backend):
    for data in (post(body_of_size(BODY)),
                 START + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body_of_size(BODY), 5000) + b"0\r\n\r\n"):
        with RawClient(small.port) as client:
            assert client.send(data).response().text == "Hello from a"
        assert len(backend.chats[-1].json["user"]) > BODY - 200


def test_a_body_of_one_byte_more_is_refused_by_its_length_before_it_is_sent(small, backend):
    before = len(backend.chats)
    with RawClient(small.port) as client:
        client.send(START + b"Content-Length: %d\r\n\r\n" % (BODY + 1))
        refusal(client, 413, "request_too_large")
    assert len(backend.chats) == before


def test_who_expects_100_continue_is_refused_without_it(small):
    with RawClient(small.port) as client:
        client.send(START + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (BODY + 1))
        refusal(client, 413, "request_too_large")


def test_a_client_that_sends_its_too_large_body_all_the_same_can_read_the_refusal(small):
    with RawClient(small.port) as client:
        client.send_if_open(post(body_of_size(BODY * 3)))
        refusal(client, 413, "request_too_large")


@pytest.mark.parametrize("size", [1, 1000, BODY + 1])
def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit(size, small, backend):
    before = len(backend.chats)
    with RawClient(small.port) as client:
        client.send(START + b"Transfer-Encoding: chunked\r\n\r\n")
        client.send_if_open(in_chunks(b"x" * (BODY + 1), size))
        refusal(client, 413, "request_too_large")
    assert len(backend.chats) == before


def test_a_huge_announced_length_costs_no_memory(backend, gateway):
    gw = gateway(backend, limits="{body: 1g}")
    before = gw.rss_kb()
    clients = [RawClient(gw.port).send(START + b"Content-Length: 1000000000\r\n\r\n{") for _ in range(20)]
    assert gw.chat().status == 200
    if not SANITIZED:
        assert gw.rss_kb() - before < 24 * 1024
    for client in clients:
        client.close()


# --- times ---

def test_a_head_that_takes_too_long_is_refused(quick):
    with RawClient(quick.port) as client:
        began = time.monotonic()
        client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        refusal(client, 408, "request_timeout")
        assert 0.55 < time.monotonic() - began < LATE_S


def test_a_dripping_head_does_not_gain_time(quick):
    with RawClient(quick.port) as client:
        began = time.monotonic()
        client.sock.settimeout(0.02)
        client.send(b"GET /health HTTP/1.1\r\n")
        while client.rest == b"" and time.monotonic() - began < 2 * LATE_S:
            client.send_if_open(b"a: b\r\n")
            try:
                client.more()
            except TimeoutError:
                pass
        client.sock.settimeout(10)
        refusal(client, 408, "request_timeout")
        assert time.monotonic() - began < LATE_S


@pytest.mark.parametrize("framing", [b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
                         ids=["length", "chunked"])
def test_a_body_that_takes_too_long_is_refused(framing, quick, backend):
    before = len(backend.chats)
    with RawClient(quick.port) as client:
        began = time.monotonic()
        client.send(START + framing)
        refusal(client, 408, "request_timeout")
        assert 0.55 < time.monotonic() - began < LATE_S
    assert len(backend.chats) == before


def test_a_connection_without_a_request_is_closed_in_silence(quick):
    with RawClient(quick.port) as client:
        assert client.ends() and not client.was_reset


def test_an_idle_kept_connection_is_closed_in_silence(quick):
    with RawClient(quick.port) as client:
        assert client.send(post(CHAT)).response().status == 200
        began = time.monotonic()
        assert client.ends() and not client.was_reset
        assert 0.5 < time.monotonic() - began < LATE_S


def test_a_long_answer_is_not_taken_for_an_idle_connection(llm, gateway):
    a = llm("a", chat=answers("one two three four five six seven eight", gap_s=0.2))
    gw = gateway(a, limits="{header_time: 600ms, body_time: 600ms, idle_time: 600ms, send_time: 600ms}")
    answer = gw.chat(stream=True)
    assert answer.is_whole_stream and answer.streamed_text.endswith("eight")


# --- connections ---

def test_connections_over_the_limit_are_refused_with_503_and_admitted_when_others_leave(backend, gateway):
    gw = gateway(backend, limits="{connections: 3}")
    clients = [RawClient(gw.port) for _ in range(3)]
    for client in clients:
        assert client.is_open()
    with RawClient(gw.port) as fourth:
        fourth.send_if_open(post(CHAT))
        response = fourth.response()
        assert response.status == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.json["error"]["code"] == "too_many_connections"
        assert fourth.ends()
    assert clients[0].is_open()
    clients.pop().close()

    def admitted():
        with RawClient(gw.port) as client:
            return client.send(post(CHAT)).response().status == 200

    wait_until(admitted, 15, "a connection is admitted again")
    for client in clients:
        client.close()


def test_far_over_the_limit_connections_are_just_closed(backend, gateway):
    gw = gateway(backend, limits="{connections: 2}")
    clients = [RawClient(gw.port) for _ in range(2)]
    assert clients[0].is_open() and clients[1].is_open()
    clients += [RawClient(gw.port) for _ in range(100)]
    for client in clients[2:]:
        assert not client.more() or client.rest.startswith(b"HTTP/1.1 503 ")
    for client in clients:
        client.close()
    wait_until(lambda: gw.status()["connections"] == 0, 15, "no connection is counted any more")


def test_the_admin_port_answers_when_the_api_port_is_full(backend, gateway):
    gw = gateway(backend, limits="{connections: 1}")
    with RawClient(gw.port) as client:
        assert client.is_open()
        assert gw.status()["connections"] == 1
