"""HEALTHY, DEGRADED, DOWN exactly as design section 5 has it: probes, failed attempts, and the way back."""

import time

import pytest
from fake_llm import answers, closes, replies, resets, streams_then
from gateway import wait_until

PROBE_PATH = {"vllm": "/health", "llamacpp": "/health", "ollama": "/api/version", "openai": "/v1/models"}


@pytest.mark.parametrize("kind", PROBE_PATH)
def test_each_type_is_probed_where_it_answers(kind, llm, gateway):
    a = llm("a", type=kind)
    gateway(a)
    assert {r.path for r in a.probes} == {PROBE_PATH[kind]}


def test_a_slow_200_is_degraded_and_still_serves(llm, gateway):
    a, b = llm("a", chat=answers("from a")), llm("b")
    a.health = lambda _q, w: (w.pause(0.6), w.reply(200, {}))
    gw = gateway(a, b, health="{interval: 200ms, timeout: 5s, degraded_after: 500ms}")
    gw.wait_state("a", "DEGRADED")
    assert gw.backend("a")["reason"] == "slow"
    assert gw.chat().text == "from a"
    a.health = replies(200, {})
    gw.wait_state("a", "HEALTHY")


@pytest.mark.parametrize("status", [404, 500, 503])
def test_another_status_is_down_at_once(status, llm, gateway):
    a, b = llm("a"), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    a.health = replies(status)
    down = gw.wait_state("a", "DOWN")
    assert down["reason"] == "probe_status" and str(status) in down["why"]
    assert gw.chat().text == "from b" and not a.chats


