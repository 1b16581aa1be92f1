"""What servers say of themselves is learnt: lists of models, llama.cpp's /props, Ollama's /api/show."""

import pytest
from fake_llm import answers, lists_models, replies
from gateway import wait_until

LONG = "word " * 2000  # about 2,500 tokens
QUICK = "{resume: off, calibrate: 100ms}"


def member(gw, name: str) -> dict:
    return next(b for tier in gw.status()["models"][0]["tiers"] for b in tier["backends"] if b["name"] == name)


def wait_context(gw, name: str, context: int | None) -> None:
    wait_until(lambda: member(gw, name)["context"] == context, what=f"{name} is known to have room for {context}")


def lists(**more):
    """A list of models whose one entry has these members."""
    def play(q, w):
        name = f"up-{w.llm.name}"
        if q.path.endswith("/api/ps"):
            w.reply(200, {"models": [{"name": name, "model": name, "digest": "d", **more}]})
        else:
            w.reply(200, {"object": "list", "data": [{"id": name, "object": "model", "root": "r", **more}]})
    return play


def props(n_ctx: int = 1024, vision: bool = False):
    return replies(200, {"default_generation_settings": {"params": {}, "n_ctx": n_ctx}, "total_slots": 2,
                         "modalities": {"vision": vision, "audio": False},
                         "chat_template_caps": {"supports_tools": False}})


def show(capabilities=("completion",), parameters: str = "", length: int = 131072):
    return replies(200, {"parameters": parameters, "capabilities": list(capabilities),
                         "model_info": {"general.architecture": "llama", "llama.context_length": length,
                                        "llama.embedding_length": 4096}})


def test_from_vllms_list_of_models(llm, gateway):
    a, b = llm("a"), llm("b", chat=answers("from b"))
    a.models, b.models = lists(max_model_len=1024), lists(max_model_len=32768)
    gw = gateway(a, b, streams=QUICK)
    wait_context(gw, "a", 1024)
    wait_context(gw, "b", 32768)
    assert gw.chat(LONG).trail == "b:ok"
    assert gw.chat("Hi", max_tokens=2000).backend == "b"
    assert gw.chat("Hi").backend == "a"
    wait_until(lambda: gw.logged("offer learnt"), what="a line in the log")
    assert not a.offer_questions


