"""What the gateway counts for metrics only: answers by backend, failovers, usage, probes, its own time, its loops, its history."""

from fake_llm import answers, delta, pieces, replies, resets, streams_then
from gateway import wait_until
from metrics_text import Metrics, scrape

TEXT = "one two three four five six seven eight"


def at_rest(gw) -> Metrics:
    """When the ends of all attempts have been seen: a client may have its answer before."""
    wait_until(lambda: scrape(gw).sum("fallthrough_attempts_in_flight") == 0, what="no attempt in flight")
    return scrape(gw)


# --- whose answers ---


def test_an_answer_is_its_backend_s_with_tier_and_end(llm, gateway):
    a, b = llm("a", chat=[answers(), resets()]), llm("b")
    gw = gateway(a, b, retry="{same_backend: 0}")
    assert gw.chat().backend == "a"
    assert gw.chat().backend == "b"
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_answers_total", model="m", backend="a", tier="1", outcome="ok") == 1
    assert metrics.value("fallthrough_answers_total", model="m", backend="b", tier="2", outcome="ok") == 1
    assert metrics.sum("fallthrough_answers_total") == 2


def test_an_answer_that_breaks_off_or_is_left_is_its_last_backend_s(llm, gateway):
    half = "".join(pieces(TEXT)[:3])
    a = llm("a", chat=[streams_then(half, "reset"), streams_then(half, "hang")])
    gw = gateway(a, streams="{resume: off}", deadlines="{stall: 20s, total: 30s}")
    assert not gw.chat(stream=True).is_whole_stream
    gw.wait_state("a", "HEALTHY")
    with gw.open_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as sock:
        assert sock.recv(100)
    wait_until(lambda: scrape(gw).value("fallthrough_requests_total", model="m", outcome="client_left"))
    metrics = at_rest(gw)
    for outcome, count in {"ok": 0, "interrupted": 1, "client_left": 1}.items():
        assert metrics.value("fallthrough_answers_total", model="m", backend="a", tier="1", outcome=outcome) == count


def test_a_request_that_nobody_answered_is_nobody_s(llm, gateway):
    gw = gateway(llm("a", chat=replies(503)))
    assert gw.chat().status == 503
    metrics = at_rest(gw)
    assert metrics.sum("fallthrough_answers_total") == 0
    assert metrics.value("fallthrough_attempt_failures_total", backend="a", reason="http_503") == 1


def test_a_resumed_answer_is_the_backend_s_that_ended_it(llm, gateway):
    words = pieces(TEXT)

    def goes_on(q, w):
        w.begin_stream()
        w.event(delta("".join(words[3:]), role="assistant"))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()
    gw = gateway(llm("a", chat=streams_then("".join(words[:3]), "reset")), llm("b", chat=goes_on))
    assert gw.chat(stream=True).streamed_text == TEXT
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_answers_total", model="m", backend="b", tier="2", outcome="ok") == 1
    assert metrics.sum("fallthrough_answers_total") == 1
    assert metrics.sum("fallthrough_failovers_total") == 0  # it is a resume
    assert metrics.value("fallthrough_attempt_failures_total", backend="a", reason="reset") == 1


# --- failovers ---


def test_each_step_to_another_backend_is_a_failover(llm, gateway):
    gw = gateway(llm("a", chat=replies(503)), llm("b", chat=resets()), llm("c"), retry="{same_backend: 0}")
    assert gw.chat().backend == "c"
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_failovers_total", from_="a", to="b") == 1
    assert metrics.value("fallthrough_failovers_total", from_="b", to="c") == 1
    assert metrics.sum("fallthrough_failovers_total") == 2


def test_the_same_backend_again_is_no_failover(llm, gateway):
    gw = gateway(llm("a", chat=[replies(429, retry_after="0"), answers()]), llm("b"))
    answer = gw.chat()
    assert answer.backend == "a" and "http_429" in answer.trail
    metrics = at_rest(gw)
    assert metrics.sum("fallthrough_failovers_total") == 0
    assert metrics.value("fallthrough_attempt_failures_total", backend="a", reason="http_429") == 1


def test_attempts_over_the_retry_budget_are_counted(llm, gateway):
    gw = gateway(llm("a", chat=replies(500)), llm("b"),
                 retry="{same_backend: 1, on: [500], backoff: 10ms, budget: {share: 0%, per_second: 0}}")
    assert gw.chat().json["error"]["code"] == "retry_budget_exhausted"
    assert scrape(gw).value("fallthrough_retry_budget_exhausted_total", model="m") == 1


# --- tokens and times ---


def test_usage_is_what_the_backend_says(llm, gateway):
    gw = gateway(llm("a", chat=answers(TEXT)))
    assert gw.chat().text == TEXT
    assert gw.chat(stream=True).streamed_text == TEXT  # tells no usage
    assert gw.chat(stream=True, stream_options={"include_usage": True}).is_whole_stream
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_prompt_tokens_total", backend="a") == 2 * 7
    assert metrics.value("fallthrough_completion_tokens_total", backend="a") == 2 * 8
    assert metrics.value("fallthrough_usage_reports_total", backend="a") == 2


def test_the_time_between_pieces_is_one_value_a_streamed_answer(llm, gateway):
    gap_s = 0.1
    gw = gateway(llm("a", chat=answers(TEXT, gap_s=gap_s)), streams="{upstream: never}")
    answer = gw.chat(stream=True)
    gw.chat()  # in one piece: has no such time
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_token_seconds_count", backend="a") == 1
    assert 0.5 * gap_s < metrics.value("fallthrough_token_seconds_sum", backend="a") <= answer.took_s / 7
    assert metrics.value("fallthrough_token_seconds_bucket", backend="a", le="0.02") == 0


