"""A client that waits for one JSON body is saved in the same way: its answer is streamed from the backend, and
what was generated before a break is kept."""

import pytest
from breaks import BREAKS, TEXT, WORDS, breaks_after, continues, partial_of
from fake_llm import completion, delta, pieces, replies, usage_chunk
from gateway import wait_until


def check_plain(answer, text=TEXT):
    assert answer.status == 200, answer.body
    assert answer.json["object"] == "chat.completion" and len(answer.json["choices"]) == 1
    choice = answer.json["choices"][0]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"] == text
    return choice


@pytest.mark.parametrize("how", BREAKS)
def test_what_was_generated_is_kept_after(how, llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS[how])), llm("b", chat=continues)
    gw = gateway(a, b, retry="{same_backend: 0}")
    answer = gw.chat()
    assert check_plain(answer)["finish_reason"] == "stop"
    assert partial_of(b.chats[0]) == "".join(WORDS[:5])
    assert answer.json["_backend"] == "b" and answer.json["_resumed"] is True
    assert answer.headers["x-fallthrough-backend"] == "b" and answer.headers["x-fallthrough-tier"] == "2"
    assert answer.headers["x-fallthrough-attempts"].endswith(",b:resumed")
    wait_until(lambda: gw.logged("stream resumed"), what="a line in the log")


@pytest.mark.parametrize("count", range(0, len(WORDS) + 1))
def test_wherever_it_breaks_nothing_is_lost_or_doubled(count, llm, gateway):
    a, b = llm("a", chat=breaks_after(count, BREAKS["reset"])), llm("b", chat=continues)
    check_plain(gateway(a, b, retry="{same_backend: 0}").chat())


def test_usage_covers_the_whole_answer(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=continues)
    usage = gateway(a, b).chat(max_tokens=100).json["usage"]
    # The standby says that it made one token; five pieces came before it.
    assert usage["completion_tokens"] == 6 and usage["total_tokens"] == usage["prompt_tokens"] + 6
    assert b.chats[0].json["max_tokens"] == 95


def test_the_only_backend_goes_on_by_itself_after_a_reset(llm, gateway):
    a = llm("a", chat=[breaks_after(5, BREAKS["reset"]), continues])
    answer = gateway(a).chat()
    check_plain(answer)
    assert [partial_of(q) for q in a.chats] == [None, "".join(WORDS[:5])]


def test_a_backend_that_refuses_to_continue_makes_the_whole_answer_anew(llm, gateway):
    other = "A whole answer in other words"

    def refuses(q, w):
        if partial_of(q) is not None:
            replies(400, {"error": {"message": "no prefill here"}})(q, w)
            return
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in pieces(other):
            w.event(delta(word))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()

    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=refuses)
    answer = gateway(a, b).chat()
    check_plain(answer, other)
    assert [partial_of(q) for q in b.chats] == ["".join(WORDS[:5]), None]
    assert "_resumed" not in answer.json
    assert answer.headers["x-fallthrough-attempts"].endswith("b:client_error,b:ok")


@pytest.mark.parametrize("request_more, setting", [
    ({"response_format": {"type": "json_object"}}, "{}"),
    ({}, "{resume: off}"),
])
def test_what_cannot_be_continued_is_made_anew_since_nobody_has_seen_it(request_more, setting, llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=continues)
    answer = gateway(a, b, streams=setting).chat(**request_more)
    check_plain(answer)
    assert partial_of(b.chats[0]) is None and "_resumed" not in answer.json


def test_a_cloud_makes_the_answer_anew(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", type="openai", chat=continues)
    check_plain(gateway(a, b).chat())
    assert partial_of(b.chats[0]) is None


def test_several_choices_are_made_anew(llm, gateway):
    def two_choices(q, w):
        w.begin_stream()
        for index in (0, 1):
            w.event(delta(f"choice {index}", role="assistant", index=index))
        for index in (0, 1):
            w.event(delta(finish="stop", index=index))
        w.event("[DONE]")
        w.end_stream()

    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=two_choices)
    answer = gateway(a, b).chat(n=2)
    assert [c["message"]["content"] for c in answer.json["choices"]] == ["choice 0", "choice 1"]
    assert partial_of(b.chats[0]) is None


def test_two_breaks_in_one_answer(llm, gateway):
    def breaks_again(q, w):
        done = len(pieces(partial_of(q)))
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in WORDS[done:done + 3]:
            w.event(delta(word))
        w.reset()

    a, b, c = llm("a", chat=breaks_after(4, BREAKS["close"])), llm("b", chat=breaks_again), llm("c", chat=continues)
    # Probes tell that nobody died of it (query of death).
    check_plain(gateway(a, b, c, retry="{same_backend: 0}").chat())
    assert partial_of(c.chats[0]) == "".join(WORDS[:7])


def test_what_is_spent_is_not_asked_for_again(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=continues)
    gw = gateway(a, b, streams="{upstream: always}")
    choice = check_plain(gw.chat(max_tokens=5), "".join(WORDS[:5]))
    assert choice["finish_reason"] == "length" and not b.chats


def test_logprobs_of_both_parts_are_one_list(llm, gateway):
    def token(text):
        return {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}

    def with_logprobs(words, then):
        def play(q, w):
            w.begin_stream()
            w.event(delta("", role="assistant"))
            for word in words:
                chunk = delta(word)
                chunk["choices"][0]["logprobs"] = {"content": [token(word)]}
                w.event(chunk)
            then(w)
        return play

    ends = lambda w: (w.event(delta(finish="stop")), w.event("[DONE]"), w.end_stream())  # noqa: E731
    a = llm("a", chat=with_logprobs(WORDS[:5], BREAKS["close"]))
    b = llm("b", chat=with_logprobs(WORDS[5:], ends))
    choice = check_plain(gateway(a, b).chat(logprobs=True))
    assert [t["token"] for t in choice["logprobs"]["content"]] == WORDS


def test_usage_before_the_break_counts_even_when_no_more_is_asked_for(llm, gateway):
    def tells_usage(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for i, word in enumerate(WORDS[:5]):
            w.event({**delta(word), "usage": {**usage_chunk(i + 1)["usage"]}})
        w.close()

    a, b = llm("a", chat=tells_usage), llm("b", chat=continues)
    gw = gateway(a, b, streams="{upstream: always}")
    answer = gw.chat(max_tokens=5)
    assert check_plain(answer, "".join(WORDS[:5]))["finish_reason"] == "length"
    assert answer.json["usage"]["completion_tokens"] == 5


def test_an_error_behind_the_finish_reason_changes_nothing(llm, gateway):
    def play(_q, w):
        w.begin_stream()
        w.event(delta(TEXT, role="assistant"))
        w.event(delta(finish="stop"))
        w.event({"error": {"message": "too late", "code": 500}})
        w.event("[DONE]")
        w.end_stream()

    a, b = llm("a", chat=play), llm("b", chat=continues)
    check_plain(gateway(a, b).chat())
    assert not b.chats


def test_one_piece_instead_of_a_continuation_is_never_taken_for_the_answer(llm, gateway):
    """Nobody can say whether it is the rest or all of it: the backend is asked from the beginning."""
    def in_one_piece(q, w):
        w.reply(200, completion("only the rest" if partial_of(q) else "the whole answer"))

    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=in_one_piece)
    check_plain(gateway(a, b).chat(), "the whole answer")
    assert [partial_of(q) is None for q in b.chats] == [False, True]
