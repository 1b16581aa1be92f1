"""Signs of life: a hung engine is told from a busy one, and comes back with a token only."""

import itertools
import threading
import time

from fake_llm import Request, Wire, answers, counts, delta, hangs, replies, streams_then
from gateway import wait_until

HEALTH = "{interval: 200ms, timeout: 1s, hang_after: 1s, counters: 100ms}"
PATIENT = "{connect: 500ms, first_token: 30s, first_token_per_1k: 0, stall: 30s, total: 60s}"
SHORT = "{connect: 500ms, first_token: 800ms, first_token_per_1k: 0, stall: 30s, total: 60s}"


def in_background(gw, **more):
    """A streamed chat whose answer is there when the returned function is called."""
    result = []
    thread = threading.Thread(target=lambda: result.append(gw.chat(stream=True, **more)))
    thread.start()

    def answer():
        thread.join(30)
        return result[0]
    return answer


def moving(first: int = 100):
    """A counter that grows at each reading."""
    numbers = itertools.count(first)
    return lambda: next(numbers)


def frozen_after(moves: threading.Event):
    numbers = itertools.count(100)
    last = [0]

    def read() -> int:
        last[0] = last[0] if moves.is_set() else next(numbers)
        return last[0]
    return read


def counted(gw, name: str = "one"):
    wait_until(lambda: gw.backend(name)["engine"], 10, "counters are read")


def test_a_hung_engine_is_down_though_its_health_is_200_and_its_stream_goes_on_elsewhere(llm, gateway):
    """Its counters were seen to move, so that nothing but hang_after is waited for."""
    freeze = threading.Event()
    one = llm("one", chat=streams_then("Once upon", "hang"))
    one.metrics = counts(running=1, generated=frozen_after(freeze))
    two = llm("two", chat=answers("Once upon a time"))
    gw = gateway(one, two, health=HEALTH, deadlines=PATIENT)
    counted(gw)
    answer = in_background(gw, temperature=0)
    wait_until(lambda: one.chats, 20, "it is asked")
    one.token = hangs()
    freeze.set()
    began = time.monotonic()
    down = gw.wait_state("one", "DOWN", 20)
    assert down["reason"] == "hung" and down["vitals"] == "hung"
    # Its stream does not wait for its own deadline of 30 s.
    whole = answer()
    assert time.monotonic() - began < 25 and whole.is_whole_stream
    assert whole.streamed_text.startswith("Once upon")
    wait_until(lambda: one.probes and gw.logged("backend hangs"), what="a line in the log")
    assert len({r.connection for r in one.token_requests}) == len(one.token_requests)
    explained = gw.request("GET", "/explain?model=m", admin=True).json["backends"][0]
    assert explained["why"].endswith("until it makes a token")


def test_it_comes_back_after_a_token_and_not_before(llm, gateway):
    one, two = llm("one", chat=hangs()), llm("two")
    one.token = hangs()
    gw = gateway(one, two, health=HEALTH, deadlines=SHORT)
    assert gw.chat().backend == "two"
    gw.wait_state("one", "DOWN")
    probes = len(one.probes)
    wait_until(lambda: len(one.probes) > probes + 5, 10, "it was probed well")
    assert gw.state("one") == "DOWN"
    wait_until(lambda: gw.backend("one")["reason"] == "hung", 10, "the reason is known")
    one.token = answers("yes")
    one.chat = answers("Back again")
    gw.wait_state("one", "HEALTHY")
    assert gw.chat().text == "Back again"
    wait_until(lambda: gw.logged("backend no longer hangs"), what="a line in the log")


def test_the_request_for_a_token_is_salted_small_and_alone(llm, gateway):
    one, two = llm("one", chat=hangs()), llm("two")
    busy = threading.Semaphore(1)
    overlaps = []

    def alone(_q: Request, w: Wire) -> None:
        if not busy.acquire(blocking=False):
            overlaps.append(time.monotonic())
        try:
            w.hang()
        finally:
            busy.release()
    one.token = alone
    gw = gateway(one, two, health=HEALTH, deadlines=SHORT)
    assert gw.chat().backend == "two"
    wait_until(lambda: len(one.token_requests) >= 4, 15, "it is asked")
    bodies = [r.json for r in one.token_requests]
    assert all(b["max_tokens"] == 1 and b["model"] == "up-one" for b in bodies)
    prompts = {b["messages"][0]["content"] for b in bodies}
    assert len(prompts) == len(bodies)
    assert not overlaps
    assert not two.token_requests


