"""A request goes only where it fits: contexts and capabilities that are configured."""

import json
import subprocess

import pytest
from fake_llm import answers, closes, delta, events, hangs, replies
from gateway import BINARY, wait_until

LONG = "word " * 2000  # 10,000 bytes, about 2,500 tokens
TOOLS = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}
SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}}
LOGPROBS = {"logprobs": True}
IMAGE = [{"type": "text", "text": "What is this?"},
         {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40000}}]

TOO_LONG = replies(400, {"error": {"message": "This model's maximum context length is 4096 tokens.",
                                   "type": "BadRequestError", "code": 400}})


def test_a_request_that_does_not_fit_is_not_sent_there(llm, gateway):
    a, b = llm("a"), llm("b", chat=answers("from b"))
    gw = gateway(a, b, backend_extra={"a": "context: 2k"})
    assert gw.chat().backend == "a"
    answer = gw.chat(LONG)
    assert answer.text == "from b" and answer.trail == "b:ok"
    assert gw.chat(LONG, stream=True).streamed_text == "from b"
    assert len(a.chats) == 1 and gw.state("a") == "HEALTHY"


def test_what_is_unknown_is_asked(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, backend_extra={"b": "context: 1g"})
    assert gw.chat(LONG * 10, **TOOLS, **SCHEMA).backend == "a"


def test_a_doubtful_one_is_asked(llm, gateway):
    """2,500 tokens by the estimate, and room for a little less."""
    a, b = llm("a"), llm("b")
    assert gateway(a, b, backend_extra={"a": "context: 2400"}).chat(LONG).backend == "a"


@pytest.mark.parametrize("kind, goes_to", [("vllm", "b"), ("openai", "b"), ("llamacpp", "a"), ("ollama", "a")])
def test_the_answer_counts_where_the_server_counts_it(kind, goes_to, llm, gateway):
    a, b = llm("a", type=kind), llm("b")
    gw = gateway(a, b, backend_extra={"a": "context: 4k"})
    assert gw.chat("Hi", max_tokens=5000).backend == goes_to
    assert gw.chat("Hi", max_tokens=3000).backend == "a"


def test_when_nobody_has_room_the_longest_is_asked(llm, gateway):
    a, b, c = llm("a", chat=answers("from a")), llm("b", chat=answers("from b")), llm("c")
    gw = gateway(a, b, c, backend_extra={"a": "context: 512", "b": "context: 1k", "c": "context: 256"})
    answer = gw.chat(LONG)
    assert answer.text == "from b" and answer.trail == "b:ok"


def test_and_its_own_word_becomes_the_clients_error(llm, gateway):
    a, b, c = llm("a"), llm("b", chat=TOO_LONG), llm("c")
    gw = gateway(a, b, c, backend_extra={"a": "context: 512", "b": "context: 1k", "c": "context: 256"})
    answer = gw.chat(LONG)
    assert answer.status == 400 and answer.json["error"]["code"] == "context_length_exceeded"
    assert answer.trail == "b:context_exceeded" and not a.chats and not c.chats


def test_a_longer_one_that_is_down_is_no_outage_for_it(llm, gateway):
    a, b = llm("a", chat=answers("from a")), llm("b")
    gw = gateway(a, b, backend_extra={"a": "context: 1k"})
    b.stop()
    gw.wait_state("b", "DOWN")
    assert gw.chat(LONG).text == "from a"


@pytest.mark.parametrize("name, content, more", [
    ("tools", "Hi", TOOLS), ("vision", IMAGE, {}), ("json_schema", "Hi", SCHEMA), ("logprobs", "Hi", LOGPROBS)])
def test_who_cannot_is_passed_over(name, content, more, llm, gateway):
    a, b = llm("a"), llm("b", chat=answers("from b"))
    gw = gateway(a, b, backend_extra={"a": f"capabilities: {{{name}: false}}"})
    assert gw.chat().backend == "a"
    assert gw.chat(content, **more).backend == "b"
    assert gw.chat(content, stream=True, **more).streamed_text == "from b"
    assert len(a.chats) == 1


@pytest.mark.parametrize("name, content, more, param", [
    ("tools", "Hi", TOOLS, "tools"), ("vision", IMAGE, {}, "messages[].content image_url"),
    ("json_schema", "Hi", SCHEMA, "response_format"), ("logprobs", "Hi", LOGPROBS, "logprobs")])
