"""A stream that breaks goes on at an Anthropic backend where that is possible, and is not paid for twice."""

import pytest
from breaks import BREAKS, TEXT, WORDS, breaks_after, continues
from fake_llm import (answers, block_start, block_stop, block_text, delta, message_end, message_start, pieces, replies,
                      stream_anthropic, streams_then)

REFUSED = {"type": "error", "error": {"type": "invalid_request_error", "message":
           "This model does not support assistant message prefill. The conversation must end with a user message."}}


def given_to(q):
    """What the gateway sent along as the beginning of the answer, or None."""
    last = q.json["messages"][-1]
    if last["role"] != "assistant":
        return None
    assert [b["type"] for b in last["content"]] == ["text"]
    return last["content"][0]["text"]


def goes_on(q, w):
    """A model that takes a beginning: trailing white space is an error, as it is there."""
    given = given_to(q) or ""
    if given != given.rstrip():
        w.reply(400, {"type": "error", "error": {"type": "invalid_request_error", "message":
                "messages: final assistant content cannot end with trailing whitespace"}})
        return
    assert TEXT.startswith(given)
    stream_anthropic(q, w, TEXT[len(given):])


def refuses_to_go_on(q, w):
    if given_to(q) is not None:
        w.reply(400, REFUSED)
    else:
        stream_anthropic(q, w, "Something else")


def breaks_with(*parts):
    def play(_q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for part in parts:
            w.event(delta(part))
        w.reset()
    return play


def check_whole(answer, text=TEXT):
    assert answer.streamed_text == text
    assert answer.is_whole_stream and answer.payloads.count("[DONE]") == 1
    assert len({(c["id"], c["created"], c["model"]) for c in answer.chunks}) == 1
    assert sum(1 for c in answer.chunks if c["choices"] and c["choices"][0]["delta"].get("role")) == 1
    finishes = [c for c in answer.chunks if c["choices"] and c["choices"][0]["finish_reason"]]
    assert len(finishes) == 1 and finishes[0]["_backend"] == "b" and finishes[0]["_resumed"] is True


@pytest.mark.parametrize("how", BREAKS)
def test_under_any_it_goes_on_in_mid_sentence(how, llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS[how])), llm("b", type="anthropic", chat=goes_on)
    check_whole(gateway(a, b, streams="{resume: any}").chat(stream=True))
    assert given_to(b.chats[0]) == "".join(WORDS[:5]) and len(b.chats) == 1


def test_wherever_it_breaks_nothing_is_lost_or_doubled(llm, gateway):
    """White space at the seam included: each break is behind one more character."""
    a, b = llm("a"), llm("b", type="anthropic", chat=goes_on)
    gw = gateway(a, b, streams="{resume: any}", health="{interval: 60s}")
    for cut in range(1, len(TEXT)):
        a.chat = breaks_with(TEXT[:cut])
        answer = gw.chat(stream=True)
        assert answer.streamed_text == TEXT and answer.is_whole_stream
        gw.request("GET", "/status", admin=True)


@pytest.mark.parametrize("head, rest", [("List:\n\n", "- one"), ("if x:\n    ", "return"), ("a\t\t", "b"),
                                        ("a\u00a0\u3000", "b"), ("a ", "\n b"), ("\n", "a"), ("\x0b\x1c ", "a")])
def test_white_space_that_is_not_sent_along_comes_once(head, rest, llm, gateway):
    def comes_again(q, w):
        assert (given_to(q) or "") == head.rstrip()
        stream_anthropic(q, w, (head + rest)[len(head.rstrip()):])
    a, b = llm("a", chat=breaks_with(head)), llm("b", type="anthropic", chat=comes_again)
    check_whole(gateway(a, b, streams="{resume: any}").chat(stream=True), head + rest)


def test_other_white_space_makes_no_seam(llm, gateway):
    a = llm("a", chat=breaks_with("if x:\n    "))
    b = llm("b", type="anthropic", chat=lambda q, w: stream_anthropic(q, w, "\n  return"))
    c = llm("c", chat=lambda q, w: w.reply(503, {}))
    answer = gateway(a, b, c, streams="{resume: any}").chat(stream=True)
    assert answer.streamed_text == "if x:\n    " and not answer.is_whole_stream
    assert "stream_interrupted" in answer.payloads[-1] and len(b.chats) == 1