def test_own_time_leaves_waiting_out_and_counts_each_request_once(llm, gateway):
    wait_s = 0.25

    def late(q, w):
        w.pause(wait_s)
        answers(TEXT)(q, w)
    gw = gateway(llm("a", chat=[late, late, resets()]), llm("b"))
    gw.chat()
    gw.chat(stream=True)
    gw.chat()  # over two backends
    gw.chat(model="nobody")  # refused: has no exchange
    wait_until(lambda: scrape(gw).value("fallthrough_own_seconds_count") == 3, what="all three are over")
    metrics = at_rest(gw)
    assert 0 < metrics.value("fallthrough_own_seconds_sum") < wait_s
    assert metrics.value("fallthrough_own_seconds_bucket", le="+Inf") == 3


def test_loops_are_counted_and_are_not_stuck(llm, gateway):
    gw = gateway(llm("a"), workers="2")
    for _ in range(4):
        gw.chat()
    metrics = at_rest(gw)
    for loop in ("control", "0", "1"):
        assert metrics.value("fallthrough_loop_turn_seconds_count", loop=loop) > 0
    assert metrics.value("fallthrough_loop_busy_seconds", loop="control") > 0  # it writes this
    wait_until(lambda: scrape(gw).value("fallthrough_loop_busy_seconds", loop="0") == 0, what="worker 0 waits")


def test_probes_are_counted_by_result(llm, gateway):
    a = llm("a")
    gw = gateway(a)
    wait_until(lambda: scrape(gw).value("fallthrough_probes_total", backend="a", result="ok") >= 2)
    assert scrape(gw).value("fallthrough_probes_total", backend="a", result="failed") == 0
    a.stop()
    wait_until(lambda: scrape(gw).value("fallthrough_probes_total", backend="a", result="failed") >= 2)
    wait_until(lambda: scrape(gw).value("fallthrough_model_can_serve", model="m") == 0, what="a is DOWN")
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_probe_seconds_count", backend="a") == metrics.sum("fallthrough_probes_total", backend="a")
    assert metrics.value("fallthrough_model_tier", model="m") == 0


def test_the_tier_in_use_is_told(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    assert scrape(gw).value("fallthrough_model_tier", model="m") == 1
    a.stop()
    wait_until(lambda: scrape(gw).value("fallthrough_model_tier", model="m") == 2)
    assert scrape(gw).value("fallthrough_model_can_serve", model="m") == 1


def test_a_hold_is_told_while_it_lasts(llm, gateway):
    gw = gateway(llm("a", chat=replies(429, retry_after="30")), llm("b"))
    assert gw.chat().backend == "b"
    assert 0 < scrape(gw).value("fallthrough_backend_hold_seconds", backend="a") <= 30
    assert scrape(gw).value("fallthrough_backend_hold_seconds", backend="b") == 0


# --- what happened ---


def test_incidents_and_the_history_s_health_are_told(llm, gateway, tmp_path):
    a = llm("a")
    gw = gateway(a, llm("b"), history=f"{{path: '{tmp_path}/history.db', settle: 1s}}")
    metrics = at_rest(gw)
    assert metrics.value("fallthrough_history_writable") == 1
    assert metrics.value("fallthrough_incidents_open") == 0
    assert metrics.value("fallthrough_events_lost_total") == 0
    a.stop()
    wait_until(lambda: scrape(gw).value("fallthrough_incidents_open") == 1, what="an incident is open")
    a.start()
    wait_until(lambda: scrape(gw).value("fallthrough_incidents_open") == 0, 20, "it is over")


def test_a_history_that_cannot_be_written_is_told(llm, gateway, tmp_path):
    (tmp_path / "history.db").mkdir()  # no file can be there
    gw = gateway(llm("a"), history=f"{tmp_path}/history.db")
    wait_until(lambda: scrape(gw).value("fallthrough_history_writable") == 0)


def test_without_a_history_nothing_is_said_of_it(llm, gateway):
    metrics = scrape(gateway(llm("a")))
    assert not [name for name, _ in metrics.samples if name == "fallthrough_history_writable"]


# --- size ---


def test_many_backends_and_models_stay_in_bounds(llm, gateway):
    """256 backends in 16 models, each in each: no matrix of pairs, and a text that a scraper takes."""
    a = llm("a")
    backends = "\n".join(f"  b{i}: {{type: vllm, url: '{a.url}'}}" for i in range(256))

    def tiers(m: int) -> str:
        return ", ".join("{" + ", ".join(f"b{i}: up{m}" for i in range(64 * t, 64 * t + 64)) + "}" for t in range(4))
    models = "\n".join(f"  m{i}: {{tiers: [{tiers(i)}]}}" for i in range(16))
    gw = gateway(config=f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nhealth: {{interval: 60s}}\n"
                        f"streams: {{calibrate: 0}}\nlog: {{level: info}}\nbackends:\n{backends}\nmodels:\n{models}\n", wait=False)
    assert gw.chat(model="m3").status == 200
    wait_until(lambda: scrape(gw).sum("fallthrough_answers_total") == 1, what="the answer is counted")
    metrics = at_rest(gw)
    assert len(metrics.text) < 8 << 20
    assert not metrics.all("fallthrough_failovers_total")
    assert metrics.sum("fallthrough_model_can_serve") == 16
