"""A client that reads slowly slows its backend down, and nothing else: memory stays bounded, the backend is
not blamed for its silence, others do not notice."""

import json
import socket
import time

import pytest
from fake_llm import PeerLeft, Request, Wire, answers, delta
from gateway import SANITIZED, wait_until
from raw_client import CHAT, RawClient, post
from sse_text import payloads, text_of

MIB = 1 << 20
PIECE = "x" * 65_000
STREAM = {**CHAT, "stream": True}


class Flood:
    """Streams `total` bytes of text as fast as they are taken, and counts."""

    def __init__(self, total: int = 40 * MIB):
        self.count = total // len(PIECE)
        self.sent = 0
        self.sent_at = time.monotonic()
        self.left_at = 0.0

    def __call__(self, _q: Request, w: Wire) -> None:
        try:
            w.begin_stream()
            w.event(delta("", role="assistant"))
            for _ in range(self.count):
                w.event(delta(PIECE))
                self.sent += 1
                self.sent_at = time.monotonic()
            w.event(delta(finish="stop"))
            w.event("[DONE]")
            w.end_stream()
        except PeerLeft:
            self.left_at = time.monotonic()
            raise

    def wait_stuck(self, for_s: float = 0.3) -> None:
        wait_until(lambda: self.sent > 0 and time.monotonic() - self.sent_at > for_s, 10,
                   "the backend cannot send any more")


@pytest.fixture
def flood():
    return Flood()


def reads_nothing(port: int) -> RawClient:
    return RawClient(port, receive_buffer=4096).send(post(STREAM))


def test_an_unread_stream_is_held_back_in_bounded_memory_and_comes_whole_in_the_end(flood, llm, gateway):
    a = llm("a", chat=[flood, answers("quick")])
    gw = gateway(a, deadlines="{first_token: 1s, stall: 500ms, total: 60s}")
    before = gw.rss_kb()
    with reads_nothing(gw.port) as client:
        flood.wait_stuck(0.8)  # longer than `stall`: the silence is the client's
        assert flood.sent < flood.count * 0.75
        if not SANITIZED:
            assert gw.rss_kb() - before < 24 * 1024
        beside = [gw.chat() for _ in range(5)]
        assert {answer.text for answer in beside} == {"quick"}
        assert min(answer.took_s for answer in beside) < 2
        assert gw.state("a") != "DOWN"  # a busy machine's probes may be slow
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        response = client.response()
    assert response.is_whole
    assert len(text_of(response.body)) == flood.count * len(PIECE)
    assert payloads(response.body)[-1] == "[DONE]"
    if not SANITIZED:
        assert gw.rss_kb() - before < 24 * 1024
    wait_until(lambda: gw.backend("a")["in_flight"] == 0, what="its attempt has ended")
    assert gw.state("a") != "DOWN"


def test_the_end_of_a_broken_answer_waits_for_a_client_that_reads_late(llm, gateway):
    """The gateway's own connection is long closed then: the kernel still has what it was given."""
    def breaks(_q: Request, w: Wire) -> None:
        w.begin_stream()
        for _ in range(5):
            w.event(delta(PIECE))
        w.close()

    gw = gateway(llm("a", chat=breaks))
    with reads_nothing(gw.port) as client:
        wait_until(lambda: gw.logged("exchange failed"), what="the answer is over")
        time.sleep(2.5)  # longer than closing lingers
        response = client.response()
    assert not response.is_whole
    assert json.loads(payloads(response.body)[-1])["error"]["code"] == "stream_interrupted"
    assert response.body.count(PIECE.encode()) == 5


def test_several_unread_streams_stay_bounded_too(llm, gateway):
    floods = [Flood() for _ in range(6)]
    a = llm("a", chat=[*floods, answers("quick")])
    gw = gateway(a, deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    before = gw.rss_kb()
    clients = []
    for flood in floods:  # one by one, so that each gets its own
        clients.append(reads_nothing(gw.port))
        wait_until(lambda f=flood: f.sent > 0, what="it streams")
    for flood in floods:
        flood.wait_stuck()
    assert min(gw.chat().took_s for _ in range(5)) < 2
    if not SANITIZED:
        assert gw.rss_kb() - before < 24 * 1024
    for client in clients:
        client.close()
    wait_until(lambda: all(f.left_at for f in floods), 20, "all are cancelled")


def test_a_client_that_reads_slowly_gets_all_of_it(llm, gateway):
    flood = Flood(4 * MIB)
    gw = gateway(llm("a", chat=flood), deadlines="{first_token: 1s, stall: 200ms, total: 60s}",
                 limits="{send_time: 500ms}")
    with RawClient(gw.port, receive_buffer=65536) as client:
        client.send(post(STREAM))
        while client.more() and b"[DONE]" not in client.rest[-100:]:
            time.sleep(0.005)  # the reader's slowness is the subject
        assert client.rest.count(PIECE.encode()) >= flood.count - 8  # chunk heads may fall into a piece
    assert gw.state("a") == "HEALTHY"


def test_a_client_that_does_not_read_at_all_is_cut_and_its_request_cancelled(flood, llm, gateway):
    gw = gateway(llm("a", chat=flood), limits="{send_time: 400ms}",
                 deadlines="{first_token: 30s, stall: 30s, total: 60s}")
    began = time.monotonic()
    with reads_nothing(gw.port) as client:
        wait_until(lambda: flood.left_at, 20, "the backend is cancelled")
        assert flood.left_at - began >= 0.4
        while client.more():
            pass
        assert client.was_reset
        assert b"[DONE]" not in client.rest
    wait_until(lambda: gw.backend("a")["in_flight"] == 0, what="its attempt has ended")
    assert gw.state("a") != "DOWN"


def test_a_client_that_leaves_a_held_back_stream_cancels_it(flood, llm, gateway):
    gw = gateway(llm("a", chat=flood), deadlines="{first_token: 30s, stall: 30s, total: 60s}", limits="{send_time: 30s}")
    client = reads_nothing(gw.port)
    flood.wait_stuck()
    client.close()
    wait_until(lambda: flood.left_at, 15, "the backend is cancelled")  # before any of its times is over
    assert gw.state("a") != "DOWN"


def test_a_held_back_stream_past_its_total_time_costs_no_processor_time(flood, llm, gateway):
    gw = gateway(llm("a", chat=flood), deadlines="{first_token: 1s, stall: 1s, total: 1s}")
    with reads_nothing(gw.port):
        flood.wait_stuck(1.2)
        began, used = time.monotonic(), gw.cpu_s()
        wait_until(lambda: time.monotonic() - began > 0.6, what="a while has passed")
        assert gw.cpu_s() - used < 0.5 * (time.monotonic() - began)


def test_a_plain_answer_of_many_megabytes_may_be_read_slowly(llm, gateway):
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        for _ in range(100):
            w.event(delta(PIECE))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()

    gw = gateway(llm("a", chat=play), deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    with RawClient(gw.port, receive_buffer=32768) as client:
        client.send(post(CHAT))
        status, headers = client.head()
        assert status == 200
        assert min(gw.request("GET", "/health").took_s for _ in range(5)) < 2
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        body = json.loads(client.take(int(headers["content-length"])))
    assert body["choices"][0]["message"]["content"] == PIECE * 100
