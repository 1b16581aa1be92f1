"""Answers in one piece, however they came: streamed towards the backend so that silence is noticed early
(streams.upstream), or as JSON. The client cannot tell the difference."""

import json

import pytest
from fake_llm import Request, Wire, answers, completion, delta, pieces, replies, streams_then, usage_chunk

TEXT = "Grüße from the \"fake\" model 😀\n"


def logprob(token: str) -> dict:
    return {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": []}


# The same answer in both forms: (the plain one, its stream).
def with_text() -> tuple[dict, list[dict]]:
    plain = completion(TEXT, system_fingerprint="fp_1")
    plain["usage"] = usage_chunk(5)["usage"]
    events = [delta("", role="assistant"), *[delta(p) for p in pieces(TEXT)], delta(finish="stop"), usage_chunk(5)]
    return plain, [{**e, "system_fingerprint": "fp_1"} for e in events]


def with_tool_calls() -> tuple[dict, list[dict]]:
    calls = [{"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
             for i, (name, arguments) in enumerate([("weather", '{"city": "Köln"}'), ("time", "{}")])]
    plain = completion("", finish="tool_calls")
    plain["choices"][0]["message"].update(content=None, tool_calls=calls)
    plain["usage"] = usage_chunk(9)["usage"]
    events = [delta("", role="assistant")]
    events[0]["choices"][0]["delta"]["content"] = None
    for i, call in enumerate(calls):
        whole = call["function"]["arguments"]
        events.append(delta(tool_calls=[{**call, "index": i, "function": {**call["function"], "arguments": ""}}]))
        events += [delta(tool_calls=[{"index": i, "function": {"arguments": c}}]) for c in whole]
    return plain, [*events, delta(finish="tool_calls"), usage_chunk(9)]


def with_logprobs() -> tuple[dict, list[dict]]:
    tokens = pieces("one two three")
    plain = completion("one two three", finish="length")
    plain["choices"][0]["logprobs"] = {"content": [logprob(t) for t in tokens]}
    plain["usage"] = usage_chunk(3)["usage"]
    events = [delta("", role="assistant")]
    for token in tokens:
        event = delta(token)
        event["choices"][0]["logprobs"] = {"content": [logprob(token)]}
        events.append(event)
    return plain, [*events, delta(finish="length"), usage_chunk(3)]


def with_two_choices() -> tuple[dict, list[dict]]:
    plain = completion("")
    ends = [("one", "stop"), ("uno dos", "length")]
    plain["choices"] = [{"index": i, "message": {"role": "assistant", "content": text}, "logprobs": None,
                         "finish_reason": finish} for i, (text, finish) in enumerate(ends)]
    plain["usage"] = usage_chunk(3)["usage"]
    events = [delta("", role="assistant", index=0), delta("", role="assistant", index=1), delta("uno", index=1),
              delta("one", index=0), delta(finish="stop", index=0), delta(" dos", index=1),
              delta(finish="length", index=1), usage_chunk(3)]
    return plain, events


def with_reasoning() -> tuple[dict, list[dict]]:
    plain = completion("42")
    plain["choices"][0]["message"]["reasoning_content"] = "let me think"
    plain["usage"] = usage_chunk(4)["usage"]
    events = [delta("", role="assistant"), delta(reasoning_content="let me"), delta(reasoning_content=" think"),
              delta("42"), delta(finish="stop"), usage_chunk(4)]
    return plain, events


FORMS = {f.__name__: f for f in (with_text, with_tool_calls, with_logprobs, with_two_choices, with_reasoning)}


def without_nulls(value):
    """A member that is null and one that is not there say the same."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def plays(plain: dict, events: list[dict]):
    def play(q: Request, w: Wire) -> None:
        if not q.json.get("stream"):
            w.reply(200, plain)
            return
        w.begin_stream()
        for event in events:
            w.event(event)
        w.event("[DONE]")
        w.end_stream()
    return play


@pytest.mark.parametrize("form", FORMS)
def test_the_assembled_answer_equals_the_plain_one(form, llm, gateway):
    plain, events = FORMS[form]()
    a = llm("a", chat=plays(plain, events))
    n = len(plain["choices"])
    assembled = gateway(a, streams="{upstream: always}").chat(n=n).json
    direct = gateway(a, streams="{upstream: never}").chat(n=n).json
    assert a.chats[0].json["stream"] is True and not a.chats[1].json.get("stream")
    assert direct == {**plain, "_backend": "a"}
    assert without_nulls(assembled) == without_nulls(direct)


@pytest.mark.parametrize("upstream, more, streams", [
    ("auto", {}, True), ("auto", {"max_tokens": 64}, False), ("auto", {"max_tokens": 65}, True),
    ("auto", {"max_completion_tokens": 1}, False), ("auto", {"max_completion_tokens": 1000}, True),
    ("always", {"max_tokens": 1}, True), ("never", {}, False), ("never", {"max_tokens": 1000}, False)])
def test_what_is_streamed_towards_the_backend_is_configured(upstream, more, streams, llm, gateway):
    a = llm("a")
    answer = gateway(a, streams=f"{{upstream: {upstream}}}").chat(**more)
    assert answer.text == "Hello from the fake model"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["usage"]["total_tokens"] == 12
    sent = a.chats[0].json
    assert bool(sent.get("stream")) == streams
    if streams:
        assert sent["stream_options"] == {"include_usage": True}
    else:
        assert "stream_options" not in sent


@pytest.mark.parametrize("upstream", ["auto", "always", "never"])
def test_a_stream_is_a_stream_in_every_mode(upstream, llm, gateway):
    a = llm("a")
    answer = gateway(a, streams=f"{{upstream: {upstream}}}").chat(stream=True, max_tokens=5)
    assert answer.is_whole_stream and a.chats[0].json["stream"] is True


def test_own_stream_options_are_kept(llm, gateway):
    a = llm("a")
    gateway(a, streams="{upstream: always}").chat(stream_options={"continuous_usage_stats": False})
    assert a.chats[0].json["stream_options"] == {"continuous_usage_stats": False, "include_usage": True}


def test_a_stream_for_who_did_not_ask_is_assembled(llm, gateway):
    def play(q: Request, w: Wire) -> None:
        w.begin_stream()
        for event in (delta("", role="assistant"), *[delta(p) for p in pieces(TEXT)], delta(finish="stop"), "[DONE]"):
            w.event(event)
        w.end_stream()

    answer = gateway(llm("a", chat=play), streams="{upstream: never}").chat()
    assert answer.text == TEXT and answer.json["object"] == "chat.completion"
    assert answer.headers["content-type"] == "application/json"


def test_json_for_who_was_asked_to_stream_passes(llm, gateway):
    a = llm("a", chat=lambda _q, w: w.reply(200, completion(TEXT, x_extra={"deep": [1, 2.50]})))
    answer = gateway(a, streams="{upstream: always}").chat()
    assert answer.json == {**completion(TEXT, x_extra={"deep": [1, 2.5]}), "_backend": "a"}


@pytest.mark.parametrize("then", ["close", "reset", "end_stream", "hang"])
def test_an_answer_that_breaks_half_way_comes_whole_from_the_next(then, llm, gateway):
    a, b = llm("a", chat=streams_then("half of an answer", then)), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, streams="{resume: off}", deadlines="{first_token: 1s, stall: 300ms, total: 60s}")
    answer = gw.chat()
    assert answer.text == "Hello from b" and answer.json["_backend"] == "b"
    assert answer.status == 200 and answer.took_s < 20
    assert len(a.chats) == 1 + (then == "reset")  # a reset is tried again there, as configured


def test_a_finish_without_done_is_enough(llm, gateway):
    def play(q: Request, w: Wire) -> None:
        w.begin_stream()
        for event in (delta("", role="assistant"), delta("Hello"), delta(finish="stop")):
            w.event(event)
        w.hang()

    answer = gateway(llm("a", chat=play), deadlines="{stall: 20s, total: 60s}").chat()
    assert answer.text == "Hello" and answer.took_s < 15 and answer.trail == "a:ok"


def test_an_error_in_the_middle_is_not_an_answer(llm, gateway):
    def play(q: Request, w: Wire) -> None:
        w.begin_stream()
        error = {"error": {"message": "boom", "code": 500}}
        for event in (delta("", role="assistant"), delta("Hello"), error, "[DONE]"):
            w.event(event)
        w.end_stream()

    a, b = llm("a", chat=play), llm("b", chat=answers("Hello from b"))
    assert gateway(a, b, streams="{resume: off}").chat().text == "Hello from b"


def test_a_large_answer_comes_whole_in_every_mode(llm, gateway):
    words = " ".join(f"w{i}" for i in range(20_000))

    def play(q: Request, w: Wire) -> None:
        if not q.json.get("stream"):
            w.reply(200, completion(words))
            return
        w.begin_stream()
        w.chunk("".join(f"data: {json.dumps(e)}\n\n" for e in
                        (delta("", role="assistant"), *[delta(p) for p in pieces(words)], delta(finish="stop"))))
        w.event("[DONE]")
        w.end_stream()

    a = llm("a", chat=play)
    for upstream in ("always", "never"):
        gw = gateway(a, streams=f"{{upstream: {upstream}}}", deadlines="{first_token: 20s, stall: 20s, total: 60s}")
        assert gw.chat().text == words


def test_all_failed_is_one_json_error(llm, gateway):
    answer = gateway(llm("a", chat=replies(503))).chat()
    assert answer.status == 503 and answer.headers["content-type"] == "application/json"
    assert answer.json["error"]["code"] == "all_backends_unavailable"
    assert answer.json["retry_after"] == int(answer.headers["retry-after"])
    assert answer.headers["x-should-retry"] == "false"
