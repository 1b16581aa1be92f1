"""A backend with `min_tokens_per_second` is left when its stream crawls for 10 s. That takes 10 s: all of it is
in one test, side by side."""

import time
from concurrent.futures import ThreadPoolExecutor

from fake_llm import Request, Wire, answers, delta
from gateway import wait_until
from raw_client import CHAT, RawClient, post
from sse_text import payloads, text_of

PIECE = "x" * 65_000
FLOOD = 400  # pieces: more than all buffers on the way take


def begins(w: Wire) -> None:
    w.begin_stream()
    w.event(delta("", role="assistant"))


def ends(w: Wire) -> None:
    w.event(delta(finish="stop"))
    w.event("[DONE]")
    w.end_stream()


def crawls(_q: Request, w: Wire) -> None:
    """14 pieces in 10 s, never silent for as long as `stall`."""
    begins(w)
    while True:
        w.event(delta("crawl "))
        w.pause(0.7)


def walks(_q: Request, w: Wire) -> None:
    begins(w)
    for _ in range(230):
        w.event(delta("walk "))
        w.pause(0.05)
    ends(w)


def floods(_q: Request, w: Wire) -> None:
    begins(w)
    for _ in range(FLOOD):
        w.event(delta(PIECE))
    ends(w)


def as_the_prompt_says(q: Request, w: Wire) -> None:
    prompts = {"crawl": crawls, "walk": walks, "flood": floods}
    prompts[q.json["messages"][0]["content"]](q, w)


def test_a_stream_that_crawls_is_left_and_no_other(llm, gateway):
    a, b = llm("a", chat=as_the_prompt_says), llm("b", chat=answers("and from b"))
    gw = gateway(a, b, deadlines="{connect: 500ms, first_token: 5s, stall: 5s, total: 60s}",
                 backend_extra={"a": "min_tokens_per_second: 2"})
    flood = {**CHAT, "stream": True, "messages": [{"role": "user", "content": "flood"}]}
    with RawClient(gw.port, receive_buffer=4096) as unread, ThreadPoolExecutor(3) as pool:
        began = time.monotonic()
        unread.send(post(flood))
        streamed = pool.submit(gw.chat, "crawl", stream=True)
        plain = pool.submit(gw.chat, "crawl")
        walked = pool.submit(gw.chat, "walk", stream=True)

        answer = streamed.result()
        assert answer.took_s > 9.9
        assert answer.streamed_text.startswith("crawl crawl crawl ")
        assert answer.streamed_text.endswith("crawl and from b") and answer.is_whole_stream

        answer = plain.result()
        assert answer.took_s > 9.9
        assert answer.text.endswith("and from b")
        assert answer.trail.startswith("a:too_slow,b:")
        wait_until(lambda: gw.logged("request failed: too_slow"), what="it was taken DOWN")

        answer = walked.result()
        assert answer.streamed_text == "walk " * 230 and answer.is_whole_stream

        # This client has not read for longer than a window: that is not the backend's crawl.
        assert time.monotonic() - began > 10
        response = unread.response()
        assert response.is_whole and payloads(response.body)[-1] == "[DONE]"
        assert len(text_of(response.body)) == FLOOD * len(PIECE)
    failed = [line for line in gw.logged("attempt failed") if "backend=a" in line]
    assert len(failed) == 2 and all("reason=too_slow" in line for line in failed)
