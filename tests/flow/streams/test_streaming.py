"""Streams through the gateway: every event as it comes, nothing changed but what the contract adds, and an
end that never looks whole when it is not."""

import concurrent.futures
import json
import queue
import threading
import time

import pytest
from fake_llm import Request, Wire, answers, completion, delta, pieces, resets, usage_chunk
from raw_client import CHAT, RawClient, post
from sse_text import chunks, finishes, payloads, text_of

STREAM = {**CHAT, "stream": True}
TEXT = "Hello from the fake model"


def sse(*events: dict | str, end: str = "\n\n", start: str = "data: ") -> bytes:
    return "".join(start + (e if isinstance(e, str) else json.dumps(e, ensure_ascii=False)) + end
                   for e in events).encode()


def whole(text: str = TEXT, finish: str = "stop") -> list[dict | str]:
    return [delta("", role="assistant"), *[delta(p) for p in pieces(text)], delta(finish=finish), "[DONE]"]


def plays(body: bytes, then: str = "end_stream"):
    """A stream with these bytes in one chunk, then the end (or close, reset, hang)."""
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.chunk(body)
        getattr(w, then)()
    return play


# --- as it comes ---

def test_each_event_arrives_before_the_next_is_generated(llm, gateway):
    go: queue.Queue[str] = queue.Queue()

    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event(delta("", role="assistant"))
        while (word := go.get(timeout=10)) != "end":
            w.event(delta(word))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()

    gw = gateway(llm("a", chat=play))
    with RawClient(gw.port) as client:
        client.send(post(STREAM))
        go.put("one")
        assert client.head()[0] == 200
        seen = client.chunk() or b""
        assert text_of(seen) == "one" and chunks(seen)[0]["choices"][0]["delta"]["role"] == "assistant"
        for word in ("two", "three", "four"):
            go.put(word)
            assert text_of(client.chunk() or b"") == word
        go.put("end")
        rest = b""
        while (piece := client.chunk()) is not None:
            rest += piece
        assert finishes(rest) == ["stop"] and payloads(rest)[-1] == "[DONE]"
        assert client.is_open()


def test_the_head_waits_for_content(llm, gateway):
    go = threading.Event()

    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event(delta("", role="assistant"))
        w.chunk(": comment\n\n")
        go.wait(10)
        w.chunk(sse(*whole()[1:]))
        w.end_stream()

    gw = gateway(llm("a", chat=play))
    with RawClient(gw.port) as client:
        client.send(post(STREAM))
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.more()
        client.sock.settimeout(10)
        go.set()
        assert text_of(client.response().body) == TEXT


# --- unchanged ---

@pytest.mark.parametrize("annotate", ["body", "headers", "off"])
@pytest.mark.parametrize("include_usage", [False, True], ids=["", "usage"])
def test_a_stream_passes_byte_for_byte_but_for_the_mark_on_its_finish(include_usage, annotate, llm, gateway):
    events = whole("Grüße, 世界 😀 \"quoted\"\n\\ and\u2028more")
    if include_usage:
        events[-1:] = [usage_chunk(5), "[DONE]"]
    body = sse(*events)
    body = body.replace(b'"index": 0', b'"index":0 ', 1)  # an odd layout stays
    a = llm("a", chat=plays(body))
    gw = gateway(a, annotate=annotate)
    request = {**STREAM, "stream_options": {"include_usage": True}} if include_usage else STREAM
    answer = gw.request("POST", "/v1/chat/completions", request)
    assert answer.headers["content-type"] == "text/event-stream"
    sent, got = body.split(b"\n\n"), answer.body.split(b"\n\n")
    assert len(got) == len(sent)
    for one, other in zip(sent, got, strict=True):
        if b'"finish_reason": "stop"' not in one or annotate != "body":
            assert other == one
        else:
            assert json.loads(other[6:]) == {**json.loads(one[6:]), "_backend": "a"}
    assert ("x-fallthrough-backend" in answer.headers) == (annotate != "off")
    assert a.chats[0].json.get("stream_options") == request.get("stream_options")


@pytest.mark.parametrize("start, end", [("data: ", "\r\n\r\n"), ("data:", "\n\n"), ("data:", "\r\n\r\n"),
                                        ("data: ", "\r\r"),
                                        ("event: message\nid: 7\ndata: ", "\n\n"), (": x\ndata: ", "\n\n"),
                                        ("\n\ndata: ", "\n\n")])
def test_any_legal_form_of_events_is_read(start, end, llm, gateway):
    gw = gateway(llm("a", chat=plays(sse(*whole(), start=start, end=end))))
    answer = gw.chat(stream=True)
    assert text_of(answer.body) == TEXT
    assert payloads(answer.body).count("[DONE]") == 1 and payloads(answer.body)[-1] == "[DONE]"


