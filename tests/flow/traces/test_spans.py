"""One span for each exchange and one for each attempt, as the official package reads them."""

import re

import pytest
from breaks import BREAKS, TEXT, breaks_after, continues
from fake_llm import answers, replies, resets, streams_then
from gateway import wait_until

CLIENTS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CLIENTS_NOT_SAMPLED = CLIENTS[:-2] + "00"


def own(requests):
    return requests[-1].headers


def test_an_answer_has_a_span_and_its_attempt_has_one(llm, traced, collector):
    a = llm("a", chat=answers("Hello"))
    gw = traced(a)
    answer = gw.chat("a secret prompt", max_tokens=20, headers={"x-request-id": "mine-7"})
    assert answer.status == 200
    server, (attempt,) = collector.story()
    assert server.span.name == "chat m" and server.parent == ""
    assert server.resource["service.name"] == "fallthrough"
    assert {k: server[k] for k in ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
                                   "gen_ai.request.max_tokens", "gen_ai.response.model",
                                   "gen_ai.response.finish_reasons", "http.request.method", "url.path",
                                   "http.response.status_code")} == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "vllm", "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": 20, "gen_ai.response.model": "up-a", "gen_ai.response.finish_reasons": ["stop"],
        "http.request.method": "POST", "url.path": "/v1/chat/completions", "http.response.status_code": 200}
    assert server["fallthrough.request_id"] == "mine-7" and server["fallthrough.backend"] == "a"
    assert server["fallthrough.outcome"] == "ok" and server["fallthrough.attempts"] == 1
    assert server["gen_ai.usage.input_tokens"] == answer.json["usage"]["prompt_tokens"]
    assert server["gen_ai.usage.output_tokens"] == answer.json["usage"]["completion_tokens"]
    assert not server.is_error and server["error.type"] is None and server["gen_ai.request.stream"] is None

    assert attempt.span.kind == attempt.span.SPAN_KIND_CLIENT and attempt.span.name == "chat up-a"
    assert attempt["server.address"] == "127.0.0.1" and attempt["server.port"] == int(a.url.rsplit(":", 1)[1])
    assert attempt["fallthrough.backend"] == "a" and attempt["fallthrough.outcome"] == "ok"
    assert attempt["http.response.status_code"] == 200 and not attempt.is_error
    assert server.span.start_time_unix_nano <= attempt.span.start_time_unix_nano
    assert attempt.span.end_time_unix_nano <= server.span.end_time_unix_nano


def test_neither_prompts_nor_answers_nor_keys_are_in_it(llm, traced, collector):
    a = llm("a", chat=answers("an intimate answer"))
    gw = traced(a, keys="[{name: web, key: sk-the-clients-key}]", backend_extra={"a": "api_key: sk-the-backends-key"},
                traces="headers: {x-token: the-collectors-key}")
    assert gw.chat("a secret prompt", headers={"authorization": "Bearer sk-the-clients-key"}, user="jane").status == 200
    server, _ = collector.story()
    assert server["fallthrough.key"] == "web"
    assert collector.headers[0]["x-token"] == "the-collectors-key"
    assert collector.headers[0]["content-type"] == "application/x-protobuf"
    for word in (b"secret", b"intimate", b"sk-the", b"the-collectors-key", b"jane"):
        assert not any(word in body for body in collector.bodies)


def test_a_stream_tells_when_its_first_token_came(llm, traced, collector):
    gw = traced(llm("a", chat=answers("one two three", gap_s=0.02)))
    assert gw.chat(stream=True, stream_options={"include_usage": True}).is_whole_stream
    server, (attempt,) = collector.story()
    assert server["gen_ai.request.stream"] is True and server["gen_ai.response.finish_reasons"] == ["stop"]
    assert 0 < server["gen_ai.response.time_to_first_chunk"] < 20
    assert server["gen_ai.usage.output_tokens"] > 0
    assert server.events == ["fallthrough.first_token"] and attempt.events == ["fallthrough.first_token"]
    (at,) = (e.time_unix_nano for e in server.span.events)
    assert server.span.start_time_unix_nano < at < server.span.end_time_unix_nano
    assert attempt["fallthrough.pieces"] >= 3