def test_loading_is_a_reason_of_its_own(llm, gateway):
    a, b = llm("a", type="llamacpp"), llm("b")
    a.health = replies(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
    gw = gateway(a, b)
    assert gw.wait_state("a", "DOWN")["reason"] == "loading"
    a.health = replies(200, {"status": "ok"})
    gw.wait_state("a", "HEALTHY")


def test_exceptions_degrade_and_the_third_in_a_row_is_down(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, health="{interval: 700ms, timeout: 5s, up_after: 2}")
    a.health = closes()
    gw.wait_state("a", "DEGRADED")
    before = len(a.probes)
    gw.wait_state("a", "DOWN")
    assert len(a.probes) - before >= 1

    def changes():
        return [line for line in gw.logged("changed state") if "backend=a" in line]

    wait_until(lambda: len(changes()) >= 2, what="two changes in the log")
    assert ["to=DEGRADED" in changes()[0], "to=DOWN" in changes()[1]] == [True, True]


def test_a_single_exception_is_forgotten(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, health="{interval: 1s, timeout: 5s, up_after: 2}")
    a.health = closes()
    gw.wait_state("a", "DEGRADED")
    a.health = replies(200, {})
    gw.wait_state("a", "HEALTHY")
    assert not gw.logged("to=DOWN")


def test_a_probe_that_hangs_times_out_and_does_not_stop_other_probes(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, health="{interval: 200ms, timeout: 1s}")
    a.health = lambda _q, w: w.hang()
    gw.wait_state("a", "DOWN")
    count = len(b.probes)
    wait_until(lambda: len(b.probes) > count + 2)
    assert gw.state("b") != "DOWN"


@pytest.mark.parametrize("fault", [resets(), closes(), replies(502), replies(503), replies(504)],
                         ids=["reset", "closed", "502", "503", "504"])
def test_a_failed_attempt_that_blames_takes_it_down_at_once_for_everybody(fault, llm, gateway):
    a, b = llm("a", chat=fault), llm("b", chat=answers("from b"))
    gw = gateway(a, b, health="{interval: 30s}")
    gw.chat()
    assert gw.state("a") == "DOWN"
    tried = len(a.chats)
    for _ in range(20):
        assert gw.chat().trail == "b:ok"
    assert len(a.chats) == tried


def test_down_is_left_after_two_good_probes_and_new_requests_go_back(llm, gateway):
    a, b = llm("a", chat=[replies(503), answers("from a")]), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    assert gw.chat().text == "from b"
    assert gw.state("a") == "DOWN"
    gw.wait_state("a", "HEALTHY")
    assert len([q for q in a.probes if q.at > a.chats[0].at]) >= 2
    assert gw.chat().text == "from a"


def test_a_restarted_backend_is_adopted_again(llm, gateway):
    a, b = llm("a", chat=answers("from a")), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    a.stop()
    assert gw.chat().text == "from b"
    gw.wait_state("a", "DOWN")
    a.start()
    gw.wait_state("a", "HEALTHY")
    assert gw.chat().text == "from a"


def test_a_backend_that_is_down_at_start_is_adopted_later(llm, gateway):
    a, b = llm("a", chat=answers("from a")), llm("b", chat=answers("from b"))
    a.stop()
    gw = gateway(a, b)
    assert gw.chat().text == "from b"
    a.start()
    gw.wait_state("a", "HEALTHY")
    assert gw.chat().text == "from a"


def test_running_answers_stay_where_they_are_when_the_better_tier_returns(llm, gateway):
    a, b = llm("a", chat=[replies(503), answers("from a")]), llm("b", chat=answers("one two three four five", gap_s=0.2))
    gw = gateway(a, b)
    sock = gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    data = b""
    while b"one" not in data:
        data += sock.recv(65536)
    gw.wait_state("a", "HEALTHY")
    assert gw.chat(stream=True).streamed_text == "from a"
    while b"[DONE]" not in data:
        more = sock.recv(65536)
        assert more
        data += more
    assert b"five" in data
    sock.close()


def test_one_500_asks_for_a_probe_at_once_and_is_not_down(llm, gateway):
    a, b = llm("a", chat=[replies(500)]), llm("b")
    gw = gateway(a, b, health="{interval: 30s}", retry="{same_backend: 0}")
    probes = len(a.probes)
    gw.chat()
    wait_until(lambda: len(a.probes) > probes, 20, "a probe after the 500")
    assert gw.state("a") == "HEALTHY"


def test_a_500_is_down_when_the_probe_agrees(llm, gateway):
    a, b = llm("a", chat=replies(500)), llm("b")
    gw = gateway(a, b, health="{interval: 30s}", retry="{same_backend: 0}")
    a.health = closes()  # alone this would only be DEGRADED
    gw.chat()
    gw.wait_state("a", "DOWN")


def test_a_500_is_down_when_two_further_requests_agree(llm, gateway):
    a, b = llm("a", chat=replies(500)), llm("b")
    gw = gateway(a, b, health="{interval: 30s}", retry="{same_backend: 0}")
    for expected in ("HEALTHY", "HEALTHY", "DOWN"):
        gw.chat()
        assert gw.state("a") == expected


def test_one_bad_prompt_cannot_switch_off_all_tiers(llm, gateway):
    backends = [llm(n, chat=replies(500)) for n in "abc"]
    gw = gateway(*backends, health="{interval: 30s}")
    gw.chat()
    assert [len(b.chats) for b in backends] == [2, 2, 2]  # each with its one repetition
    for _ in range(2):
        gw.chat()
    assert gw.state("a") == "DOWN"  # blamed by three requests
    assert gw.state("b") == "HEALTHY" and gw.state("c") == "HEALTHY"


def test_there_is_never_a_probe_storm(llm, gateway):
    a, b = llm("a", chat=[replies(500), resets()]), llm("b")
    gw = gateway(a, b, health="{interval: 1s, timeout: 500ms}")
    began, probes = time.monotonic(), len(a.probes)
    while time.monotonic() - began < 2.5:
        gw.chat()
    took = time.monotonic() - began
    assert len(a.probes) - probes <= took / 0.5 + 1


def test_probes_are_not_starved_by_traffic(llm, gateway):
    a = llm("a", chat=answers("w " * 400, gap_s=0.0))
    gw = gateway(a, workers="1")
    socks = [gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})
             for _ in range(20)]
    probes = len(a.probes)
    wait_until(lambda: len(a.probes) > probes + 3, 30)
    for sock in socks:
        sock.close()


def test_a_stream_that_breaks_after_commit_takes_the_backend_down(llm, gateway):
    a, b = llm("a", chat=streams_then("half an", "reset")), llm("b")
    gw = gateway(a, b, health="{interval: 30s}")
    gw.chat(stream=True)
    assert gw.state("a") == "DOWN"


def test_a_cloud_without_a_model_list_counts_as_reachable(llm, gateway):
    a = llm("a", type="openai")
    a.health = replies(404)
    gw = gateway(a)
    assert gw.state("a") == "HEALTHY"


def test_the_backends_key_goes_with_the_probe(llm, gateway):
    a = llm("a", type="openai")
    gateway(a, backend_extra={"a": "api_key: sk-of-the-backend"})
    assert a.probes[0].headers["authorization"] == "Bearer sk-of-the-backend"
