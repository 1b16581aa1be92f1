"""Fallback before commit, row by row of the table in src/tiers/verdict.h: whatever the first backend
does, the client gets one whole answer from the second, streamed or not, and sees it in the trail."""

import email.utils
import time

import pytest
from fake_llm import (answers, closes, completion, delta, events, hangs, hangs_after_head, replies,
                      resets, sends)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BODY = b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"half"},"finish_reason":"stop"}]}'

# name in the trail (last word for that backend), behaviour of the first backend
ROWS = {
    "reset": ("reset", resets()),
    "closed_without_a_byte": ("closed", closes()),
    "http_500": ("http_500", replies(500)),
    "http_502": ("http_502", replies(502)),
    "http_503": ("http_503", replies(503)),
    "http_504": ("http_504", replies(504)),
    "http_404_for_the_model": ("http_404", replies(404, {"error": {"message": "no such model", "code": 404}})),
    "http_401_of_the_backend": ("http_401", replies(401, {"error": "Unauthorized"})),
    "http_403_of_the_backend": ("http_403", replies(403, b"")),
    "http_408": ("http_408", replies(408)),
    "http_429_with_a_long_retry_after": ("http_429", replies(429, retry_after="30")),
    "http_529": ("http_529", replies(529, retry_after="30")),
    "http_501": ("http_501", replies(501)),
    "http_507": ("http_5xx", replies(507)),
    "redirect": ("http_3xx", replies(302, "", location="http://127.0.0.1:1/")),
    "error_object_in_a_200": ("error_in_body", replies(200, {"error": {"message": "boom", "code": 500}})),
    "html_instead_of_json": ("not_json", replies(200, "<html>hello</html>", "text/html")),
    "html_labelled_as_json": ("not_json", replies(200, "<html>hello</html>")),
    "empty_200": ("empty_body", replies(200, b"")),
    "json_null": ("no_finish", replies(200, b"null")),
    "no_choices": ("no_finish", replies(200, {"choices": []})),
    "cut_json_of_the_right_length": ("no_finish", replies(200, BODY[:-20])),
    "finish_reason_abort": ("aborted", replies(200, completion("x", finish="abort"))),
    "gzip_although_not_asked": ("not_json", replies(200, b"\x1f\x8b\x08\x00", content_encoding="gzip")),
    "length_longer_than_the_body": ("truncated", sends(HEAD + b"content-length: 500\r\n\r\n" + BODY)),
    "length_shorter_than_the_body": ("no_finish", sends(HEAD + b"content-length: 40\r\n\r\n" + BODY)),
    "chunked_body_that_ends_early": ("truncated", sends(HEAD + b"transfer-encoding: chunked\r\n\r\n40\r\n{")),
    "chunked_garbage": ("bad_response", sends(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}")),
    "both_framings": ("bad_response", sends(HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}")),
    "not_http": ("bad_response", sends(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    "half_a_head": ("truncated", sends(b"HTTP/1.1 200 OK\r\ncontent-ty")),
    "endless_head": ("bad_response", sends(b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 100000 + b"\r\n\r\n")),
    "status_204": ("bad_response", sends(b"HTTP/1.1 204 No Content\r\n\r\n", "hang")),
    "unasked_101": ("bad_response", sends(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "hang")),
}

STREAM_ROWS = {
    "error_as_first_event": ("error_in_stream", events({"error": {"message": "boom", "code": 500}}, "[DONE]")),
    "done_without_an_answer": ("empty_body", events("[DONE]")),
    "role_only_then_done": ("empty_body", events(delta("", role="assistant"), "[DONE]")),
    "clean_end_without_an_event": ("empty_body", events()),
    "garbage_event": ("not_json", events("{nonsense")),
    "cut_inside_the_first_event": ("truncated", sends(SSE + b'20\r\ndata: {"choices":[{"ind', "close")),
    "abort_before_content": ("aborted", events(delta("", role="assistant"), delta(finish="abort"), "[DONE]")),
    "html_as_the_stream": ("not_json", replies(200, "<html></html>", "text/html")),
}

SILENT_ROWS = {
    "silence_before_the_head": hangs(),
    "silence_after_the_head": hangs_after_head(),
    "silence_inside_the_head": sends(b"HTTP/1.1 200 OK\r\ncontent-ty", "hang"),
    "silence_after_the_role_chunk": lambda _q, w: (w.begin_stream(), w.event(delta("", role="assistant")), w.hang()),
    "comments_are_not_progress": lambda _q, w: (
        w.begin_stream(), [(w.chunk(": ping\n\n"), w.pause(0.05)) for _ in range(200)]),
    "role_chunks_are_not_progress": lambda _q, w: (
        w.begin_stream(), [(w.event(delta("", role="assistant")), w.pause(0.05)) for _ in range(200)]),
    "empty_deltas_are_not_progress": lambda _q, w: (
        w.begin_stream(), [(w.event(delta()), w.event(delta("")), w.pause(0.05)) for _ in range(200)]),
    "a_dripping_head_is_not_progress": lambda _q, w: (
        w.send(b"HTTP/1.1 200 OK\r\n"), w.drip(b"x-a: b\r\n" * 200, 1, 0.05)),
}


def last_word(trail: str, backend: str) -> str:
    return [e.split(":")[1] for e in trail.split(",") if e.startswith(backend + ":")][-1]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("row", ROWS)
def test_goes_to_the_next_backend_after(row, stream, llm, gateway):
    word, behaviour = ROWS[row]
    a, b = llm("a", chat=behaviour), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b)
    answer = gw.chat(stream=stream)
    assert answer.status == 200
    assert (answer.streamed_text if stream else answer.text) == "Hello from b"
    assert answer.backend == "b"
    assert last_word(answer.trail, "a") == word
    assert answer.trail.endswith("b:ok")
    assert len(b.chats) == 1


@pytest.mark.parametrize("row", STREAM_ROWS)
def test_goes_to_the_next_backend_before_any_byte_of_a_stream_after(row, llm, gateway):
    word, behaviour = STREAM_ROWS[row]
    a, b = llm("a", chat=behaviour), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b)
    answer = gw.chat(stream=True)
    assert answer.status == 200
    assert answer.streamed_text == "Hello from b"
    assert answer.is_whole_stream
    assert last_word(answer.trail, "a") == word


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("row", SILENT_ROWS)
def test_leaves_silence_at_the_first_token_deadline_and_never_repeats_it_there(row, stream, llm, gateway):
    a, b = llm("a", chat=SILENT_ROWS[row]), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b)
    answer = gw.chat(stream=stream)
    assert (answer.streamed_text if stream else answer.text) == "Hello from b"
    assert answer.trail == "a:first_token_timeout,b:ok"
    assert len(a.chats) == 1
    assert 0.9 < answer.took_s


def test_refused_connection_costs_no_time(llm, gateway):
    a, b = llm("a"), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, health="{interval: 60s, timeout: 1s}", deadlines="{connect: 20s, first_token: 20s, total: 60s}")
    a.stop()
    answer = gw.chat()
    assert answer.text == "Hello from b"
    assert answer.trail == "a:connect_refused,b:ok"
    assert answer.took_s < 10
    assert gw.state("a") == "DOWN"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_client_errors_pass_through_after_exactly_one_attempt(status, llm, gateway):
    error = {"error": {"message": "your own fault", "type": "BadRequestError", "param": "messages", "code": status}}
    a, b = llm("a", chat=replies(status, error)), llm("b")
    gw = gateway(a, b)
    for stream in (False, True):
        answer = gw.chat(stream=stream)
        assert answer.status == status
        assert answer.json["error"]["message"] == "your own fault"
        assert answer.json["error"]["param"] == "messages"
        assert answer.trail == "a:client_error"
    assert len(a.chats) == 2 and not b.chats
    assert gw.state("a") == "HEALTHY"


