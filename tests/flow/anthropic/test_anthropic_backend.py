"""Anthropic's Messages API behind an OpenAI client: POST /v1/messages and its events."""

import json

import openai
import pytest
from fake_llm import (answers, block_delta, block_start, block_stop, block_text, hangs_after_head, message_end,
                      message_start, messages, named, replies, text_message)
from gateway import wait_until

TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells it",
                                         "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}


def error(kind, message="scripted"):
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def claude(llm, *events, then="end_stream"):
    return llm("a", type="anthropic", chat=messages(*events, then=then))


# --- the request ---

def test_a_request_becomes_messages(llm, gateway):
    a = llm("a", type="anthropic")
    gw = gateway(a)
    answer = gw.request("POST", "/v1/chat/completions", {
        "model": "m", "max_tokens": 33, "temperature": 1.7, "top_p": 0.9, "stop": "END", "user": "u-1",
        "messages": [{"role": "system", "content": "Be brief"},
                     {"role": "user", "content": [
                         {"type": "text", "text": "What is this?"},
                         {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
                     {"role": "assistant", "tool_calls": [
                         {"id": "call_1", "type": "function",
                          "function": {"name": "weather", "arguments": "{\"city\": \"Bern\"}"}}]},
                     {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}],
        "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False})
    assert answer.status == 200
    got = a.chats[0]
    assert got.path == "/v1/messages" and got.headers["content-type"] == "application/json"
    assert got.json == {
        "model": "up-a", "max_tokens": 33, "stream": True, "top_p": 0.9, "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"}, "system": [{"type": "text", "text": "Be brief"}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bern"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "sunny"}]}]}],
        "tools": [{"name": "weather", "description": "Tells it", "input_schema": TOOL["function"]["parameters"]}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}


def test_the_key_and_the_version_go_out_as_anthropic_has_them(llm, gateway):
    a = llm("a", type="anthropic")
    gw = gateway(a, backend_extra={"a": "api_key: sk-ant-1, headers: {anthropic-beta: some-beta}"})
    gw.chat(headers={"x-api-key": "the-clients", "anthropic-version": "1999-01-01"})
    wait_until(lambda: a.probes, what="a probe")
    for request in (a.chats[0], a.probes[0]):
        assert request.headers["x-api-key"] == "sk-ant-1"
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert request.headers["anthropic-beta"] == "some-beta"
        assert "authorization" not in request.headers
        assert request.raw_head.lower().count(b"x-api-key") == 1


def test_a_configured_header_of_the_same_name_wins(llm, gateway):
    a = llm("a", type="anthropic")
    gw = gateway(a, backend_extra={
        "a": "api_key: sk-ant-1, headers: {X-API-Key: other, Anthropic-Version: '2030-01-01'}"})
    gw.chat()
    assert a.chats[0].headers["x-api-key"] == "other"
    assert a.chats[0].headers["anthropic-version"] == "2030-01-01"
    assert a.chats[0].raw_head.lower().count(b"x-api-key") == 1
    assert a.chats[0].raw_head.lower().count(b"anthropic-version") == 1


@pytest.mark.parametrize("field, value", [
    ("n", 2), ("logprobs", True), ("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}),
    ("audio", {"voice": "x"}), ("frequency_penalty", 0.5), ("stop", "\n\n"), ("some_unknown_field", 1)])
def test_what_cannot_be_mapped_is_refused_naming_the_field_or_goes_to_a_tier_that_can(field, value, llm, gateway):
    a, b = llm("a", type="anthropic"), llm("b", chat=answers("from b"))
    alone = gateway(a).chat(**{field: value})
    assert alone.status == 400 and alone.json["error"]["param"] == field
    answer = gateway(a, b).chat(**{field: value})
    assert answer.trail.startswith("a:unmappable,b:")
    assert not a.chats


# --- the answer ---

def test_events_become_openai_chunks_with_usage_and_finish_reason(llm, gateway):
    a = claude(llm, message_start(cache_read_input_tokens=100, cache_creation_input_tokens=20), {"type": "ping"},
               block_start(), block_text("Hel"), block_text("lo"), block_stop(), *message_end(output_tokens=3))
    answer = gateway(a).chat(stream=True, stream_options={"include_usage": True})
    assert answer.streamed_text == "Hello" and answer.is_whole_stream
    assert answer.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [c["choices"][0]["finish_reason"] for c in answer.chunks if c["choices"]][-1] == "stop"
    assert answer.chunks[-1]["usage"] == {"prompt_tokens": 127, "completion_tokens": 3, "total_tokens": 130,
                                          "prompt_tokens_details": {"cached_tokens": 100}}
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in answer.chunks}) == 1
    assert answer.chunks[0]["id"].startswith("chatcmpl-") and answer.chunks[0]["model"] == "claude-fake"


def test_a_plain_request_gets_one_whole_body(llm, gateway):
    body = gateway(claude(llm, *text_message("Hello you"))).chat(max_tokens=5).json
    assert body["object"] == "chat.completion" and body["model"] == "claude-fake"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello you"}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert body["_backend"] == "a"


@pytest.mark.parametrize("stop_reason, finish_reason", [
    ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"),
    ("model_context_window_exceeded", "length")])
def test_stop_reasons_are_mapped(stop_reason, finish_reason, llm, gateway):
    gw = gateway(claude(llm, *text_message("Hi", stop_reason)))
    assert gw.chat().json["choices"][0]["finish_reason"] == finish_reason


def tool_events():
    def json_piece(index, text):
        return block_delta(index, type="input_json_delta", partial_json=text)
    return [message_start(), block_start(0, type="text", text=""), block_text("I look."), block_stop(0),
            block_start(1, type="tool_use", id="toolu_1", name="weather", input={}), json_piece(1, ""),
            json_piece(1, "{\"city\": \"B"), {"type": "ping"}, json_piece(1, "ern\"}"), block_stop(1),
            block_start(2, type="tool_use", id="toolu_2", name="now", input={}), block_stop(2),
            *message_end("tool_use", 20)]


@pytest.mark.parametrize("held", [True, False], ids=["held", "as_they_come"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tool_calls_are_mapped(stream, held, llm, gateway):
    gw = gateway(claude(llm, *tool_events()), streams=f"{{hold_tool_calls: {str(held).lower()}}}")
    with openai.OpenAI(base_url=gw.url + "/v1", api_key="none") as c:
        if stream:
            with c.chat.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}]) as s:
                choice = s.get_final_completion().choices[0]
        else:
            choice = c.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}]).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content == "I look."
    calls = [(t.id, t.function.name, json.loads(t.function.arguments)) for t in choice.message.tool_calls]
    assert calls == [("toolu_1", "weather", {"city": "Bern"}), ("toolu_2", "now", {})]


def test_thinking_is_reasoning(llm, gateway):
    a = claude(llm, message_start(), block_start(type="thinking", thinking="", signature=""),
               block_delta(type="thinking_delta", thinking="Hm"), block_delta(type="signature_delta", signature="x"),
               block_stop(), block_start(1, type="text", text=""), block_delta(1, type="text_delta", text="Yes"),
               block_stop(1), *message_end())
    message = gateway(a).chat().json["choices"][0]["message"]
    assert message["content"] == "Yes" and message["reasoning_content"] == "Hm"


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_however_its_bytes_arrive(size, llm, gateway):
    def drips(_q, w):
        w.begin_stream()
        w.drip(b"".join(f"{len(e):x}\r\n".encode() + e + b"\r\n" for e in
                        [named(e).encode() for e in text_message("Grüße 😀 \"quoted\"\nand on")]), size)
        w.end_stream()
    gw = gateway(llm("a", type="anthropic", chat=drips))
    assert gw.chat(stream=True).streamed_text == "Grüße 😀 \"quoted\"\nand on"


def test_the_openai_sdk_streams_from_it(llm, gateway):
    gw = gateway(claude(llm, *text_message("one two three")))
    with openai.OpenAI(base_url=gw.url + "/v1", api_key="none") as c:
        chunks = list(c.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True,
                                                stream_options={"include_usage": True}))
    assert "".join(x.choices[0].delta.content or "" for x in chunks if x.choices) == "one two three"
    assert chunks[-1].usage.completion_tokens == 3 and chunks[0].choices[0].delta.role == "assistant"


