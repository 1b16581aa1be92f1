"""When no backend can answer: what an identical request got earlier, or a fixed text; off unless asked for."""

import json
import threading
import time

import openai
import pytest
from fake_llm import answers, completion, delta, replies, stream_openai
from gateway import wait_until
from metrics_text import scrape

CACHE = "{cache: 10m}"
TEXT = "Zwölf \"Boxkämpfer\" jagen \\ Viktor\n\tquer 🥊 über den Sylter Deich"
NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def all_down(gw, *backends):
    for b in backends:
        b.stop()
    for b in backends:
        gw.wait_state(b.name, "DOWN")


def ask(gw, stream=False, **more):
    return gw.chat(stream=stream, **more)


def text_of(answer, stream):
    return answer.streamed_text if stream else answer.text


def marks(answer, stream):
    """The object that carries the gateway's marks."""
    return next(c for c in answer.chunks if "_backend" in c) if stream else answer.json


@pytest.mark.parametrize("then", [False, True], ids=["then_plain", "then_stream"])
@pytest.mark.parametrize("first", [False, True], ids=["plain", "stream"])
def test_an_earlier_answer_is_given_again_in_the_shape_that_is_asked_for(first, then, llm, gateway):
    a, b = llm("a", chat=answers(TEXT)), llm("b", chat=answers(TEXT))
    gw = gateway(a, b, last_resort=CACHE)
    before = ask(gw, first)
    assert text_of(before, first) == TEXT and "age" not in before.headers
    before_usage = None if first else before.json["usage"]
    all_down(gw, a, b)
    answer = ask(gw, then)
    assert answer.status == 200 and text_of(answer, then) == TEXT
    assert answer.headers["x-fallthrough-backend"] == "(cache)"
    assert answer.headers["x-fallthrough-degraded"] == "cache"
    assert "x-fallthrough-tier" not in answer.headers
    assert int(answer.headers["age"]) <= 30
    said = marks(answer, then)
    assert said["_backend"] == "(cache)" and said["_degraded"] is True
    assert said["_notice"].startswith("Answered from memory, ")
    assert said["_notice"].endswith(" s old: all backends are unavailable")
    assert said["model"] == "fake-model" and said["id"] != "chatcmpl-fake" and said["id"].startswith("chatcmpl-")
    assert said["created"] > 1700000000
    assert said["choices"][0]["finish_reason"] == "stop"
    if then:
        assert answer.is_whole_stream
    else:
        assert said["object"] == "chat.completion"
        # What a stream had cost nobody asked for, so nobody knows it.
        assert said["usage"] == (NO_USAGE if first else before_usage)
    assert ask(gw, then).status == 200, "again and again"
    assert marks(ask(gw, then), then)["id"] != said["id"]


def test_the_trail_tells_what_was_tried(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, last_resort=CACHE)
    ask(gw)
    a.chat = b.chat = replies(501)  # blames nobody: both are asked again
    answer = ask(gw)
    assert answer.trail == "a:http_501,b:http_501"
    assert answer.headers["x-fallthrough-backend"] == "(cache)" and answer.text == "Hello from the fake model"
    (line,) = wait_until(lambda: gw.logged("answered as a last resort"), what="it is logged")
    assert "kind=cache" in line and "attempts=a:http_501,b:http_501" in line
    assert not gw.logged("exchange failed")


def test_it_is_off_by_default(llm, gateway):
    a = llm("a")
    gw = gateway(a)
    ask(gw)
    all_down(gw, a)
    answer = ask(gw)
    assert answer.status == 503 and answer.json["error"]["code"] == "all_backends_unavailable"
    assert scrape(gw).value("fallthrough_last_resort_total", model="m", kind="cache") == 0


def test_a_backend_that_is_usable_answers_itself(llm, gateway):
    a, b = llm("a", chat=answers("from a")), llm("b", chat=answers("from b"))
    gw = gateway(a, b, last_resort="{cache: 10m, message: sorry}")
    assert ask(gw).text == "from a"
    all_down(gw, a)
    answer = ask(gw)
    assert answer.text == "from b" and answer.backend == "b" and "age" not in answer.headers
    a.start()
    gw.wait_state("a", "HEALTHY")
    wait_until(lambda: ask(gw).backend == "a", what="the better tier is used again")


