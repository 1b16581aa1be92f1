"""How much of an answer is spent, counted where chunks do not tell: max_tokens and usage across a seam."""

import pytest
from breaks import BREAKS, TEXT, WORDS, continues, partial_of
from fake_llm import delta, replies, tokenizes, usage_chunk
from gateway import wait_until

USAGE = {"stream_options": {"include_usage": True}}


def merges(how, words=9, a_chunk=3):
    """A busy vLLM: several tokens in each chunk."""
    def play(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for i in range(0, words, a_chunk):
            w.event(delta("".join(WORDS[i:i + a_chunk])))
        how(w)
    return play


def makes(q, w):
    """Goes on as `continues`, token by token, as far as it may."""
    given = partial_of(q) or ""
    rest = [word for i, word in enumerate(WORDS) if len("".join(WORDS[:i])) >= len(given)]
    made = rest[:q.json.get("max_tokens", len(rest))]
    w.begin_stream()
    for word in made:
        w.event(delta(word))
    w.event(delta(finish="length" if len(made) < len(rest) else "stop"))
    if (q.json.get("stream_options") or {}).get("include_usage"):
        w.event(usage_chunk(len(made)))
    w.event("[DONE]")
    w.end_stream()


@pytest.mark.parametrize("second", ["vllm", "llamacpp"])
def test_merged_chunks_are_counted_by_the_tokenizer_of_the_backend_that_goes_on(second, llm, gateway):
    a, b = llm("a", chat=merges(BREAKS["close"])), llm("b", type=second, chat=makes)
    b.tokenize = tokenizes()
    answer = gateway(a, b).chat(stream=True, max_tokens=12, **USAGE)
    assert b.chats[0].json["max_tokens"] == 12 - 9
    assert answer.streamed_text == "".join(WORDS[:12]) and answer.is_whole_stream
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 12
    assert [q.headers["user-agent"].split()[-1] for q in b.counts] == ["tokens"]


def test_a_sibling_of_the_broken_one_counts_where_the_next_cannot(llm, gateway):
    a, b = llm("a", chat=merges(BREAKS["close"])), llm("b", type="ollama", chat=continues)
    c = llm("c")
    c.tokenize = tokenizes()
    gateway(a, b, c, streams="{resume: any}").chat(stream=True, max_tokens=12)
    assert b.chats[0].json["options"]["num_predict"] == 12 - 9
    assert len(c.counts) == 1 and not c.chats


def test_all_tokens_are_there_by_the_tokenizer(llm, gateway):
    a, b = llm("a", chat=merges(BREAKS["close"])), llm("b", chat=makes)
    b.tokenize = tokenizes(prompt=11)
    answer = gateway(a, b).chat(stream=True, max_tokens=9, **USAGE)
    assert answer.streamed_text == "".join(WORDS[:9]) and answer.is_whole_stream and not b.chats
    assert answer.chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert answer.chunks[-1]["choices"] == []
    assert answer.chunks[-1]["usage"] == {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}


@pytest.mark.parametrize("tokenize", [replies(404), replies(200, "no json"), replies(200, {"count": "x"}),
                                      lambda _q, w: w.reset(), lambda _q, w: w.hang()],
                         ids=["404", "no_json", "no_count", "reset", "silent"])
def test_without_a_count_chunks_are_counted_and_nobody_waits_long(tokenize, llm, gateway):
    a, b = llm("a", chat=merges(BREAKS["close"])), llm("b", chat=makes)
    b.tokenize = tokenize
    gw = gateway(a, b)
    answer = gw.chat(stream=True, max_tokens=20)
    assert answer.streamed_text == TEXT and answer.is_whole_stream
    assert b.chats[0].json["max_tokens"] == 20 - 3
    assert len(b.counts) == 1 and b.chats[0].at - b.counts[0].at < 8
    assert gw.backend("b")["state"] == "HEALTHY"


def test_what_nobody_needs_is_not_counted(llm, gateway):
    a, b = llm("a", chat=merges(BREAKS["close"])), llm("b", chat=makes)
    b.tokenize = tokenizes()
    answer = gateway(a, b).chat(stream=True)
    assert answer.streamed_text == TEXT and not b.counts


def test_a_backend_that_tells_its_usage_is_believed(llm, gateway):
    def tells(q, w):
        w.begin_stream()
        for i in range(3):
            w.event({**delta(WORDS[i]), "usage": usage_chunk(2 * i + 2)["usage"]})
        w.close()
    a, b = llm("a", chat=tells), llm("b", chat=makes)
    b.tokenize = tokenizes()
    gateway(a, b).chat(stream=True, max_tokens=20)
    assert b.chats[0].json["max_tokens"] == 20 - 6 and not b.counts


def test_usage_of_a_collected_answer_counts_merged_chunks(llm, gateway):
    a, b = llm("a", chat=merges(BREAKS["close"])), llm("b", chat=makes)
    b.tokenize = tokenizes()
    answer = gateway(a, b).chat()
    assert answer.text == TEXT and answer.json["usage"]["completion_tokens"] == len(WORDS)


# --- cut between the finish chunk and the usage chunk ---


def finishes_then(how, words=6, a_chunk=2, **more):
    def play(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for i in range(0, words, a_chunk):
            w.event({**delta("".join(WORDS[i:i + a_chunk])), **more})
        w.event({**delta(finish="stop"), **more})
        how(w)
    return play


CUTS = {"close": lambda w: w.close(), "reset": lambda w: w.reset(), "end": lambda w: w.end_stream(), "silent": lambda w: w.hang(),
        "error": lambda w: (w.event({"error": {"message": "EngineCore", "code": 500}}), w.event("[DONE]"), w.end_stream())}


@pytest.mark.parametrize("how", CUTS)
def test_usage_that_was_cut_off_is_measured(how, llm, gateway):
    a, b = llm("a", chat=finishes_then(CUTS[how])), llm("b")
    a.tokenize = b.tokenize = tokenizes(prompt=11)
    answer = gateway(a, b).chat(stream=True, **USAGE)
    assert answer.is_whole_stream and answer.streamed_text == "".join(WORDS[:6]) and not b.chats
    assert answer.chunks[-2]["choices"][0]["finish_reason"] == "stop"
    last = answer.chunks[-1]
    assert last["choices"] == [] and last["object"] == "chat.completion.chunk"
    assert [last[k] for k in ("id", "created", "model")] == [answer.chunks[0][k] for k in ("id", "created", "model")]
    assert last["usage"] == {"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17}


def test_usage_that_nobody_can_measure_is_estimated(llm, gateway):
    a, b = llm("a", chat=finishes_then(CUTS["close"])), llm("b", type="ollama")
    answer = gateway(a, b).chat(stream=True, **USAGE)
    usage = answer.chunks[-1]["usage"]
    assert answer.is_whole_stream and usage["completion_tokens"] == 3 and usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3


def test_usage_is_estimated_for_several_choices_too(llm, gateway):
    def two(q, w):
        w.begin_stream()
        for index in (0, 1):
            w.event(delta("a", index=index))
            w.event(delta("b", finish="stop", index=index))
        w.close()
    answer = gateway(llm("a", chat=two), llm("b")).chat(stream=True, n=2, **USAGE)
    assert answer.is_whole_stream and answer.chunks[-1]["usage"]["completion_tokens"] == 4
    assert answer.chunks[-1]["id"] == answer.chunks[0]["id"]


def test_usage_that_came_with_the_finish_is_not_told_twice(llm, gateway):
    told = {"usage": usage_chunk(6)["usage"]}
    a, b = llm("a", chat=finishes_then(CUTS["close"], **told)), llm("b")
    answer = gateway(a, b).chat(stream=True, **USAGE)
    assert answer.is_whole_stream and answer.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert not a.counts and not b.counts


def test_usage_that_nobody_asked_for_is_not_made_up(llm, gateway):
    a, b = llm("a", chat=finishes_then(CUTS["close"])), llm("b")
    answer = gateway(a, b).chat(stream=True)
    assert answer.is_whole_stream and not [c for c in answer.chunks if c.get("usage")]
    assert not a.counts and not b.counts


def test_a_collected_answer_whose_usage_was_cut_off_has_one(llm, gateway):
    a, b = llm("a", chat=finishes_then(CUTS["close"])), llm("b")
    b.tokenize = tokenizes(prompt=11)
    answer = gateway(a, b).chat()
    assert answer.text == "".join(WORDS[:6]) and not b.chats
    assert answer.json["usage"] == {"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17}


def test_a_stop_string_across_the_seam_ends_with_usage(llm, gateway):
    def stops(q, w):
        w.begin_stream()
        w.event(delta(" jumps over"))
        w.event(delta(" too far"))
        w.hang()
    a, b = llm("a", chat=merges(BREAKS["close"], 4, 2)), llm("b", chat=stops)
    b.tokenize = tokenizes()
    answer = gateway(a, b).chat(stream=True, stop=["fox jumps"], **USAGE)
    assert answer.is_whole_stream and answer.payloads[-1] == "[DONE]"
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 4
    wait_until(lambda: b.cancelled_at, what="the rest is cancelled")


def test_a_client_that_leaves_during_the_count_ends_it(llm, gateway):
    a, b = llm("a", chat=finishes_then(CUTS["close"])), llm("b")
    b.tokenize = lambda _q, w: w.hang()
    gw = gateway(a, b)
    sock = gw.open_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True, **USAGE})
    wait_until(lambda: b.counts, what="the count")
    sock.close()
    wait_until(lambda: b.cancelled_at, what="the question is cancelled")
    assert gw.backend("b")["state"] == "HEALTHY"


def test_who_has_the_same_model_counts_first(llm, gateway):
    a, b, c = llm("a", chat=merges(BREAKS["close"])), llm("b", chat=makes), llm("c")
    b.tokenize = c.tokenize = lambda _q, w: w.reply(200, {"count": 9})
    config = f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
streams: {{calibrate: 0}}
backends: {{a: {{type: vllm, url: '{a.url}'}}, b: {{type: vllm, url: '{b.url}'}}, c: {{type: vllm, url: '{c.url}'}}}}
models: {{m: {{tiers: [a: org/model, b: other, c: org/model]}}}}
"""
    gateway(config=config).chat(stream=True, max_tokens=12)
    assert len(c.counts) == 1 and not b.counts and b.chats[0].json["max_tokens"] == 3


def test_who_does_not_count_is_not_the_last_to_be_asked(llm, gateway):
    a, b, c = llm("a", chat=merges(BREAKS["close"])), llm("b", chat=makes), llm("c")
    c.tokenize = tokenizes()
    gateway(a, b, c).chat(stream=True, max_tokens=12)
    assert len(b.counts) == 1 and b.chats[0].json["max_tokens"] == 3