def test_a_byte_order_mark_at_the_start_is_skipped(llm, gateway):
    gw = gateway(llm("a", chat=plays(b"\xef\xbb\xbf" + sse(*whole()))))
    assert text_of(gw.chat(stream=True).body) == TEXT


def test_an_event_of_several_data_lines_is_one_chunk(llm, gateway):
    split = json.dumps(delta("Hello")).replace(', "choices"', '\ndata: , "choices"')
    gw = gateway(llm("a", chat=plays(sse(delta("", role="assistant"), split, delta(finish="stop"), "[DONE]"))))
    answer = gw.chat(stream=True)
    assert text_of(answer.body) == "Hello" and payloads(answer.body)[-1] == "[DONE]"


def test_comments_and_pings_of_the_backend_are_dropped(llm, gateway):
    body = b": ping\n\n".join(e + b"\n\n" for e in sse(*whole()).split(b"\n\n")[:-1])
    gw = gateway(llm("a", chat=plays(body)))
    answer = gw.chat(stream=True)
    assert answer.streamed_text == TEXT
    assert b": ping" not in answer.body


def test_done_is_said_once_even_if_the_backend_says_it_twice(llm, gateway):
    gw = gateway(llm("a", chat=plays(sse(*whole(), "[DONE]"))))
    answer = gw.chat(stream=True)
    assert answer.streamed_text == TEXT
    assert answer.payloads.count("[DONE]") == 1 and answer.is_whole_stream


def test_a_long_stream_passes_whole(llm, gateway):
    words = " ".join(f"w{i}" for i in range(5000))
    gw = gateway(llm("a", chat=plays(sse(*whole(words)))))
    assert gw.chat(stream=True).streamed_text == words


def test_an_event_of_half_a_megabyte_passes_whole(llm, gateway):
    word = "x" * 500_000
    gw = gateway(llm("a", chat=plays(sse(*whole(word)))))
    answer = gw.chat(stream=True)
    assert answer.streamed_text == word and answer.is_whole_stream


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "content_filter"])
def test_every_reason_to_finish_passes(finish, llm, gateway):
    gw = gateway(llm("a", chat=plays(sse(*whole(finish=finish)))))
    answer = gw.chat(stream=True)
    assert finishes(answer.body) == [finish] and answer.is_whole_stream


def test_tool_calls_that_are_not_held_back_pass_as_they_come(llm, gateway):
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    events = [delta("", role="assistant"), delta(tool_calls=[call]),
              *[delta(tool_calls=[{"index": 0, "function": {"arguments": a}}]) for a in ('{"x":', " 1}")],
              delta(finish="tool_calls"), "[DONE]"]
    gw = gateway(llm("a", chat=plays(sse(*events))), streams="{hold_tool_calls: false}")
    answer = gw.chat(stream=True)
    assert [c["choices"][0]["delta"] for c in answer.chunks] == [e["choices"][0]["delta"] for e in events[:-1]]


def test_reasoning_passes_under_either_name(llm, gateway):
    events = [delta("", role="assistant"), delta(reasoning="hm"), delta(reasoning_content="hmm"), *whole()[1:]]
    gw = gateway(llm("a", chat=plays(sse(*events))))
    answer = gw.chat(stream=True)
    assert [c["choices"][0]["delta"] for c in answer.chunks] == [e["choices"][0]["delta"] for e in events[:-1]]


def test_usage_comes_behind_the_finish_and_only_when_it_was_asked_for(llm, gateway):
    gw = gateway(llm("a"))
    with_usage = gw.chat(stream=True, stream_options={"include_usage": True})
    assert with_usage.chunks[-1]["choices"] == [] and with_usage.chunks[-1]["usage"]["total_tokens"] == 12
    assert with_usage.chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert with_usage.is_whole_stream
    without = gw.chat(stream=True)
    assert not any(c.get("usage") for c in without.chunks)


def test_choices_are_kept_apart_and_the_last_one_ends_the_stream(llm, gateway):
    events = [delta("", role="assistant", index=0), delta("", role="assistant", index=1), delta("one", index=0),
              delta("uno", index=1), delta(finish="stop", index=0), delta(" dos", index=1),
              delta(finish="length", index=1), "[DONE]"]
    gw = gateway(llm("a", chat=plays(sse(*events))))
    answer = gw.request("POST", "/v1/chat/completions", {**STREAM, "n": 2})
    assert (text_of(answer.body, 0), text_of(answer.body, 1)) == ("one", "uno dos")
    assert finishes(answer.body) == ["stop", "length"] and answer.is_whole_stream
    marked = [c for c in answer.chunks if "_backend" in c]
    assert [c["choices"][0]["index"] for c in marked] == [1]


