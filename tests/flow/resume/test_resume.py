"""A stream that breaks after its first token goes on at the next backend, in mid-sentence."""

import json

import pytest
from breaks import BREAKS, TEXT, WORDS, breaks_after, continues, partial_of
from fake_llm import answers, delta, pieces, replies, stream_ollama, stream_openai
from gateway import wait_until

def check_whole(answer):
    assert answer.status == 200
    assert answer.streamed_text == TEXT
    assert answer.is_whole_stream and answer.payloads.count("[DONE]") == 1
    assert len({(c["id"], c["created"], c["model"]) for c in answer.chunks}) == 1
    roles = [c for c in answer.chunks if c["choices"] and c["choices"][0]["delta"].get("role")]
    assert len(roles) == 1
    finishes = [c for c in answer.chunks if c["choices"] and c["choices"][0]["finish_reason"]]
    assert len(finishes) == 1
    return finishes[0]


@pytest.mark.parametrize("how", BREAKS)
def test_goes_on_in_mid_sentence_after(how, llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS[how])), llm("b", chat=continues)
    gw = gateway(a, b)
    finish = check_whole(gw.chat(stream=True))
    assert finish["_backend"] == "b" and finish["_resumed"] is True
    assert partial_of(b.chats[0]) == "".join(WORDS[:5])
    assert len(a.chats) == 1
    wait_until(lambda: gw.logged("stream resumed"), what="a line in the log")


@pytest.mark.parametrize("count", range(0, len(WORDS) + 1))
def test_wherever_it_breaks_nothing_is_lost_or_doubled(count, llm, gateway):
    a, b = llm("a", chat=breaks_after(count, BREAKS["reset"])), llm("b", chat=continues)
    gw = gateway(a, b)
    answer = gw.chat(stream=True)
    assert answer.streamed_text == TEXT and answer.is_whole_stream


@pytest.mark.parametrize("first", ["vllm", "llamacpp"])
@pytest.mark.parametrize("second", ["vllm", "llamacpp"])
def test_between_types(first, second, llm, gateway):
    a, b = llm("a", type=first, chat=breaks_after(7, BREAKS["close"])), llm("b", type=second, chat=continues)
    check_whole(gateway(a, b).chat(stream=True))


def test_from_ollama_to_vllm(llm, gateway):
    def dies(q, w):
        w.begin_stream("application/x-ndjson")
        for word in WORDS[:6]:
            w.line({"model": "x", "created_at": "t", "message": {"role": "assistant", "content": word}, "done": False})
        w.reset()
    check_whole(gateway(llm("a", type="ollama", chat=dies), llm("b", chat=continues)).chat(stream=True))


def test_to_ollama_it_repeats_the_answer_and_only_the_new_is_passed_on(llm, gateway):
    def again(q, w):
        assert partial_of(q) is None
        stream_ollama(q, w, TEXT)
    a, b = llm("a", chat=breaks_after(6, BREAKS["reset"])), llm("b", type="ollama", chat=again)
    check_whole(gateway(a, b).chat(stream=True))


def test_to_ollama_under_any_it_continues(llm, gateway):
    a, b = llm("a", chat=breaks_after(6, BREAKS["reset"])), llm("b", type="ollama", chat=continues)
    check_whole(gateway(a, b, streams="{resume: any}").chat(stream=True))
    assert partial_of(b.chats[0]) == "".join(WORDS[:6])


def test_two_breaks_in_one_answer(llm, gateway):
    def second(q, w):
        given = partial_of(q)
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in pieces(TEXT[len(given):].lstrip(" "))[:4]:
            w.event(delta(word if word.startswith(" ") else " " + word))
        w.reset()
    a, b, c = llm("a", chat=breaks_after(3, BREAKS["close"])), llm("b", chat=second), llm("c", chat=continues)
    finish = check_whole(gateway(a, b, c).chat(stream=True))
    assert finish["_backend"] == "c"
    assert partial_of(c.chats[0]) == "".join(WORDS[:7])


def test_a_backend_that_refuses_to_continue_is_asked_from_the_beginning(llm, gateway):
    def refuses(q, w):
        if partial_of(q) is not None:
            w.reply(400, {"error": {"message": "prefill not supported", "code": 400}})
        else:
            stream_openai(q, w, TEXT)
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=refuses)
    check_whole(gateway(a, b).chat(stream=True))
    assert len(b.chats) == 2


