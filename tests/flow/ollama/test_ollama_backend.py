"""Ollama spoken natively: /api/chat and NDJSON behind an OpenAI client."""

import json

import pytest
from fake_llm import answers, replies


def lines(*objects, end="end_stream"):
    def play(_q, w):
        w.begin_stream("application/x-ndjson")
        for o in objects:
            w.line(o)
        getattr(w, end)()
    return play


def line(content="", done=False, **more):
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return {"model": "llama3.1:8b", "created_at": "2026-11-21T05:24:02Z", "message": message, "done": done, **more}


DONE = line(done=True, done_reason="stop", prompt_eval_count=11, eval_count=3)


def test_a_request_becomes_api_chat(llm, gateway):
    a = llm("a", type="ollama")
    gw = gateway(a)
    gw.request("POST", "/v1/chat/completions", {
        "model": "m", "max_tokens": 33, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": "END",
        "frequency_penalty": 0.1, "presence_penalty": 0.2, "response_format": {"type": "json_object"},
        "messages": [{"role": "system", "content": "Be brief"},
                     {"role": "user", "content": [
                         {"type": "text", "text": "What is this?"},
                         {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]})
    got = a.chats[0]
    assert got.path == "/api/chat"
    body = got.json
    assert body["model"] == "up-a" and body["stream"] is True and body["format"] == "json"
    assert body["options"] == {"num_predict": 33, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["END"],
                               "frequency_penalty": 0.1, "presence_penalty": 0.2}
    assert body["messages"][0] == {"role": "system", "content": "Be brief"}
    assert body["messages"][1]["content"] == "What is this?" and body["messages"][1]["images"] == ["aGk="]
    assert body["tools"][0]["function"]["name"] == "f"


def test_lines_become_openai_chunks_with_usage_and_finish_reason(llm, gateway):
    a = llm("a", type="ollama", chat=lines(line("Hel"), line("lo"), DONE))
    gw = gateway(a)
    answer = gw.chat(stream=True, stream_options={"include_usage": True})
    assert answer.streamed_text == "Hello" and answer.is_whole_stream
    assert answer.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [c["choices"][0]["finish_reason"] for c in answer.chunks if c["choices"]][-1] == "stop"
    assert answer.chunks[-1]["usage"] == {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    assert len({c["id"] for c in answer.chunks}) == 1
    assert all(c["object"] == "chat.completion.chunk" for c in answer.chunks)


def test_without_include_usage_there_is_no_usage_chunk(llm, gateway):
    gw = gateway(llm("a", type="ollama", chat=lines(line("Hi"), DONE)))
    assert all(c["choices"] for c in gw.chat(stream=True).chunks)


def test_a_plain_request_gets_one_whole_body(llm, gateway):
    gw = gateway(llm("a", type="ollama", chat=lines(line("Hel"), line("lo"), DONE)))
    body = gw.chat().json
    assert body["object"] == "chat.completion" and body["model"] == "llama3.1:8b"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == 14


def test_length_is_mapped(llm, gateway):
    gw = gateway(llm("a", type="ollama", chat=lines(line("Hi"), {**DONE, "done_reason": "length"})))
    assert gw.chat().json["choices"][0]["finish_reason"] == "length"


def test_tool_calls_are_mapped(llm, gateway):
    call = line(message={"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bern"}}}]})
    gw = gateway(llm("a", type="ollama", chat=lines(call, DONE)))
    choice = gw.chat().json["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    function = choice["message"]["tool_calls"][0]["function"]
    assert function["name"] == "weather" and json.loads(function["arguments"]) == {"city": "Bern"}


@pytest.mark.parametrize("field, value", [("logit_bias", {"1": 5}), ("n", 2), ("audio", {"voice": "x"}),
                                          ("some_unknown_field", 1)])
def test_what_cannot_be_mapped_is_refused_naming_the_field(field, value, llm, gateway):
    a = llm("a", type="ollama")
    gw = gateway(a)
    answer = gw.chat(**{field: value})
    assert answer.status == 400 and answer.json["error"]["param"] == field
    assert not a.chats and gw.state("a") == "HEALTHY"


def test_a_request_that_ollama_cannot_express_goes_to_a_tier_that_can(llm, gateway):
    a, b = llm("a", type="ollama"), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    answer = gw.chat(logit_bias={"1": 5})
    assert answer.text == "from b" and answer.trail == "a:unmappable,b:ok"


@pytest.mark.parametrize("fault, word", [
    (lines({"error": "an error was encountered while running the model"}), "error_in_stream"),
    (lines(), "empty_body"),
    (lines(line("", done=True, done_reason="load")), "aborted"),
    (replies(404, {"error": "model 'x' not found"}), "http_404"),
    (replies(503, {"error": "server busy, please try again"}), "http_503"),
    (replies(500, {"error": "model runner has unexpectedly stopped"}), "http_500"),
    (replies(403, b""), "http_403"),
], ids=["error_line", "empty", "load_only", "404", "busy", "runner_died", "foreign_host"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_its_failures_fall_through(fault, word, stream, llm, gateway):
    a, b = llm("a", type="ollama", chat=fault), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    answer = gw.chat(stream=stream)
    assert (answer.streamed_text if stream else answer.text) == "from b"
    assert f"a:{word}" in answer.trail


def test_the_end_without_done_is_a_failure(llm, gateway):
    a, b = llm("a", type="ollama", chat=lines(line("loop"))), llm("b", chat=answers("from b"))
    gw = gateway(a, b, streams="{resume: off}")
    assert gw.chat().text == "from b"
    alone = gateway(a, streams="{resume: off}").chat(stream=True)
    assert alone.streamed_text == "loop" and not alone.is_whole_stream


def test_its_400_reaches_the_client_in_openai_shape(llm, gateway):
    gw = gateway(llm("a", type="ollama", chat=replies(400, {"error": "invalid image"})))
    answer = gw.chat()
    assert answer.status == 400 and answer.json["error"]["message"] == "invalid image"
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