@pytest.mark.parametrize("same", [
    {"stream_options": {"include_usage": True}, "stream": True}, {"stream": False}, {"stream": None}], ids=str)
def test_how_it_is_sent_is_not_part_of_the_request(same, llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort=CACHE)
    ask(gw, max_tokens=5)
    all_down(gw, a)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, **same}
    answer = gw.request("POST", "/v1/chat/completions", json.dumps(body, indent=3).encode())
    assert answer.status == 200 and answer.headers["x-fallthrough-backend"] == "(cache)"
    if same.get("stream"):
        assert answer.chunks[-1]["usage"]["total_tokens"] == 12 and answer.chunks[-1]["choices"] == []


@pytest.mark.parametrize("other", [{"content": "Hi "}, {"max_tokens": 6}, {"temperature": 0.5}, {"seed": 1}, {"n": 2},
                                   {"tools": [{"type": "function", "function": {"name": "f"}}]}], ids=str)
def test_another_request_is_not_answered(other, llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort=CACHE)
    ask(gw)
    all_down(gw, a)
    assert ask(gw, **other).status == 503
    assert ask(gw).status == 200


def test_nobody_gets_the_answer_of_another_key(llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort=CACHE, keys="[{name: one, key: key-of-one}, {name: two, key: key-of-two}]")
    one, two = ({"authorization": f"Bearer key-of-{name}"} for name in ("one", "two"))
    assert ask(gw, headers=one).status == 200
    all_down(gw, a)
    assert ask(gw, headers=one).status == 200
    assert ask(gw, headers={"x-api-key": "key-of-one"}).status == 200
    assert ask(gw, headers=two).status == 503


def test_it_is_forgotten_when_it_is_too_old(llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort="{cache: 2s}", health="{interval: 100ms, down_after: 1}")
    before = time.monotonic()
    ask(gw)
    a.stop()
    wait_until(lambda: ask(gw).status == 503, what="it is too old")
    assert time.monotonic() - before >= 2


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_newest_answer_counts(stream, llm, gateway):
    a = llm("a", chat=[answers("first"), answers("second")])
    gw = gateway(a, last_resort=CACHE)
    assert text_of(ask(gw, stream), stream) == "first"
    assert text_of(ask(gw, stream), stream) == "second"
    all_down(gw, a)
    assert text_of(ask(gw, stream), stream) == "second"


def test_any_worker_gives_what_another_got(llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort=CACHE, workers="4")
    ask(gw)
    all_down(gw, a)
    assert {ask(gw).status for _ in range(40)} == {200}


