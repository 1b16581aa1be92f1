"""From a tier whose slots are all taken to the next, where that is faster."""

from concurrent.futures import ThreadPoolExecutor

from fake_llm import answers
from gateway import wait_until
from held_llm import Held
from metrics_text import Metrics


def test_goes_to_the_next_tier_at_once_when_nothing_is_known(llm, gateway):
    held = Held()
    a, b = llm("a", chat=held), llm("b", chat=answers("from b"))
    gw = gateway(a, b, backend_extra={"a": "max_concurrent: 1"}, deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gw.chat)
        wait_until(lambda: held.now == 1, 10, "the first is there")
        got = gw.chat()
        assert got.text == "from b" and got.headers["x-fallthrough-tier"] == "2"
        held.let()
        assert first.result().backend == "a"
    text = gw.request("GET", "/metrics", admin=True).body.decode()
    assert Metrics(text).value("fallthrough_overflows_total", model="m") == 1


def at_work(gw, name: str) -> int:
    return next(b["in_flight"] for b in gw.status()["backends"] if b["name"] == name)


def test_waits_where_that_is_faster(llm, gateway):
    """b's first tokens take much longer than a's slots are held."""
    held = Held()
    a, b = llm("a", chat=answers("quick")), llm("b", chat=held)
    held.let()
    gw = gateway(a, b, backend_extra={"a": "max_concurrent: 1"}, deadlines="{first_token: 20s, total: 60s}")
    a.chat = Held("quick")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(gw.chat, "learn a")
        wait_until(lambda: a.chat.now == 1, 10, "it is at a")
        held.permits.acquire()
        slow = pool.submit(gw.chat, "learn b")
        wait_until(lambda: held.now == 1, 10, "it is at b")
        a.chat.let()
        assert first.result().backend == "a"
        for _ in range(20):  # a's slots are held for a moment, at last, and the first one counts for little
            wait_until(lambda: at_work(gw, "a") == 0, 10, "its slot is free")
            a.chat.let()
            assert gw.chat("learn a").backend == "a"
        pool.submit(lambda: __import__("time").sleep(1.5)).result()
        held.let()
        assert slow.result().backend == "b"
        wait_until(lambda: at_work(gw, "a") == 0, 10, "its slot is free")
        busy = pool.submit(gw.chat, "busy")
        wait_until(lambda: a.chat.now == 1, 10, "a is busy")
        waits = pool.submit(gw.chat, "waits")
        wait_until(lambda: gw.status()["models"][0]["waiting"] == 1, 10, "it waits")
        a.chat.let(2)
        assert busy.result().backend == "a" and waits.result().backend == "a"
    assert len(b.chats) == 1


def test_waits_when_overflow_is_off(llm, gateway):
    held = Held()
    a, b = llm("a", chat=held), llm("b")
    gw = gateway(a, b, backend_extra={"a": "max_concurrent: 1"}, queue="{overflow: false}",
                 deadlines="{first_token: 20s, total: 60s}")
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(gw.chat) for _ in range(3)]
        wait_until(lambda: gw.status()["models"][0]["waiting"] == 2, 10, "two wait")
        held.let(3)
        assert [one.result().backend for one in asked] == ["a"] * 3
    assert not b.chats
