"""A real Prometheus scrapes a real gateway whose backends fail."""

import sys

import pytest
from fake_llm import answers, hangs, pieces, replies, streams_then
from gateway import ROOT, wait_until
from prometheus import Prometheus

sys.path.insert(0, str(ROOT / "tools"))

from metrics_board import expressions  # noqa: E402
from metrics_rules import ALERTS  # noqa: E402

TEXT = "one two three four five six seven eight"
LIMIT_S = 60  # for a state of alerts: they come and go with scrapes and evaluations


@pytest.fixture
def prometheus(tmp_path):
    made: list[Prometheus] = []

    def make(*gateways) -> Prometheus:
        folder = tmp_path / "prometheus"
        folder.mkdir()
        made.append(Prometheus(folder, *(gw.admin_port for gw in gateways)))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def settled(expression: str) -> str:
    """As Grafana would send it with everything chosen."""
    return (expression.replace("$__rate_interval", "1m").replace("$model", ".*").replace("$backend", ".*"))


def test_alerts_follow_what_happens_and_every_query_works(llm, gateway, prometheus, tmp_path):
    half = streams_then("".join(pieces(TEXT)[:3]), "reset")
    a, b = llm("a", chat=[answers(TEXT), half, replies(429, retry_after="1")]), llm("b", chat=answers(TEXT))
    gw = gateway(a, b, history=f"{tmp_path}/history.db", streams="{resume: off}",
                 backend_extra={"a": "max_concurrent: 4"})
    prom = prometheus(gw)

    # All is well: it is scraped, every rule and every panel can be evaluated, nothing fires.
    assert gw.chat().backend == "a"
    wait_until(lambda: [t["health"] for t in prom.targets()] == ["up"], LIMIT_S, "the gateway is scraped")
    wait_until(lambda: [r["value"][1] for r in prom.query("sum(fallthrough_answers_total)")] == ["1"], LIMIT_S,
               "the answer is stored")
    assert prom.targets()[0]["lastError"] == ""
    wait_until(lambda: all(r["health"] == "ok" for r in prom.rules()), LIMIT_S, "all rules were evaluated")
    assert {r["name"] for r in prom.rules()} == {f"Fallthrough{alert.name}" for alert in ALERTS}
    wait_until(lambda: prom.alerts() == set(), LIMIT_S, "nothing fires")

    # Real failures: an interrupted stream, a hold, then the better backend dies.
    assert not gw.chat(stream=True).is_whole_stream
    assert gw.chat().backend == "b"
    a.stop()
    wait_until(lambda: {("BackendDown", "a"), ("LowerTier", "m")} <= prom.alerts(), LIMIT_S, "a's outage fires")
    assert ("BackendDown", "b") not in prom.alerts() and ("ModelUnserved", "m") not in prom.alerts()

    # Then the other one: nobody can serve.
    b.stop()
    wait_until(lambda: {("ModelUnserved", "m"), ("BackendDown", "b")} <= prom.alerts(), LIMIT_S, "the model's outage fires")
    assert gw.chat().status == 503
    wait_until(lambda: ("FailedShare", "m") in prom.alerts() | prom.alerts("pending"), LIMIT_S, "the failed share is seen")

    empty = [x for x in expressions() if not prom.query(settled(x))]  # fails on an error
    assert len(empty) < len(expressions()) * 0.4, empty  # those of GPUs, guards, managed backends, waits, engines

    # And back.
    a.start()
    wait_until(lambda: ("ModelUnserved", "m") not in prom.alerts(), LIMIT_S, "the model's alert ends")
    assert all(r["health"] == "ok" and not r.get("lastError") for r in prom.rules())


def test_a_hung_engine_and_a_gone_gateway_are_told_of(llm, gateway, prometheus):
    a = llm("a", chat=hangs())
    a.token = hangs()
    gw = gateway(a, llm("b"), health="{interval: 200ms, timeout: 1s, degraded_after: 500ms, down_after: 3, up_after: 2, "
                                     "hang_after: 1s, counters: 200ms}")
    prom = prometheus(gw)
    wait_until(lambda: prom.query("fallthrough_build_info"), LIMIT_S, "the gateway is scraped")
    assert gw.chat().backend == "b"
    wait_until(lambda: ("BackendHung", "a") in prom.alerts(), LIMIT_S, "the hang fires")
    gw.stop()
    wait_until(lambda: ("Absent", "") in prom.alerts(), LIMIT_S, "the gateway's absence fires")
