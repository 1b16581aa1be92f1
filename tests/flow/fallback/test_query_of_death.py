"""A request under which two backends died is not sent to a third; one that only draws errors is."""

import json
import time

import pytest
from breaks import WORDS, continues, partial_of
from fake_llm import answers, delta, pieces, replies
from gateway import wait_until

DEAD = {"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
                  "type": "InternalServerError", "param": None, "code": 500}}
# The probes in between are those that are asked for.
SELDOM = "{interval: 30s, timeout: 1s, degraded_after: 500ms, down_after: 3, up_after: 1}"
ONCE = "{same_backend: 0}"


@pytest.fixture
def quiet_gateway(gateway):
    """One whose first probes are so old that the next ones may come at once."""
    def make(*args, **more):
        gw = gateway(*args, **more)
        time.sleep(0.6)
        return gw
    return make


def dies(w):
    """As a vLLM whose engine is gone: its server says so to whoever asks, then it exits."""
    w.llm.stop()


def stays(_w):
    """The same, but it takes its time."""


def lives(w):
    """It was only an error."""
    w.llm.health = replies(200, "")


def error_then(after, words=0):
    def play(q, w):
        given = len(pieces(partial_of(q))) if partial_of(q) else 0
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in WORDS[given:given + words]:
            w.event(delta(word))
        w.llm.health = replies(503, "")
        if after is lives:
            lives(w)
        w.event(DEAD)
        w.event("[DONE]")
        w.end_stream()
        after(w)
    return play


def status_then(after):
    def play(_q, w):
        w.llm.health = replies(503, "")
        w.reply(500, DEAD)
        after(w)
    return play


@pytest.mark.parametrize("after", [dies, stays])
@pytest.mark.parametrize("play", [error_then, status_then], ids=["in_stream", "500"])
def test_two_engines_that_died_of_it_are_enough(play, after, llm, quiet_gateway):
    a, b, c = llm("a", chat=play(after)), llm("b", chat=play(after)), llm("c")
    answer = quiet_gateway(a, b, c, health=SELDOM, retry=ONCE).chat(stream=True)
    assert answer.status == 502 and answer.json["error"]["code"] == "backends_died"
    assert not c.chats


@pytest.mark.parametrize("after", [dies, stays])
def test_two_engines_that_died_in_mid_sentence_are_enough(after, llm, quiet_gateway):
    a, b, c = llm("a", chat=error_then(after, 3)), llm("b", chat=error_then(after, 2)), llm("c", chat=continues)
    answer = quiet_gateway(a, b, c, health=SELDOM).chat(stream=True)
    assert answer.streamed_text == "".join(WORDS[:5]) and not answer.is_whole_stream
    assert json.loads(answer.payloads[-1])["error"]["code"] == "backends_died" and not c.chats


def test_a_broken_connection_and_an_error_are_two_deaths(llm, quiet_gateway):
    def killed(q, w):
        w.llm.stop()
        w.reset()
    a, b, c = llm("a", chat=killed), llm("b", chat=status_then(dies)), llm("c")
    answer = quiet_gateway(a, b, c, health=SELDOM, retry=ONCE).chat()
    assert answer.json["error"]["code"] == "backends_died" and not c.chats


@pytest.mark.parametrize("failure", [replies(500), replies(500, DEAD), error_then(lives)], ids=["500", "dead_500", "event"])
def test_errors_of_backends_that_live_go_on_to_the_third(failure, llm, quiet_gateway):
    a, b, c = llm("a", chat=failure), llm("b", chat=failure), llm("c", chat=answers("from c"))
    answer = quiet_gateway(a, b, c, health=SELDOM, retry=ONCE).chat(stream=True)
    assert answer.streamed_text == "from c"


def test_500s_alone_are_no_reason_to_wait(llm, quiet_gateway):
    a, b, c = llm("a", chat=replies(500)), llm("b", chat=replies(500)), llm("c", chat=answers("from c"))
    gw = quiet_gateway(a, b, c, health=SELDOM, retry=ONCE)
    waits = []
    for _ in range(5):  # the shortest: a machine may be slow
        assert gw.chat(stream=True).streamed_text == "from c"
        waits.append(c.chats[-1].at - b.chats[-1].at)
    assert min(waits) < 0.5


def test_one_death_is_none_too_many(llm, quiet_gateway):
    a, b, c = llm("a", chat=error_then(dies)), llm("b", chat=replies(500)), llm("c", chat=answers("from c"))
    gw = quiet_gateway(a, b, c, health=SELDOM, retry=ONCE)
    assert gw.chat(stream=True).streamed_text == "from c"
    wait_until(lambda: gw.backend("a")["state"] == "DOWN")