def test_an_answer_that_differs_from_what_the_client_has_is_never_joined(llm, gateway):
    def other(q, w):
        if partial_of(q) is not None:
            w.reply(400, {"error": {"message": "prefill not supported", "code": 400}})
        else:
            stream_openai(q, w, "Something else entirely")
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=other)
    answer = gateway(a, b).chat(stream=True)
    assert answer.streamed_text == "".join(WORDS[:5])
    assert not answer.is_whole_stream and json.loads(answer.payloads[-1])["error"]["code"] == "stream_interrupted"


def test_usage_and_max_tokens_cover_the_whole_answer(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=continues)
    answer = gateway(a, b).chat(stream=True, max_tokens=50, stream_options={"include_usage": True})
    assert b.chats[0].json["max_tokens"] == 45
    usage = answer.chunks[-1]["usage"]
    assert usage["completion_tokens"] == 6 and usage["total_tokens"] == usage["prompt_tokens"] + 6


def test_what_is_spent_is_not_asked_for_again(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b")
    answer = gateway(a, b).chat(stream=True, max_tokens=5)
    assert answer.streamed_text == "".join(WORDS[:5]) and answer.is_whole_stream
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert not b.chats


@pytest.mark.parametrize("setting, more", [("{resume: off}", {}), ("{}", {"n": 2}),
                                           ("{}", {"messages": [{"role": "user", "content": "x"}], "n": 2})])
def test_where_it_may_not_go_on_it_ends_honestly(setting, more, llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=continues)
    answer = gateway(a, b, streams=setting).chat(stream=True, **more)
    assert not answer.is_whole_stream
    assert json.loads(answer.payloads[-1])["error"]["code"] == "stream_interrupted"


TWO_MODELS = """
listen: 127.0.0.1:0
admin: 127.0.0.1:0
streams: {{resume: off, calibrate: 0}}
backends: {{a: {{type: vllm, url: '{a}'}}, b: {{type: vllm, url: '{b}'}}}}
models:
  plain: {{tiers: [a, b]}}
  steady: {{tiers: [a, b], streams: {{resume: exact}}}}
"""


def test_a_model_may_resume_where_the_file_says_off(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["error_event"])), llm("b", chat=continues)
    gw = gateway(config=TWO_MODELS.format(a=a.url, b=b.url))
    check_whole(gw.chat(model="steady", stream=True))
    gw.wait_state("a", "HEALTHY")
    answer = gw.chat(model="plain", stream=True)
    assert json.loads(answer.payloads[-1])["error"]["code"] == "stream_interrupted" and not answer.is_whole_stream


def test_a_cloud_is_not_paid_to_repeat_an_answer(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", type="openai", chat=answers(TEXT))
    answer = gateway(a, b).chat(stream=True)
    assert not answer.is_whole_stream and not b.chats


def test_nobody_left_to_go_on_is_an_error_event(llm, gateway):
    a, b = llm("a", chat=breaks_after(5, BREAKS["close"])), llm("b", chat=replies(503))
    answer = gateway(a, b).chat(stream=True)
    assert answer.streamed_text == "".join(WORDS[:5]) and not answer.is_whole_stream


def test_after_the_finish_reason_nothing_is_resumed(llm, gateway):
    def play(q, w):
        w.begin_stream()
        w.event(delta(TEXT))
        w.event(delta(finish="stop"))
        w.reset()
    a, b = llm("a", chat=play), llm("b", chat=continues)
    answer = gateway(a, b).chat(stream=True)
    assert answer.streamed_text == TEXT and answer.is_whole_stream and not b.chats


def test_an_error_behind_the_finish_reason_changes_nothing(llm, gateway):
    def play(q, w):
        w.begin_stream()
        w.event(delta(TEXT, role="assistant"))
        w.event(delta(finish="stop"))
        w.event({"error": {"message": "too late", "code": 500}})
        w.event("[DONE]")
        w.end_stream()
    a, b = llm("a", chat=play), llm("b", chat=continues)
    check_whole(gateway(a, b).chat(stream=True))
    assert not b.chats


def test_an_attempt_whose_share_of_the_time_is_over_leaves_the_rest_to_others(llm, gateway):
    a = llm("a", chat=breaks_after(5, BREAKS["close"]))
    b, c = llm("b", chat=lambda q, w: w.hang()), llm("c", chat=continues)
    gw = gateway(a, b, c, deadlines="{first_token: 30s, stall: 30s, total: 4s}")
    check_whole(gw.chat(stream=True))
    told = wait_until(lambda: [line for line in gw.lines if "stream resumed" in line], what="the line of the log")
    assert "b:total_timeout" in told[0]