def test_from_llama_cpps_props(llm, gateway):
    a, b = llm("a", type="llamacpp"), llm("b", chat=answers("from b"))
    a.models, a.offer, b.models = lists(meta={"n_embd": 576}), props(), lists()
    gw = gateway(a, b, streams=QUICK)
    wait_context(gw, "a", 1024)
    capabilities = member(gw, "a")["capabilities"]
    assert capabilities["vision"] is False and capabilities["tools"] is None and capabilities["embeddings"] == 576
    assert gw.chat(LONG).trail == "b:ok"
    assert gw.chat([{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]).backend == "b"
    assert gw.chat(tools=[{"type": "function", "function": {"name": "f"}}]).backend == "a"
    assert {(q.method, q.path) for q in a.offer_questions} == {("GET", "/props")}


def test_from_what_ollama_shows(llm, gateway):
    a, b = llm("a", type="ollama"), llm("b", chat=answers("from b"))
    a.models, a.offer = lists_models(loaded=False), show(["completion", "vision"], "num_ctx      1024")
    b.models = lists()
    gw = gateway(a, b, streams=QUICK)
    wait_context(gw, "a", 1024)
    capabilities = member(gw, "a")["capabilities"]
    assert capabilities["tools"] is False and capabilities["vision"] is True and capabilities["embeddings"] == 4096
    assert gw.chat(LONG).trail == "b:ok"
    assert gw.chat(tools=[{"type": "function", "function": {"name": "f"}}]).backend == "b"
    assert gw.chat("Hi").backend == "a"
    assert a.offer_questions[0].path == "/api/show" and a.offer_questions[0].json == {"model": "up-a"}


def test_what_ollama_has_in_use_counts_more_than_what_the_model_could(llm, gateway):
    a = llm("a", type="ollama")
    a.models, a.offer = lists_models(loaded=False), show(length=65536)
    gw = gateway(a, streams=QUICK)
    wait_context(gw, "a", 65536)
    a.models = lists(context_length=4096)
    wait_context(gw, "a", 4096)
    a.models = lists_models(loaded=False)
    seen = len(a.looks)
    wait_until(lambda: len(a.looks) > seen + 2, what="more looks")
    assert member(gw, "a")["context"] == 4096  # it would be loaded the same way again


def test_the_configurations_word_counts(llm, gateway):
    a = llm("a", type="llamacpp")
    a.offer = props(1024, vision=True)
    gw = gateway(a, streams=QUICK, backend_extra={"a": "context: 64k, capabilities: {vision: false}"})
    wait_until(lambda: a.offer_questions, what="it is asked all the same")
    seen = len(a.looks)
    wait_until(lambda: len(a.looks) > seen + 1, what="another look")
    assert member(gw, "a")["context"] == 65536 and member(gw, "a")["capabilities"]["vision"] is False


def test_learnt_anew_after_a_restart(llm, gateway):
    a, b = llm("a", type="llamacpp"), llm("b")
    a.models, a.offer = lists(), props(1024)
    gw = gateway(a, b, streams=QUICK)
    wait_context(gw, "a", 1024)
    a.stop()
    gw.wait_state("a", "DOWN")
    assert member(gw, "a")["context"] is None
    a.offer = props(16384)
    a.start()
    wait_context(gw, "a", 16384)
    assert gw.chat(LONG).backend == "a"


def test_learnt_anew_when_the_model_is_another(llm, gateway):
    a = llm("a", type="ollama")
    a.models, a.offer = lists_models("one"), show(["tools"])
    gw = gateway(a, streams=QUICK)
    wait_until(lambda: member(gw, "a")["capabilities"]["tools"] is True, what="it can use tools")
    a.offer = show(["completion"])
    a.models = lists_models("two")
    wait_until(lambda: member(gw, "a")["capabilities"]["tools"] is False, what="it no longer can")


def test_a_page_is_not_asked_for_again_and_again(llm, gateway):
    a, b = llm("a", type="llamacpp"), llm("b", type="llamacpp")
    a.offer, b.offer = props(), replies(404)
    gateway(a, b, streams=QUICK)
    wait_until(lambda: len(a.looks) > 6 and len(b.looks) > 6, what="many looks")
    assert len(a.offer_questions) <= 2 and len(b.offer_questions) <= 2  # before and after it told its model


@pytest.mark.parametrize("broken", [replies(200, "not JSON"), replies(200, []), replies(500),
                                    replies(200, {"default_generation_settings": {"n_ctx": -5}}),
                                    lambda _q, w: w.reset(), lambda _q, w: w.close()],
                         ids=["text", "list", "500", "negative", "reset", "close"])
def test_nonsense_teaches_nothing_and_blames_nobody(broken, llm, gateway):
    a = llm("a", type="llamacpp")
    a.offer, a.models = broken, lists()
    gw = gateway(a, streams=QUICK)
    wait_until(lambda: len(a.looks) > 4, what="looks go on")
    assert a.offer_questions and member(gw, "a")["context"] is None and gw.state("a") == "HEALTHY"
    assert gw.chat(LONG).backend == "a"


def test_nobody_is_asked_who_is_paid_or_not_to_be_looked_at(llm, gateway):
    a, b, c = llm("a", type="openai"), llm("b", type="anthropic"), llm("c", type="llamacpp")
    gw = gateway(a, b, c, streams="{calibrate: 0}")
    gw2 = gateway(a, b, streams=QUICK)
    wait_until(lambda: len(c.probes) > 3, what="probes come")
    assert not [q for one in (a, b, c) for q in one.requests if q.is_own]
    assert member(gw, "c")["context"] is None and member(gw2, "a")["context"] is None
