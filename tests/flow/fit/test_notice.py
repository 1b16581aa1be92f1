"""Another model than the first tier's says so, once in a conversation; `model` always names who answered."""

import pytest
from fake_llm import answers, replies

NOTICE = "Answered by up-b in place of up-a"
DOWN = replies(503)


def notice_of(answer) -> str | None:
    if answer.body.startswith(b"data:"):
        return next((c["_notice"] for c in answer.chunks if "_notice" in c), None)
    return answer.json.get("_notice")


def talk(gw, *turns: str, stream: bool = False, headers=None, **more):
    told = []
    for i, turn in enumerate(turns):
        told.append({"role": ("user", "assistant")[i % 2], "content": turn})
    body = {"model": "m", "messages": told, "stream": stream, **more}
    return gw.request("POST", "/v1/chat/completions", body, headers)


@pytest.mark.parametrize("stream", [False, True])
def test_once_in_a_conversation(stream, llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b")
    gw = gateway(a, b)
    assert notice_of(talk(gw, "Hi", stream=stream)) == NOTICE
    assert notice_of(talk(gw, "Hi", "Hello", "And then?", stream=stream)) is None
    assert notice_of(talk(gw, "Hi", stream=not stream)) is None
    assert notice_of(talk(gw, "Another one", stream=stream)) == NOTICE


def test_none_when_the_first_tier_answers(llm, gateway):
    a, b = llm("a"), llm("b")
    assert notice_of(talk(gateway(a, b), "Hi")) is None


def test_none_for_the_same_model_elsewhere(llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b")
    gw = gateway(config=f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
backends: {{a: {{type: vllm, url: '{a.url}'}}, b: {{type: vllm, url: '{b.url}'}}}}
models: {{m: {{tiers: [a: same, b: same]}}}}
streams: {{calibrate: 0}}
""")
    answer = talk(gw, "Hi")
    assert answer.backend == "b" and notice_of(answer) is None


def test_the_system_message_is_part_of_the_beginning(llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b")
    gw = gateway(a, b)

    def ask(system: str):
        return gw.request("POST", "/v1/chat/completions", {"model": "m", "messages": [
            {"role": "system", "content": system}, {"role": "user", "content": "Hi"}]})

    assert notice_of(ask("be brief")) == NOTICE
    assert notice_of(ask("be brief")) is None
    assert notice_of(ask("be long")) == NOTICE


def test_each_client_has_its_own(llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b")
    gw = gateway(a, b, keys="[{name: x, key: key-of-x}, {name: y, key: key-of-y}]")
    one, two = {"authorization": "Bearer key-of-x"}, {"authorization": "Bearer key-of-y"}
    assert notice_of(talk(gw, "Hi", headers=one)) == NOTICE
    assert notice_of(talk(gw, "Hi", headers=two)) == NOTICE
    assert notice_of(talk(gw, "Hi", headers=one)) is None


def test_yet_another_model_is_news(llm, gateway):
    a, b, c = llm("a", chat=DOWN), llm("b", chat=[answers(), DOWN]), llm("c")
    gw = gateway(a, b, c)
    assert notice_of(talk(gw, "Hi")) == NOTICE
    assert notice_of(talk(gw, "Hi")) == "Answered by up-c in place of up-a"


def test_a_degraded_answer_has_its_own_notice_each_time(llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b", type="llamacpp")
    gw = gateway(a, b, degrade="{llamacpp: {max_tokens: 50, notice: weaker}}")
    for _ in range(2):
        answer = talk(gw, "Hi")
        assert notice_of(answer) == "weaker" and answer.json["_degraded"] is True


def test_a_degraded_one_without_a_notice_says_at_least_that(llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b")
    gw = gateway(a, b, backend_extra={"b": "degrade: {max_tokens: 50}"})
    assert [notice_of(talk(gw, "Hi")) for _ in range(2)] == [NOTICE, None]


@pytest.mark.parametrize("annotate", ["headers", "off"])
def test_none_where_bodies_are_left_alone(annotate, llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b")
    answer = talk(gateway(a, b, annotate=annotate), "Hi")
    assert answer.status == 200 and notice_of(answer) is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind, model", [("vllm", "fake-model"), ("llamacpp", "fake-model"), ("openai", "fake-model"),
                                         ("ollama", "up-b"), ("anthropic", "claude-fake")])
def test_model_names_who_answered(kind, model, stream, llm, gateway):
    a, b = llm("a", chat=DOWN), llm("b", type=kind)
    answer = talk(gateway(a, b), "Hi", stream=stream)
    said = answer.chunks[0]["model"] if stream else answer.json["model"]
    assert said == model and notice_of(answer) == NOTICE