def test_a_saturated_engine_stays_in_use(llm, gateway):
    """Our streams get nothing, its one-token answers are late, but it makes tokens for others."""
    one, two = llm("one", chat=hangs()), llm("two")
    one.token = hangs()
    one.metrics = counts(running=64, waiting=9, generated=moving(), kv=0.97)
    gw = gateway(one, two, health=HEALTH, deadlines=PATIENT)
    counted(gw)
    sock = gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    readings = len(one.readings)
    wait_until(lambda: len(one.readings) > readings + 40, 40, "it was read for four times hang_after")
    seen = gw.backend("one")
    assert seen["state"] == "HEALTHY" and seen["vitals"] == "busy"
    assert seen["engine"] == {"running": 64, "waiting": 9, "kv": 0.97}
    assert not gw.logged("backend hangs")
    metrics = gw.request("GET", "/metrics", admin=True).body.decode()
    assert 'fallthrough_backend_vitals{backend="one",vitals="busy"} 1' in metrics
    assert 'fallthrough_engine_requests{backend="one",phase="waiting"} 9' in metrics
    assert 'fallthrough_engine_kv_ratio{backend="one"} 0.97' in metrics
    sock.close()


def test_a_slow_prompt_is_no_hang_where_nothing_counts(llm, gateway):
    """Without counters a first token is waited for, however short hang_after is."""
    def slowly(q: Request, w: Wire) -> None:
        w.pause(3)
        answers("At last")(q, w)
    one, two = llm("one", chat=slowly), llm("two")
    one.token = hangs()
    gw = gateway(one, two, health=HEALTH, deadlines=PATIENT)
    answer = gw.chat(stream=True)
    assert answer.backend == "one" and answer.streamed_text == "At last"
    assert not gw.logged("backend hangs")


def test_a_long_plain_answer_is_no_hang_where_nothing_counts(llm, gateway):
    """A single slot without counters: the request for one token would stand behind the answer."""
    def slowly(q: Request, w: Wire) -> None:
        w.pause(5)
        answers("At last")(q, w)
    one, two = llm("one", chat=slowly), llm("two")
    one.token = hangs()
    gw = gateway(one, two, health=HEALTH, deadlines=SHORT, streams="{upstream: never}")
    answer = gw.chat()
    assert answer.backend == "one" and answer.text == "At last"
    assert not gw.logged("backend hangs") and not one.token_requests
    assert gw.state("one") == "HEALTHY"


def test_a_stream_beside_it_still_finds_a_hang(llm, gateway):
    one, two = llm("one", chat=hangs()), llm("two")
    one.token = hangs()
    gw = gateway(one, two, health=HEALTH, deadlines=SHORT, streams="{upstream: never}")
    sock = gw.open_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    wait_until(lambda: one.chats, 20, "the plain one is there")
    assert gw.chat(stream=True).backend == "two"
    assert gw.wait_state("one", "DOWN")["verdicts"][-1]["verdict"] == "first_token_timeout"
    sock.close()


def test_an_idle_backend_is_not_asked(llm, gateway):
    one = llm("one")
    one.metrics = counts()
    gw = gateway(one, health=HEALTH)
    wait_until(lambda: len(one.readings) > 30, 30, "it is read")
    assert gw.chat().status == 200
    wait_until(lambda: len(one.readings) > 60, 30, "it is read")
    assert not one.token_requests
    assert gw.backend("one")["vitals"] == "idle"


def test_a_server_without_counters_is_rarely_asked_for_them(llm, gateway):
    one = llm("one", "llamacpp")
    gw = gateway(one, health=HEALTH)
    probes = len(one.probes)
    wait_until(lambda: len(one.probes) > probes + 5, 10, "time passes")
    assert [r.path for r in one.readings] == ["/slots", "/metrics"]
    assert gw.backend("one")["engine"] is None


