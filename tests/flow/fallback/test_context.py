"""A request that is too long for one backend goes to one with more room; if there is none, it is the client's own
error."""

import pytest
from fake_llm import answers, events, replies

# As the servers say it.
TOO_LONG = {
    "vllm": ("vllm", replies(400, {"error": {
        "message": "This model's maximum context length is 1024 tokens. However, you requested 1500 tokens.",
        "type": "BadRequestError", "param": "input_tokens", "code": 400}})),
    "llamacpp": ("llamacpp", replies(400, {"error": {
        "code": 400, "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error", "n_prompt_tokens": 1500, "n_ctx": 1024}})),
    "openai": ("openai", replies(400, {"error": {
        "message": "This model's maximum context length is 8192 tokens.", "type": "invalid_request_error",
        "param": "messages", "code": "context_length_exceeded"}})),
    "in_a_stream": ("llamacpp", events({"error": {
        "code": 400, "message": "exceeds the available context size", "type": "exceed_context_size_error"}})),
}


@pytest.mark.parametrize("server", TOO_LONG)
def test_a_request_that_is_too_long_goes_to_who_has_room(server, llm, gateway):
    kind, refuses = TOO_LONG[server]
    a, b = llm("a", type=kind, chat=refuses), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    answer = gw.chat()
    assert answer.text == "from b" and answer.trail == "a:context_exceeded,b:ok"
    assert gw.chat(stream=True).streamed_text == "from b"
    assert gw.state("a") == "HEALTHY" and len(a.chats) == 2  # it is not to blame


def test_nobody_with_room_is_the_clients_own_error(llm, gateway):
    a, b = llm("a", chat=TOO_LONG["vllm"][1]), llm("b", type="llamacpp", chat=TOO_LONG["llamacpp"][1])
    gw = gateway(a, b)
    for stream in (False, True):
        answer = gw.chat(stream=stream)
        assert answer.status == 400
        assert answer.json["error"]["code"] == "context_length_exceeded"
        assert answer.trail == "a:context_exceeded,b:context_exceeded"
        assert "available context size" in answer.json["error"]["message"]


def test_the_clients_own_error_counts_more_than_a_backend_that_is_down(llm, gateway):
    a, b = llm("a", chat=TOO_LONG["vllm"][1]), llm("b", chat=replies(503))
    answer = gateway(a, b).chat()
    assert answer.status == 400 and answer.trail == "a:context_exceeded,b:http_503"


def test_other_400s_are_not_sent_around(llm, gateway):
    a, b = llm("a", chat=replies(400, {"error": {"message": "temperature must be positive", "code": 400}})), llm("b")
    answer = gateway(a, b).chat()
    assert answer.status == 400 and answer.trail == "a:client_error" and not b.chats
