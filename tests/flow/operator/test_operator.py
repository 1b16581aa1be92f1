"""The operator's word: drain, disable, enable."""

import json
import threading
import time
from datetime import datetime

import pytest
from breaks import TEXT, WORDS, continues, partial_of
from events_reading import events, wait_events
from fake_llm import answers, delta, lists_models
from gateway import wait_until
from held_llm import Held
from raw_client import CHAT, RawClient, post

ACTION = {"X-Fallthrough-Action": "1"}
PATIENT = "{connect: 500ms, first_token: 10s, stall: 10s, total: 60s}"


def order(gw, name, word, headers=None, **more):
    return gw.request("POST", f"/backends/{name}/{word}", headers=ACTION if headers is None else headers, admin=True, **more)


class Slow:
    """An answer that stops after five words until it is let go on."""

    def __init__(self):
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, _q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        for word in WORDS[:5]:
            w.event(delta(word))
        self.begun.set()
        while not self.may_end.is_set():
            w.pause(0.01)
            if w.llm.stopping.is_set():
                return
        for word in WORDS[5:]:
            w.event(delta(word))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()


class Asking(threading.Thread):
    """A chat beside the test."""

    def __init__(self, gw, **body):
        super().__init__(daemon=True)
        self.gw, self.body, self.answer = gw, body, None
        self.start()

    def run(self):
        self.answer = self.gw.chat(timeout=30, **self.body)

    def end(self):
        self.join(30)
        assert self.answer, "no answer"
        return self.answer


# --- drain ---

