"""max_concurrent, and the line of those that wait for a slot."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_llm import answers, replies
from gateway import wait_until
from held_llm import Held
from metrics_text import Metrics


def model(gw):
    return gw.status()["models"][0]


def wait_waiting(gw, count):
    wait_until(lambda: model(gw)["waiting"] == count, 10, f"{count} wait")


def metrics(gw) -> Metrics:
    return Metrics(gw.request("GET", "/metrics", admin=True).body.decode())


class Counting:
    """Answers at once, and counts how many it is given at a time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, q, w):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.003)
        with self.lock:
            self.now -= 1
        answers("one two")(q, w)


def test_a_backend_never_has_more_than_max_concurrent(llm, gateway):
    chat = Counting()
    a = llm("a", chat=chat)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 3"})
    with ThreadPoolExecutor(50) as pool:
        got = list(pool.map(lambda _: gw.chat(), range(200)))
    assert all(g.status == 200 and g.text == "one two" for g in got)
    assert len(a.chats) == 200
    assert chat.most <= 3
    wait_until(lambda: gw.backend("a")["in_flight"] == 0, 10, "all slots are free")
    m = metrics(gw)
    assert m.value("fallthrough_queue_waiting", model="m") == 0
    assert m.value("fallthrough_max_concurrent", backend="a") == 3
    assert m.value("fallthrough_queue_wait_seconds_count", model="m") > 0