# --- in any segments ---

def test_a_stream_may_be_cut_at_every_byte(llm, gateway):
    body = sse(delta("", role="assistant"), delta("Grü"), delta("ße"), delta(finish="stop"), "[DONE]", end="\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    first, second = body[:200], body[200:]
    data = head + b"%x\r\n%s\r\n%x;x\r\n%s\r\n0\r\n\r\n" % (len(first), first, len(second), second)

    def play(q: Request, w: Wire) -> None:
        cut = int(q.json["user"])
        w.send(data[:cut])
        time.sleep(0.001)  # so that the gateway most likely reads the two parts apart
        w.send(data[cut:])

    gw = gateway(llm("a", chat=play))

    def ask(cuts: range) -> None:
        with RawClient(gw.port) as client:
            for cut in cuts:
                response = client.send(post({**STREAM, "user": str(cut)})).response()
                assert text_of(response.body) == "Grüße", f"cut at {cut}"
                assert payloads(response.body)[-1] == "[DONE]"
                assert response.headers["x-fallthrough-attempts"] == "a:ok"

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, [range(1 + i, len(data), 4) for i in range(4)]))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_stream_may_come_in_tiny_chunks(size, llm, gateway):
    body = sse(*whole("Grüße 😀"))

    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.drip(b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size])
                        for i in range(0, len(body), size)), 5)
        w.end_stream()

    answer = gateway(llm("a", chat=play)).chat(stream=True)
    assert answer.streamed_text == "Grüße 😀" and answer.is_whole_stream


def test_a_stream_without_framing_ends_with_the_connection(llm, gateway):
    def play(_q: Request, w: Wire) -> None:
        w.head(200, "text/event-stream")
        w.send(sse(*whole()))
        w.close()

    answer = gateway(llm("a", chat=play)).chat(stream=True)
    assert answer.streamed_text == TEXT and answer.is_whole_stream


# --- a long wait ---

def test_comments_keep_a_waiting_client(llm, gateway):
    go = threading.Event()

    def play(q: Request, w: Wire) -> None:
        go.wait(10)
        answers(TEXT)(q, w)

    gw = gateway(llm("a", chat=play), streams="{keep_alive: 100ms}",
                 deadlines="{first_token: 10s, stall: 1s, total: 20s}")
    with RawClient(gw.port) as client:
        began = time.monotonic()
        client.send(post(STREAM))
        status, headers = client.head()
        assert status == 200 and headers["content-type"] == "text/event-stream"
        for _ in range(3):
            assert (client.chunk() or b"").startswith(b":")
        assert time.monotonic() - began > 0.25
        go.set()
        body = b""
        while (piece := client.chunk()) is not None:
            body += piece
        assert text_of(body) == TEXT and payloads(body)[-1] == "[DONE]"


def test_a_comment_does_not_commit_the_content(llm, gateway):
    go = threading.Event()

    def play(_q: Request, w: Wire) -> None:
        go.wait(10)
        w.reset()

    a, b = llm("a", chat=play), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, streams="{keep_alive: 100ms}", retry="{same_backend: 0}",
                 deadlines="{first_token: 10s, stall: 1s, total: 20s}")
    with RawClient(gw.port) as client:
        client.send(post(STREAM))
        client.take_until(b": ")
        go.set()
        body = client.take_until(b"data: [DONE]\n\n")
        assert b"Hello" in body and b" b" in body and b"error" not in body


def test_when_all_fail_behind_a_comment_the_error_is_an_event_and_the_end_is_cut(llm, gateway):
    go = threading.Event()

    def play(_q: Request, w: Wire) -> None:
        go.wait(10)
        w.reset()

    gw = gateway(llm("a", chat=play), streams="{keep_alive: 100ms}", retry="{same_backend: 0}",
                 deadlines="{first_token: 10s, stall: 1s, total: 20s}")
    with RawClient(gw.port) as client:
        client.send(post(STREAM))
        client.take_until(b": ")
        go.set()
        client.take_until(b"\n\n")
        while client.more():
            pass
    assert b'"code":"all_backends_unavailable"' in client.rest
    assert b"[DONE]" not in client.rest and b"0\r\n\r\n" not in client.rest


def test_who_waits_for_json_gets_no_comments(llm, gateway):
    a = llm("a", chat=answers("one two three", gap_s=0.15))
    answer = gateway(a, streams="{keep_alive: 50ms, upstream: always}").chat()
    assert answer.text == "one two three"