def test_drain_lets_a_running_stream_end_and_sends_new_requests_elsewhere(llm, gateway):
    slow = Slow()
    a, b = llm("a", chat=slow), llm("b", chat=answers("from b"))
    gw = gateway(a, b, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    done = order(gw, "a", "drain")
    assert done.status == 200
    assert done.json == {"name": "a", "operator": "draining", "state": "DRAINING", "in_flight": 1, "changed": True}
    for _ in range(5):
        assert gw.chat().backend == "b"
    told = gw.backend("a")
    assert told["state"] == "DRAINING" and told["operator"] == told["reason"] == "draining"
    assert told["in_flight"] == 1 and told["operator_since"] == told["since"]
    assert told["why"].startswith("drained by the operator since 20") and "1 in flight; HEALTHY: " in told["why"]
    assert gw.backend("b")["operator"] is None and gw.backend("b")["operator_since"] is None
    slow.may_end.set()
    whole = stream.end()
    assert whole.streamed_text == TEXT and whole.is_whole_stream and whole.backend == "a"
    wait_until(lambda: gw.backend("a")["in_flight"] == 0)
    assert len(a.chats) == 1


def test_a_drained_backend_is_probed_on(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    order(gw, "a", "drain")
    seen = len(a.probes)
    wait_until(lambda: len(a.probes) > seen + 3)
    a.stop()
    wait_until(lambda: "; DOWN: " in gw.backend("a")["why"])
    assert gw.state("a") == "DRAINING"


def test_no_broken_answer_is_resumed_by_a_drained_backend(llm, gateway):
    slow = Slow()
    a, b, c = llm("a", chat=slow), llm("b", chat=continues), llm("c", chat=continues)
    gw = gateway(a, b, c, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    order(gw, "b", "drain")
    a.stop()
    whole = stream.end()
    assert whole.streamed_text == TEXT and whole.is_whole_stream
    assert b.chats == [] and TEXT.startswith(partial_of(c.chats[0]) or "")


def test_who_waits_for_a_slot_of_a_drained_backend_goes_elsewhere(llm, gateway):
    held = Held()
    a, b = llm("a", chat=held), llm("b", chat=answers("from b"))
    gw = gateway(a, b, deadlines=PATIENT, backend_extra={"a": "max_concurrent: 1"}, queue="{overflow: false}")
    first = Asking(gw)
    wait_until(lambda: held.now == 1)
    second = Asking(gw)
    wait_until(lambda: gw.status()["models"][0]["waiting"] == 1)
    order(gw, "a", "drain")
    assert second.end().backend == "b"
    held.let()
    assert first.end().backend == "a"


def test_no_hedge_and_no_panic_goes_to_a_drained_backend(llm, gateway):
    held = Held()
    a, b = llm("a", chat=held), llm("b")
    gw = gateway(a, b, hedge="{after: 100ms, max_share: 100%}", deadlines=PATIENT)
    order(gw, "b", "drain")
    only = Asking(gw)
    wait_until(lambda: held.now == 1)
    seen = len(a.probes)
    wait_until(lambda: len(a.probes) > seen + 2)  # longer than the hedge would wait
    held.let()
    assert only.end().backend == "a"
    a.stop()
    gw.wait_state("a", "DOWN")
    assert gw.chat().status == 503
    assert b.chats == []


def test_a_drained_backend_is_not_calibrated(llm, gateway):
    a = llm("a")
    a.models = lists_models()
    b = llm("b")
    b.models = lists_models()
    gw = gateway(a, b, streams="{calibrate: 1h}", wait=False)
    order(gw, "a", "drain")
    wait_until(lambda: gw.backend("b")["resume"] is not None or b.calibrations, what="b is calibrated")
    before = len(a.calibrations)
    seen = len(a.probes)
    wait_until(lambda: len(a.probes) > seen + 3)
    assert len(a.calibrations) == before
    order(gw, "a", "enable")
    wait_until(lambda: len(a.calibrations) > before, what="a is calibrated once it is enabled")


# --- disable ---

def test_disable_moves_a_running_stream_elsewhere_at_once(llm, gateway):
    slow = Slow()
    a, b = llm("a", chat=slow), llm("b", chat=continues)
    gw = gateway(a, b, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    assert order(gw, "a", "disable").json["state"] == "DISABLED"
    whole = stream.end()
    assert whole.streamed_text == TEXT and whole.is_whole_stream
    assert TEXT.startswith(partial_of(b.chats[0]) or "")
    wait_until(lambda: a.cancelled_at, what="the attempt is cancelled")
    wait_until(lambda: gw.backend("a")["in_flight"] == 0)
    resumed = wait_events(gw, lambda seen: seen, "the resume is told", kind="resume")
    assert resumed[-1]["cause"].startswith("a:ok,a:disabled,b:")
    assert gw.backend("a")["verdicts"][0]["verdict"] == "disabled"
    order(gw, "a", "enable")
    assert gw.state("a") == "HEALTHY", "it is blamed for nothing"


def test_disable_does_not_wait_for_a_client_that_does_not_read(llm, gateway):
    # On the wire, where an é is six bytes, it is 9 MB, more than the kernel takes for a client. As text it is less than the
    # 4 MiB of an answer that the gateway remembers, so that it can go on wherever that was.
    text = "".join(f"word{i}{20 * 'é'} " for i in range(70_000))

    written = [0]

    def write(w, words):
        for i in range(0, len(words), 16384):
            w.event(delta(words[i:i + 16384]))
            written[0] += 1

    def is_stuck():
        before = written[0]
        time.sleep(0.3)
        return written[0] == before > 0

    def begins(q, w):
        w.begin_stream()
        w.event(delta("", role="assistant"))
        write(w, text[:-1000])
        w.hang()

    def goes_on(q, w):
        given = q.json["messages"][-1]["content"]
        assert text.startswith(given)
        w.begin_stream()
        write(w, text[len(given):])
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()
    a, b = llm("a", chat=begins), llm("b", chat=goes_on)
    gw = gateway(a, b, deadlines=PATIENT)
    with RawClient(gw.port, timeout=30, receive_buffer=65536) as client:  # else the kernel may take it all
        client.send(post({**CHAT, "stream": True}))
        sock = client.sock
        wait_until(is_stuck, what="nobody takes more")
        order(gw, "a", "disable")
        wait_until(lambda: gw.backend("a")["in_flight"] == 0, what="it has left, though its client does not read")
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            piece = sock.recv(1 << 20)
            assert piece, data[-300:]
            data += piece
    events_seen = [line[6:] for line in data.decode().split("\n") if line.startswith("data: {")]
    whole = "".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events_seen)
    assert whole == text and b.chats, "it went on elsewhere"


def test_disable_repeats_what_has_not_begun_elsewhere(llm, gateway):
    held = Held()
    a, b = llm("a", chat=held), llm("b", chat=answers("from b"))
    gw = gateway(a, b, deadlines=PATIENT)
    waiting = Asking(gw)
    wait_until(lambda: held.now == 1)
    order(gw, "a", "disable")
    answer = waiting.end()
    assert answer.status == 200 and answer.trail == "a:disabled,b:ok"


def test_disable_cuts_what_nobody_else_can_go_on_with(llm, gateway):
    slow = Slow()
    a = llm("a", chat=slow)
    gw = gateway(a, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    order(gw, "a", "disable")
    answer = stream.end()
    assert not answer.is_whole_stream and "error" in answer.payloads[-1]


def test_after_a_drain_disable_takes_away_what_still_runs(llm, gateway):
    slow = Slow()
    a, b = llm("a", chat=slow), llm("b", chat=continues)
    gw = gateway(a, b, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    order(gw, "a", "drain")
    done = order(gw, "a", "disable").json
    assert done["changed"] and done["operator"] == "disabled"
    assert stream.end().streamed_text == TEXT
    assert len(b.chats) == 1


# --- enable ---

def test_enable_takes_it_back_at_once(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    for word in ("drain", "disable"):
        order(gw, "a", word)
        assert gw.chat().backend == "b"
        done = order(gw, "a", "enable").json
        assert done == {"name": "a", "operator": None, "state": "HEALTHY", "in_flight": 0, "changed": True}
        assert gw.chat().backend == "a"
        wait_until(lambda: gw.backend("a")["in_flight"] == 0, what="the answer's end has been seen")


def test_one_that_is_enabled_again_returns_slowly(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, breaker="{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 1h}")
    order(gw, "a", "drain")
    order(gw, "a", "enable")
    place = gw.status()["models"][0]["tiers"][0]["backends"][0]
    assert place["status"] == "ramp" and place["relapses"] == 0
    assert [gw.chat().status for _ in range(30)] == [200] * 30
    assert 1 <= len(a.chats) < 25 and b.chats


# --- all of them ---

def test_all_drained_is_a_503_that_says_so(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    order(gw, "a", "drain")
    order(gw, "b", "disable")
    answer = gw.chat()
    assert answer.status == 503 and answer.headers["retry-after"] == "30"
    error = answer.json["error"]
    assert error["code"] == "all_backends_unavailable"
    assert error["message"].startswith("All inference backends unavailable: the operator has drained or disabled")
    assert gw.request("GET", "/health").status == 503
    assert a.chats == b.chats == []
    order(gw, "b", "enable")
    assert gw.chat().backend == "b"
    assert gw.request("GET", "/health").status == 200


def test_it_does_not_outlive_the_process(llm, gateway):
    a = llm("a")
    gw = gateway(a)
    order(gw, "a", "disable")
    gw.stop()
    assert gateway(a).state("a") == "HEALTHY"


# --- who is told ---

def test_explain_and_metrics_tell_it(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    order(gw, "a", "drain")
    explained = gw.request("GET", "/explain?model=m", admin=True).json["backends"]
    assert [e["verdict"] for e in explained] == ["draining", "next"]
    assert explained[0]["why"].startswith("drained by the operator since ")
    assert explained[0]["operator"] == "draining" and explained[1]["operator"] is None
    metrics = gw.request("GET", "/metrics", admin=True).body.decode()
    assert 'fallthrough_backend_state{backend="a",state="DRAINING"} 1' in metrics
    assert 'fallthrough_backend_state{backend="a",state="HEALTHY"} 0' in metrics
    assert 'fallthrough_backend_state{backend="b",state="DISABLED"} 0' in metrics


def test_each_word_is_an_event_and_opens_no_incident(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    for word in ("drain", "drain", "disable", "enable"):
        order(gw, "a", word)
    told = wait_events(gw, lambda seen: len(seen) >= 3, "all are told", kind="operator")
    assert [e["word"] for e in told] == ["drained", "disabled", "enabled"]
    assert {(e["backend"], e["severity"], e["incident"]) for e in told} == {("a", "info", None)}
    assert told[0]["text"].startswith("a was drained by the operator: HEALTHY (probe answered 200), 0 in flight")
    wait_until(lambda: len(gw.logged("the operator's word")) == 3)


def test_an_outage_of_a_drained_backend_opens_no_incident_until_it_is_enabled(llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    order(gw, "a", "drain")
    a.stop()
    down = wait_events(gw, lambda seen: any(e["word"] == "DOWN" for e in seen), "it is down", kind="state")
    assert {e["severity"] for e in down} == {"info"} and {e["incident"] for e in down} == {None}
    order(gw, "a", "enable")
    again = wait_events(gw, lambda seen: seen[-1]["severity"] == "error", "it is told in full", kind="state")
    assert again[-1]["incident"] is not None and again[-1]["text"].startswith("a stays DOWN")


# --- the admin port ---

def test_the_same_word_twice_changes_nothing(llm, gateway):
    gw = gateway(llm("a"))
    assert [order(gw, "a", "drain").json["changed"] for _ in range(3)] == [True, False, False]
    since = gw.backend("a")["operator_since"]
    uptime_s = gw.status()["uptime_s"]
    wait_until(lambda: gw.status()["uptime_s"] > uptime_s + 1.5, what="time goes by")
    assert order(gw, "a", "drain").status == 200
    times = [datetime.fromisoformat(t) for t in (since, gw.backend("a")["operator_since"])]
    assert abs((times[1] - times[0]).total_seconds()) < 0.7
    assert [order(gw, "a", "enable").json["changed"] for _ in range(2)] == [True, False]


def test_an_unknown_backend_is_a_404_that_names_those_there_are(llm, gateway):
    gw = gateway(llm("a"), llm("b"))
    answer = order(gw, "nob%22ody", "drain")
    assert answer.status == 404 and answer.json["backends"] == ["a", "b"]
    assert answer.json["error"]["message"] == "no backend is named 'nob\"ody'; there are a, b"


@pytest.mark.parametrize("path", ["/backends/a/explode", "/backends//drain", "/backends/a", "/backends/a/drain/"])
def test_no_other_path_is_taken_for_one(path, llm, gateway):
    gw = gateway(llm("a"))
    assert gw.request("GET", path, admin=True).status == 404
    answer = gw.request("POST", path, headers=ACTION, admin=True)
    assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD"
    assert gw.backend("a")["operator"] is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_post_gives_a_word(method, llm, gateway):
    gw = gateway(llm("a"))
    answer = gw.request(method, "/backends/a/drain", headers=ACTION, admin=True)
    assert answer.status == 405 and answer.headers["allow"] == "POST"
    assert gw.backend("a")["operator"] is None


FOREIGN = [{}, {**ACTION, "Origin": "http://evil.example"}, {**ACTION, "Origin": "null"},
           {**ACTION, "Host": "evil.example"}, {"X-Fallthrough-Action": ""}]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_no_other_site_can_give_a_word(headers, llm, gateway):
    gw = gateway(llm("a"))
    assert order(gw, "a", "drain", headers=headers).status == 403
    assert gw.backend("a")["operator"] is None


def test_our_own_page_can_give_a_word(llm, gateway):
    gw = gateway(llm("a"))
    own = {**ACTION, "Origin": f"http://127.0.0.1:{gw.admin_port}", "Host": f"127.0.0.1:{gw.admin_port}"}
    assert order(gw, "a", "drain", headers=own).status == 200


def test_with_a_token_it_must_be_there(llm, gateway, cli):
    gw = gateway(llm("a"), admin_token="secret-token-for-tests", wait=False)
    assert order(gw, "a", "drain").status == 401
    assert order(gw, "a", "drain", headers={**ACTION, "Authorization": "Bearer wrong"}).status == 401
    done = cli("drain", "a", "--admin", gw.admin_url)
    assert done.code == 1 and "FALLTHROUGH_ADMIN_TOKEN" in done.err
    assert gw.request("GET", "/status", headers={"Authorization": "Bearer secret-token-for-tests"},
                      admin=True).json["backends"][0]["operator"] is None
    assert cli("drain", "a", "--admin", gw.admin_url, env={"FALLTHROUGH_ADMIN_TOKEN": "secret-token-for-tests"}).code == 0


@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b"x" * 60000])
def test_a_body_is_not_looked_at(body, llm, gateway):
    gw = gateway(llm("a"))
    assert order(gw, "a", "drain", body=body).status == 200


def test_a_huge_body_is_refused(llm, gateway):
    gw = gateway(llm("a"))
    assert order(gw, "a", "drain", body=b"x" * 70000).status == 413
    assert gw.backend("a")["operator"] is None
    assert events(gw, kind="operator") == []


# --- the commands ---

def test_the_commands_print_what_became_of_it(cli, llm, gateway):
    gw = gateway(llm("a"), llm("b"))
    done = cli("drain", "a", "b", "--admin", gw.admin_url)
    assert (done.code, done.out, done.err) == (0, "a: DRAINING, 0 in flight\nb: DRAINING, 0 in flight\n", "")
    done = cli("disable", "--admin", gw.admin_url, "b", "--json")
    assert done.code == 0
    assert '{"name":"b","operator":"disabled","state":"DISABLED","in_flight":0,"changed":true}' in done.out
    done = cli("enable", "a", "b", "--admin", gw.admin_url)
    assert (done.code, done.out) == (0, "a: HEALTHY\nb: HEALTHY\n")
    assert cli("enable", "a", "--admin", gw.admin_url).out == "a: HEALTHY, as it was already\n"


def test_drain_wait_ends_when_the_last_answer_has(start, finish, llm, gateway):
    slow = Slow()
    a, b = llm("a", chat=slow), llm("b")
    gw = gateway(a, b, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    waiting = start("drain", "a", "--wait", "--admin", gw.admin_url)
    wait_until(lambda: gw.backend("a")["operator"] == "draining")
    seen = len(a.probes)
    wait_until(lambda: len(a.probes) > seen + 2)
    assert waiting.poll() is None
    slow.may_end.set()
    done = finish(waiting)
    assert (done.code, done.out) == (0, "a: DRAINING, 0 in flight\n")
    assert stream.end().is_whole_stream


def test_drain_wait_gives_up_in_time(cli, llm, gateway):
    slow = Slow()
    a = llm("a", chat=slow)
    gw = gateway(a, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    done = cli("drain", "a", "--wait", "--timeout", "300ms", "--admin", gw.admin_url)
    assert done.code == 1 and "1 still in flight" in done.err
    slow.may_end.set()
    assert stream.end().is_whole_stream


def test_drain_wait_notices_that_somebody_enables_it(start, finish, llm, gateway):
    slow = Slow()
    a = llm("a", chat=slow)
    gw = gateway(a, deadlines=PATIENT)
    stream = Asking(gw, stream=True)
    assert slow.begun.wait(10)
    waiting = start("drain", "a", "--wait", "--admin", gw.admin_url)
    wait_until(lambda: gw.backend("a")["operator"] == "draining")
    order(gw, "a", "enable")
    done = finish(waiting)
    assert done.code == 1 and "a was enabled meanwhile" in done.err
    slow.may_end.set()
    stream.end()


def test_the_exit_codes_of_the_commands(cli, llm, gateway):
    gw = gateway(llm("a"))
    done = cli("drain", "nobody", "a", "--admin", gw.admin_url)
    assert done.code == 1 and "no backend is named 'nobody'; there are a" in done.err
    assert done.out == "a: DRAINING, 0 in flight\n", "the other has it all the same"
    assert cli("drain", "--admin", gw.admin_url).code == 2
    assert cli("drain", "a", "--timeout", "soon", "--wait", "--admin", gw.admin_url).code == 2
    assert cli("enable", "a", "--wait", "--admin", gw.admin_url).code == 2
    assert cli("drain", "a", "--admin", "http://127.0.0.1:1").code == 69
