"""GET /metrics on the admin port: well-formed, and true to what a test did."""

import threading
import time

import pytest
from fake_llm import answers, delta, pieces, replies, resets, stream_openai, streams_then
from gateway import wait_until
from metrics_text import Metrics, promtool, scrape

TEXT = "one two three four five six seven eight"
WORDS = pieces(TEXT)

CLOCK_S = 0.002  # the gateway counts in whole milliseconds, read once a turn


def continues(wait_s=0.0):
    """Goes on with the half answer that it is given, after a while."""
    def play(q, w):
        given = q.json["messages"][-1]
        given = given["content"] if given["role"] == "assistant" else ""
        assert TEXT.startswith(given)
        w.pause(wait_s)
        w.begin_stream()
        w.event(delta(TEXT[len(given):], role="assistant"))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()
    return play


def breaks_after(count, then="reset"):
    return streams_then("".join(WORDS[:count]), then)


def labels(metrics: Metrics, name: str) -> list[dict]:
    """The labels of the samples that are not 0."""
    return [dict(own) for own in metrics.all(name)]


def at_rest(gw) -> Metrics:
    """When the ends of all attempts have been seen: a client may have its answer before."""
    wait_until(lambda: scrape(gw).sum("fallthrough_attempts_in_flight") == 0, what="no attempt in flight")
    return scrape(gw)


# --- the format and the door ---


def test_promtool_has_nothing_to_say(llm, gateway):
    a, b = llm("a", chat=[answers(), breaks_after(3), resets()]), llm("b", chat=continues())
    gw = gateway(a, b)
    assert gw.chat().status == 200
    gw.chat(stream=True)
    gw.chat(model="nobody")
    text = gw.request("GET", "/metrics", admin=True).body.decode()
    assert promtool(text) == ""
    assert text.count("# HELP ") == text.count("# TYPE ") == len(set(text.split("# TYPE ")[1:]))


def test_only_answers_that_were_degraded_count_as_such(llm, gateway):
    a, b = llm("a", chat=[answers(), resets()]), llm("b", type="llamacpp", chat=answers())
    gw = gateway(a, b, degrade="")  # the built-in caps
    assert gw.chat(max_tokens=4000).backend == "a"
    assert scrape(gw).sum("fallthrough_degraded_total") == 0
    answer = gw.chat(max_tokens=4000)
    assert answer.backend == "b" and answer.json["_degraded"] is True
    assert scrape(gw).sum("fallthrough_degraded_total") == 1


