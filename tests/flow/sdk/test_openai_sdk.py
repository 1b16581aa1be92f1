"""The official OpenAI Python SDK against the gateway: chat, streaming, models, errors, its own retries."""

import openai
import pytest
from fake_llm import answers, hangs, replies, resets, streams_then


def client(gw, **kwargs) -> openai.OpenAI:
    return openai.OpenAI(base_url=gw.url + "/v1", api_key=kwargs.pop("api_key", "none"), **kwargs)


HELLO = [{"role": "user", "content": "Hello"}]


def test_chat(llm, gateway):
    gw = gateway(llm("a", chat=answers("Hi there")))
    with client(gw) as c:
        r = c.chat.completions.create(model="m", messages=HELLO)
    assert r.choices[0].message.content == "Hi there" and r.usage.total_tokens == 9
    assert r.model_extra["_backend"] == "a"


def test_streaming(llm, gateway):
    gw = gateway(llm("a", chat=answers("one two three")))
    with client(gw) as c:
        chunks = list(c.chat.completions.create(model="m", messages=HELLO, stream=True,
                                                stream_options={"include_usage": True}))
    assert "".join(x.choices[0].delta.content or "" for x in chunks if x.choices) == "one two three"
    assert chunks[-1].usage.completion_tokens == 3


def test_models(llm, gateway):
    gw = gateway(llm("a"))
    with client(gw) as c:
        assert [m.id for m in c.models.list()] == ["m"]
        assert c.models.retrieve("m").id == "m"
        with pytest.raises(openai.NotFoundError):
            c.models.retrieve("nope")


def test_a_model_name_with_a_slash_can_be_retrieved(llm, gateway):
    a = llm("a")
    gw = gateway(config=f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
backends: {{a: {{type: vllm, url: '{a.url}'}}}}
models: {{org/name: {{tiers: [a: x]}}}}
""")
    with client(gw) as c:
        assert c.models.retrieve("org/name").id == "org/name"


def test_errors_are_the_sdks_own_classes(llm, gateway):
    gw = gateway(llm("a", chat=replies(400, {"error": {"message": "bad", "type": "x", "code": "c"}})))
    with client(gw, max_retries=0) as c:
        with pytest.raises(openai.BadRequestError) as bad:
            c.chat.completions.create(model="m", messages=HELLO)
        assert bad.value.code == "c"
        with pytest.raises(openai.NotFoundError) as missing:
            c.chat.completions.create(model="nope", messages=HELLO)
        assert missing.value.code == "model_not_found" and "'m'" in str(missing.value)
        with pytest.raises(openai.BadRequestError) as empty:
            c.chat.completions.create(model="m", messages=[])
        assert empty.value.param == "messages"


def test_a_wrong_key_is_an_authentication_error(llm, gateway):
    gw = gateway(llm("a"), keys="[{name: web, key: right-key-123}]")
    with client(gw, api_key="wrong-key-123") as c, pytest.raises(openai.AuthenticationError):
        c.chat.completions.create(model="m", messages=HELLO)
    with client(gw, api_key="right-key-123") as c:
        assert c.chat.completions.create(model="m", messages=HELLO).choices


def test_the_sdk_does_not_repeat_the_storm_when_every_tier_has_failed(llm, gateway):
    a = llm("a", chat=replies(503))
    gw = gateway(a, health="{interval: 60s}")
    with client(gw, max_retries=3) as c, pytest.raises(openai.InternalServerError) as e:
        c.chat.completions.create(model="m", messages=HELLO)
    assert e.value.status_code == 503 and e.value.code == "all_backends_unavailable"
    assert len(a.chats) == 1


@pytest.mark.parametrize("fault", [resets(), replies(500), hangs()], ids=["reset", "500", "hang"])
def test_the_user_does_not_notice_a_failing_first_tier(fault, llm, gateway):
    gw = gateway(llm("a", chat=fault), llm("b", chat=answers("from b")))
    with client(gw, max_retries=0) as c:
        assert c.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == "from b"


def test_a_stream_that_breaks_raises_and_never_looks_whole(llm, gateway):
    gw = gateway(llm("a", chat=streams_then("half an answer", "close")))
    got = []
    with client(gw, max_retries=0) as c, pytest.raises(openai.APIError) as e:
        for chunk in c.chat.completions.create(model="m", messages=HELLO, stream=True):
            got.append(chunk.choices[0].delta.content or "")
    assert "".join(got) == "half an answer"
    assert e.value.code == "stream_interrupted"


def test_tools_and_parsed_output_go_through(llm, gateway):
    call = {"id": "x", "object": "chat.completion", "created": 1, "model": "y", "choices": [
        {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}]}
    gw = gateway(llm("a", chat=replies(200, call)))
    with client(gw) as c:
        r = c.chat.completions.create(model="m", messages=HELLO, tools=[
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
    assert r.choices[0].message.tool_calls[0].function.arguments == '{"a":1}'