def test_a_failover_has_two_attempts_and_an_event(llm, traced, collector):
    gw = traced(llm("a", chat=replies(503, {"error": "no"})), llm("b"))
    assert gw.chat().backend == "b"
    server, (first, second) = collector.story()
    assert first.is_error and first["error.type"] == "http_503" and first["http.response.status_code"] == 503
    assert not second.is_error and second["fallthrough.tier"] == 2
    assert not server.is_error and server["fallthrough.trail"] == "a:http_503,b:ok"
    assert server["fallthrough.attempts"] == 2 and server["fallthrough.tier"] == 2
    assert server.event("fallthrough.failover") == {"fallthrough.from": "a", "fallthrough.to": "b",
                                                    "error.type": "http_503"}


def test_a_connection_that_breaks_before_an_answer_has_no_status(llm, traced, collector):
    gw = traced(llm("a", chat=resets()), llm("b"), retry="{same_backend: 0}")
    assert gw.chat().status == 200
    _, (first, _) = collector.story()
    assert first["error.type"] == "reset" and first["http.response.status_code"] is None


def test_a_resumed_stream_says_so(llm, traced, collector):
    gw = traced(llm("a", chat=breaks_after(5, BREAKS["reset"])), llm("b", chat=continues))
    assert gw.chat(stream=True).streamed_text == TEXT
    server, (first, second) = collector.story()
    assert first["error.type"] == "reset" and first.events == ["fallthrough.first_token"]
    assert second["fallthrough.resumes"] is True and second["fallthrough.outcome"] == "ok"
    assert server["fallthrough.resumes"] == 1 and server["fallthrough.outcome"] == "ok"
    assert set(server.events) == {"fallthrough.first_token", "fallthrough.failover", "fallthrough.resume"}


def test_an_answer_that_breaks_for_good_is_an_error(llm, traced, collector):
    gw = traced(llm("a", chat=streams_then("one two three", "reset")), streams="{resume: off}")
    assert not gw.chat(stream=True).is_whole_stream
    server, _ = collector.story()
    assert server.is_error and server["error.type"] == "stream_interrupted"
    assert server["fallthrough.outcome"] == "interrupted" and server["http.response.status_code"] == 200


def test_when_nobody_can_serve_the_span_says_503(llm, traced, collector):
    gw = traced(llm("a", chat=replies(503, {"error": "no"})))
    assert gw.chat().status == 503
    server, (attempt,) = collector.story()
    assert server.is_error and server["http.response.status_code"] == 503
    assert server["error.type"] == "all_backends_unavailable" and attempt.is_error
    assert server["gen_ai.provider.name"] == "fallthrough"


def test_a_client_that_leaves_is_told_as_such(llm, traced, collector):
    a = llm("a", chat=answers("one two three four five six seven eight", gap_s=0.2))
    gw = traced(a)
    with gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as sock:
        assert b"200" in sock.recv(4096)
    server, (attempt,) = collector.story()
    assert server["fallthrough.outcome"] == "client_left" and server["error.type"] == "client_left"
    assert attempt["fallthrough.outcome"] == "cancelled" and not attempt.is_error and not server.is_error


def test_a_clients_own_mistake_is_no_error_of_the_server(llm, traced, collector):
    gw = traced(llm("a"), keys="[{name: web, key: sk-the-clients-key}]")
    key = {"authorization": "Bearer sk-the-clients-key"}
    assert gw.chat().status == 401  # has no span: nobody is known to have asked
    assert gw.chat(model="unheard-of", headers=key).status == 404
    server, attempts = collector.story()
    assert server.span.name == "chat unheard-of" and attempts == []
    assert server["http.response.status_code"] == 404 and server["error.type"] == "model_not_found"
    assert server["fallthrough.outcome"] == "refused" and not server.is_error
    assert server["fallthrough.model"] is None


def test_what_the_client_says_is_cut_and_stays_utf_8(llm, traced, collector):
    gw = traced(llm("a"))
    assert gw.chat(model="é" * 4000).status == 404
    server, _ = collector.story()
    assert server["gen_ai.request.model"] == "é" * 48