def test_what_nobody_can_is_the_clients_error(name, content, more, param, llm, gateway):
    a, b = llm("a"), llm("b")
    no = f"capabilities: {{{name}: false}}"
    gw = gateway(a, b, backend_extra={"a": no, "b": no})
    for stream in (False, True):
        answer = gw.chat(content, stream=stream, **more)
        error = answer.json["error"]
        assert answer.status == 400
        assert error["code"] == "unsupported_parameter" and error["param"] == param
        assert error["type"] == "invalid_request_error"
        assert name in error["message"] and "'m'" in error["message"]
    assert not a.chats and not b.chats


def test_what_nobody_can_all_of_is_the_clients_error_too(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, backend_extra={"a": "capabilities: {tools: false}", "b": "capabilities: {logprobs: false}"})
    answer = gw.chat(**TOOLS, **LOGPROBS)
    assert answer.status == 400 and "together" in answer.json["error"]["message"]
    assert gw.chat(**TOOLS).backend == "b" and gw.chat(**LOGPROBS).backend == "a"


def test_who_can_but_is_down_is_no_client_error(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, backend_extra={"a": "capabilities: {tools: false}"}, panic="false")
    b.stop()
    gw.wait_state("b", "DOWN")
    answer = gw.chat(**TOOLS)
    assert answer.status == 503 and answer.json["error"]["code"] == "all_backends_unavailable"
    assert not a.chats


def test_an_image_is_no_text(llm, gateway):
    a, b = llm("a"), llm("b")
    assert gateway(a, b, backend_extra={"a": "context: 2k"}).chat(IMAGE).backend == "a"


def test_tools_are_part_of_the_prompt(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, backend_extra={"a": "context: 2k"})
    many = [{"type": "function", "function": {"name": "f", "description": LONG}}]
    assert gw.chat(tools=many).backend == "b"


def test_a_resume_needs_room_for_what_was_given(llm, gateway):
    """The prompt alone would fit b."""
    given = [delta("", role="assistant"), *[delta("word " * 40) for _ in range(20)]]
    a = llm("a", chat=events(*given, end=False))
    b, c = llm("b"), llm("c", chat=answers("and on"))
    gw = gateway(a, b, c, backend_extra={"b": "context: 700"})
    answer = gw.chat("x" * 2000, stream=True)
    assert answer.is_whole_stream and answer.streamed_text.endswith("and on")
    assert not b.chats and len(c.chats) == 1


def test_a_hedge_goes_only_where_it_fits(llm, gateway):
    a, b, c = llm("a", chat=hangs()), llm("b"), llm("c", chat=answers("from c"))
    gw = gateway(a, b, c, backend_extra={"b": "context: 1k"}, hedge="{after: 50ms, max_share: 100%}",
                 deadlines="{first_token: 20s}")
    answer = gw.chat(LONG, stream=True)
    assert answer.streamed_text == "from c" and not b.chats


def test_a_refusal_beside_a_hedge_is_not_forgotten(llm, gateway):
    a = llm("a", chat=lambda q, w: (w.pause(0.5), TOO_LONG(q, w)))
    b = llm("b", chat=lambda _q, w: (w.pause(1), w.reply(503, "{}")))
    gw = gateway(a, b, hedge="{after: 50ms, max_share: 100%}", deadlines="{first_token: 20s}")
    answer = gw.chat()
    assert answer.status == 400 and answer.json["error"]["code"] == "context_length_exceeded"
    assert answer.trail == "a:context_exceeded,b:http_503"


