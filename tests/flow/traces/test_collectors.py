"""Whatever the collector does, traffic does not notice; what cannot be delivered is counted."""

import socket
import subprocess
import time

import pytest
from fake_llm import answers
from gateway import wait_until
from metrics_text import scrape

DEAD = "http://127.0.0.1:9"  # nothing listens on the port called `discard`


def dropped(gw) -> float:
    return scrape(gw).value("fallthrough_trace_spans_total", result="dropped")


def exported(gw) -> float:
    return scrape(gw).value("fallthrough_trace_spans_total", result="exported")


def test_spans_are_counted_and_go_where_the_path_says(llm, gateway, collector):
    gw = gateway(llm("a"), traces=f"{{otlp: '{collector.url}/of/my/own', service: edge}}")
    assert gw.chat().status == 200
    (server,) = collector.wait_servers(1)
    wait_until(lambda: exported(gw) == 2, what="2 spans are exported")
    assert collector.paths == ["/of/my/own"] and server.resource["service.name"] == "edge"
    assert dropped(gw) == 0


def test_without_a_path_the_standard_one_is_added(traced, llm, collector):
    gw = traced(llm("a"))
    gw.chat()
    collector.wait_servers(1)
    assert collector.paths == ["/v1/traces"]


def test_without_traces_there_are_no_such_counts(llm, gateway):
    m = scrape(gateway(llm("a")))
    assert not m.all("fallthrough_trace_spans_total") and not m.all("fallthrough_access_log_lines_total")


def test_a_dead_collector_costs_nothing_but_its_spans(llm, gateway):
    gw = gateway(llm("a"), traces=f"{{otlp: '{DEAD}', queue: 16}}")
    for _ in range(60):
        assert gw.chat().status == 200
    wait_until(lambda: dropped(gw) > 0, what="spans that found no room are counted")
    wait_until(lambda: gw.logged("spans cannot be delivered"), what="a warning")
    assert len(gw.logged("spans cannot be delivered")) == 1
    began = time.monotonic()
    assert gw.stop() == 0
    assert time.monotonic() - began < 10
    assert gw.logged("spans are lost at the end"), gw.lines[-12:]


def test_a_collector_that_never_answers_is_left_after_its_time(llm, gateway):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gw = gateway(llm("a"), traces=f"{{otlp: 'http://127.0.0.1:{silent.getsockname()[1]}', timeout: 100ms}}")
        assert gw.chat().status == 200
        wait_until(lambda: gw.logged("spans cannot be delivered"), what="a warning")
        assert gw.stop() == 0


def test_one_that_is_slow_gets_everything_in_the_end(llm, gateway, collectors):
    slow = collectors(delay_s=0.5)
    gw = gateway(llm("a"), traces=f"{{otlp: '{slow.url}'}}")
    for _ in range(20):
        assert gw.chat().status == 200
    assert len(slow.wait_servers(20)) == 20
    wait_until(lambda: exported(gw) == 40, what="all spans are exported")


def test_one_that_asks_for_a_pause_is_asked_again_then(llm, gateway, collectors):
    busy = collectors(script=[(503, {"Retry-After": "1"}), (429, {}), (200, {})])
    gw = gateway(llm("a"), traces=f"{{otlp: '{busy.url}'}}")
    assert gw.chat().status == 200
    busy.wait_servers(1, limit_s=20)
    assert len(busy.bodies) == 3 and len(set(busy.bodies)) == 1
    wait_until(lambda: exported(gw) == 2 and dropped(gw) == 0, what="both spans are exported")
    wait_until(lambda: gw.logged("spans are delivered again"), what="a line in the log")


def test_a_batch_that_is_refused_is_not_sent_again(llm, gateway, collectors):
    strict = collectors(script=[(400, {})])
    gw = gateway(llm("a"), traces=f"{{otlp: '{strict.url}'}}")
    assert gw.chat(headers={"x-request-id": "first"}).status == 200
    wait_until(lambda: dropped(gw) == 2, what="its spans are counted as dropped")
    assert gw.chat(headers={"x-request-id": "second"}).status == 200
    (server,) = strict.wait_servers(1)
    assert server["fallthrough.request_id"] == "second" and len(strict.bodies) == 2


def test_spans_that_are_refused_among_others_are_counted(llm, gateway, collectors):
    picky = collectors(rejects=1)
    gw = gateway(llm("a"), traces=f"{{otlp: '{picky.url}'}}")
    gw.chat()
    wait_until(lambda: (exported(gw), dropped(gw)) == (1, 1), what="one of two")


def test_many_do_not_wait_for_the_second_to_be_over(llm, traced, collector):
    gw = traced(llm("a"), traces="queue: 200")
    for _ in range(300):
        assert gw.chat().status == 200
    wait_until(lambda: exported(gw) + dropped(gw) == 600, what="all are accounted for")
    assert len(collector.wait_servers(1)) * 2 == exported(gw)


def test_what_is_left_at_the_end_is_sent(llm, traced, collector):
    gw = traced(llm("a", chat=answers("Hello")))
    assert gw.chat(headers={"x-request-id": "the-last"}).status == 200
    assert gw.stop() == 0
    (server,) = [s for s in collector.spans if s.is_server]
    assert server["fallthrough.request_id"] == "the-last"


def test_a_slow_collector_does_not_hold_up_the_end(llm, gateway, collectors):
    slow = collectors(delay_s=30)
    gw = gateway(llm("a"), traces=f"{{otlp: '{slow.url}'}}")
    assert gw.chat().status == 200
    began = time.monotonic()
    assert gw.stop() == 0
    assert time.monotonic() - began < 15
    assert gw.logged("spans are lost at the end"), gw.lines[-12:]


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def test_a_collector_behind_tls_is_told_where_its_certificate_is_trusted(llm, gateway, collectors, certificate):
    secret = collectors(certificate=certificate)
    gw = gateway(llm("a"), traces=f"{{otlp: '{secret.url}', tls: {{ca: '{certificate[0]}'}}}}")
    assert gw.chat().status == 200
    secret.wait_servers(1)


def test_and_only_there(llm, gateway, collectors, certificate):
    stranger = collectors(certificate=certificate)
    gw = gateway(llm("a"), traces=f"{{otlp: '{stranger.url}'}}")
    assert gw.chat().status == 200
    wait_until(lambda: gw.logged("spans cannot be delivered"), what="a warning")
    assert not stranger.bodies