def test_an_end_behind_white_space_is_an_end(llm, gateway):
    def ends(_q, w):
        w.begin_stream()
        for event in [message_start(), block_start(), block_stop(), *message_end()]:
            w.named_event(event)
        w.end_stream()
    a, b = llm("a", chat=breaks_with("All said.\n")), llm("b", type="anthropic", chat=ends)
    check_whole(gateway(a, b, streams="{resume: any}").chat(stream=True), "All said.\n")


def test_a_tool_call_behind_white_space_fits(llm, gateway):
    def calls(_q, w):
        w.begin_stream()
        for event in [message_start(), block_start(type="tool_use", id="toolu_1", name="f", input={}), block_stop(),
                      *message_end("tool_use")]:
            w.named_event(event)
        w.end_stream()
    a, b = llm("a", chat=breaks_with("I look.\n\n")), llm("b", type="anthropic", chat=calls)
    answer = gateway(a, b, streams="{resume: any}").chat(stream=True)
    assert answer.is_whole_stream and answer.streamed_text == "I look.\n\n"
    assert [t["function"]["name"] for c in answer.chunks for t in c["choices"][0]["delta"].get("tool_calls", [])] == ["f"]


def test_under_exact_it_is_not_asked(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["reset"])), llm("b", type="anthropic", chat=goes_on)
    answer = gateway(a, b).chat(stream=True)
    assert not answer.is_whole_stream and "stream_interrupted" in answer.payloads[-1]
    assert not b.chats


def test_a_model_that_refuses_is_not_paid_for_the_whole_answer(llm, gateway):
    a = llm("a", chat=breaks_after(5, BREAKS["reset"]))
    b = llm("b", type="anthropic", chat=refuses_to_go_on)
    answer = gateway(a, b, streams="{resume: any}").chat(stream=True)
    assert answer.streamed_text == "".join(WORDS[:5]) and not answer.is_whole_stream
    assert len(b.chats) == 1


def test_where_it_refuses_the_next_one_goes_on(llm, gateway):
    a = llm("a", chat=breaks_after(5, BREAKS["reset"]))
    b, c = llm("b", type="anthropic", chat=refuses_to_go_on), llm("c", chat=continues)
    answer = gateway(a, b, c, streams="{resume: any}").chat(stream=True)
    assert answer.streamed_text == TEXT and answer.is_whole_stream and len(b.chats) == 1


@pytest.mark.parametrize("more", [{"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
                                  {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}],
                         ids=["forced_tool", "prefilled_by_the_client"])
def test_what_text_alone_cannot_continue_is_not_asked_for(more, llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["reset"])), llm("b", type="anthropic", chat=goes_on)
    answer = gateway(a, b, streams="{resume: any}").chat(stream=True, **more)
    assert not answer.is_whole_stream and not b.chats


@pytest.mark.parametrize("policy", ["exact", "any"])
def test_a_client_that_waits_for_one_body_gets_a_whole_answer(policy, llm, gateway):
    a = llm("a", chat=breaks_after(5, BREAKS["reset"]))
    b = llm("b", type="anthropic", chat=refuses_to_go_on)
    answer = gateway(a, b, streams=f"{{resume: {policy}, upstream: always}}").chat()
    assert answer.text == "Something else" and answer.json["choices"][0]["finish_reason"] == "stop"
    assert len(b.chats) == (2 if policy == "any" else 1)


def test_its_own_streams_go_on_elsewhere(llm, gateway):
    def breaks(_q, w):
        w.begin_stream()
        for event in [message_start(), block_start(), *[block_text(p) for p in WORDS[:6]]]:
            w.named_event(event)
        w.reset()
    a, b = llm("a", type="anthropic", chat=breaks), llm("b", chat=continues)
    check_whole(gateway(a, b).chat(stream=True))


def test_limit_and_usage_are_those_of_the_whole_answer(llm, gateway):
    def counts(q, w):
        assert q.json["max_tokens"] == 20 - 5
        stream_anthropic(q, w, TEXT[len(given_to(q)):])
    a, b = llm("a", chat=breaks_after(5, BREAKS["reset"])), llm("b", type="anthropic", chat=counts)
    answer = gateway(a, b, streams="{resume: any}").chat(stream=True, max_tokens=20,
                                                         stream_options={"include_usage": True})
    usage = answer.chunks[-1]["usage"]
    rest = TEXT[len("".join(WORDS[:5])):]
    assert usage["completion_tokens"] == 5 + len(pieces(rest))
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