def test_the_length_of_tokens_is_learnt(llm, gateway):
    """a's tokens have two bytes: what seemed to fit does not."""
    a, b = llm("a"), llm("b")

    def counts(q, w):
        text = json.dumps(q.json["messages"], separators=(",", ":"))
        w.reply(200, {"id": "x", "object": "chat.completion", "created": 1, "model": "x",
                      "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"},
                                   "finish_reason": "stop"}],
                      "usage": {"prompt_tokens": len(text) // 2, "completion_tokens": 1}})

    a.chat = counts
    gw = gateway(a, b, backend_extra={"a": "context: 3k"}, streams="{upstream: never}")
    assert gw.chat(LONG).backend == "a"
    for _ in range(60):
        gw.chat("x" * 2000)
    assert gw.chat(LONG).backend == "b"


# --- who is told of it ---

def members(gw) -> dict:
    return {b["name"]: b for tier in gw.status()["models"][0]["tiers"] for b in tier["backends"]}


def test_status_shows_what_is_known(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, backend_extra={"a": "context: 8k, capabilities: {tools: true, vision: false, embeddings: 768}"})
    assert members(gw)["a"]["context"] == 8192 and members(gw)["b"]["context"] is None
    assert members(gw)["a"]["capabilities"] == {"tools": True, "vision": False, "json_schema": None, "logprobs": None,
                                                "embeddings": 768}
    assert set(members(gw)["b"]["capabilities"].values()) == {None}


def explained(gw, query: str) -> dict:
    return gw.request("GET", f"/explain?model=m&{query}", admin=True).json


def test_explain_tells_who_would_be_passed_over(llm, gateway):
    a, b = llm("a"), llm("b", type="llamacpp")
    gw = gateway(a, b, backend_extra={"a": "context: 4k", "b": "context: 8k, capabilities: {vision: false}"})
    assert explained(gw, "")["next"] == ["a"]
    found = explained(gw, "tokens=5000")
    assert found["next"] == ["b"] and found["backends"][0]["verdict"] == "too_long"
    assert "5000 tokens" in found["backends"][0]["why"] and "4096" in found["backends"][0]["why"]
    assert found["backends"][0]["context"] == 4096 and found["backends"][1]["capabilities"]["vision"] is False
    found = explained(gw, "tokens=5000&needs=tools,vision")
    assert found["next"] == ["a"] and found["backends"][1]["verdict"] == "incapable"  # the longest that can
    assert "vision" in found["backends"][1]["why"]
    found = explained(gw, "tokens=9000")
    assert found["next"] == ["b"] and "9000 tokens" in found["backends"][1]["why"]


def test_explain_promises_no_panic_for_what_nobody_can(llm, gateway):
    gw = gateway(llm("a"), backend_extra={"a": "capabilities: {vision: false}"})
    found = explained(gw, "needs=vision")
    assert found["next"] == [] and found["panic"] is False
    assert explained(gw, "")["next"] == ["a"]


@pytest.mark.parametrize("query", ["tokens=many", "tokens=-1", "needs=eyes", "needs=tools,,vision"])
def test_explain_refuses_what_it_cannot_read(query, llm, gateway):
    gw = gateway(llm("a"))
    assert gw.request("GET", f"/explain?model=m&{query}", admin=True).status == 400


def test_the_command_takes_both(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, backend_extra={"a": "context: 4k", "b": "capabilities: {tools: false}"})

    def run(*options: str) -> list[str]:
        return subprocess.run([str(BINARY), "explain", "--admin", gw.admin_url, *options, "m"], capture_output=True,
                              text=True, timeout=30, check=True).stdout.splitlines()

    assert run()[0] == "next: a"
    lines = run("--tokens", "5000")
    assert lines[0] == "next: b" and "too long: 5000 tokens do not fit its context of 4096" in lines[1]
    lines = run("--needs", "tools,logprobs")
    assert lines[0] == "next: a" and "no tools" in lines[1]


def test_a_refusal_teaches_the_context(llm, gateway):
    a, b = llm("a", chat=TOO_LONG), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    assert gw.chat(LONG * 4).trail == "a:context_exceeded,b:ok"
    assert members(gw)["a"]["context"] == 4096
    wait_until(lambda: gw.logged("context learnt from a refusal"), what="a line in the log")
    assert gw.chat(LONG * 4).trail == "b:ok" and len(a.chats) == 1
    a.chat = answers("from a")
    assert gw.chat(LONG).backend == "a"


def test_and_an_outage_forgets_it(llm, gateway):
    a, b = llm("a", chat=TOO_LONG), llm("b")
    gw = gateway(a, b)
    gw.chat(LONG * 4)
    assert members(gw)["a"]["context"] == 4096
    a.chat = closes()
    gw.chat("Hi")
    assert members(gw)["a"]["context"] is None
