"""What a backend can resume is measured beside the traffic, and decides how it is asked to go on."""

import contextlib
import json
import subprocess
import threading

import pytest
from fake_llm import PeerLeft, answers, delta, lists_models, pieces, replies, stream_ollama, stream_openai
from gateway import BINARY, wait_until

STORY = "Once upon a time there was a light house of \"white\" stone and söme glass\nfar out at sea"
TEXT = "The quick brown fox jumps over the lazy dog while \"quoted\" ünïcode 😀 words\nflow on and on"
ON = "{calibrate: 1m}"
QUICK = "{calibrate: 200ms}"


def partial_of(q) -> str | None:
    last = q.json["messages"][-1]
    return last["content"] if last["role"] == "assistant" else None


def say(q, w, text, finish="stop"):
    if q.path.endswith("/api/chat"):
        stream_ollama(q, w, text, done_reason=finish) if text else w.reply(200, {"done": True})
    else:
        stream_openai(q, w, text, finish=finish)


def server(text, manner="exact"):
    """A model that knows one text, on a server that continues it in this manner."""
    def play(q, w):
        given = partial_of(q)
        if given is None:
            say(q, w, text)
        elif manner == "refuses":
            w.reply(400, {"error": {"message": "prefill is not supported", "code": 400}})
        else:
            assert text.startswith(given)
            say(q, w, {"exact": text[len(given):], "echo": text, "differs": " is what I mean to say"}[manner])
    return play


def resume(gw, name="b"):
    return gw.backend(name)["resume"]


def wait_resume(gw, word, name="b", limit_s=10):
    wait_until(lambda: resume(gw, name) == word, limit_s, f"resume of {name} is {word}")


SHOWN = {"exact": "exact", "echo": "exact", "differs": "differs", "refuses": "no"}


# --- what is measured ---

@pytest.mark.parametrize("type", ["vllm", "llamacpp", "ollama"])
@pytest.mark.parametrize("manner", SHOWN)
def test_status_shows_what_was_measured(manner, type, llm, gateway):
    b = llm("b", type=type)
    b.calibration = server(STORY, manner)
    gw = gateway(b, streams=ON)
    wait_resume(gw, SHOWN[manner])
    assert gw.status()["models"][0]["tiers"][0]["backends"][0]["resume"] == SHOWN[manner]
    assert gw.state("b") == "HEALTHY" and gw.backend("b")["attempts"] == 0
    assert len(b.calibrations) == (3 if manner in ("exact", "echo") else 2) and not b.chats


def test_it_asks_briefly_and_greedily_as_a_client_and_a_resume_would(llm, gateway):
    b = llm("b")
    b.calibration = server(STORY)
    gw = gateway(b, streams=ON, backend_extra={"b": "api_key: secret-key, headers: {X-Org: me}"})
    wait_resume(gw, "exact")
    whole, *cuts = [q.json for q in b.calibrations]
    assert whole["model"] == "up-b" and whole["temperature"] == 0 and whole["stream"] is True
    assert 16 <= whole["max_tokens"] <= 32 and len(whole["messages"]) == 1
    spent = []
    for q in cuts:
        assert q["messages"][0] == whole["messages"][0]
        assert q["continue_final_message"] is True and q["add_generation_prompt"] is False
        partial = q["messages"][1]["content"]
        assert q["messages"][1]["role"] == "assistant" and STORY.startswith(partial)
        spent.append(len(pieces(partial)))
        assert partial == "".join(pieces(STORY)[:spent[-1]]), "cut where a piece ended"
        assert q["max_tokens"] == whole["max_tokens"] - spent[-1]
    assert 0 < spent[0] < spent[1] < len(pieces(STORY))
    for q in b.calibrations + b.looks:
        assert q.headers["authorization"] == "Bearer secret-key" and q.headers["x-org"] == "me"


