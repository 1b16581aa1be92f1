"""A brown-out is not amplified: further attempts after failures of backends that live are budgeted per model. What
died with its backend is not, nor is half an answer that has to be completed."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_llm import answers, delta, events, hangs, replies, streams_then
from gateway import wait_until
from raw_client import CHAT, RawClient, post

SMALL = "{share: 20%, per_second: 1}"
NONE = "{share: 0%, per_second: 0}"


def retry(budget: str) -> str:
    return f"{{same_backend: 1, on: [429, 500, reset], backoff: 0, retry_after_up_to: 2s, budget: {budget}}}"


def fails_the_bad(q, w) -> None:
    is_bad = q.json["messages"][0]["content"] == "bad"
    (replies(500) if is_bad else answers("good"))(q, w)


def attempts_of(*backends) -> int:
    return sum(len(b.chats) for b in backends)


def limit(requests: int, took_s: float) -> float:
    """The most further attempts under SMALL, however long a slow machine took."""
    return 0.2 * requests + 10 * (took_s // 10 + 1)


def storm_of_timeouts(gw, count: int) -> list:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: gw.chat(), range(count)))


def storm_of_bad_prompts(gw, count: int) -> list:
    """Two bad ones at a time, then a good one that clears the backend's name: it is never DOWN."""
    return [gw.chat("good" if i % 3 == 2 else "bad") for i in range(count)]


# behaviour of both backends, what clients do, how many attempts they draw from N requests without a budget
STORMS = {
    "http_408": (replies(408), storm_of_timeouts, lambda n: 2 * n),
    "http_500": (fails_the_bad, storm_of_bad_prompts, lambda n: 4 * (n - n // 3) + n // 3),
}


@pytest.mark.parametrize("storm", STORMS)
def test_a_brown_out_is_not_amplified(storm, llm, gateway):
    behaviour, play, amplified = STORMS[storm]
    a, b = llm("a", chat=behaviour), llm("b", chat=behaviour)
    gw = gateway(a, b, retry=retry(SMALL))
    count, began = 120, time.monotonic()
    got = play(gw, count)
    further = attempts_of(a, b) - count
    most = limit(count, time.monotonic() - began)
    assert 0 < further <= most < amplified(count) - count
    refused = [r for r in got if r.status == 503 and r.json["error"]["code"] == "retry_budget_exhausted"]
    assert len(refused) > 0.3 * count
    wait_until(lambda: gw.logged("retry budget exhausted"), what="a warning")
    warnings = [line for line in gw.lines if "retry_budget_exhausted" in line or "retry budget" in line
                if "level=warn" in line]
    assert len(warnings) <= (time.monotonic() - began) // 10 + 1


@pytest.mark.parametrize("storm", STORMS)
def test_without_a_budget_it_would_be(storm, llm, gateway):
    behaviour, play, amplified = STORMS[storm]
    a, b = llm("a", chat=behaviour), llm("b", chat=behaviour)
    gw = gateway(a, b, retry=retry("off"))
    began = time.monotonic()
    play(gw, 60)
    further = attempts_of(a, b) - 60  # most of what is possible: on a busy machine a backend may be DOWN for a moment
    assert limit(60, time.monotonic() - began) < further <= amplified(60) - 60


def test_a_hang_of_one_backend_is_no_brown_out_of_the_next(llm, gateway):
    """However many wait for it: who is well takes them all."""
    a, b = llm("a", chat=hangs()), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, retry=retry(NONE), deadlines="{connect: 5s, first_token: 2s, stall: 10s, total: 60s}")
    clients = [RawClient(gw.port, timeout=40).send(post(CHAT)) for _ in range(150)]
    assert [c.response().text for c in clients] == ["Hello from b"] * 150
    for client in clients:
        client.close()
    assert not gw.logged("retry budget")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_request_over_the_budget_is_told_so(stream, llm, gateway):
    a, b = llm("a", chat=replies(500)), llm("b")
    gw = gateway(a, b, retry=retry(NONE))
    answer = gw.chat(stream=stream)
    assert answer.status == 503
    assert answer.json["error"]["code"] == "retry_budget_exhausted"
    assert answer.json["error"]["type"] == "service_unavailable"
    assert answer.json["retry_after"] == 1
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.trail == "a:http_500"
    assert len(a.chats) == 1 and not b.chats


def test_first_attempts_need_no_budget(llm, gateway):
    gw = gateway(llm("a"), retry=retry(NONE))
    assert all(gw.chat().status == 200 for _ in range(5))


def test_when_nobody_is_left_that_is_what_is_said(llm, gateway):
    """The budget is asked only for an attempt that could be made."""
    a = llm("a", chat=replies(502))
    gw = gateway(a, retry=retry(NONE))
    assert gw.chat().json["error"]["code"] == "all_backends_unavailable"


def test_a_killed_backend_never_uses_the_budget(llm, gateway):
    """200 requests are in flight when it dies: all are answered by the next."""
    a, b = llm("a", chat=hangs()), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, retry=retry(NONE), deadlines="{connect: 5s, first_token: 30s, stall: 30s, total: 60s}")
    clients = [RawClient(gw.port, timeout=30).send(post(CHAT)) for _ in range(200)]
    wait_until(lambda: len(a.chats) == 200, 20, "all are in flight")
    a.stop()
    assert [c.response().text for c in clients] == ["Hello from b"] * 200
    for client in clients:
        client.close()
    assert not gw.logged("retry budget")


def test_what_was_never_begun_does_not_use_it(llm, gateway):
    a, b, c = llm("a", chat=replies(404)), llm("b"), llm("c", chat=answers("Hello from c"))
    gw = gateway(a, b, c, retry=retry(NONE), health="{interval: 60s, timeout: 1s}")
    b.stop()
    answer = gw.chat()
    assert answer.text == "Hello from c"
    assert answer.trail == "a:http_404,b:connect_refused,c:ok"


@pytest.mark.parametrize("first", [
    streams_then("Hello from", "hang"),
    events(delta("", role="assistant"), delta("Hello from"), {"error": {"message": "boom", "code": 500}}),
], ids=["stall", "error_event"])
def test_half_an_answer_is_completed_without_a_budget(first, llm, gateway):
    def continues(q, w):
        assert q.json["messages"][-1]["content"] == "Hello from"
        answers(" b")(q, w)

    a, b = llm("a", chat=first), llm("b", chat=continues)
    gw = gateway(a, b, retry=retry(NONE), deadlines="{connect: 500ms, first_token: 1s, stall: 500ms, total: 20s}")
    answer = gw.chat(stream=True)
    assert answer.streamed_text == "Hello from b" and answer.is_whole_stream
