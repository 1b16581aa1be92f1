"""The deadline of the whole exchange holds wherever it waits, and waiting costs no processor time."""

import time

import pytest
from fake_llm import Request, Wire, answers, delta, hangs, replies, stream_openai
from gateway import wait_until
from raw_client import CHAT, RawClient, post


def goes_on_for_ever(_q: Request, w: Wire) -> None:
    w.begin_stream()
    w.event(delta("", role="assistant"))
    while True:
        w.event(delta("word"))
        w.pause(0.02)


def test_a_back_off_ends_with_the_exchanges_own_time(llm, gateway):
    """The backend asks for 3 s, which would be waited for; the client's exchange has 1 s."""
    a = llm("a", chat=replies(429, retry_after="3"))
    gw = gateway(a, retry="{same_backend: 1, on: [429], backoff: 20ms, retry_after_up_to: 5s}",
                 deadlines="{connect: 500ms, first_token: 900ms, stall: 900ms, total: 1s}")
    used = gw.cpu_s()
    answer = gw.chat()
    assert answer.status in (503, 504)
    assert answer.took_s < 2.9  # and not the 3 s that the backend asks for
    assert gw.cpu_s() - used < 0.3
    assert len(a.chats) == 1


def test_a_back_off_that_would_outlast_the_exchange_goes_to_the_next_backend(llm, gateway):
    a, b = llm("a", chat=replies(429, retry_after="30")), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, retry="{same_backend: 1, on: [429], backoff: 20ms, retry_after_up_to: 60s}",
                 deadlines="{first_token: 9s, stall: 9s, total: 10s}")
    answer = gw.chat()
    assert answer.status == 200 and answer.text == "Hello from b"
    assert answer.took_s < 8


def test_a_stream_past_the_exchanges_own_time_is_cut_honestly(llm, gateway):
    gw = gateway(llm("a", chat=goes_on_for_ever), deadlines="{first_token: 1s, stall: 1s, total: 1500ms}")
    answer = gw.chat(stream=True)
    assert answer.took_s > 1.4
    assert answer.streamed_text.startswith("wordword")
    assert not answer.is_whole_stream and b"stream_interrupted" in answer.body
    assert gw.state("a") == "HEALTHY"


def test_a_slice_is_kept_back_for_the_last_tier(llm, gateway):
    a, b = llm("a", chat=hangs()), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, deadlines="{first_token: 10s, stall: 1s, total: 4s}")
    answer = gw.chat()
    assert answer.text == "Hello from b"
    assert answer.took_s < 4


def test_a_slice_is_kept_back_for_each_tier(llm, gateway):
    a, b, c = llm("a", chat=hangs()), llm("b", chat=hangs()), llm("c", chat=answers("Hello from c"))
    gw = gateway(a, b, c, deadlines="{first_token: 10s, stall: 1s, total: 4s}")
    for stream in (False, True):
        answer = gw.chat(stream=stream)
        assert (answer.streamed_text if stream else answer.text) == "Hello from c"
        assert answer.took_s < 4
    wait_until(lambda: gw.logged("reason=total_timeout"), what="a line in the log")


NO_PROGRESS = {
    "comments": lambda w: w.chunk(": ping\n\n"),
    "empty_deltas": lambda w: w.event(delta("")),
    "role_chunks": lambda w: w.event(delta("", role="assistant")),
    "bytes_without_an_event": lambda w: w.chunk("x"),
}


def goes_silent_but_for(sound):
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event(delta("", role="assistant"))
        w.event(delta("Hello"))
        while True:
            sound(w)
            w.pause(0.05)
    return play


def goes_on(q: Request, w: Wire) -> None:
    is_rest = q.json["messages"][-1]["role"] == "assistant"
    answers(" from b" if is_rest else "Hello from b")(q, w)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("sound", NO_PROGRESS)
def test_what_is_no_content_is_no_progress(sound, stream, llm, gateway):
    """A backend that only keeps its connection busy has stalled: the answer goes on at the next."""
    a, b = llm("a", chat=goes_silent_but_for(NO_PROGRESS[sound])), llm("b", chat=goes_on)
    gw = gateway(a, b, deadlines="{connect: 500ms, first_token: 1s, stall: 400ms, total: 20s}")
    answer = gw.chat(stream=stream)
    assert (answer.streamed_text if stream else answer.text) == "Hello from b"
    wait_until(lambda: gw.logged("reason=stall"), what="a line in the log")
    assert len(a.chats) == 1  # silence is never repeated there
    wait_until(lambda: a.cancelled_at, what="the silent backend is cancelled")


def test_empty_lines_of_ollama_are_no_progress(llm, gateway):
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream("application/x-ndjson")
        while True:
            w.line({"model": "x", "created_at": "t", "message": {"role": "assistant", "content": ""}, "done": False})
            w.chunk("\n")
            w.pause(0.05)

    a, b = llm("a", type="ollama", chat=play), llm("b", chat=answers("Hello from b"))
    answer = gateway(a, b).chat()
    assert answer.text == "Hello from b"
    assert answer.trail == "a:first_token_timeout,b:ok"
def test_a_share_that_is_shorter_than_patience_blames_nobody(llm, gateway):
    a, b = llm("a", chat=hangs()), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, streams="{upstream: never}", deadlines="{first_token: 10s, stall: 1s, total: 4s}")
    answer = gw.chat()
    assert answer.text == "Hello from b" and answer.trail == "a:total_timeout,b:ok"
    assert gw.state("a") == "HEALTHY"


def test_all_silent_is_bounded_by_the_exchanges_own_time(llm, gateway):
    a, b = llm("a", chat=hangs()), llm("b", chat=hangs())
    gw = gateway(a, b, deadlines="{first_token: 10s, stall: 1s, total: 800ms}")
    used = gw.cpu_s()
    answer = gw.chat()
    assert answer.status in (503, 504) and 0.7 < answer.took_s < 8  # and not its 10 s for a first token
    assert gw.cpu_s() - used < 0.3


def test_a_backends_late_end_costs_no_processor_time(llm, gateway):
    """The client has its answer just before the deadline; the backend keeps its connection open behind [DONE]."""
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event(delta("", role="assistant"))
        w.event(delta("Hello"))
        w.pause(2.0)
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.hang()

    a = llm("a", chat=play)
    gw = gateway(a, deadlines="{first_token: 3s, stall: 3s, total: 3s}")
    with RawClient(gw.port) as client:
        assert client.send(post({**CHAT, "stream": True})).response().is_whole
        began, used = time.monotonic(), gw.cpu_s()
        wait_until(lambda: a.cancelled_at, what="the connection is given up")
        assert gw.cpu_s() - used < 0.25 * max(time.monotonic() - began, 0.4)


def test_a_tier_that_failed_already_keeps_no_slice_of_the_time(llm, gateway):
    """The better tier is down, the worse one fails: all the time that is left is the better one's."""
    def takes_long(q, w):
        w.pause(2.2)
        stream_openai(q, w, "after all")

    a, b = llm("a", chat=takes_long), llm("b", chat=replies(500))
    a.health = replies(503, "")
    gw = gateway(a, b, retry="{same_backend: 0}", deadlines="{first_token: 20s, total: 3600ms}")
    gw.wait_state("a", "DOWN")
    wait_until(lambda: gw.backend("a")["for_s"] > 1.1, what="an outage that is older than a second")
    answer = gw.chat(stream=True)
    assert answer.streamed_text == "after all" and answer.trail == "b:http_500,a:ok"