def test_a_content_policy_refusal_passes_through(llm, gateway):
    error = {"error": {"message": "content policy", "type": "invalid_request_error", "param": None,
                       "code": "content_policy_violation"}}
    a, b = llm("a", chat=replies(400, error)), llm("b")
    gw = gateway(a, b)
    answer = gw.chat()
    assert answer.status == 400 and answer.json["error"]["code"] == "content_policy_violation"
    assert not b.chats


def test_error_text_of_a_5xx_or_401_never_reaches_the_client(llm, gateway):
    for status in (401, 500, 503):
        a = llm(f"a{status}", chat=replies(status, {"error": {"message": "secret key sk-123 at 10.0.0.1"}}))
        gw = gateway(a)
        answer = gw.chat()
        assert answer.status == 503
        assert b"secret" not in answer.body


def test_a_request_is_repeated_at_the_same_backend_after_a_500_as_configured(llm, gateway):
    a, b = llm("a", chat=[replies(500), answers("second try")]), llm("b")
    gw = gateway(a, b)
    answer = gw.chat()
    assert answer.text == "second try"
    assert answer.trail == "a:http_500,a:ok"


def test_a_short_retry_after_is_waited_for(llm, gateway):
    a, b = llm("a", chat=[replies(429, retry_after="1"), answers("after the wait")]), llm("b")
    gw = gateway(a, b)
    answer = gw.chat()
    assert answer.text == "after the wait"
    assert answer.trail == "a:http_429,a:ok"
    assert a.chats[1].at - a.chats[0].at >= 1.0


