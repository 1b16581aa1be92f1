"""Tool calls are held back until each is complete, so that a break inside one loses nothing."""

import json

import pytest
from breaks import BREAKS, partial_of
from fake_llm import delta, replies

TEXT = ["Let", " me", " look."]


def call(index, arguments, name=None, id=None):
    piece = {"index": index, "function": {"arguments": arguments}}
    if name:
        piece["function"]["name"] = name
        piece.update(id=id, type="function")
    return delta(tool_calls=[piece])


CALLS = [call(0, "", "weather", "call_a"), call(0, '{"city":'), call(0, ' "Gräz"}'),
         call(1, "{", "time", "call_b"), call(1, "}")]
WANTED = [("call_a", "weather", '{"city": "Gräz"}'), ("call_b", "time", "{}")]
EVENTS = [delta("", role="assistant"), *[delta(t) for t in TEXT], *CALLS]
FIRST, SECOND = 4, 7  # where the calls begin


def says(events, then):
    def play(_q, w):
        w.begin_stream()
        for event in events:
            w.event(event)
        then(w)
    return play


def finishes(w):
    w.event(delta(finish="tool_calls"))
    w.event("[DONE]")
    w.end_stream()


def goes_on(q, w):
    """From the text that it is given, or from the beginning."""
    given = partial_of(q)
    assert given is None or given == "".join(TEXT)[:len(given)]
    left = TEXT[len([t for t in range(1, 4) if given and len(given) >= len("".join(TEXT[:t]))]):]
    says([delta("", role="assistant"), *[delta(t) for t in left], *CALLS], finishes)(q, w)


def calls_of(answer):
    """As an SDK puts the deltas together; also checks that a call never comes in parts."""
    calls = {}
    for chunk in answer.chunks:
        for choice in chunk.get("choices", []):
            for piece in choice["delta"].get("tool_calls") or []:
                assert piece["index"] not in calls, "a call came in parts"
                calls[piece["index"]] = (piece["id"], piece["function"]["name"], piece["function"]["arguments"])
    return [calls[i] for i in sorted(calls)]


def test_a_call_goes_out_when_it_is_complete(llm, gateway):
    gw = gateway(llm("a", chat=says(EVENTS, finishes)))
    answer = gw.chat(stream=True)
    assert answer.is_whole_stream and answer.streamed_text == "".join(TEXT)
    assert calls_of(answer) == WANTED
    assert [c["choices"][0]["finish_reason"] for c in answer.chunks if c["choices"]][-1] == "tool_calls"


def test_nothing_of_a_call_is_given_before_it_is_complete(llm, gateway):
    a = llm("a", chat=says(EVENTS[:SECOND], lambda w: w.hang()))
    answer = gateway(a, streams="{resume: off}").chat(stream=True)
    assert not answer.is_whole_stream and calls_of(answer) == []
    assert answer.streamed_text == "".join(TEXT)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("cut", range(0, len(EVENTS) + 1))
def test_wherever_it_breaks_every_call_comes_once_and_whole(cut, stream, llm, gateway):
    a = llm("a", chat=says(EVENTS[:cut], BREAKS["reset"]))
    b = llm("b", chat=goes_on)
    answer = gateway(a, b, retry="{same_backend: 0}").chat(stream=stream)
    if stream:
        assert answer.is_whole_stream and answer.streamed_text == "".join(TEXT)
        assert calls_of(answer) == WANTED
        roles = [c for c in answer.chunks if c["choices"] and c["choices"][0]["delta"].get("role")]
        assert len(roles) == 1
    else:
        message = answer.json["choices"][0]["message"]
        assert message["content"] == "".join(TEXT)
        assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]] == WANTED
    # A cut inside the first call goes on from the text before it.
    if FIRST <= cut < SECOND:
        assert partial_of(b.chats[0]) == "".join(TEXT)


def test_a_break_while_the_first_call_is_held_can_still_go_anywhere(llm, gateway):
    a = llm("a", chat=says([EVENTS[0], *CALLS[:2]], BREAKS["close"]))
    b = llm("b", type="openai", chat=says([EVENTS[0], *CALLS], finishes))
    answer = gateway(a, b).chat(stream=True)
    assert answer.is_whole_stream and calls_of(answer) == WANTED
    assert answer.headers["x-fallthrough-backend"] == "b"


def test_another_call_than_the_client_has_is_never_joined(llm, gateway):
    other = [call(0, '{"city": "Linz"}', "weather", "call_x")]
    a = llm("a", chat=says(EVENTS[:SECOND + 1], BREAKS["close"]))
    b = llm("b", chat=says([*EVENTS[:FIRST], *other], finishes))
    answer = gateway(a, b).chat(stream=True)
    assert not answer.is_whole_stream and calls_of(answer) == WANTED[:1]
    assert answer.payloads[-1] and json.loads(answer.payloads[-1])["error"]["code"] == "stream_interrupted"


def test_without_holding_pieces_pass_as_they_come_and_a_break_is_an_error(llm, gateway):
    a, b = llm("a", chat=says(EVENTS[:FIRST + 2], BREAKS["close"])), llm("b", chat=goes_on)
    answer = gateway(a, b, streams="{hold_tool_calls: false}").chat(stream=True)
    pieces = [p for c in answer.chunks if c.get("choices") for p in c["choices"][0]["delta"].get("tool_calls") or []]
    assert len(pieces) == 2
    assert not answer.is_whole_stream and not b.chats


def test_a_forced_tool_is_not_asked_to_continue_a_text(llm, gateway):
    a, b = llm("a", chat=says(EVENTS[:FIRST + 1], BREAKS["close"])), llm("b", chat=goes_on)
    answer = gateway(a, b).chat(stream=True, tool_choice="required")
    assert answer.is_whole_stream and calls_of(answer) == WANTED
    assert partial_of(b.chats[0]) is None


def test_a_long_call_keeps_the_client_alive(llm, gateway):
    def slow(_q, w):
        w.begin_stream()
        w.event(EVENTS[0])
        w.event(EVENTS[1])
        for piece in CALLS:
            w.event(piece)
            w.pause(0.15)
        finishes(w)

    answer = gateway(llm("a", chat=slow), streams="{keep_alive: 100ms}").chat(stream=True)
    assert calls_of(answer) == WANTED and b": " in answer.body


def test_a_backend_that_only_makes_calls_slowly_is_not_stalled(llm, gateway):
    def slow(_q, w):
        w.begin_stream()
        for event in [EVENTS[0], *CALLS, *[call(1, " ")] * 8]:
            w.event(event)
            w.pause(0.1)
        finishes(w)

    gw = gateway(llm("a", chat=slow), llm("b", chat=replies(500)),
                 deadlines="{first_token: 1s, stall: 600ms, total: 20s}")
    assert calls_of(gw.chat(stream=True))[0] == WANTED[0]