def test_names_are_escaped_as_the_format_wants(llm, gateway):
    a = llm("a")
    name = 'we"i\\rd ü {x="y"}'
    gw = gateway(config=f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
backends: {{a: {{type: vllm, url: '{a.url}'}}}}
models: {{'{name}': {{aliases: ['*'], tiers: [a: x]}}}}
""")
    assert gw.chat(model=name).status == 200
    assert gw.chat(model="whatever else").status == 200
    metrics = at_rest(gw)
    assert promtool(metrics.text) == ""
    assert metrics.value("fallthrough_requests_total", model=name, outcome="ok") == 2


def test_is_served_as_the_other_paths_are(llm, gateway):
    gw = gateway(llm("a"))
    got = gw.request("GET", "/metrics", admin=True)
    assert got.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    head = gw.request("HEAD", "/metrics", admin=True)
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 1000
    assert gw.request("POST", "/metrics", {}, admin=True).status == 405
    assert gw.request("GET", "/metrics/", admin=True).status == 404
    assert gw.request("GET", "/metrics", admin=True, headers={"host": "evil.example"}).status == 403
    assert gw.request("GET", "/metrics").status == 404  # on the API port


def test_wants_the_admin_token(llm, gateway):
    gw = gateway(llm("a"), admin_token="s3cret-admin-token-of-some-length", wait=False)
    assert gw.request("GET", "/metrics", admin=True).status == 401
    bearer = {"authorization": "Bearer s3cret-admin-token-of-some-length"}
    assert gw.request("GET", "/metrics", admin=True, headers=bearer).status == 200


def test_describes_the_process(llm, gateway):
    before = time.time()
    gw = gateway(llm("a"))
    metrics = at_rest(gw)
    assert before - 1 <= metrics.value("process_start_time_seconds") <= time.time() + 1
    assert metrics.value("process_resident_memory_bytes") == pytest.approx(gw.rss_kb() * 1024, rel=0.5)
    assert metrics.value("process_open_fds") == pytest.approx(gw.fd_count(), abs=3)
    assert metrics.value("process_max_fds") > metrics.value("process_open_fds")
    assert metrics.value("process_cpu_seconds_total") > 0
    assert metrics.sum("fallthrough_build_info") == 1


# --- resumes ---


def test_counts_a_resume_and_the_gap_that_the_client_saw(llm, gateway):
    gw = gateway(llm("a", chat=breaks_after(3)), llm("b", chat=continues(wait_s=0.15)))
    answer = gw.chat(stream=True)
    assert answer.streamed_text == TEXT
    metrics = at_rest(gw)
    assert labels(metrics, "fallthrough_resumes_total") == [{"from": "a", "to": "b", "result": "ok"}]
    assert metrics.sum("fallthrough_resumes_total") == 1
    assert metrics.value("fallthrough_resume_gap_seconds_count") == 1
    assert 0.14 < metrics.value("fallthrough_resume_gap_seconds_sum") <= answer.took_s + CLOCK_S
    assert metrics.value("fallthrough_resume_gap_seconds_bucket", le="0.1") == 0
    assert metrics.value("fallthrough_resume_gap_seconds_bucket", le="+Inf") == 1
    assert metrics.value("fallthrough_requests_total", model="m", outcome="ok") == 1
    assert metrics.value("fallthrough_attempts_total", backend="a", result="failed") == 1
    assert metrics.value("fallthrough_attempts_total", backend="b", result="ok") == 1
    assert metrics.value("fallthrough_tokens_total", backend="a") == 3
    assert metrics.value("fallthrough_backend_state", backend="a", state="DOWN") == 1
    assert metrics.value("fallthrough_backend_state", backend="a", state="HEALTHY") == 0


def test_a_gap_after_silence_begins_with_the_silence(llm, gateway):
    gw = gateway(llm("a", chat=breaks_after(3, "hang")), llm("b", chat=continues()),
                 deadlines="{stall: 400ms, first_token: 5s, total: 20s}")
    assert gw.chat(stream=True).streamed_text == TEXT
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_resume_gap_seconds_sum") >= 0.4
    assert metrics.value("fallthrough_resume_gap_seconds_bucket", le="0.2") == 0


def test_a_break_is_counted_once_however_many_were_asked(llm, gateway):
    a, b, c = llm("a", chat=breaks_after(3)), llm("b", chat=replies(503)), llm("c", chat=continues())
    gw = gateway(a, b, c)
    assert gw.chat(stream=True).streamed_text == TEXT
    metrics = at_rest(gw)
    assert labels(metrics, "fallthrough_resumes_total") == [{"from": "a", "to": "c", "result": "ok"}]
    assert metrics.sum("fallthrough_resumes_total") == 1
    assert metrics.value("fallthrough_attempts_total", backend="b", result="failed") == 1


def test_each_break_of_one_answer_is_counted(llm, gateway):
    def second(q, w):
        w.begin_stream()
        w.event(delta(WORDS[3], role="assistant"))
        w.reset()
    gw = gateway(llm("a", chat=breaks_after(3)), llm("b", chat=second), llm("c", chat=continues()))
    assert gw.chat(stream=True).streamed_text == TEXT
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_resumes_total", from_="a", to="b", result="ok") == 1
    assert metrics.value("fallthrough_resumes_total", from_="b", to="c", result="ok") == 1
    assert metrics.sum("fallthrough_resumes_total") == 2
    assert metrics.value("fallthrough_resume_gap_seconds_count") == 2


@pytest.mark.parametrize("streams, second", [("{}", replies(503)), ("{resume: off}", continues())])
def test_counts_a_break_that_could_not_be_mended(streams, second, llm, gateway):
    gw = gateway(llm("a", chat=breaks_after(3)), llm("b", chat=second), streams=streams)
    assert not gw.chat(stream=True).is_whole_stream
    metrics = at_rest(gw)
    assert labels(metrics, "fallthrough_resumes_total") == [{"from": "a", "to": "", "result": "failed"}]
    assert metrics.value("fallthrough_resume_gap_seconds_count") == 0
    assert metrics.value("fallthrough_requests_total", model="m", outcome="interrupted") == 1
    assert metrics.sum("fallthrough_requests_total") == 1


def test_an_answer_that_has_all_its_tokens_needs_nobody(llm, gateway):
    gw = gateway(llm("a", chat=breaks_after(3)), llm("b"))
    assert gw.chat(stream=True, max_tokens=3).is_whole_stream
    metrics = at_rest(gw)
    assert labels(metrics, "fallthrough_resumes_total") == [{"from": "a", "to": "", "result": "ok"}]
    assert metrics.value("fallthrough_resume_gap_seconds_count") == 0
    assert metrics.value("fallthrough_requests_total", model="m", outcome="ok") == 1


def test_a_failure_before_the_first_content_is_no_break(llm, gateway):
    gw = gateway(llm("a", chat=resets()), llm("b", chat=answers(TEXT)), retry="{same_backend: 0}")
    assert gw.chat(stream=True).streamed_text == TEXT
    metrics = at_rest(gw)
    assert metrics.sum("fallthrough_resumes_total") == 0
    assert metrics.value("fallthrough_attempts_total", backend="a", result="failed") == 1
    assert metrics.value("fallthrough_requests_total", model="m", outcome="ok") == 1


# --- how requests end ---


def test_each_request_is_counted_once_by_its_outcome(llm, gateway):
    chat = [answers(), replies(400, {"error": {"message": "no", "type": "invalid_request_error"}}),
            replies(503), lambda q, w: (w.begin_stream(), w.event(delta("Hi")), w.hang())]
    a = llm("a", chat=chat)
    gw = gateway(a, deadlines="{stall: 10s, total: 20s}")
    assert gw.chat().status == 200
    assert gw.chat().status == 400
    assert gw.chat(model="unheard of").status == 404
    assert gw.request("POST", "/v1/chat/completions", b"{nonsense").status == 400
    assert gw.chat().status == 503
    gw.wait_state("a", "HEALTHY")
    with gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as sock:
        assert sock.recv(100)
        assert scrape(gw).value("fallthrough_attempts_in_flight", backend="a") == 1
    wait_until(lambda: scrape(gw).value("fallthrough_requests_total", model="m", outcome="client_left"))
    metrics = at_rest(gw)
    expected = {"ok": 1, "refused": 1, "failed": 1, "client_left": 1, "interrupted": 0}
    for outcome, count in expected.items():
        assert metrics.value("fallthrough_requests_total", model="m", outcome=outcome) == count, outcome
    assert metrics.value("fallthrough_requests_total", model="", outcome="refused") == 2
    assert "unheard" not in metrics.text


def test_a_plain_answer_for_a_stream_and_a_stream_for_a_plain_request_count_as_well(llm, gateway):
    def plain(q, w):
        w.reply(200, {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]})
    gw = gateway(llm("a", chat=[plain, lambda q, w: stream_openai(q, w, TEXT)]))
    assert gw.chat(stream=True).streamed_text == "Hi"
    assert gw.chat().text == TEXT
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_requests_total", model="m", outcome="ok") == 2
    assert metrics.value("fallthrough_attempts_total", backend="a", result="ok") == 2
    assert metrics.value("fallthrough_first_token_seconds_count", backend="a") == 2


def test_first_token_times_lie_below_the_bounds_of_their_buckets(llm, gateway):
    def late(q, w):
        w.pause(0.1)
        stream_openai(q, w, TEXT)
    gw = gateway(llm("a", chat=late))
    answer = gw.chat(stream=True)
    metrics = at_rest(gw)
    took_s = metrics.value("fallthrough_first_token_seconds_sum", backend="a")
    assert 0.099 <= took_s <= answer.took_s + CLOCK_S
    assert metrics.value("fallthrough_first_token_seconds_bucket", backend="a", le="0.09") == 0
    assert metrics.value("fallthrough_first_token_seconds_bucket", backend="a", le="+Inf") == 1


# --- under load ---


def test_scrapes_under_load_disturb_nothing_and_only_grow(llm, gateway):
    """Clients and scrapers at the same time: every answer is whole, every scrape well-formed, no
    counter ever falls, and in the end they say what was done."""
    clients, rounds = 8, 25
    gw = gateway(llm("a", chat=answers(TEXT)), llm("b", chat=answers(TEXT)), tiers=None, workers="2")
    bad: list[str] = []
    scraped: list[Metrics] = []
    over = threading.Event()

    def ask(stream: bool) -> None:
        for _ in range(rounds):
            answer = gw.chat(stream=stream)
            if answer.status != 200 or TEXT not in (answer.streamed_text if stream else answer.text):
                bad.append(repr(answer.body))

    def watch() -> None:
        last: dict = {}
        while not over.is_set():
            metrics = scrape(gw)
            scraped.append(metrics)
            counters = metrics.counters
            bad.extend(f"{k}: {v} to {counters.get(k)}" for k, v in last.items() if counters.get(k, -1) < v)
            last = counters
            for backend in "ab":
                ends = metrics.value("fallthrough_first_token_seconds_bucket", backend=backend, le="+Inf")
                if ends != metrics.value("fallthrough_first_token_seconds_count", backend=backend):
                    bad.append("+Inf is not the count")

    askers = [threading.Thread(target=ask, args=(i % 2 == 0,)) for i in range(clients)]
    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for thread in askers + watchers:
        thread.start()
    for thread in askers:
        thread.join()
    over.set()
    for thread in watchers:
        thread.join()
    assert not bad, bad[:5]
    assert len(scraped) >= 4
    metrics = at_rest(gw)
    assert promtool(metrics.text) == ""
    assert metrics.value("fallthrough_requests_total", model="m", outcome="ok") == clients * rounds
    assert metrics.sum("fallthrough_requests_total") == clients * rounds
    assert metrics.sum("fallthrough_attempts_total", result="ok") == clients * rounds
    assert metrics.sum("fallthrough_tokens_total") == clients * rounds * len(WORDS)