def test_the_command_shows_it(llm, gateway):
    a, b = llm("a"), llm("b")
    a.calibration, b.calibration = server(STORY, "differs"), replies(500)
    gw = gateway(a, b, streams=ON)
    wait_resume(gw, "differs", "a")
    wait_until(lambda: b.calibrations, what="b was asked")
    out = subprocess.run([str(BINARY), "status", "--admin", gw.admin_url], capture_output=True, text=True,
                         timeout=30, check=True).stdout.splitlines()
    at = next(line for line in out if line.startswith("MODEL")).index("RESUME")
    assert [line[at:].split()[0] for line in out if line.startswith("m ")] == ["differs", "-"]


def test_of_several_models_each_is_measured_and_the_worst_is_the_backends(llm, gateway):
    b = llm("b")
    b.calibration = lambda q, w: server(STORY, {"x": "exact", "y": "differs"}[q.json["model"]])(q, w)
    gw = gateway(config=f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
backends: {{b: {{type: vllm, url: '{b.url}'}}}}
models:
  one: {{tiers: [b: x]}}
  two: {{tiers: [b: y]}}
  also-one: {{tiers: [b: x]}}
  off: {{tiers: [b: z], streams: {{resume: off}}}}
  never: {{tiers: [b: v], streams: {{calibrate: 0}}}}
""")
    wait_until(lambda: {m["name"]: m["tiers"][0]["backends"][0]["resume"] for m in gw.status()["models"]} ==
               {"one": "exact", "two": "differs", "also-one": "exact", "off": None, "never": None},
               what="every model is measured")
    assert resume(gw) == "differs"
    assert [q.json["model"] for q in b.calibrations] == ["x", "x", "x", "y", "y"]


# --- who is not asked ---

def test_a_paid_backend_is_never_asked(llm, gateway):
    a, b = llm("a", type="openai"), llm("b")
    b.calibration = server(STORY)
    gw = gateway(a, b, streams=QUICK)
    wait_resume(gw, "exact")
    wait_until(lambda: len(b.looks) > 3, what="b is looked at")
    assert resume(gw, "a") == "no"
    assert not a.calibrations and not a.looks and not a.chats


def test_nobody_is_asked_when_it_is_off(llm, gateway):
    b = llm("b")
    gw = gateway(b, streams="{calibrate: 0}")
    wait_until(lambda: len(b.probes) > 3, what="probes come")
    assert resume(gw) is None and not b.calibrations and not b.looks


def test_without_resume_it_is_only_looked_at(llm, gateway):
    b = llm("b")
    gw = gateway(b, streams="{resume: off, calibrate: 100ms}")
    wait_until(lambda: len(b.looks) > 3, what="looks come")
    assert resume(gw) is None and not b.calibrations


def test_none_while_it_is_down(llm, gateway):
    b = llm("b")
    b.calibration = server(STORY)
    b.health = replies(503)
    gw = gateway(b, streams=QUICK)
    gw.wait_state("b", "DOWN")
    seen = len(b.probes)
    wait_until(lambda: len(b.probes) > seen + 2, what="more probes")
    assert not b.calibrations and not b.looks
    b.health = replies(200)
    wait_resume(gw, "exact")


def test_none_while_it_is_busy(llm, gateway):
    go = threading.Event()

    def slow(q, w):
        w.begin_stream("application/x-ndjson")
        while not go.is_set():
            w.line({"model": "x", "message": {"role": "assistant", "content": "x "}, "done": False})
            w.pause(0.05)
        w.line({"model": "x", "message": {}, "done": True, "done_reason": "stop"})
        w.end_stream()

    b = llm("b", type="ollama", chat=slow)
    b.calibration, b.models = server(STORY), lists_models(loaded=False)
    gw = gateway(b, streams=QUICK)
    sock = gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    wait_until(lambda: gw.backend("b")["in_flight"], what="the client's request is under way")
    b.models = lists_models()
    looks = len(b.looks)
    wait_until(lambda: len(b.looks) > looks + 5, what="looks go on, they cost nothing")
    assert not b.calibrations and resume(gw) is None
    go.set()
    wait_resume(gw, "exact")
    sock.close()


def test_a_request_that_comes_meanwhile_has_the_server_for_itself(llm, gateway):
    """One slot, as a llama.cpp with `-np 1`: whoever is asked first would keep the others waiting."""
    slot = threading.Lock()
    gives_way = threading.Event()

    def calibration(q, w):
        with slot:
            if not gives_way.is_set():
                with contextlib.suppress(PeerLeft):
                    w.hang()
                gives_way.set()
                raise PeerLeft
            server(STORY)(q, w)

    def chat(q, w):
        with slot:
            stream_openai(q, w, TEXT)

    b = llm("b", chat=chat)
    b.calibration = calibration
    gw = gateway(b, streams=ON, deadlines="{first_token: 20s, stall: 20s}", retry="{same_backend: 0}")
    wait_until(lambda: b.calibrations, what="a question is under way")
    assert gw.chat(stream=True).streamed_text == TEXT
    assert gives_way.is_set(), "it was cut off for the client's sake"
    wait_resume(gw, "exact")
    assert len(b.calibrations) == 4, "the one that was cut off is asked again, and only that"


def test_at_most_two_at_once(llm, gateway):
    lock, now, most = threading.Lock(), [0], [0]

    def calibration(q, w):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        for _ in range(10):  # the first one waits for a second, and all for a third that should not come
            w.pause(0.02 if most[0] > 1 else 0.5)
        with lock:
            now[0] -= 1
        server(STORY)(q, w)

    names = ["a", "b", "c", "d", "e"]
    backends = [llm(name) for name in names]
    for b in backends:
        b.calibration = calibration
    gw = gateway(*backends, streams=ON, deadlines="{first_token: 10s, stall: 10s}")
    for name in names:
        wait_resume(gw, "exact", name, 20)
    assert most[0] == 2


# --- what goes wrong ---

TROUBLES = {
    "500": replies(500), "503_loading": replies(503, {"error": {"message": "Loading model"}}), "429": replies(429),
    "404": replies(404), "html": replies(200, "<html>", "text/html"), "hangs": lambda q, w: w.hang(),
    "cut": lambda q, w: (w.begin_stream(), w.event(delta("One")), w.close()), "reset": lambda q, w: w.reset(),
    "error_event": lambda q, w: (w.begin_stream(), w.event({"error": {"message": "x"}}), w.end_stream()),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_goes_wrong_blames_nobody(trouble, llm, gateway):
    b = llm("b", chat=answers(TEXT))
    b.calibration = TROUBLES[trouble]
    gw = gateway(b, streams="{calibrate: 100ms}", deadlines="{first_token: 1s, stall: 1s}")
    wait_until(lambda: gw.logged("resume measured"), what="the end of a measurement")
    looks = len(b.looks)
    wait_until(lambda: len(b.looks) > looks + 3, what="time goes by")
    assert len(b.calibrations) == 1, "it is not asked again at once"
    assert gw.state("b") == "HEALTHY" and resume(gw) is None and gw.backend("b")["failures"] == 0
    assert gw.chat().text == TEXT


def test_a_failure_is_tried_again_after_a_while(llm, gateway):
    b = llm("b")
    b.calibration = replies(500)
    gw = gateway(b, streams=ON)
    wait_until(lambda: b.calibrations, what="the first try")
    b.calibration = server(STORY)
    wait_resume(gw, "exact", limit_s=20)


def test_a_backend_that_dies_of_the_question_is_not_killed_again_when_it_returns(llm, gateway):
    b = llm("b", chat=answers(TEXT))

    def dies(q, w):
        b.stop()

    b.calibration = dies
    gw = gateway(b, streams="{calibrate: 100ms}")
    gw.wait_state("b", "DOWN")
    b.start()
    gw.wait_state("b", "HEALTHY")
    looks = len(b.looks)
    wait_until(lambda: len(b.looks) > looks + 5, what="time goes by")
    assert len(b.calibrations) == 1 and gw.chat().text == TEXT


def test_an_answer_that_tells_nothing_is_asked_for_in_other_words_and_then_left(llm, gateway):
    b = llm("b")
    b.calibration = answers("Yes")
    gw = gateway(b, streams="{calibrate: 100ms}")
    wait_until(lambda: len(b.looks) > 5, what="time goes by")
    assert len(b.calibrations) == 2 and resume(gw) is None
    assert b.calibrations[0].json["messages"] != b.calibrations[1].json["messages"]


# --- again after a change ---

def test_measured_again_after_a_restart(llm, gateway):
    b = llm("b")
    b.calibration = server(STORY)
    gw = gateway(b, streams=ON)
    wait_resume(gw, "exact")
    b.stop()
    gw.wait_state("b", "DOWN")
    assert resume(gw) is None, "it may come back as another"
    b.calibration = server(STORY, "differs")
    b.start()
    wait_resume(gw, "differs")
    assert len(b.calibrations) == 5


def test_a_bad_result_is_not_forgotten_by_an_outage(llm, gateway):
    b = llm("b")
    b.calibration = server(STORY, "refuses")
    gw = gateway(b, streams=ON)
    wait_resume(gw, "no")
    b.stop()
    gw.wait_state("b", "DOWN")
    assert resume(gw) == "no"
    b.calibration = server(STORY)
    b.start()
    wait_resume(gw, "exact")


def test_measured_again_after_its_connections_broke(llm, gateway):
    a, b = llm("a"), llm("b")
    a.calibration = b.calibration = server(STORY)
    a.chat = [lambda q, w: w.reset(), lambda q, w: w.reset(), answers(TEXT)]
    gw = gateway(a, b, streams=ON)
    wait_resume(gw, "exact", "a")
    assert gw.chat().backend == "b"
    wait_until(lambda: len(a.calibrations) == 6, what="a is measured again")
    wait_resume(gw, "exact", "a")


@pytest.mark.parametrize("type", ["vllm", "llamacpp", "ollama"])
def test_measured_again_when_the_model_is_another(type, llm, gateway):
    b = llm("b", type=type)
    b.calibration = server(STORY)
    gw = gateway(b, streams=QUICK)
    wait_resume(gw, "exact")
    looks = len(b.looks)
    wait_until(lambda: len(b.looks) > looks + 3, what="it is looked at again")
    assert len(b.calibrations) == 3, "times and permissions are no change"
    b.calibration = server(STORY, "differs")
    b.models = lists_models("org/other-model")
    wait_resume(gw, "differs")
    wait_until(lambda: gw.logged("another model than before"), what="a line in the log")


def test_without_a_list_of_models_it_is_measured_all_the_same(llm, gateway):
    b = llm("b")
    b.calibration, b.models = server(STORY), replies(404)
    gw = gateway(b, streams=QUICK)
    wait_resume(gw, "exact")
    looks = len(b.looks)
    wait_until(lambda: len(b.looks) > looks + 3, what="it is looked at again")
    assert len(b.calibrations) == 3


# --- ollama loads at need ---

def test_no_model_is_loaded_to_measure_it(llm, gateway):
    b = llm("b", type="ollama")
    b.calibration, b.models = server(STORY), lists_models(loaded=False)
    gw = gateway(b, streams=QUICK)
    wait_until(lambda: len(b.looks) > 3, what="it is looked at")
    assert not b.calibrations and resume(gw) is None
    b.models = lists_models()
    wait_resume(gw, "exact")


@pytest.mark.parametrize("loaded, by", [(False, "a"), (True, "b")])
def test_a_model_that_is_loaded_first_is_waited_for_longer(loaded, by, llm, gateway):
    a, b = llm("a", type="ollama"), llm("b")
    a.chat = lambda q, w: (w.pause(1.5), stream_ollama(q, w, TEXT))
    a.models = lists_models(loaded=loaded)
    a.calibration = b.calibration = replies(500)
    gw = gateway(a, b, streams=ON, deadlines="{first_token: 1s, first_token_per_1k: 0, stall: 1s, total: 20s}")
    wait_until(lambda: a.looks and b.calibrations and (not loaded or a.calibrations), what="a was looked at")
    wait_until(lambda: not loaded or len(gw.logged("resume measured")) >= 2, what="nothing is under way")
    answer = gw.chat(stream=True)
    assert answer.backend == by and answer.is_whole_stream


# --- what it is good for ---

def breaks_after(count):
    def play(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in pieces(TEXT)[:count]:
            w.event(delta(word))
        w.event({"error": {"message": "boom", "code": 500}})
        w.end_stream()
    return play


# manner measured, type of the standby, policy → is the half answer sent along?
EFFECTS = [
    ("exact", "vllm", "exact", True), ("exact", "ollama", "exact", True), ("exact", "ollama", "any", True),
    ("echo", "llamacpp", "exact", True), ("echo", "ollama", "exact", True), ("echo", "vllm", "any", True),
    ("differs", "vllm", "exact", False), ("differs", "ollama", "exact", False), ("differs", "vllm", "any", True),
    ("differs", "ollama", "any", True), ("refuses", "vllm", "exact", False), ("refuses", "llamacpp", "any", False),
    ("refuses", "ollama", "exact", False),
]


@pytest.mark.parametrize("manner, type, policy, continues", EFFECTS)
def test_it_decides_how_a_broken_answer_goes_on(manner, type, policy, continues, llm, gateway):
    a, b = llm("a", chat=breaks_after(5)), llm("b", type=type)
    a.calibration, b.calibration = server(STORY), server(STORY, manner)
    b.chat = server(TEXT, manner)
    gw = gateway(a, b, streams=f"{{calibrate: 1m, resume: {policy}}}")
    wait_resume(gw, SHOWN[manner])
    answer = gw.chat(stream=True)
    given = "".join(pieces(TEXT)[:5])
    assert partial_of(b.chats[0]) == (given if continues else None)
    assert len(b.chats) == 1, "it knew how to ask"
    rest = " is what I mean to say" if manner == "differs" and continues else TEXT[len(given):]
    assert answer.streamed_text == given + rest and answer.is_whole_stream


@pytest.mark.parametrize("type, policy, continues", [("vllm", "exact", True), ("llamacpp", "exact", True),
                                                     ("ollama", "exact", False), ("ollama", "any", True)])
def test_until_it_is_measured_its_type_decides(type, policy, continues, llm, gateway):
    a, b = llm("a", chat=breaks_after(5)), llm("b", type=type, chat=server(TEXT))
    a.calibration = b.calibration = replies(500)
    gw = gateway(a, b, streams=f"{{calibrate: 1m, resume: {policy}}}")
    wait_until(lambda: b.calibrations, what="it was asked in vain")
    answer = gw.chat(stream=True)
    assert (partial_of(b.chats[0]) is not None) == continues
    assert answer.streamed_text == TEXT and answer.is_whole_stream


def test_an_echo_that_is_none_any_more_is_noticed_and_nothing_is_lost(llm, gateway):
    a, b = llm("a", chat=breaks_after(5)), llm("b", type="llamacpp", chat=server(TEXT))
    a.calibration, b.calibration = server(STORY), server(STORY, "echo")
    gw = gateway(a, b, streams=ON)
    wait_resume(gw, "exact")
    answer = gw.chat(stream=True)
    assert [partial_of(q) is None for q in b.chats] == [False, True], "asked once more, from the beginning"
    assert answer.streamed_text == TEXT and answer.is_whole_stream
    assert json.loads(answer.payloads[-2])["_resumed"] is True