def test_a_long_retry_after_holds_the_backend_for_others_too(llm, gateway):
    a, b = llm("a", chat=replies(429, retry_after="30")), llm("b")
    gw = gateway(a, b)
    assert gw.chat().trail == "a:http_429,b:ok"
    assert gw.chat().trail == "b:ok"
    assert gw.backend("a")["held_for_s"] > 20


def http_date(ahead_s: float) -> str:
    return email.utils.formatdate(time.time() + ahead_s, usegmt=True)


def test_a_retry_after_may_be_a_date(llm, gateway):
    a, b = llm("a", chat=replies(429, retry_after=http_date(60))), llm("b")
    gw = gateway(a, b)
    assert gw.chat().trail == "a:http_429,b:ok"
    assert 20 < gw.backend("a")["held_for_s"] <= 60


def test_a_near_date_is_waited_for(llm, gateway):
    def once(q, w):
        replies(429, retry_after=http_date(2))(q, w)

    a, b = llm("a", chat=[once, answers("after the wait")]), llm("b")
    gw = gateway(a, b, retry="{same_backend: 1, on: [429], backoff: 20ms, retry_after_up_to: 5s}")
    answer = gw.chat()
    assert answer.text == "after the wait"
    assert answer.trail == "a:http_429,a:ok"
    assert answer.took_s > 0.9  # a date has whole seconds


@pytest.mark.parametrize("date", [http_date(-60), "Sunday, 06-Nov-94 08:49:37 GMT", "soon"],
                         ids=["past", "obsolete", "nonsense"])
def test_a_retry_after_that_says_nothing_counts_as_none(date, llm, gateway):
    a, b = llm("a", chat=[replies(429, retry_after=date), answers("at once")]), llm("b")
    gw = gateway(a, b)
    assert gw.chat().trail == "a:http_429,a:ok"


def test_a_date_far_ahead_is_bounded(llm, gateway):
    a, b = llm("a", chat=replies(429, retry_after="Fri, 31 Dec 9999 23:59:59 GMT")), llm("b")
    gw = gateway(a, b)
    assert gw.chat().trail == "a:http_429,b:ok"
    assert 20 < gw.backend("a")["held_for_s"] <= 3600


def test_retry_can_be_switched_off_per_backend(llm, gateway):
    a, b = llm("a", chat=replies(500)), llm("b")
    gw = gateway(a, b, backend_extra={"a": "retry: {same_backend: 0}"})
    assert gw.chat().trail == "a:http_500,b:ok"


def test_three_tiers_are_walked_in_order(llm, gateway):
    a, b, c = llm("a", chat=replies(503)), llm("b", chat=replies(502)), llm("c", chat=answers("from c"))
    gw = gateway(a, b, c)
    answer = gw.chat()
    assert answer.text == "from c"
    assert answer.trail == "a:http_503,b:http_502,c:ok"
    assert answer.headers["x-fallthrough-tier"] == "3"


def test_the_request_arrives_whole_with_only_the_model_changed(llm, gateway):
    a = llm("a")
    gw = gateway(a, streams="{upstream: never}")
    body = {"model": "m", "messages": [{"role": "user", "content": "ü \u0000 \"quoted\" 😀"}],
            "temperature": 0.25, "seed": 12345678901234567890, "x_unknown": {"deep": [1, 2.50, None]}}
    gw.request("POST", "/v1/chat/completions", body)
    got = a.chats[0]
    assert got.json == {**body, "model": "up-a"}
    assert b"12345678901234567890" in got.body and b"2.5" in got.body
    assert got.headers["content-type"] == "application/json"


def test_client_headers_and_keys_do_not_reach_a_backend(llm, gateway):
    a = llm("a")
    gw = gateway(a, keys="[{name: web, key: client-secret-key}]", backend_extra={"a": "api_key: backend-key"})
    answer = gw.chat(headers={"Authorization": "Bearer client-secret-key", "X-Conversation-Id": "c1",
                              "X-Stainless-Lang": "python", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"})
    assert answer.status == 200
    head = a.chats[0].raw_head.decode().lower()
    assert "client-secret-key" not in head and "cookie" not in head
    assert "x-conversation-id" not in head and "x-stainless" not in head and "forwarded" not in head
    assert a.chats[0].headers["authorization"] == "Bearer backend-key"
    assert a.chats[0].headers["host"] == f"127.0.0.1:{a.port}"
