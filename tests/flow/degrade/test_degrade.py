"""Weaker tiers answer shorter, and say so."""

import pytest
from fake_llm import answers, replies

DEFAULTS = {"degrade": ""}  # the built-in ones
NOTICE = "Response from fallback — may be slower or shorter"


@pytest.mark.parametrize("asked, sent", [(None, 200), (50, 50), (200, 200), (201, 200), (4000, 200)])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_llamacpp_is_capped_at_200_tokens_counted_from_500(name, asked, sent, llm, gateway):
    a = llm("a", type="llamacpp")
    gw = gateway(a, **DEFAULTS)
    answer = gw.chat(**({name: asked} if asked else {}))
    got = a.chats[0].json
    assert got.get("max_completion_tokens" if asked and name != "max_tokens" else "max_tokens") == sent
    assert got["temperature"] == 0
    degraded = answer.headers["x-fallthrough-degraded"].split(",")
    assert ("max_tokens" in degraded) == (sent != asked)
    assert "temperature" in degraded


def test_the_answer_carries_backend_degraded_and_notice(llm, gateway):
    a = llm("a", type="llamacpp")
    gw = gateway(a, **DEFAULTS)
    plain, stream = gw.chat(), gw.chat(stream=True)
    assert plain.json["_backend"] == "a"
    assert plain.json["_degraded"] is True and plain.json["_notice"] == NOTICE
    *others, finish = stream.chunks
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert finish["_backend"] == "a" and finish["_degraded"] is True and finish["_notice"] == NOTICE
    assert not any("_backend" in c or "_degraded" in c for c in others)


def test_an_undegraded_answer_says_only_who_answered(llm, gateway):
    a = llm("a")
    gw = gateway(a, **DEFAULTS)
    answer = gw.chat()
    assert answer.json["_backend"] == "a"
    assert "_degraded" not in answer.json and "_notice" not in answer.json
    assert "x-fallthrough-degraded" not in answer.headers
    assert "max_tokens" not in a.chats[0].json


def test_ollama_is_capped_at_400(llm, gateway):
    a = llm("a", type="ollama")
    gw = gateway(a, **DEFAULTS)
    answer = gw.chat()
    assert a.chats[0].json["options"]["num_predict"] == 400
    assert "temperature" not in a.chats[0].json["options"]
    assert answer.headers["x-fallthrough-degraded"] == "max_tokens"
    assert answer.json["_degraded"] is True and "_notice" not in answer.json


def test_falling_through_degrades_only_on_the_weaker_tier(llm, gateway):
    a, b = llm("a", chat=[answers("full"), replies(503)]), llm("b", type="llamacpp")
    gw = gateway(a, b, **DEFAULTS)
    assert "_degraded" not in gw.chat(max_tokens=4000).json
    answer = gw.chat(max_tokens=4000)
    assert answer.json["_degraded"] is True and answer.backend == "b"
    assert a.chats[0].json["max_tokens"] == 4000 and b.chats[0].json["max_tokens"] == 200


def test_a_backends_own_degrade_replaces_its_types(llm, gateway):
    a = llm("a", type="llamacpp")
    gw = gateway(a, backend_extra={"a": 'degrade: {max_tokens: 64, notice: "small model"}'}, **DEFAULTS)
    answer = gw.chat(temperature=0.7)
    assert a.chats[0].json["max_tokens"] == 64 and a.chats[0].json["temperature"] == 0.7
    assert answer.json["_notice"] == "small model"


@pytest.mark.parametrize("off", ["degrade: off", "degrade: {}"])
def test_degrading_can_be_switched_off(off, llm, gateway):
    a = llm("a", type="llamacpp")
    gw = gateway(a, backend_extra={"a": off}, **DEFAULTS)
    answer = gw.chat()
    assert "max_tokens" not in a.chats[0].json and "_degraded" not in answer.json


def test_annotate_headers_keeps_the_body_clean(llm, gateway):
    a = llm("a", type="llamacpp")
    gw = gateway(a, annotate="headers", **DEFAULTS)
    answer = gw.chat()
    assert not any(k.startswith("_") for k in answer.json)
    assert answer.backend == "a" and answer.headers["x-fallthrough-degraded"] == "max_tokens,temperature"
    assert b'"_backend"' not in gw.chat(stream=True).body


def test_annotate_off_shows_nothing(llm, gateway):
    a = llm("a", type="llamacpp")
    gw = gateway(a, annotate="off", **DEFAULTS)
    answer = gw.chat()
    assert not any(k.startswith("_") for k in answer.json)
    assert not any(k.startswith("x-fallthrough") for k in answer.headers)
    assert "x-request-id" in answer.headers


def test_a_sane_request_id_is_kept_and_another_is_replaced(llm, gateway):
    gw = gateway(llm("a"))
    assert gw.chat(headers={"x-request-id": "abc-123"}).headers["x-request-id"] == "abc-123"
    assert gw.chat(headers={"x-request-id": 'a b"c'}).headers["x-request-id"].startswith("req_")
