"""A client that leaves cancels its work at the backend at once: the connection is closed within 100 ms,
nothing is repeated, nobody is blamed."""

import socket
import struct
import time

import pytest
from fake_llm import Request, Wire, answers, delta, hangs, hangs_after_head, replies
from gateway import SANITIZED, wait_until
from raw_client import CHAT, RawClient, post

LIMIT_S = 0.5 if SANITIZED else 0.1
TRIES = 10  # the machine may be busy with something else at some of them: the first that is in time is enough
LONG = "{first_token: 20s, stall: 20s, total: 30s}"


def talks(_q: Request, w: Wire) -> None:
    w.begin_stream()
    w.event(delta("", role="assistant"))
    w.event(delta("Hello"))
    w.hang()


def talks_on(_q: Request, w: Wire) -> None:
    w.begin_stream()
    w.event(delta("", role="assistant"))
    while True:
        w.event(delta("Hello"))
        w.pause(0.02)


def half_of_json(_q: Request, w: Wire) -> None:
    w.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{\"choices\": [")
    w.hang()


def half_of_a_head(_q: Request, w: Wire) -> None:
    w.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    w.hang()


# behaviour of the backend, does the client ask for a stream, has it seen content when it leaves
ROWS = {
    "waiting_for_the_head": (hangs(), True, False),
    "waiting_in_the_head": (half_of_a_head, True, False),
    "waiting_for_content": (hangs_after_head(), True, False),
    "in_a_silent_stream": (talks, True, True),
    "in_a_running_stream": (talks_on, True, True),
    "non_streaming": (hangs(), False, False),
    "non_streaming_with_a_stream_behind": (talks_on, False, False),
    "non_streaming_in_the_body": (half_of_json, False, False),
}


def leave(client: RawClient, how: str) -> None:
    if how == "reset":
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half_close":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        client.close()


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("row", ROWS)
def test_a_client_that_leaves_cancels_its_request(row, how, llm, gateway):
    behaviour, stream, has_content = ROWS[row]
    a, b = llm("a", chat=behaviour), llm("b")
    gw = gateway(a, b, deadlines=LONG)
    took = []
    for i in range(1, TRIES + 1):
        client = RawClient(gw.port).send(post({**CHAT, "stream": stream}))
        wait_until(lambda n=i: len(a.chats) == n, what="the backend has the request")
        if has_content:
            client.take_until(b"Hello")
        left_at = time.monotonic()
        leave(client, how)
        wait_until(lambda n=i: len(a.cancelled_at) == n, 10, "the backend sees the end")
        took.append(a.cancelled_at[-1] - left_at)
        client.close()
        if took[-1] <= LIMIT_S:
            break
    assert min(took) <= LIMIT_S, took
    assert len(a.chats) == len(took) and not b.chats
    wait_until(lambda: gw.backend("a")["in_flight"] == 0, what="none is counted")
    assert gw.state("a") != "DOWN"  # a busy machine's probes may be slow


def test_a_client_that_leaves_before_its_request_is_whole_disturbs_nobody(llm, gateway):
    a = llm("a")
    gw = gateway(a)
    for cut in (1, 10, 40, 90):
        with RawClient(gw.port) as client:
            client.send(post(CHAT)[:cut])
    assert gw.chat().status == 200
    assert len(a.chats) == 1


def test_a_client_that_leaves_during_a_back_off_is_not_tried_for_again(llm, gateway):
    a, b = llm("a", chat=replies(500)), llm("b")
    gw = gateway(a, b, retry="{same_backend: 5, on: [500], backoff: 2s}", health="{interval: 10m, timeout: 1s}")
    with RawClient(gw.port) as client:
        client.send(post(CHAT))
        wait_until(lambda: gw.logged("attempt failed"), what="the attempt has failed")
        failed_at = time.monotonic()
    wait_until(lambda: gw.logged("client left"), what="the gateway has noticed")
    assert "step=backoff" in gw.logged("client left")[0]
    wait_until(lambda: time.monotonic() - failed_at > 2.5, what="the back-off would be over")
    assert len(a.chats) == 1 and not b.chats


def test_many_clients_that_leave_cancel_all_of_theirs(llm, gateway):
    a = llm("a", chat=talks_on)
    gw = gateway(a, deadlines=LONG)
    clients = [RawClient(gw.port).send(post({**CHAT, "stream": True})) for _ in range(40)]
    for client in clients:
        client.take_until(b"Hello")
    assert gw.backend("a")["in_flight"] == 40
    before = gw.fd_count()
    for client in clients:
        client.close()
    wait_until(lambda: len(a.cancelled_at) >= 40, 15, "all are cancelled")
    wait_until(lambda: gw.backend("a")["in_flight"] == 0, what="none is counted")
    wait_until(lambda: gw.fd_count() <= before - 60, what="the descriptors are given back")
    assert gw.state("a") != "DOWN"  # a busy machine's probes may be slow


def test_an_exchange_that_is_left_in_the_middle_does_not_touch_its_neighbours(llm, gateway):
    a = llm("a", chat=[talks_on, answers("one two three four five six seven eight", gap_s=0.05)])
    gw = gateway(a, deadlines=LONG)
    leaver = RawClient(gw.port).send(post({**CHAT, "stream": True}))
    leaver.take_until(b"Hello")
    stayer = RawClient(gw.port).send(post({**CHAT, "stream": True}))
    stayer.take_until(b"one")
    leaver.close()
    assert b" eight" in stayer.take_until(b"data: [DONE]\n\n")
    stayer.close()


def test_what_the_client_pipelined_is_not_served_when_it_leaves(llm, gateway):
    a = llm("a", chat=hangs())
    gw = gateway(a, deadlines=LONG)
    with RawClient(gw.port) as client:
        client.send(post(CHAT) + post({**CHAT, "user": "second"}))
        wait_until(lambda: a.chats, what="the first is under way")
    wait_until(lambda: a.cancelled_at, what="the first is cancelled")
    assert gw.request("GET", "/health").status == 200
    assert len(a.chats) == 1