def test_readings_that_fail_blame_nobody(llm, gateway):
    one = llm("one")
    one.metrics = hangs()
    gw = gateway(one, health=HEALTH)
    wait_until(lambda: len(one.readings) >= 3, 20, "it is read")
    one.metrics = replies(500)
    wait_until(lambda: len(one.readings) >= 6, 20, "it is read")
    one.metrics = counts(running=3)
    counted(gw)
    assert gw.backend("one")["engine"]["running"] == 3
    assert gw.state("one") == "HEALTHY" and not gw.logged("backend changed state")


def test_the_slots_of_a_llama_cpp_are_read(llm, gateway):
    one = llm("one", "llamacpp")
    one.slots = replies(200, [{"id": 0, "is_processing": True, "next_token": [{"n_decoded": 4}]},
                              {"id": 1, "is_processing": False}])
    gw = gateway(one, health=HEALTH)
    counted(gw)
    assert gw.backend("one")["engine"] == {"running": 1, "waiting": 0, "kv": None}


def test_one_that_refuses_the_question_is_judged_by_its_probes(llm, gateway):
    one, two = llm("one", chat=hangs()), llm("two")
    one.token = replies(404)
    gw = gateway(one, two, health=HEALTH, deadlines=SHORT)
    assert gw.chat().backend == "two"
    gw.wait_state("one", "HEALTHY")
    assert len(one.token_requests) == 1


def test_an_ollama_is_asked_only_for_what_it_has_in_memory(llm, gateway):
    one, two = llm("one", "ollama", chat=hangs()), llm("two")
    one.models = replies(200, {"models": []})
    deadlines = "{connect: 500ms, first_token: 300ms, first_token_per_1k: 0, stall: 30s, total: 60s}"
    gw = gateway(one, two, health=HEALTH, deadlines=deadlines)
    assert gw.chat().backend == "two"
    gw.wait_state("one", "HEALTHY")
    assert not one.token_requests


def test_an_ollama_that_hangs_with_its_model_in_memory_needs_a_token(llm, gateway):
    one, two = llm("one", "ollama", chat=hangs()), llm("two")
    one.token = hangs()
    gw = gateway(one, two, health=HEALTH, deadlines=SHORT)
    assert gw.chat().backend == "two"
    wait_until(lambda: gw.backend("one")["reason"] == "hung", 20, "it is found to hang")
    one.token = answers("yes")
    gw.wait_state("one", "HEALTHY")


def test_who_is_paid_is_never_asked(llm, gateway):
    one, two = llm("one", "openai", chat=hangs()), llm("two")
    gw = gateway(one, two, health=HEALTH, deadlines=SHORT)
    assert gw.chat().backend == "two"
    gw.wait_state("one", "HEALTHY")
    assert not one.token_requests and not one.readings
    assert gw.backend("one")["vitals"] is None


def test_a_client_that_does_not_read_is_no_hang(llm, gateway):
    """The backend waits for it, as one with a single slot would, and answers nobody else."""
    def floods(_q: Request, w: Wire) -> None:
        w.begin_stream()
        while True:
            w.event(delta("word " * 2000))
    one = llm("one", chat=floods)
    one.token = hangs()
    deadlines = "{connect: 500ms, first_token: 1s, first_token_per_1k: 0, stall: 2s, total: 60s}"
    gw = gateway(one, health=HEALTH, deadlines=deadlines)
    sock = gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    wait_until(lambda: gw.backend("one")["first_token_p50_ms"] > 0, 10, "content came")
    wait_until(lambda: gw.backend("one")["vitals"] == "idle", 20, "the client is behind")
    probes = len(one.probes)
    wait_until(lambda: len(one.probes) > probes + 15, 20, "time passes")
    seen = gw.backend("one")
    assert seen["in_flight"] == 1 and seen["state"] == "HEALTHY" and not one.token_requests
    sock.close()


def test_loading_has_a_limit(llm, gateway):
    one, two = llm("one", "llamacpp"), llm("two")
    one.health = replies(503, {"error": {"code": 503, "message": "Loading model"}})
    gw = gateway(one, two, health="{interval: 200ms, loading_limit: 1s, hang_after: 1s}")
    assert gw.backend("one")["reason"] == "loading"
    wait_until(lambda: gw.backend("one")["reason"] == "loading_failed", 15, "the limit is over")
    assert not one.token_requests
    one.health = replies(200, {})
    gw.wait_state("one", "HEALTHY")