def test_the_line_goes_by_priority_and_then_by_age(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(8) as pool:
        def ask(name, priority):
            headers = {"x-fallthrough-priority": priority} if priority else {}
            return pool.submit(gw.chat, name, headers=headers)
        asked = [ask("first", None)]
        wait_until(lambda: held.now == 1, 10, "the first is there")
        for n, (name, priority) in enumerate([("low1", "low"), ("normal1", None), ("high1", "HIGH"),
                                              ("normal2", "normal"), ("high2", "high"), ("low2", "low")]):
            asked.append(ask(name, priority))
            wait_waiting(gw, n + 1)
        for _ in asked:
            held.let()
        assert all(one.result().status == 200 for one in asked)
    assert held.begun == ["first", "high1", "high2", "normal1", "normal2", "low1", "low2"]
    assert held.most == 1


def test_a_key_allows_no_more_than_its_priority(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    keys = ("[{name: batch, key: batch-key, priority: low}, {name: web, key: web-key-1},"
            " {name: vip, key: vip-key-1, priority: high}]")
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, keys=keys,
                 deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(8) as pool:
        def ask(name, key, priority):
            headers = {"authorization": f"Bearer {key}"}
            headers |= {"x-fallthrough-priority": priority} if priority else {}
            return pool.submit(gw.chat, name, headers=headers)
        asked = [ask("first", "web-key-1", None)]
        wait_until(lambda: held.now == 1, 10, "the first is there")
        for n, one in enumerate([("batch", "batch-key", "high"), ("batch2", "batch-key", None),
                                 ("web", "web-key-1", "high"), ("vip", "vip-key-1", "high")]):
            asked.append(ask(*one))
            wait_waiting(gw, n + 1)
        held.let(len(asked))
        assert all(one.result().status == 200 for one in asked)
    assert held.begun == ["first", "vip", "web", "batch", "batch2"]


def test_a_priority_that_is_none_is_refused_and_none_is_forwarded(llm, gateway):
    a = llm("a")
    gw = gateway(a)
    got = gw.chat(headers={"x-fallthrough-priority": "urgent"})
    assert got.status == 400 and "x-fallthrough-priority" in got.json["error"]["message"]
    assert not a.chats
    assert gw.chat(headers={"x-fallthrough-priority": "high"}).status == 200
    assert "x-fallthrough-priority" not in a.chats[0].headers


def test_who_comes_when_the_line_is_full_is_refused_at_once(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, queue="{max: 2}",
                 deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(gw.chat) for _ in range(3)]
        wait_waiting(gw, 2)
        got = gw.chat()
        assert got.status == 503 and got.json["error"]["code"] == "queue_full"
        assert int(got.headers["retry-after"]) >= 1 and got.json["retry_after"] >= 1
        assert "x-should-retry" not in got.headers  # nobody was tried: it may come again
        held.let(3)
        assert all(one.result().status == 200 for one in asked)
    assert metrics(gw).value("fallthrough_queue_refused_total", model="m", reason="full") == 1


def test_who_waits_too_long_is_told_so(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, queue="{wait: 300ms}",
                 deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gw.chat)
        wait_until(lambda: held.now == 1, 10, "the first is there")
        got = gw.chat()
        assert got.status == 503 and got.json["error"]["code"] == "queue_timeout"
        assert got.took_s >= 0.3 and int(got.headers["retry-after"]) >= 1
        assert model(gw)["waiting"] == 0
        held.let(2)
        assert first.result().status == 200
        assert gw.chat().status == 200  # and the slot is free again
    assert metrics(gw).value("fallthrough_queue_refused_total", model="m", reason="timeout") == 1


def test_a_client_that_leaves_leaves_the_line(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, deadlines="{first_token: 20s, total: 60s}")
    body = {"model": "m", "messages": [{"role": "user", "content": "goes"}]}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gw.chat, "first")
        wait_until(lambda: held.now == 1, 10, "the first is there")
        gone = [gw.open_chat(body) for _ in range(3)]
        wait_waiting(gw, 3)
        last = pool.submit(gw.chat, "last")
        wait_waiting(gw, 4)
        for one in gone:
            one.close()
        wait_waiting(gw, 1)
        held.let(2)
        assert first.result().status == 200 and last.result().status == 200
    assert held.begun == ["first", "last"]


def test_a_client_that_leaves_at_work_makes_room(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(1) as pool:
        first = gw.open_chat({"model": "m", "messages": [{"role": "user", "content": "first"}]})
        wait_until(lambda: held.now == 1, 10, "the first is there")
        second = pool.submit(gw.chat, "second")
        wait_waiting(gw, 1)
        first.close()
        wait_until(lambda: held.begun == ["first", "second"], 10, "the second is there")
        held.let(2)  # the backend may not know yet that nobody waits for the first
        assert second.result().status == 200


def test_a_stream_that_waits_gets_comments(llm, gateway):
    held = Held("some words")
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, streams="{keep_alive: 100ms}",
                 deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gw.chat, "first")
        wait_until(lambda: held.now == 1, 10, "the first is there")
        with gw.open_chat({"model": "m", "stream": True,
                           "messages": [{"role": "user", "content": "second"}]}) as sock:
            data = b""
            while data.count(b": waiting") < 3:
                data += sock.recv(65536)
            assert held.begun == ["first"]
            held.let(2)
            while b"[DONE]" not in data:
                data += sock.recv(65536)
        assert first.result().status == 200
    assert b" words" in data


def test_all_are_answered_when_the_busy_backend_dies(llm, gateway):
    held = Held()
    a, b = llm("a", chat=held), llm("b", chat=answers("from b", gap_s=0.01))
    gw = gateway(a, b, tiers=[[a, b]], backend_extra={"a": "max_concurrent: 2", "b": "max_concurrent: 1"},
                 deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(gw.chat) for _ in range(20)]
        wait_until(lambda: held.now == 2, 10, "it is busy")
        a.stop()
        got = [one.result() for one in asked]
    assert [g.status for g in got] == [200] * 20
    assert {g.text for g in got} == {"from b"}


def test_who_waits_is_told_when_nobody_is_left(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, panic="false",
                 deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(gw.chat) for _ in range(5)]
        wait_waiting(gw, 4)
        a.stop()
        got = [one.result() for one in asked]
    assert {g.json["error"]["code"] for g in got} == {"all_backends_unavailable"}


def test_a_broken_answer_goes_on_before_others(llm, gateway):
    """It waits for the other backend's only slot, in front of those that came before it broke."""
    def break_off(q, w):
        from fake_llm import delta
        w.begin_stream()
        w.event(delta("", role="assistant"))
        w.event(delta("half"))
        broken.wait(20)
        w.reset()
    broken = threading.Event()
    held = Held(" and whole")
    a, b = llm("a", chat=break_off), llm("b", chat=held)
    gw = gateway(a, b, tiers=[[a], [b]], streams="{resume: any}",
                 backend_extra={"a": "max_concurrent: 1", "b": "max_concurrent: 1"},
                 deadlines="{first_token: 20s, total: 60s}", queue="{max: 2}")
    with ThreadPoolExecutor(8) as pool:
        breaks = pool.submit(gw.chat, "breaks", stream=True)
        wait_until(lambda: len(a.chats) == 1, 10, "it is at a")
        others = [pool.submit(gw.chat, f"other{n}") for n in range(3)]
        wait_waiting(gw, 2)
        assert gw.chat().json["error"]["code"] == "queue_full"
        a.chat = replies(503)
        broken.set()
        wait_until(lambda: gw.state("a") == "DOWN" or model(gw)["waiting"] >= 3, 10, "it is in the line")
        wait_until(lambda: model(gw)["waiting"] >= 3, 10, "it is in the line")
        held.let(4)
        assert breaks.result().is_whole_stream
        assert all(one.result().status == 200 for one in others)
    assert held.begun[0].startswith("other") and not held.begun[1].startswith("other")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_slots_are_shared_by_all_workers(llm, gateway, workers):
    chats = {name: Counting() for name in ("a", "b")}
    a, b = (llm(name, chat=chat) for name, chat in chats.items())
    gw = gateway(a, b, tiers=[[a, b]], workers=workers,
                 backend_extra={"a": "max_concurrent: 1", "b": "max_concurrent: 2"})
    with ThreadPoolExecutor(30) as pool:
        got = list(pool.map(lambda _: gw.chat(), range(150)))
    assert all(g.status == 200 for g in got)
    assert chats["a"].most <= 1 and chats["b"].most <= 2
    assert len(a.chats) >= 20 and len(b.chats) >= 40


def test_explain_and_status_tell_who_is_full(llm, gateway):
    held = Held()
    a = llm("a", chat=held)
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1, weight: 3"}, deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(gw.chat) for _ in range(2)]
        wait_waiting(gw, 1)
        told = gw.request("GET", "/explain?model=m", admin=True).json
        assert told["next"] == [] and told["waits"] and not told["panic"] and told["waiting"] == 1
        assert told["backends"][0]["verdict"] == "full"
        assert told["backends"][0]["why"] == "full: 1 of 1 slots are taken"
        assert model(gw)["policy"] == "least_load" and model(gw)["can_serve"]
        assert gw.backend("a")["max_concurrent"] == 1 and gw.backend("a")["weight"] == 3
        assert gw.request("GET", "/health").status == 200
        held.let(2)
        assert all(one.result().status == 200 for one in asked)