def test_keep_alive_may_be_switched_off(llm, gateway):
    def play(q: Request, w: Wire) -> None:
        w.pause(0.4)
        answers(TEXT)(q, w)

    answer = gateway(llm("a", chat=play), streams="{keep_alive: 0}").chat(stream=True)
    assert answer.body.startswith(b"data: ") and answer.is_whole_stream


# --- broken after commit ---

START = sse(delta("", role="assistant"), delta("Hello"), delta(" wor"))

BROKEN = {
    "close": plays(START, "close"),
    "reset": plays(START, "reset"),
    "clean_end_without_finish": plays(START),
    "done_without_finish": plays(START + sse("[DONE]")),
    "error_event": plays(START + sse({"error": {"message": "CUDA error", "code": 500}}, "[DONE]")),
    "error_event_then_hang": plays(START + sse({"error": {"message": "CUDA error", "code": 500}}), "hang"),
    "error_event_by_name": plays(START + b'event: error\ndata: {"error": "boom"}\n\n', "hang"),
    "error_event_with_a_client_status": plays(START + sse({"error": {"message": "too long", "code": 400}}), "hang"),
    "stall": plays(START, "hang"),
    "abort": plays(START + sse(delta(finish="abort"), "[DONE]")),
    "error_as_finish": plays(START + sse(delta(finish="error"), "[DONE]")),
    "garbage_event": plays(START + b"data: {nonsense\n\n", "hang"),
    "html_event": plays(START + b"data: <html>502 Bad Gateway</html>\n\n", "hang"),
    "invalid_utf8": plays(START + b'data: {"choices":[{"index":0,"delta":{"content":"\xff"}}]}\n\n', "hang"),
    "cut_in_an_event": plays(START + b'data: {"choices":[{"index":0,"del', "close"),
    "cut_in_a_character": plays(START + 'data: {"choices":[{"index":0,"delta":{"content":"ü'.encode()[:-1], "reset"),
    "clean_end_in_an_event": plays(START + b'data: {"choices":[{"ind'),
    "endless_event": plays(START + b"data: " + b"x" * (2 << 20), "hang"),
    "bad_chunk": lambda _q, w: (w.begin_stream(), w.chunk(START), w.send(b"zz\r\n"), w.hang()),
    "http_response_inside": lambda _q, w: (
        w.begin_stream(), w.chunk(START), w.send(b"HTTP/1.1 500 X\r\n\r\n"), w.hang()),
    "one_of_two_choices": plays(START + sse(delta(finish="stop", index=1)), "close"),
    "comments_for_ever": lambda _q, w: (
        w.begin_stream(), w.chunk(START), [(w.chunk(": ping\n\n"), w.pause(0.05)) for _ in range(200)]),
    "empty_deltas_for_ever": lambda _q, w: (
        w.begin_stream(), w.chunk(START), [(w.event(delta()), w.pause(0.05)) for _ in range(200)]),
    "drip_without_an_event": lambda _q, w: (
        w.begin_stream(), w.chunk(START), [(w.chunk("x"), w.pause(0.05)) for _ in range(200)]),
}


@pytest.mark.parametrize("row", BROKEN)
def test_a_stream_that_breaks_ends_with_an_error_and_never_looks_whole(row, llm, gateway):
    a = llm("a", chat=BROKEN[row])
    gw = gateway(a, deadlines="{first_token: 1s, stall: 300ms, total: 20s}")
    with RawClient(gw.port) as client:
        began = time.monotonic()
        client.send(post({**STREAM, "n": 2} if row == "one_of_two_choices" else STREAM))
        response = client.response()
        assert time.monotonic() - began < 8  # those that go on for ever do so for 10 s
    assert response.status == 200 and not response.is_whole
    assert not client.was_reset, "the error event may be lost"
    body = response.body
    assert b"[DONE]" not in body
    assert text_of(body) == "Hello wor"
    assert finishes(body) == (["stop"] if row == "one_of_two_choices" else [])
    error = chunks(body)[-1]["error"]
    assert error["code"] == "stream_interrupted"
    assert set(error) == {"message", "type", "param", "code"}
    assert b"CUDA" not in body and b"nonsense" not in body and b"html" not in body
    assert len(a.chats) == 1


def test_a_stream_that_breaks_marks_its_backend(llm, gateway):
    a = llm("a", chat=plays(START, "reset"))
    gw = gateway(a, llm("b"), health="{interval: 10m, timeout: 1s}", streams="{resume: off}")
    assert b"stream_interrupted" in gw.chat(stream=True).body
    assert gw.state("a") == "DOWN"
    assert gw.chat(stream=True).trail == "b:ok"