# --- failures ---

@pytest.mark.parametrize("fault, word", [
    (messages(error("overloaded_error")), "http_529"),
    (messages(message_start(), error("overloaded_error")), "http_529"),
    (messages(error("rate_limit_error")), "http_429"),
    (messages(error("api_error")), "error_in_stream"),
    (messages(), "empty_body"),
    (messages(message_start(), block_start(), {"type": "message_stop"}), "empty_body"),
    (messages(*text_message("x", "pause_turn")[:2], *message_end("pause_turn")), "aborted"),
    (messages({"type": 5}), "not_json"),
    (replies(200, {"type": "message", "content": []}), "not_json"),
    (replies(529, error("overloaded_error")), "http_529"),
    (replies(429, error("rate_limit_error"), retry_after="30"), "http_429"),
    (replies(401, error("authentication_error")), "http_401"),
    (replies(404, error("not_found_error")), "http_404"),
    (replies(500, error("api_error")), "http_500"),
    (replies(400, error("invalid_request_error", "Your credit balance is too low to access it.")), "http_402"),
], ids=["overloaded", "overloaded_late", "rate", "api_error", "nothing", "no_reason", "paused", "no_type", "json",
        "529", "429", "401", "404", "500", "no_credit"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_its_failures_fall_through(fault, word, stream, llm, gateway):
    a, b = llm("a", type="anthropic", chat=fault), llm("b", chat=answers("from b"))
    gw = gateway(a, b, retry="{same_backend: 0}")
    answer = gw.chat(stream=stream)
    assert (answer.streamed_text if stream else answer.text) == "from b"
    assert answer.trail == f"a:{word},b:ok"


def test_an_overloaded_one_is_left_alone_for_as_long_as_it_asks_and_not_called_down(llm, gateway):
    a = llm("a", type="anthropic", chat=replies(529, error("overloaded_error"), retry_after="30"))
    gw = gateway(a, llm("b", chat=answers("from b")))
    assert [gw.chat().text for _ in range(3)] == ["from b"] * 3
    assert len(a.chats) == 1 and gw.state("a") == "HEALTHY"


def test_pings_are_no_progress(llm, gateway):
    def pings(_q, w):
        w.begin_stream()
        w.named_event(message_start())
        while True:
            w.named_event({"type": "ping"})
            w.pause(0.05)
    gw = gateway(llm("a", type="anthropic", chat=pings), llm("b", chat=answers("from b")),
                 backend_extra={"a": "deadlines: {first_token: 300ms}"})
    answer = gw.chat(stream=True)
    assert answer.streamed_text == "from b" and answer.trail == "a:first_token_timeout,b:ok"


def test_silence_behind_the_head_is_noticed(llm, gateway):
    gw = gateway(llm("a", type="anthropic", chat=hangs_after_head()), llm("b", chat=answers("from b")))
    assert gw.chat().text == "from b"


def test_its_400_reaches_the_client_in_openai_shape(llm, gateway):
    gw = gateway(llm("a", type="anthropic", chat=replies(400, error("invalid_request_error", "max_tokens: too many"))))
    answer = gw.chat()
    assert answer.status == 400
    assert answer.json["error"] == {"message": "max_tokens: too many", "type": "invalid_request_error",
                                    "param": None, "code": None}


@pytest.mark.parametrize("events", [
    [message_start(), block_start(), block_text("Half")],
    [message_start(), block_start(), block_text("Half"), block_stop(), {"type": "message_stop"}],
    [message_start(), block_start(), block_text("Half"), error("overloaded_error")],
    [message_start(), block_start(), block_text("Half"), block_stop(), *message_end("pause_turn")],
], ids=["cut", "stop_without_reason", "error", "paused"])
def test_half_an_answer_never_looks_whole(events, llm, gateway):
    a = claude(llm, *events)
    answer = gateway(a, streams="{resume: off}").chat(stream=True)
    assert answer.streamed_text == "Half" and not answer.is_whole_stream
    plain = gateway(a, llm("b", chat=answers("from b")), streams="{resume: off}").chat()
    assert plain.text == "from b"


def test_what_has_its_stop_reason_is_whole_even_if_the_end_is_cut(llm, gateway):
    gw = gateway(claude(llm, *text_message("All of it")[:-1], then="reset"))
    answer = gw.chat(stream=True)
    assert answer.streamed_text == "All of it" and answer.is_whole_stream


# --- health ---

def test_it_is_probed_by_its_list_of_models_and_never_calibrated(llm, gateway):
    a = llm("a", type="anthropic")
    gw = gateway(a, streams="{calibrate: 100ms}")
    wait_until(lambda: len(a.probes) >= 4, what="some probes")
    assert {p.path for p in a.probes} == {"/v1/models"}
    assert not a.chats and not a.calibrations and not a.looks
    assert gw.backend("a")["type"] == "anthropic" and gw.backend("a")["resume"] is None


@pytest.mark.parametrize("status, state", [(404, "HEALTHY"), (405, "HEALTHY"), (401, "DOWN"), (500, "DOWN")])
def test_what_the_probe_says(status, state, llm, gateway):
    a = llm("a", type="anthropic")
    a.health = replies(status, error("x"))
    gw = gateway(a)
    gw.wait_state("a", state)
