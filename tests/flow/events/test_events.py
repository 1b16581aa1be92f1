"""What happened can be read afterwards and live: kinds in their order, incidents, filters."""

from __future__ import annotations

import pytest
from events_reading import events, kinds, wait_events
from fake_llm import answers, replies, resets, streams_then
from gateway import wait_until

SETTLE = "{settle: 300ms}"


def test_an_outage_is_told_from_its_first_change_to_its_end(llm, gateway):
    a, b = llm("a", chat=[resets(), resets(), answers("well")]), llm("b", chat=answers("x"))
    gw = gateway(a, b, history=SETTLE)
    assert gw.chat().status == 200
    told = wait_events(gw, lambda e: "closed" in kinds(e), "the incident is over")
    assert kinds(told) == ["gateway", "state", "failover", "failover", "state", "closed"]
    assert [e["id"] for e in told] == [1, 2, 3, 4, 5, 6]
    start, down, again, elsewhere, up, closed = told
    assert start["incident"] is None and "started" in start["text"]
    assert {e["incident"] for e in (down, again, elsewhere, up, closed)} == {1}
    assert (down["backend"], down["was"], down["word"], down["severity"]) == ("a", "HEALTHY", "DOWN", "error")
    assert down["cause"] == "request failed: reset" and "a went from HEALTHY to DOWN" in down["text"]
    assert again["word"] == "same backend again" and again["cause"] == "reset" and again["model"] == "m"
    assert elsewhere["word"] == "next backend" and elsewhere["numbers"].keys() == {"status", "after_ms"}
    assert up["word"] == "HEALTHY" and up["severity"] == "info"
    assert closed["numbers"]["events"] == 4 and closed["backend"] == "a"


def test_a_good_request_tells_nothing(llm, gateway):
    gw = gateway(llm("a", chat=answers("x")))
    for _ in range(5):
        assert gw.chat().status == 200
    assert kinds(events(gw)) == ["gateway"]


def test_a_broken_stream_that_goes_on_is_a_resume(llm, gateway):
    a, b = llm("a", chat=streams_then("one two", "reset")), llm("b", chat=answers("one two three"))
    gw = gateway(a, b, streams="{resume: any}")
    gw.chat(stream=True)
    told = wait_events(gw, lambda e: "resume" in kinds(e) or "cut" in kinds(e), "the break is told")
    resume = next(e for e in told if e["kind"] in ("resume", "cut"))
    assert resume["kind"] == "resume", told
    assert (resume["backend"], resume["other"], resume["model"]) == ("a", "b", "m")
    assert resume["numbers"]["gap_ms"] >= 0 and resume["incident"] == 1


def test_a_stream_that_cannot_go_on_is_a_cut(llm, gateway):
    gw = gateway(llm("a", chat=streams_then("one two", "reset")))
    gw.chat(stream=True)
    told = wait_events(gw, lambda e: "cut" in kinds(e), "the cut is told")
    cut = next(e for e in told if e["kind"] == "cut")
    assert cut["word"] == "stream_interrupted" and cut["model"] == "m" and cut["incident"] == 1
    assert "a:reset" in cut["cause"]


def test_nobody_left_is_told_with_the_trail(llm, gateway):
    gw = gateway(llm("a", chat=replies(503)), llm("b", chat=replies(503)), panic="false")
    assert gw.chat().status == 503
    told = wait_events(gw, lambda e: "unserved" in kinds(e), "it is told")
    unserved = next(e for e in told if e["kind"] == "unserved")
    assert unserved["word"] == "all_backends_unavailable" and unserved["severity"] == "error"
    assert unserved["cause"] == "a:http_503,b:http_503" and unserved["numbers"]["status"] == 503
    assert unserved["incident"] == 1  # of the backend that went first


def test_a_fixed_text_as_last_resort_is_told(llm, gateway):
    gw = gateway(llm("a", chat=replies(503)), last_resort="{message: sorry}")
    assert gw.chat().status == 200
    told = wait_events(gw, lambda e: "last_resort" in kinds(e), "it is told")
    assert next(e for e in told if e["kind"] == "last_resort")["word"] == "message"


def test_a_request_that_finds_no_place_in_the_queue_is_told(llm, gateway):
    a = llm("a", chat=answers("x", gap_s=0.4))
    gw = gateway(a, backend_extra={"a": "max_concurrent: 1"}, queue="{max: 0}")
    held = gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    wait_until(lambda: gw.backend("a")["in_flight"] == 1, 10, "the slot is taken")
    assert gw.chat().status == 503
    told = wait_events(gw, lambda e: "queue" in kinds(e), "it is told")
    held.close()
    refused = next(e for e in told if e["kind"] == "queue")
    assert refused["word"] == "queue_full" and refused["model"] == "m" and refused["incident"] == 1


def test_an_opened_breaker_is_told(llm, gateway):
    a, b = llm("a", chat=[replies(500), answers("x")] * 50), llm("b", chat=answers("x"))
    gw = gateway(a, b, retry="{same_backend: 0}")
    wait_until(lambda: gw.chat().status and gw.logged("breaker opened"), 15, "the breaker opens")
    told = wait_events(gw, lambda e: "breaker" in kinds(e), "it is told")
    opened = next(e for e in told if e["kind"] == "breaker")
    assert (opened["backend"], opened["word"], opened["model"]) == ("a", "opened", "up-a")
    assert opened["cause"] == "http_500" and opened["incident"] is not None


