"""Connections towards backends are used again, but never one that is not perfectly in order; one that went
stale in the pool is replaced without a word."""

import concurrent.futures
import json
import threading
import time

import pytest
from fake_llm import Request, Wire, answers, closes, completion, events, hangs, replies, resets, sends
from gateway import wait_until
from raw_client import CHAT, RawClient, post
from sse_text import text_of

STREAM = {**CHAT, "stream": True}
# JSON with a length, so that the connection is back in the pool before the client has its answer.
PLAIN = {"health": "{interval: 10m, timeout: 1s}", "streams": "{upstream: never}"}
OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def body(text: str) -> bytes:
    return json.dumps(completion(text)).encode()


def ask(client: RawClient, request: dict = CHAT):
    """On one client connection, so that it is one worker's pool."""
    return client.send(post(request)).response()


def connections(fake) -> list[int]:
    return [q.connection for q in fake.chats]


def test_one_connection_serves_many_requests(llm, gateway):
    a = llm("a")
    gw = gateway(a, **PLAIN)
    with RawClient(gw.port) as client:
        for _ in range(20):
            assert ask(client).status == 200
    assert len(set(connections(a))) == 1


def test_streams_keep_it_too(llm, gateway):
    """A client may ask again before the last bytes of the backend's stream are there: then a second one is made."""
    a = llm("a")
    gw = gateway(a, **PLAIN)
    with RawClient(gw.port) as client:
        for i in range(20):
            assert ask(client, STREAM if i % 2 else CHAT).status == 200
    assert len(set(connections(a))) <= 4