def test_a_hedge_that_comes_too_late_was_cancelled(llm, traced, collector):
    def slow(q, w):
        w.pause(5)
        w.close()
    gw = traced(llm("a", chat=slow), llm("b"), hedge="{after: 50ms, max_share: 100%}", tiers=None,
                deadlines="{connect: 500ms, first_token: 10s, stall: 1s, total: 20s}")
    assert gw.chat().backend == "b"
    _, attempts = collector.story()
    outcomes = {s["fallthrough.backend"]: s["fallthrough.outcome"] for s in attempts}
    assert outcomes == {"a": "cancelled", "b": "ok"}


# --- the context ---


def test_the_clients_trace_goes_on_and_the_backend_is_told_the_attempt(llm, traced, collector):
    a = llm("a")
    gw = traced(a)
    gw.chat(headers={"traceparent": CLIENTS, "tracestate": "congo=t61rcWkgMzE, rojo=00f067aa0ba902b7"})
    server, (attempt,) = collector.story()
    assert server.trace == "4bf92f3577b34da6a3ce929d0e0e4736" and server.parent == "00f067aa0ba902b7"
    assert own(a.chats)["traceparent"] == f"00-{server.trace}-{attempt.id}-01"
    assert own(a.chats)["tracestate"] == "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
    assert server.span.trace_state == "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"


def test_each_attempt_is_told_its_own_span(llm, traced, collector):
    a, b = llm("a", chat=replies(503, {"error": "no"})), llm("b")
    gw = traced(a, b)
    gw.chat()
    server, (first, second) = collector.story()
    assert own(a.chats)["traceparent"] == f"00-{server.trace}-{first.id}-01"
    assert own(b.chats)["traceparent"] == f"00-{server.trace}-{second.id}-01"
    assert len({server.id, first.id, second.id}) == 3


@pytest.mark.parametrize("bad", ["00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                 "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                                 "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", CLIENTS + "-more", "junk"])
def test_what_is_no_context_begins_a_trace_of_its_own(bad, llm, traced, collector):
    a = llm("a")
    gw = traced(a)
    gw.chat(headers={"traceparent": bad, "tracestate": "a=b"})
    server, _ = collector.story()
    assert server.parent == "" and server.trace not in bad.lower()
    assert "tracestate" not in own(a.chats)


def test_who_is_not_sampled_is_passed_on_so(llm, traced, collector):
    a = llm("a")
    gw = traced(a)
    gw.chat(headers={"traceparent": CLIENTS_NOT_SAMPLED})
    assert own(a.chats)["traceparent"] == CLIENTS_NOT_SAMPLED
    gw.chat()
    server, _ = collector.story()
    assert server.trace != "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_sample_of_0_traces_only_what_the_client_wants_traced(llm, traced, collector):
    a = llm("a")
    gw = traced(a, traces="sample: 0")
    for _ in range(5):
        gw.chat()
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", own(a.chats)["traceparent"])
    gw.chat(headers={"traceparent": CLIENTS})
    server, _ = collector.story()
    assert server.trace == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_share_is_a_share(llm, traced, collector):
    a = llm("a")
    gw = traced(a, traces="sample: 0.5")
    for _ in range(64):
        gw.chat()
    sampled = sum(q.headers["traceparent"].endswith("-01") for q in a.chats)
    assert 8 < sampled < 56  # further off in one of 10^10 runs
    assert len(collector.wait_servers(sampled)) == sampled


def test_without_traces_the_clients_context_is_passed_on_as_it_is(llm, gateway):
    a, b = llm("a", chat=replies(503, {"error": "no"})), llm("b")
    gw = gateway(a, b)
    gw.chat(headers={"traceparent": CLIENTS, "tracestate": "congo=t61rcWkgMzE"})
    for one in (a, b):
        assert own(one.chats)["traceparent"] == CLIENTS and own(one.chats)["tracestate"] == "congo=t61rcWkgMzE"
    gw.chat(headers={"traceparent": "junk"})
    assert "traceparent" not in own(b.chats)
    gw.chat()
    assert "traceparent" not in own(b.chats)
    wait_until(lambda: len(b.chats) == 3)