def test_a_missing_key_is_told_without_the_key(llm, gateway):
    gw = gateway(llm("a"), keys="[{name: web, key: the-right-key}]")
    assert gw.chat(headers={"Authorization": "Bearer sk-wrong-secret"}).status == 401
    told = wait_events(gw, lambda e: "key" in kinds(e), "it is told")
    assert "sk-wrong-secret" not in str(told) and told[-1]["incident"] is None


def test_a_storm_is_few_events_with_their_number(llm, gateway):
    gw = gateway(llm("a", chat=replies(429, {}, **{"Retry-After": "0"})), llm("b", chat=answers("x")),
                 retry="{same_backend: 0}", breaker="{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 0}")
    for _ in range(60):
        assert gw.chat().status == 200
    tries = wait_until(lambda: (n := len(gw.logged("attempt failed"))) and n, 10, "attempts failed")
    failovers = wait_events(gw, lambda e: sum(f["times"] for f in e) == len(gw.logged("attempt failed")),
                            "each one is counted", kind="failover")
    assert len(failovers) <= 12 and tries > 0


def test_filters_choose(llm, gateway):
    a, b = llm("a", chat=resets()), llm("b", chat=replies(503))
    gw = gateway(a, b, panic="false")
    gw.chat()
    wait_events(gw, lambda e: "unserved" in kinds(e), "the failure is told")
    assert {e["backend"] for e in events(gw, backend="a")} == {"a"}
    assert set(kinds(events(gw, kind="state"))) == {"state"}
    assert {e["incident"] for e in events(gw, incident=2)} == {2}
    assert {e["severity"] for e in events(gw, severity="error")} == {"error"}
    assert events(gw, since="1h") == events(gw) and events(gw, until="1h") == []
    assert events(gw, limit=1)[0]["id"] == events(gw)[-1]["id"]
    assert events(gw, after=1, limit=2) == events(gw)[1:3]
    assert {e["model"] for e in events(gw, model="m")} == {"m"}
    assert events(gw, model="nobody") == []


@pytest.mark.parametrize("query, why", [("since=soon", "since"), ("kind=x", "kind"), ("limit=0", "limit"),
                                        ("incident=-1", "incident"), ("severity=x", "severity")])
def test_a_query_that_makes_no_sense_is_refused(query, why, shared_llm, shared_gateway, one):
    answer = one.request("GET", "/events?" + query, admin=True)
    assert answer.status == 400 and why in answer.json["error"]["message"]


@pytest.fixture(scope="module")
def one(shared_llm, shared_gateway):
    return shared_gateway(shared_llm("a"))


# --- live ---

def test_a_live_reader_gets_what_happens_from_then_on(llm, gateway, live):
    a = llm("a", chat=resets())
    gw = gateway(a, llm("b", chat=answers("x")), history=SETTLE)
    reader = live(gw)
    assert reader.response.getheader("content-type") == "text/event-stream"
    gw.chat()
    told = reader.wait(lambda e: "closed" in kinds(e), "the end of the incident comes live")
    assert kinds(told)[0] == "state" and "gateway" not in kinds(told)
    assert told == events(gw)[1:]
    ids = [line for line in reader.lines if line.startswith("id: ")]
    assert ids == [f"id: {e['id']}" for e in told]
    assert f"event: {told[0]['kind']}" in reader.lines


def test_a_live_reader_who_names_his_last_event_misses_none(llm, gateway, live):
    gw = gateway(llm("a", chat=resets()), llm("b", chat=answers("x")), history=SETTLE)
    gw.chat()
    told = wait_events(gw, lambda e: "closed" in kinds(e), "the incident is over")
    by_header = live(gw, headers={"Last-Event-ID": str(told[1]["id"])})
    by_query = live(gw, f"after={told[1]['id']}")
    from_start = live(gw, "since=1h")
    of_another_count = live(gw, headers={"Last-Event-ID": "9999"})
    assert by_header.wait(lambda e: len(e) == len(told) - 2, "all since") == told[2:]
    assert by_query.wait(lambda e: len(e) == len(told) - 2, "all since") == told[2:]
    assert from_start.wait(lambda e: len(e) == len(told), "all") == told
    assert of_another_count.wait(lambda e: len(e) == len(told), "all") == told


def test_a_live_reader_gets_only_what_he_asked_for(llm, gateway, live):
    gw = gateway(llm("a", chat=resets()), llm("b", chat=answers("x")), history=SETTLE)
    reader = live(gw, "kind=closed&stream=true", {"accept": "*/*"})
    gw.chat()
    assert kinds(reader.wait(lambda e: e, "the end of the incident")) == ["closed"]


def test_a_reader_who_leaves_is_no_harm(llm, gateway, live):
    gw = gateway(llm("a", chat=resets()), llm("b", chat=answers("x")), history=SETTLE)
    for _ in range(20):
        live(gw).close()
    gw.chat()
    wait_events(gw, lambda e: "closed" in kinds(e), "the incident is over")


def test_too_many_live_readers_are_refused(llm, gateway, live):
    gw = gateway(llm("a"))
    readers = [live(gw) for _ in range(64)]
    assert {r.response.status for r in readers} == {200}
    assert live(gw).response.status == 400
    readers[0].close()
    wait_until(lambda: live(gw).response.status == 200, 10, "one has gone")


def test_a_gateway_with_live_readers_ends(llm, gateway, live):
    gw = gateway(llm("a"))
    reader = live(gw)
    assert gw.stop() == 0
    reader.thread.join(10)
    assert not reader.thread.is_alive()
