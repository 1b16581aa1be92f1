"""When nobody can serve: an honest 503, at once, in the contract's shape; and the one try all the same."""

from fake_llm import answers, replies, resets
from gateway import wait_until


def all_down(gw, *backends):
    for b in backends:
        b.stop()
    for b in backends:
        gw.wait_state(b.name, "DOWN")


def test_all_down_is_a_503_in_the_contracts_shape(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    all_down(gw, a, b)
    for stream in (False, True):
        answer = gw.chat(stream=stream)
        assert answer.status == 503
        assert answer.json == {"error": {"message": "All inference backends unavailable",
                                         "type": "service_unavailable", "param": None,
                                         "code": "all_backends_unavailable"}, "retry_after": 30}
        assert answer.headers["retry-after"] == "30"
        assert answer.headers["x-should-retry"] == "false"


def test_all_down_is_said_within_50_ms(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    all_down(gw, a, b)
    assert min(gw.chat().took_s for _ in range(20)) < 0.05  # who waits makes each wait; a machine may be slow


def test_health_and_ready_tell_it(llm, gateway):
    a = llm("a")
    gw = gateway(a)
    assert gw.request("GET", "/health").status == 200
    assert gw.request("GET", "/ready").status == 200
    all_down(gw, a)
    assert gw.request("GET", "/health").status == 503
    assert gw.request("GET", "/ready").status == 503


def test_between_probes_the_only_backend_gets_one_try_when_the_verdict_is_older_than_a_second(llm, gateway):
    a = llm("a", chat=[resets(), resets(), answers("well again")])
    gw = gateway(a, health="{interval: 60s, timeout: 1s, up_after: 100}")
    assert gw.chat().status == 503
    assert gw.chat().status == 503  # the verdict is fresh
    tried = len(a.chats)
    answer = wait_until(lambda: (r := gw.chat()).status == 200 and r, 20, "a trial")
    assert answer.text == "well again"
    assert len(a.chats) == tried + 1


def test_a_hold_that_ends_soon_replaces_the_30_seconds(llm, gateway):
    a = llm("a", chat=replies(429, retry_after="7"))
    gw = gateway(a)
    answer = gw.chat()
    assert answer.status == 503
    assert 5 <= int(answer.headers["retry-after"]) <= 7
    assert answer.json["retry_after"] == int(answer.headers["retry-after"])
