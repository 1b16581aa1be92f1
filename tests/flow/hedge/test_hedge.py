"""A second attempt when the first token is late: the first content wins, the other attempt is cancelled."""

import threading

import pytest
from fake_llm import answers, completion, delta, pieces, replies, stream_openai
from gateway import wait_until
from metrics_text import scrape

ON = "{after: 100ms, max_share: 100%}"
PATIENT = "{first_token: 10s, total: 30s}"


def late(seconds, text="from the late one"):
    """Says nothing for a while, then answers."""
    def play(q, w):
        w.pause(seconds)
        if q.json.get("stream"):
            stream_openai(q, w, text)
        else:
            w.reply(200, completion(text))
    return play


def late_behind(other, text="from the late one", more_s=0.0):
    """Says nothing until the other one, too, has been asked, or for a while longer; then answers."""
    def play(q, w):
        wait_asked(w, other, more_s)
        stream_openai(q, w, text) if q.json.get("stream") else w.reply(200, completion(text))
    return play


def wait_asked(w, other, more_s=0.0):
    while not other.chats:
        w.pause(0.01)
    w.pause(more_s)


def role_then(seconds, text="from the late one"):
    """Begins at once, as vLLM does, but with nothing in it."""
    def play(_q, w):
        w.begin_stream()
        w.event({**delta("", role="assistant"), "id": "chatcmpl-late"})
        w.pause(seconds)
        for piece in pieces(text):
            w.event({**delta(piece), "id": "chatcmpl-late"})
        w.event({**delta(finish="stop"), "id": "chatcmpl-late"})
        w.event("[DONE]")
        w.end_stream()
    return play


@pytest.mark.parametrize("request_more", [{"stream": True}, {}, {"max_tokens": 5}], ids=["stream", "collected", "plain"])
@pytest.mark.parametrize("first", [late(3600), role_then(3600)], ids=["silent", "role_only"])
def test_the_first_content_wins_and_the_late_one_is_cancelled(first, request_more, llm, gateway):
    a, b = llm("a", chat=first), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, hedge=ON, deadlines=PATIENT)
    answer = gw.chat(**request_more)
    assert (answer.streamed_text if request_more.get("stream") else answer.text) == "Hello from b"
    assert answer.trail == "a:late,b:ok"
    assert answer.headers["x-fallthrough-backend"] == "b" and answer.headers["x-fallthrough-tier"] == "2"
    assert len(a.chats) == 1 and len(b.chats) == 1
    wait_until(lambda: a.cancelled_at, what="the late attempt is cancelled")
    if request_more.get("stream"):
        assert answer.is_whole_stream and len({c["id"] for c in answer.chunks}) == 1
        assert len([c for c in answer.chunks if c["choices"][0]["delta"].get("role")]) == 1
    # Being late blames nobody.
    assert gw.backend("a")["state"] == "HEALTHY"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
def test_the_first_attempt_may_still_win(stream, llm, gateway):
    b = llm("b", chat=late(3600))
    a = llm("a", chat=late_behind(b))
    answer = gateway(a, b, hedge=ON, deadlines=PATIENT).chat(stream=stream)
    assert (answer.streamed_text if stream else answer.text) == "from the late one"
    assert answer.trail == "b:late,a:ok" and len(b.chats) == 1
    wait_until(lambda: b.cancelled_at, what="the second attempt is cancelled")


def test_who_is_in_time_is_not_doubled(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, hedge="{after: 9s, max_share: 100%}", deadlines=PATIENT)
    for _ in range(20):
        assert gw.chat(stream=True).trail == "a:ok"
    assert not b.chats


def test_off_unless_asked_for(llm, gateway):
    a, b = llm("a", chat=late(0.4)), llm("b")
    answer = gateway(a, b, deadlines=PATIENT).chat(stream=True)
    assert answer.trail == "a:ok" and not b.chats


@pytest.mark.parametrize("failure", [replies(500), replies(400), lambda _q, w: w.reset()], ids=["500", "400", "reset"])
def test_a_second_attempt_that_fails_leaves_the_answer_to_the_first(failure, llm, gateway):
    b = llm("b", chat=failure)
    a = llm("a", chat=late_behind(b, more_s=0.3))
    answer = gateway(a, b, hedge=ON, deadlines=PATIENT).chat(stream=True)
    assert answer.streamed_text == "from the late one" and answer.trail.endswith(",a:ok")
    assert len(a.chats) == 1 and len(b.chats) == 1


def test_a_first_attempt_that_fails_leaves_the_answer_to_the_second(llm, gateway):
    failed = threading.Event()

    def fails_later(_q, w):
        wait_asked(w, b)
        w.reset()
        failed.set()

    def answers_behind(q, w):
        failed.wait(10)
        late(0.3, "from b")(q, w)

    b, c = llm("b", chat=answers_behind), llm("c")
    a = llm("a", chat=fails_later)
    answer = gateway(a, b, c, hedge=ON, deadlines=PATIENT).chat(stream=True)
    assert answer.streamed_text == "from b" and answer.trail == "a:reset,b:ok"
    assert not c.chats and len(b.chats) == 1


def test_both_silent_go_on_to_the_next(llm, gateway):
    a, b, c = llm("a", chat=late(3600)), llm("b", chat=late(3600)), llm("c", chat=answers("from c"))
    answer = gateway(a, b, c, hedge=ON, deadlines="{first_token: 1s, total: 20s}").chat(stream=True)
    assert answer.streamed_text == "from c"
    assert answer.trail == "a:first_token_timeout,b:first_token_timeout,c:ok"


def test_nobody_else_to_ask_means_waiting(llm, gateway):
    a = llm("a", chat=late(0.4))
    answer = gateway(a, hedge=ON, deadlines=PATIENT).chat(stream=True)
    assert answer.trail == "a:ok" and len(a.chats) == 1


