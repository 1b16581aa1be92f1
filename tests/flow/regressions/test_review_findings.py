"""Bugs that a review of the whole gate found, one test each. A client that is slow on purpose sleeps here: its
slowness is the fault that is injected."""

import json
import socket
import struct
import threading
import time

import pytest
from fake_llm import *  # noqa: F403: the scripts use nearly all of it
from gateway import wait_until
from raw_client import CHAT, RawClient, post
from sse_text import payloads, text_of

STREAM = {**CHAT, "stream": True}
MIB = 1 << 20


def numbered(count, pad=3000):
    def play(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for i in range(count):
            w.event(delta(f"<{i:08d}>" + chr(97 + i % 26) * (pad + i % 97)))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()
    return play


def expected(count, pad=3000):
    return "".join(f"<{i:08d}>" + chr(97 + i % 26) * (pad + i % 97) for i in range(count))


def test_paused_stream_survives_other_traffic(llm, gateway):
    """relay.c YIELD_FLUSH + pause keeps the tail of the piece in the shared scratch."""
    n = 8000
    a = llm("a", chat=[numbered(n), answers("quick " * 3000)])
    gw = gateway(a, workers="1", deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    with RawClient(gw.port, receive_buffer=65536, timeout=30) as client:
        client.send(post(STREAM))
        wait_until(lambda: a.chats, what="it is the first")
        stop = threading.Event()
        def noise():
            while not stop.is_set():
                gw.chat(stream=True)
        t = [threading.Thread(target=noise) for _ in range(3)]
        [x.start() for x in t]
        time.sleep(1)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        try:
            response = client.response()
        finally:
            stop.set()
            [x.join() for x in t]
    assert response.is_whole, response.body[-300:]
    assert text_of(response.body) == expected(n)


def test_finish_seen_while_client_is_slow_does_not_spin(llm, gateway):
    """finish_by_ms in the past while pending > 0: timer armed in the past for ever."""
    def play(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        # as one write, so that the finish is in the last piece that is read before the pause
        big = b"".join(b"data: " + json.dumps(delta("x" * 60000)).encode() + b"\n\n" for _ in range(COUNT[0]))
        big += b"data: " + json.dumps(delta(finish="stop")).encode() + b"\n\n"
        w.chunk(big)
        w.hang()
    COUNT = [0]
    worst = 0
    a = llm("a", chat=play)
    gw = gateway(a, workers="1", deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    for n in (43, 44, 45, 46, 47, 48):
        COUNT[0] = n
        with RawClient(gw.port, receive_buffer=4096) as client:
            client.send(post(STREAM))
            time.sleep(1.6)
            before = gw.cpu_s()
            time.sleep(0.5)
            used = gw.cpu_s() - before
            worst = max(worst, used)
    assert worst < 0.2


def test_total_deadline_with_slow_client_does_not_spin(llm, gateway):
    a = llm("a", chat=numbered(20000))
    gw = gateway(a, workers="1", deadlines="{first_token: 1s, stall: 1s, total: 1500ms}")
    with RawClient(gw.port, receive_buffer=4096) as client:
        client.send(post(STREAM))
        time.sleep(2.5)
        before = gw.cpu_s()
        time.sleep(1)
        used = gw.cpu_s() - before
        wait_until(lambda: a.cancelled_at, what="the backend is cancelled")
    assert used < 0.3


def test_backoff_past_the_total_deadline_does_not_spin(llm, gateway):
    a = llm("a", chat=replies(429, retry_after="3"))
    gw = gateway(a, workers="1", deadlines="{connect: 300ms, first_token: 500ms, stall: 1s, total: 1s}",
                 retry="{same_backend: 1, on: [429], backoff: 20ms, retry_after_up_to: 5s}")
    before = gw.cpu_s()
    answer = gw.chat()
    used = gw.cpu_s() - before
    assert answer.took_s < 2.9 and used < 0.3


def test_client_reset_under_fast_stream_is_always_noticed(llm, gateway):
    """x->wake = 0 at the end of run() forgets a WAKE_GONE that was set inside the step."""
    ends = []
    def play(q, w):
        try:
            w.begin_stream()
            w.event(delta("", role="assistant"))
            while time.monotonic() - q.at < 60:
                w.event(delta("y" * 200))
        except PeerLeft:
            pass
        ends.append(time.monotonic() - q.at)
        raise PeerLeft
    a = llm("a", chat=play)
    gw = gateway(a, workers="1", deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    for i in range(25):
        with RawClient(gw.port) as client:
            client.send(post(STREAM))
            for _ in range(5):
                client.more()
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: len(ends) == 25, 20, "all are cancelled")


def test_flooding_backend_does_not_block_others(llm, gateway):
    def flood(q, w):
        w.begin_stream()
        block = (b":" + b"c" * 900 + b"\n\n") * 1000
        data = b"%x\r\n" % len(block) + block + b"\r\n"
        end = time.monotonic() + 20
        while time.monotonic() < end:
            w.send(data * 16)
        w.close()
    a = llm("a", chat=[flood, flood, flood, answers("quick")])
    gw = gateway(a, workers="1", deadlines="{first_token: 1s, stall: 5s, total: 60s}")
    socks = [gw.open_chat(STREAM) for _ in range(3)]
    time.sleep(0.3)
    t = time.monotonic()
    health = gw.request("GET", "/health")
    took = time.monotonic() - t
    [s.close() for s in socks]
    assert took < 5  # and not as long as they flood


def test_instant_404_in_a_tier_does_not_attract_traffic(llm, gateway):
    a = llm("a", chat=replies(404))
    b = llm("b", chat=answers("Hello there", gap_s=0.05))
    gw = gateway(a, b, tiers=[[a, b]], workers="1")
    def one():
        for _ in range(10):
            assert gw.chat(stream=True).status == 200
    ts = [threading.Thread(target=one) for _ in range(8)]
    [t.start() for t in ts]; [t.join() for t in ts]
    assert len(a.chats) < len(b.chats) * 0.5


def test_long_retry_after_goes_to_the_next_at_once(llm, gateway):
    a = llm("a", chat=replies(429, retry_after="86400"))
    b = llm("b")
    gw = gateway(a, b)
    answer = gw.chat()
    assert len(a.chats) == 1
    time.sleep(1.3)
    gw.chat()
    assert len(a.chats) == 1


def test_keep_alive_head_names_the_wrong_backend(llm, gateway):
    a = llm("a", chat=hangs())
    b = llm("b")
    gw = gateway(a, b, streams="{keep_alive: 200ms}", deadlines="{first_token: 1s, stall: 1s, total: 20s}")
    answer = gw.chat(stream=True)
    assert answer.headers.get("x-fallthrough-backend") in (None, "b")


def test_multi_line_data_before_first_content(llm, gateway):
    def play(q, w):
        w.begin_stream()
        role = json.dumps(delta("", role="assistant"), indent=1)
        w.chunk("".join(f"data: {l}\n" for l in role.split("\n")) + "\n")
        w.event(delta("Hello"))
        fin = json.dumps(delta(finish="stop"), indent=1)
        w.chunk("".join(f"data: {l}\n" for l in fin.split("\n")) + "\n")
        w.event("[DONE]")
        w.end_stream()
    gw = gateway(llm("a", chat=play))
    body = gw.chat(stream=True).body
    for event in body.split(b"\n\n"):
        for line in event.split(b"\n"):
            assert line == b"" or line.startswith(b"data: "), line


def test_query_of_death_with_head_first(llm, gateway):
    """vLLM sends its head at admission; a death after it is `truncated`."""
    made = []
    def die(me):
        def play(q, w):
            w.begin_stream()
            time.sleep(0.05)
            l = made[me]
            l.listener.shutdown(socket.SHUT_RDWR); l.listener.close(); l.listener = None
            w.close()
        return play
    for i in range(4):
        made.append(llm("abcd"[i], chat=die(i)))
    gw = gateway(*made)
    answer = gw.chat(stream=True)
    assert len(made[2].chats) == 0


def test_unmappable_but_capable_backend_down_is_not_a_400(llm, gateway):
    a = llm("a")
    b = llm("b", type="ollama")
    gw = gateway(a, b)
    a.stop()
    gw.wait_state("a", "DOWN")
    time.sleep(0)
    answer = gw.chat(logit_bias={"5": 1}, n=2)
    assert answer.status == 503


def test_400_with_hanging_body(llm, gateway):
    def play(q, w):
        w.send(b"HTTP/1.1 400 X\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"error\":{\"message\":\"bad\"")
        w.hang()
    a = llm("a", chat=play); b = llm("b")
    gw = gateway(a, b)
    answer = gw.chat()
    assert answer.status == 400


def test_commit_with_full_socket(llm, gateway):
    """Second pipelined stream commits while the kernel's buffer is full; the rest of its piece is in scratch."""
    def play(q, w):
        words = q.json["messages"][0]["content"]
        if words == "quick":
            return answers("quick " * 3000)(q, w)
        w.begin_stream()
        if words == "second":
            ev = [delta("z" * 45000)] + [delta(f"<{i}>") for i in range(40)]
        else:
            ev = [delta(f"<{i:08d}>" + chr(97 + i % 26) * (3000 + i % 97)) for i in range(int(words))]
        ev.append(delta(finish="stop"))
        w.chunk(b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in ev))
        w.event("[DONE]")
        w.end_stream()
    def ask(text):
        return {**STREAM, "messages": [{"role": "user", "content": text}]}
    a = llm("a", chat=play)
    gw = gateway(a, workers="1", deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    want = "z" * 45000 + "".join(f"<{i}>" for i in range(40))
    bad = []
    for n1 in range(838, 860):
      with RawClient(gw.port, receive_buffer=4096, timeout=30) as client:
        client.send(post(ask(f"{n1}")) + post(ask("second")))
        time.sleep(0.2)
        seen = [c.json["messages"][0]["content"] for c in a.chats][-1] == "second"
        for _ in range(2):
            gw.chat("quick", stream=True)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        if not seen:
            break
        r1 = client.response()
        r2 = client.response()
        assert text_of(r1.body) == expected(n1)
        good = b"error" not in r2.body and text_of(r2.body) == want
        if not good:
            bad.append((n1, r2.body[-300:]))
    assert not bad


def test_one_500_after_a_recovery_does_not_take_it_down(llm, gateway):
    a = llm("a", chat=replies(500)); b = llm("b")
    gw = gateway(a, b, retry="{same_backend: 0, on: [], backoff: 20ms, retry_after_up_to: 2s}")
    for _ in range(3):
        gw.chat()
    gw.wait_state("a", "DOWN")
    gw.wait_state("a", "HEALTHY", 10)
    n = len(a.chats)
    wait_until(lambda: (gw.chat(), len(a.chats) > n)[1], what="a trial")
    assert len(a.chats) == n + 1
    assert gw.state("a") == "HEALTHY"


def test_503_head_with_hanging_body_falls_through_at_once(llm, gateway):
    def play(q, w):
        w.send(b"HTTP/1.1 502 X\r\ncontent-type: text/html\r\ncontent-length: 500\r\n\r\n<html>")
        w.hang()
    gw = gateway(llm("a", chat=play), llm("b"), deadlines="{first_token: 20s, stall: 20s, total: 60s}")
    answer = gw.chat()
    assert answer.backend == "b" and answer.took_s < 10


def test_request_id_on_every_answer(llm, gateway):
    gw = gateway(llm("a"), keys="[{name: web, key: sk-secret-0123456789}]")
    r = gw.chat(headers={"x-request-id": "abc"})
    assert r.headers.get("x-request-id") == "abc"


def test_batch_overflow_while_client_is_behind_loses_nothing(llm, gateway):
    """Comments between events make every event a part of its own; 33 parts of one piece while the client is slow."""
    n = 40000
    def play(q, w):
        w.begin_stream()
        buf = b""
        for i in range(n):
            buf += b"data: " + json.dumps(delta(f"<{i:06d}>")).encode() + b"\n\n: c\n\n"
            if len(buf) > 60000:
                w.chunk(buf); buf = b""
        w.chunk(buf)
        w.event(delta(finish="stop")); w.event("[DONE]"); w.end_stream()
    gw = gateway(llm("a", chat=play), workers="1", deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    with RawClient(gw.port, receive_buffer=4096, timeout=30) as client:
        client.send(post(STREAM))
        time.sleep(1.0)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        r = client.response()
    got = text_of(r.body)
    want = "".join(f"<{i:06d}>" for i in range(n))
    assert got == want


def test_usage_chunk_reaches_a_client_that_is_behind_at_the_finish(llm, gateway):
    lost = []
    def play(q, w):
        n = int(q.json["messages"][0]["content"])
        w.begin_stream()
        big = b"".join(b"data: " + json.dumps(delta("x" * 60000)).encode() + b"\n\n" for _ in range(n))
        w.chunk(big + b"data: " + json.dumps(delta(finish="stop")).encode() + b"\n\n")
        time.sleep(0.3)
        w.event(usage_chunk(5)); w.event("[DONE]"); w.end_stream()
    gw = gateway(llm("a", chat=play), workers="1", deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    for n in range(43, 50):
        with RawClient(gw.port, receive_buffer=4096, timeout=30) as client:
            client.send(post({**STREAM, "messages": [{"role": "user", "content": str(n)}], "stream_options": {"include_usage": True}}))
            time.sleep(1.6)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
            r = client.response()
        if b'"usage"' not in r.body:
            lost.append((n, r.is_whole))
    assert not lost


def test_ollama_paused_in_mid_piece(llm, gateway):
    n = 30000
    def play(q, w):
        if q.json["messages"][0]["content"] == "quick":
            return answers("quick " * 3000)(q, w)
        w.begin_stream("application/x-ndjson")
        buf = b""
        for i in range(n):
            buf += json.dumps({"model": "x", "created_at": "2026-11-21T05:24:02.1Z", "message": {"role": "assistant", "content": f"<{i:06d}>"}, "done": False}).encode() + b"\n"
            if len(buf) > 50000:
                w.chunk(buf); buf = b""
        w.chunk(buf)
        w.line({"model": "x", "created_at": "2026-11-21T05:24:02.1Z", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1})
        w.end_stream()
    gw = gateway(llm("a", type="ollama", chat=play), workers="1", deadlines="{first_token: 5s, stall: 5s, total: 60s}")
    with RawClient(gw.port, receive_buffer=4096, timeout=30) as client:
        client.send(post(STREAM))
        time.sleep(1.0)
        for _ in range(3):
            gw.chat("quick", stream=True)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        r = client.response()
    got = text_of(r.body)
    assert got == "".join(f"<{i:06d}>" for i in range(n))