def test_choices_tools_and_logprobs_come_back_whole(llm, gateway):
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1.50}"}}
    body = completion("")
    body["choices"] = [{"index": i, "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                        "logprobs": {"content": []}, "finish_reason": "tool_calls"} for i in range(2)]
    a = llm("a", chat=replies(200, body))
    gw = gateway(a, last_resort=CACHE)
    ask(gw, n=2, max_tokens=5)
    all_down(gw, a)
    assert ask(gw, n=2, max_tokens=5).json["choices"] == body["choices"]
    chunk = ask(gw, stream=True, n=2, max_tokens=5).chunks[0]
    assert [c["delta"]["tool_calls"][0]["function"] for c in chunk["choices"]] == [call["function"]] * 2
    assert [c["finish_reason"] for c in chunk["choices"]] == ["tool_calls"] * 2


def test_other_dialects_answers_are_kept_too(llm, gateway):
    for kind in ("ollama", "anthropic"):
        a = llm(kind, kind, chat=answers(TEXT))
        gw = gateway(a, last_resort=CACHE, backend_extra={kind: "degrade: off"})
        ask(gw, True)
        all_down(gw, a)
        assert ask(gw).text == TEXT and ask(gw, True).streamed_text == TEXT


# --- what is not kept ---

def cut(_q, w):
    w.begin_stream()
    w.event(delta("", role="assistant"))
    w.event(delta("half an"))
    w.reset()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("case", ["degraded", "error", "cut", "resumed", "marked"])
def test_only_whole_undegraded_answers_are_kept(case, stream, llm, gateway):
    chat = {"degraded": answers(), "error": replies(400, {"error": {"message": "no"}}), "cut": cut,
            "resumed": [cut, answers("half an answer")],
            "marked": replies(200, {**completion("x"), "_degraded": True})}[case]
    a = llm("a", chat=chat)
    backends = [a]
    if case == "resumed":
        a.chat = cut
        backends.append(llm("b", chat=answers("half an answer")))
    gw = gateway(*backends, last_resort=CACHE, retry="{same_backend: 0}",
                 backend_extra={"a": "degrade: {max_tokens: 3}" if case == "degraded" else "degrade: off"})
    asked = {"stream": stream, "max_tokens": 100}
    first = gw.chat(**asked)
    if case == "resumed":
        assert "a:reset,b:" in first.trail or stream
    all_down(gw, *backends)
    assert gw.chat(**asked).status == 503


def test_too_large_an_answer_is_not_kept_and_does_not_push_out_others(llm, gateway):
    big = "x" * (128 << 10)
    a = llm("a", chat=lambda q, w: answers(big if "big" in q.json["messages"][0]["content"] else "small")(q, w))
    gw = gateway(a, last_resort="{cache: 10m, cache_size: 1m}")
    assert ask(gw).text == "small"
    for stream in (False, True):
        assert text_of(ask(gw, stream, content="big"), stream) == big
    all_down(gw, a)
    assert ask(gw).text == "small"
    assert ask(gw, content="big").status == 503


def test_a_request_over_4_mib_has_no_part_in_it(llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort=CACHE)
    for size in (3 << 20, 5 << 20):
        assert ask(gw, content="x" * size).status == 200
    all_down(gw, a)
    assert ask(gw, content="x" * (3 << 20)).status == 200
    assert ask(gw, content="x" * (5 << 20)).status == 503


def test_the_memory_is_bounded_and_the_oldest_go_first(llm, gateway):
    a = llm("a", chat=lambda q, w: w.reply(200, completion(q.json["messages"][0]["content"] + "x" * 40000)))
    gw = gateway(a, last_resort="{cache: 10m, cache_size: 1m}")
    for i in range(40):
        assert ask(gw, content=f"{i:04}", max_tokens=5).status == 200
    all_down(gw, a)
    found = [ask(gw, content=f"{i:04}", max_tokens=5).status for i in range(40)]
    assert found[:14] == [503] * 14 and found[-20:] == [200] * 20
    assert found == sorted(found, reverse=True)


# --- the message ---

@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_fixed_text_answers_what_was_never_asked(stream, llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort="{message: 'We are \"down\" ☂. Try later.'}")
    ask(gw, stream)
    all_down(gw, a)
    answer = ask(gw, stream)
    assert answer.status == 200 and text_of(answer, stream) == 'We are "down" ☂. Try later.'
    assert answer.headers["x-fallthrough-backend"] == "(message)"
    assert answer.headers["x-fallthrough-degraded"] == "message" and "age" not in answer.headers
    said = marks(answer, stream)
    assert said["_backend"] == "(message)" and said["_degraded"] is True and "fixed text" in said["_notice"]
    assert said["model"] == "m" and said["choices"][0]["finish_reason"] == "stop"
    if not stream:
        assert said["usage"] == NO_USAGE


def test_memory_comes_before_the_message(llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort="{cache: 10m, message: sorry}")
    ask(gw)
    all_down(gw, a)
    assert ask(gw).backend == "(cache)" and ask(gw, content="new").text == "sorry"
    metrics = scrape(gw)
    assert metrics.value("fallthrough_last_resort_total", model="m", kind="cache") == 1
    assert metrics.value("fallthrough_last_resort_total", model="m", kind="message") == 1
    assert metrics.value("fallthrough_requests_total", model="m", outcome="last_resort") == 2
    assert metrics.value("fallthrough_requests_total", model="m", outcome="failed") == 0


def test_as_many_choices_as_were_asked_for(llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort="{message: sorry}")
    all_down(gw, a)
    assert [c["message"]["content"] for c in ask(gw, n=3).json["choices"]] == ["sorry"] * 3


def test_a_model_has_its_own(llm, gateway):
    a = llm("a")
    gw = gateway(config=f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
health: {{interval: 200ms, hang_after: 0, counters: 0}}
breaker: {{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 0}}
streams: {{calibrate: 0}}
backends: {{a: {{type: vllm, url: '{a.url}'}}}}
last_resort: {{cache: 10m, message: general}}
models:
  one: {{tiers: [a], last_resort: {{message: own}}}}
  two: {{tiers: [a], last_resort: off}}
  three: {{tiers: [a]}}
""")
    gw.wait_probed("a")
    for model in ("one", "two"):
        assert ask(gw, model=model).status == 200
    all_down(gw, a)
    assert ask(gw, model="one").backend == "(cache)"
    assert ask(gw, model="one", content="new").text == "own"
    assert ask(gw, model="two").status == 503
    assert ask(gw, model="three").text == "general"


def test_after_a_long_wait_the_stream_has_begun_already(llm, gateway):
    """Keep-alive comments have gone out with the head; the answer comes behind them."""
    def hang_then_fail(_q, w):
        w.pause(1.0)
        w.reset()
    a = llm("a")
    gw = gateway(a, last_resort=CACHE, streams="{keep_alive: 200ms}", retry="{same_backend: 0}",
                 deadlines="{first_token: 5s}")
    ask(gw, True)
    a.chat = hang_then_fail
    answer = ask(gw, True)
    assert answer.body.startswith(b": ") and answer.streamed_text == "Hello from the fake model"
    assert answer.is_whole_stream and marks(answer, True)["_backend"] == "(cache)"


def test_other_errors_stay_errors(llm, gateway):
    a = llm("a", chat=replies(400, {"error": {"message": "bad", "code": "nope"}}))
    gw = gateway(a, last_resort="{message: sorry}")
    assert ask(gw).status == 400
    assert ask(gw, model="unknown").status == 404


def test_annotations_can_be_switched_off(llm, gateway):
    a = llm("a")
    gw = gateway(a, last_resort=CACHE, annotate="off")
    ask(gw)
    all_down(gw, a)
    answer = ask(gw)
    assert answer.status == 200 and "age" in answer.headers
    assert not [h for h in answer.headers if h.startswith("x-fallthrough")] and "_backend" not in answer.json


def test_the_sdk_reads_both(llm, gateway):
    a = llm("a", chat=answers("one two"))
    gw = gateway(a, last_resort="{cache: 10m, message: sorry}")
    with openai.OpenAI(base_url=gw.url + "/v1", api_key="none", max_retries=0) as c:
        def create(text, **more):
            return c.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], **more)

        create("known")
        all_down(gw, a)
        for text, expected in (("known", "one two"), ("new", "sorry")):
            whole = create(text)
            assert whole.choices[0].message.content == expected and whole.usage is not None
            assert whole.model_extra["_degraded"] is True
            chunks = list(create(text, stream=True, stream_options={"include_usage": True}))
            assert "".join(x.choices[0].delta.content or "" for x in chunks if x.choices) == expected
            assert chunks[-1].usage is not None


def test_under_load_every_answer_is_the_right_one(llm, gateway):
    """Many clients while the only backend dies: whoever gets a 200 has the answer to his own question."""
    def echo(q, w):
        text = "echo " + q.json["messages"][0]["content"]
        if q.json.get("stream"):
            stream_openai(q, w, text)
        else:
            w.reply(200, completion(text))
    a = llm("a", chat=echo)
    gw = gateway(a, last_resort="{cache: 10m, cache_size: 1m}")
    for i in range(8):
        ask(gw, content=f"q{i}", max_tokens=9)
    wrong, stop = [], threading.Event()

    def work(i):
        while not stop.is_set():
            stream = bool(i % 2)
            answer = ask(gw, stream, content=f"q{i}", max_tokens=9)
            if answer.status != 200 or text_of(answer, stream) != f"echo q{i}":
                if not (stream and not answer.is_whole_stream):  # cut in the middle of a stream
                    wrong.append((i, answer.status, answer.body[:200]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for _ in range(3):
        all_down(gw, a)
        wait_until(lambda: gw.logged("answered as a last resort"), what="memory is used")
        a.start()
        gw.wait_state("a", "HEALTHY")
    stop.set()
    for t in threads:
        t.join()
    assert wrong == []