def test_a_break_after_a_hedge_goes_on_as_ever(llm, gateway):
    text = "one two three four five"

    def breaks(_q, w):
        w.begin_stream()
        for piece in pieces(text)[:2]:
            w.event(delta(piece))
        w.close()

    def continues(q, w):
        given = q.json["messages"][-1]["content"] if q.json["messages"][-1]["role"] == "assistant" else ""
        stream_openai(q, w, text[len(given):]) if given else w.hang()

    a, b = llm("a", chat=continues), llm("b", chat=breaks)
    answer = gateway(a, b, hedge=ON, deadlines=PATIENT).chat(stream=True)
    assert answer.streamed_text == text and answer.is_whole_stream
    assert answer.trail == "a:late,b:ok"  # as of the head; what came later is in the log
    assert [len(x.chats) for x in (a, b)] == [2, 1]


def test_hedges_stay_within_their_share(llm, gateway):
    a, b = llm("a", chat=late(0.15)), llm("b", chat=answers("from b"))
    gw = gateway(a, b, hedge="{after: 20ms, max_share: 10%}", workers="1", deadlines=PATIENT)
    done = []

    def ask():
        for _ in range(10):
            done.append(gw.chat(stream=True).status)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert done == [200] * 100
    assert 1 <= len(b.chats) <= 10


def test_a_percentile_is_learnt_from_the_backends_own_first_tokens(llm, gateway):
    plays = [late(0.02)] * 25 + [late(3600)]
    a, b = llm("a", chat=plays), llm("b", chat=answers("from b"))
    gw = gateway(a, b, hedge="{max_share: 100%}", deadlines=PATIENT)
    for _ in range(25):
        gw.chat(stream=True)
    b.requests.clear()
    answer = gw.chat(stream=True)
    assert answer.streamed_text == "from b" and answer.trail == "a:late,b:ok"


def test_a_client_that_leaves_cancels_both(llm, gateway):
    a, b = llm("a", chat=late(3600)), llm("b", chat=late(3600))
    gw = gateway(a, b, hedge=ON, deadlines=PATIENT)
    sock = gw.open_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True})
    wait_until(lambda: b.chats, what="the second attempt")
    sock.close()
    wait_until(lambda: a.cancelled_at and b.cancelled_at, what="both attempts are cancelled")
    wait_until(lambda: all(gw.backend(n)["in_flight"] == 0 for n in "ab"), what="nothing in flight")


def hedges(gw):
    wait_until(lambda: scrape(gw).sum("fallthrough_attempts_in_flight") == 0)
    metrics = scrape(gw)
    return {r: metrics.value("fallthrough_hedges_total", model="m", result=r) for r in ("won", "lost", "refused")}


def reset_behind(other):
    def play(_q, w):
        wait_asked(w, other)
        w.reset()
    return play


@pytest.mark.parametrize("first, second, counted", [
    (lambda _other: late(3600), answers("from b"), {"won": 1, "lost": 0, "refused": 0}),
    (late_behind, late(3600), {"won": 0, "lost": 1, "refused": 0}),
    (lambda other: late_behind(other, more_s=0.3), replies(500), {"won": 0, "lost": 1, "refused": 0}),
    (reset_behind, late(0.5), {"won": 1, "lost": 0, "refused": 0}),
], ids=["won", "late", "failed", "left_alone"])
def test_what_became_of_a_hedge_is_counted(first, second, counted, llm, gateway):
    b = llm("b", chat=second)
    gw = gateway(llm("a", chat=first(b)), b, hedge=ON, deadlines=PATIENT)
    assert gw.chat(stream=True).is_whole_stream
    assert hedges(gw) == counted


def test_a_hedge_that_was_not_needed_is_not_counted(llm, gateway):
    gw = gateway(llm("a", chat=late(0.02)), llm("b"), hedge="{after: 9s, max_share: 100%}", deadlines=PATIENT)
    assert gw.chat(stream=True).is_whole_stream
    assert hedges(gw) == {"won": 0, "lost": 0, "refused": 0}


def test_a_hedge_over_the_share_is_counted_as_refused(llm, gateway):
    a, b = llm("a", chat=late(0.3)), llm("b", chat=answers("from b"))
    gw = gateway(a, b, hedge="{after: 50ms, max_share: 0%}", deadlines=PATIENT)
    assert gw.chat(stream=True).trail == "a:ok"
    assert hedges(gw) == {"won": 0, "lost": 0, "refused": 1}


def test_a_hedge_whose_client_left_is_lost(llm, gateway):
    a, b = llm("a", chat=late(3600)), llm("b", chat=late(3600))
    gw = gateway(a, b, hedge=ON, deadlines=PATIENT)
    sock = gw.open_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True})
    wait_until(lambda: b.chats, what="the second attempt")
    sock.close()
    wait_until(lambda: hedges(gw)["lost"] == 1, what="it is counted")


def test_a_call_that_is_held_back_needs_no_hedge_and_no_processor_time(llm, gateway):
    def calls(_q, w):
        w.begin_stream()
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}
        w.event(delta(tool_calls=[call]))
        w.pause(2.0)
        w.event(delta(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]))
        w.event(delta(finish="tool_calls"))
        w.event("[DONE]")
        w.end_stream()

    a, b = llm("a", chat=calls), llm("b")
    gw = gateway(a, b, hedge="{after: 1s, max_share: 100%}", deadlines=PATIENT)
    used = gw.cpu_s()
    answer = gw.chat(stream=True, tools=[{"type": "function", "function": {"name": "f"}}])
    assert answer.is_whole_stream and not b.chats
    assert gw.cpu_s() - used < 0.3