# --- well after all ---

FINISHED = {
    "close_without_done": plays(sse(*whole()[:-1]), "close"),
    "reset_without_done": lambda _q, w: (w.begin_stream(), w.chunk(sse(*whole()[:-1])), w.pause(0.3), w.reset()),
    "clean_end_without_done": plays(sse(*whole()[:-1])),
    "cut_inside_done": plays(sse(*whole()[:-1]) + b"data: [DO", "close"),
    "done_without_the_last_chunk": plays(sse(*whole()), "close"),
    "done_then_hang": plays(sse(*whole()), "hang"),
    "finish_then_hang": plays(sse(*whole()[:-1]), "hang"),
    "garbage_behind_done": plays(sse(*whole()) + b"data: {nonsense\n\n"),
    "error_behind_done": plays(sse(*whole()) + sse({"error": {"message": "late", "code": 500}})),
}


@pytest.mark.parametrize("row", FINISHED)
def test_what_breaks_behind_the_finish_is_a_whole_answer(row, llm, gateway):
    a, b = llm("a", chat=FINISHED[row]), llm("b")
    gw = gateway(a, b, health="{interval: 10m, timeout: 1s}", deadlines="{first_token: 5s, stall: 20s, total: 60s}")
    limit_s = 15 if row == "finish_then_hang" else 0.9  # less than what is waited for behind a finish
    with RawClient(gw.port, timeout=30) as client:
        for _ in range(5):  # a machine may be busy with something else at some of them
            began = time.monotonic()
            response = client.send(post(STREAM)).response()
            took = time.monotonic() - began
            if took < limit_s:
                break
        assert response.is_whole
        assert client.is_open()
    assert text_of(response.body) == TEXT
    assert finishes(response.body) == ["stop"]
    assert payloads(response.body).count("[DONE]") == 1 and payloads(response.body)[-1] == "[DONE]"
    assert took < limit_s
    assert gw.state("a") == "HEALTHY"
    assert not b.chats


def test_usage_is_awaited_behind_the_finish(llm, gateway):
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.chunk(sse(*whole()[:-1]))
        w.pause(0.2)
        w.event(usage_chunk(5))
        w.event("[DONE]")
        w.end_stream()

    answer = gateway(llm("a", chat=play)).chat(stream=True, stream_options={"include_usage": True})
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 5 and answer.is_whole_stream


# --- the other kind ---

@pytest.mark.parametrize("include_usage", [False, True], ids=["", "usage"])
def test_json_for_who_asked_for_a_stream_becomes_one(include_usage, llm, gateway):
    gw = gateway(llm("a", chat=lambda _q, w: w.reply(200, completion(TEXT))))
    more = {"stream_options": {"include_usage": True}} if include_usage else {}
    answer = gw.chat(stream=True, **more)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.streamed_text == TEXT and finishes(answer.body) == ["stop"] and answer.is_whole_stream
    assert all(c["object"] == "chat.completion.chunk" and c["id"] == "chatcmpl-fake" for c in answer.chunks)
    assert [c["usage"]["total_tokens"] for c in answer.chunks if c.get("usage")] == [12] * include_usage
    assert [c["_backend"] for c in answer.chunks if "_backend" in c] == ["a"]


def test_tool_calls_in_json_become_deltas_with_an_index(llm, gateway):
    calls = [{"id": f"call_{i}", "type": "function", "function": {"name": "f", "arguments": '{"x": %d}' % i}}
             for i in range(2)]
    body = completion("", finish="tool_calls")
    body["choices"][0]["message"].update(content=None, tool_calls=calls)
    answer = gateway(llm("a", chat=lambda _q, w: w.reply(200, body))).chat(stream=True)
    deltas = [d for c in answer.chunks if c["choices"] for d in c["choices"][0]["delta"].get("tool_calls") or []]
    assert deltas == [{"index": i, **call} for i, call in enumerate(calls)]
    assert finishes(answer.body) == ["tool_calls"]


def test_a_stream_falls_through_before_its_first_content_and_shows_nothing_of_the_first(llm, gateway):
    def play(_q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event({**delta("", role="assistant"), "id": "chatcmpl-of-a"})
        w.reset()

    a, b = llm("a", chat=[play, resets()]), llm("b", chat=answers("Hello from b"))
    answer = gateway(a, b).chat(stream=True)
    assert answer.streamed_text == "Hello from b"
    assert b"chatcmpl-of-a" not in answer.body
    assert sum("role" in c["choices"][0]["delta"] for c in answer.chunks) == 1