def test_a_streams_connection_is_back_in_the_pool_although_its_end_comes_late(llm, gateway):
    def play(q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event({**completion("x"), "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]})
        w.event("[DONE]")
        w.pause(0.05)
        w.end_stream()

    a = llm("a", chat=play)
    gw = gateway(a, **PLAIN)
    with RawClient(gw.port) as client:
        for _ in range(8):
            assert ask(client, STREAM).body.endswith(b"data: [DONE]\n\n")
            time.sleep(0.1)  # the end of the backend's stream, which no client sees and which may come later
    assert len(set(connections(a))) <= 4


def test_requests_at_the_same_time_have_connections_of_their_own(llm, gateway):
    ready = threading.Barrier(5, timeout=10)

    def play(q: Request, w: Wire) -> None:
        ready.wait()
        answers()(q, w)

    a = llm("a", chat=play)
    gw = gateway(a, **PLAIN, deadlines="{first_token: 10s}")
    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            assert [x.status for x in pool.map(lambda _i: gw.chat(), range(5))] == [200] * 5
    assert len(set(connections(a)[:5])) == 5


def test_connections_of_a_burst_serve_the_next_burst(llm, gateway):
    """Answers that come all at once leave so many idle connections; the same clients need them a moment later."""
    at_once = 300
    together = threading.Barrier(at_once, timeout=30)

    def play(q: Request, w: Wire) -> None:
        together.wait()
        answers()(q, w)

    a = llm("a", chat=play)
    gw = gateway(a, **PLAIN, workers=1, deadlines="{first_token: 30s, total: 60s}")
    clients = [RawClient(gw.port, timeout=40) for _ in range(at_once)]
    for burst in range(5):  # on a starved machine some are idle for longer than they are kept (4 s)
        for client in clients:
            client.send(post(CHAT))
        assert {client.response().status for client in clients} == {200}
        used = connections(a)
        if burst > 0 and set(used[-at_once:]) == set(used[-2 * at_once:-at_once]):
            return
    pytest.fail(f"no burst found the connections of the one before: {len(set(used))} for {len(used)} requests")


@pytest.mark.parametrize("request_body", [CHAT, STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize("death", [closes(), resets()], ids=["close", "reset"])
def test_a_stale_connection_is_replaced_in_silence(death, request_body, llm, gateway):
    a, b = llm("a", chat=[answers("one"), death, answers("two")]), llm("b")
    gw = gateway(a, b, **PLAIN)
    with RawClient(gw.port) as client:
        assert ask(client).text == "one"
        second = ask(client, request_body)
    assert second.status == 200 and b"two" in second.body
    assert second.headers["x-fallthrough-attempts"] == "a:ok"
    first, stale, fresh = connections(a)
    assert first == stale != fresh
    assert gw.state("a") == "HEALTHY" and not gw.logged("attempt failed") and not b.chats


def test_a_stale_connection_that_breaks_under_a_large_request_is_replaced_too(llm, gateway):
    def answer_then_break(q: Request, w: Wire) -> None:
        answers("one")(q, w)
        w.sock.recv(1000)  # the next request has begun
        w.reset()

    a = llm("a", chat=[answer_then_break, answers("two")])
    gw = gateway(a, **PLAIN)
    large = {**CHAT, "user": "u" * 5_000_000}
    with RawClient(gw.port) as client:
        assert ask(client).text == "one"
        second = ask(client, large)
    assert second.text == "two" and second.headers["x-fallthrough-attempts"] == "a:ok"
    assert a.chats[-1].json["user"] == large["user"]


def test_a_fresh_connection_that_dies_is_a_failure(llm, gateway):
    a, b = llm("a", chat=[answers("one"), closes()]), llm("b", chat=answers("from b"))
    gw = gateway(a, b, **PLAIN, retry="{same_backend: 0}")
    with RawClient(gw.port) as client:
        assert ask(client).text == "one"
        second = ask(client)
    assert second.text == "from b"
    assert second.headers["x-fallthrough-attempts"] == "a:closed,b:ok"
    assert len(a.chats) == 3


def test_a_pooled_connection_that_dies_behind_its_first_byte_is_a_failure(llm, gateway):
    a, b = llm("a", chat=[answers("one"), sends(b"HTTP/1.1 200 OK\r\nconte")]), llm("b", chat=answers("from b"))
    gw = gateway(a, b, **PLAIN)
    with RawClient(gw.port) as client:
        assert ask(client).text == "one"
        second = ask(client)
    assert second.text == "from b"
    assert second.headers["x-fallthrough-attempts"] == "a:truncated,b:ok"
    assert len(a.chats) == 2


def test_silence_on_a_pooled_connection_is_not_asked_again(llm, gateway):
    a, b = llm("a", chat=[answers("one"), hangs()]), llm("b", chat=answers("from b"))
    gw = gateway(a, b, **PLAIN, deadlines="{first_token: 1s}")
    with RawClient(gw.port) as client:
        assert ask(client).text == "one"
        second = ask(client, STREAM)
    assert text_of(second.body) == "from b"
    assert second.headers["x-fallthrough-attempts"] == "a:first_token_timeout,b:ok"
    assert len(a.chats) == 2


def test_connections_that_the_backend_closes_while_idle_are_dropped(llm, gateway):
    def answer_and_close(q: Request, w: Wire) -> None:
        answers("one")(q, w)
        w.close()

    a = llm("a", chat=answer_and_close)
    gw = gateway(a, **PLAIN)
    with RawClient(gw.port) as client:
        for _ in range(5):
            response = ask(client)
            assert response.text == "one" and response.headers["x-fallthrough-attempts"] == "a:ok"
    assert len(set(connections(a))) == 5
    assert gw.state("a") == "HEALTHY" and not gw.logged("attempt failed")
    before = gw.fd_count()
    wait_until(lambda: gw.fd_count() <= before, what="no descriptor stays behind")


# Behaviours whose connection must not be used again: bytes that nobody asked for would become the
# answer of somebody else's request.
POISON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(body("poison")), body("poison"))


def late_poison(_q: Request, w: Wire) -> None:
    w.reply(200, completion("one"))
    w.pause(0.05)
    w.send(POISON)
    w.hang()


ONE = body("one")
WHOLE = OK_HEAD + b"content-length: %d\r\n\r\n" % len(ONE) + ONE

NOT_REUSED = {
    "a_second_response": sends(WHOLE + POISON, "hang"),
    "a_stray_line_end": sends(WHOLE + b"\r\n", "hang"),
    "bytes_behind_the_last_chunk": sends(
        OK_HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(ONE), ONE) + POISON, "hang"),
    "a_late_response": late_poison,
    "connection_close": sends(WHOLE.replace(OK_HEAD, OK_HEAD + b"connection: close\r\n"), "hang"),
    "http_1_0": sends(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), "hang"),
    "until_eof": sends(OK_HEAD + b"\r\n" + ONE, "close"),
}


@pytest.mark.parametrize("row", NOT_REUSED)
def test_a_connection_that_is_not_in_order_is_not_used_again(row, llm, gateway):
    a = llm("a", chat=[NOT_REUSED[row], answers("two")])
    gw = gateway(a, **PLAIN)
    with RawClient(gw.port) as client:
        first = ask(client)
        assert first.text == "one" and first.headers["x-fallthrough-attempts"] == "a:ok"
        if row == "a_late_response":
            wait_until(lambda: a.cancelled_at, what="the gateway has closed it")
        second = ask(client)
    assert second.text == "two"
    assert len(set(connections(a))) == 2


def test_a_connection_whose_answer_was_broken_off_is_not_used_again(llm, gateway):
    a = llm("a", chat=[events("{nonsense", end=False), answers("two")])
    gw = gateway(a, llm("b"), **PLAIN)
    with RawClient(gw.port) as client:
        assert ask(client).headers["x-fallthrough-attempts"] == "a:not_json,b:ok"
        assert ask(client).status == 200
    assert len(set(connections(a))) == len(a.chats)


def test_errors_of_the_client_do_not_cost_a_connection(llm, gateway):
    a = llm("a", chat=replies(400))
    gw = gateway(a, **PLAIN)
    with RawClient(gw.port) as client:
        for _ in range(5):
            assert ask(client).status == 400
    assert len(set(connections(a))) == 1


def test_a_restarted_backend_is_found_again_on_a_fresh_connection(llm, gateway):
    a = llm("a")
    gw = gateway(a)
    with RawClient(gw.port) as client:
        assert ask(client).status == 200
        a.stop()
        a.start()
        wait_until(lambda: gw.state("a") == "HEALTHY", what="a is well")
        assert ask(client).status == 200
