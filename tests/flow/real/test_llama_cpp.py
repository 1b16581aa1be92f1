"""Real llama.cpp servers with a real 135M model behind the gateway."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from gateway import ROOT, wait_until
from ports import free_port


class Llama:
    """A llama.cpp server process on a free port."""

    def __init__(self, name: str, *options: str):
        self.port = free_port()
        self.name, self.type, self.options = name, "llamacpp", options
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools/llama_backend.py"), str(self.port), *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self) -> "Llama":
        wait_until(self.is_well, 60, f"{self.name} is loaded")
        return self

    def is_well(self) -> bool:
        try:
            return urllib.request.urlopen(self.url + "/health", timeout=1).status == 200
        except OSError:
            return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def pair():
    both = [Llama("one"), Llama("two", "--slots", "1")]
    try:
        yield [b.wait() for b in both]
    finally:
        for b in both:
            if b.process.poll() is None:
                b.kill()


REAL = {"deadlines": "{first_token: 30s, stall: 20s}", "health": "{interval: 300ms}"}
ASK = dict(content="Name three colours.", temperature=0, max_tokens=24)


@pytest.fixture
def running(pair):
    """Both, those that a test before killed started again."""
    for b in pair:
        if b.process.poll() is not None:
            b.start()
            b.wait()
    return pair


@pytest.fixture
def front(running, gateway):
    return gateway(*running, **REAL)


def test_a_real_answer_streamed_and_not_is_the_same(front):
    plain, stream = front.chat(**ASK), front.chat(stream=True, **ASK)
    assert plain.status == 200 and len(plain.text) > 5
    assert stream.streamed_text == plain.text
    assert plain.json["usage"]["completion_tokens"] <= 24
    assert plain.json["choices"][0]["finish_reason"] in ("stop", "length")


def test_collected_from_a_stream_it_equals_the_plain_answer(pair, gateway):
    always = gateway(*pair, streams="{upstream: always}", **REAL).chat(**ASK).json
    never = gateway(*pair, streams="{upstream: never}", **REAL).chat(**ASK).json
    for choice in always["choices"] + never["choices"]:
        choice.pop("logprobs", None)  # null or absent
    assert always["choices"] == never["choices"]
    assert always["usage"]["completion_tokens"] == never["usage"]["completion_tokens"]


def test_a_killed_server_is_left_and_adopted_again_when_it_returns(pair, front):
    one, two = pair
    assert front.chat(**ASK).backend == "one"
    one.kill()
    answer = front.chat(**ASK)
    assert answer.status == 200 and answer.backend == "two"
    front.wait_state("one", "DOWN")
    one.start()
    front.wait_state("one", "HEALTHY", 60)
    assert front.chat(**ASK).backend == "one"


def test_a_frozen_server_is_left_after_the_first_token_deadline(pair, gateway):
    one, _ = pair
    gw = gateway(*pair, deadlines="{first_token: 1s, stall: 1s}", health="{interval: 10s, timeout: 5s}")
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        answer = gw.chat(stream=True, **ASK)
        assert answer.backend == "two" and answer.is_whole_stream
        assert answer.trail.startswith("one:first_token_timeout")
    finally:
        os.kill(one.process.pid, signal.SIGCONT)


def test_leaving_frees_the_slot_of_the_server(pair, front):
    sock = front.open_chat({"model": "m", "stream": True, "max_tokens": 2000, "ignore_eos": True,
                            "messages": [{"role": "user", "content": "Count to a thousand."}]})
    assert b"data:" in sock.recv(65536) + sock.recv(65536)
    sock.close()
    slots = pair[0].url + "/slots"
    wait_until(lambda: not any(s["is_processing"] for s in json.load(urllib.request.urlopen(slots))), 3,
               "no slot is busy")


def test_bad_json_is_judged_here_because_llama_cpp_would_answer_500(front):
    answer = front.request("POST", "/v1/chat/completions", b'{"model": "m", ')
    assert answer.status == 400 and answer.json["error"]["code"] == "invalid_json"
    assert front.state("one") == "HEALTHY"


def stream_and_kill(gw, victim, after: int) -> tuple[str, bool]:
    """The text that the client got although `victim` was killed after so many pieces, and whether it is whole."""
    sock = gw.open_chat({"model": "m", "stream": True, **LONG})
    data = b""
    while data.count(b'"content"') <= after and b"[DONE]" not in data:
        piece = sock.recv(256)
        assert piece, data[-300:]
        data += piece
    victim.kill()
    while piece := sock.recv(65536):
        data += piece
        if b"[DONE]" in data:
            break
    sock.close()
    text = ""
    for line in data.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
    return text, b"[DONE]" in data


LONG = {"messages": [{"role": "user", "content": "Tell me a story about a lighthouse."}],
        "temperature": 0, "max_tokens": 48}


@pytest.mark.parametrize("after", range(1, 31))
def test_killed_in_mid_sentence_the_answer_is_byte_identical(after, pair, front):
    one, _ = pair
    whole = front.request("POST", "/v1/chat/completions", {"model": "m", **LONG}).text
    assert front.backend("one")["state"] == "HEALTHY"
    text, is_whole = stream_and_kill(front, one, after)
    assert is_whole and text == whole


MEASURED_S = 120  # nine questions of 24 tokens on a busy machine


def wait_exact(gw, name: str) -> None:
    wait_until(lambda: gw.backend(name)["resume"] == "exact", MEASURED_S, f"{name} is measured")


def test_calibration_finds_that_both_can_resume(running, gateway):
    gw = gateway(*running, streams="{calibrate: 1m}", **REAL)
    assert gw.chat(**ASK).status == 200
    for b in running:
        wait_exact(gw, b.name)
        assert gw.state(b.name) == "HEALTHY"


def test_measured_again_when_a_killed_server_is_back(running, gateway):
    one, _ = running
    gw = gateway(*running, streams="{calibrate: 1m}", **REAL)
    wait_exact(gw, "one")
    one.kill()
    gw.wait_state("one", "DOWN")
    assert gw.backend("one")["resume"] is None
    one.start()
    wait_exact(gw, "one")


def frozen(server: Llama):
    os.kill(server.process.pid, signal.SIGSTOP)


def thawed(server: Llama):
    os.kill(server.process.pid, signal.SIGCONT)


def ask_in_background(gw, count: int):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(gw.chat(stream=True, timeout=120, **ASK)))
               for _ in range(count)]
    for t in threads:
        t.start()

    def all_of_them():
        for t in threads:
            t.join(120)
        return answers
    return all_of_them


def on_the_ramp(gw):
    """The first tier gets a share of its requests, and not all."""
    member = gw.status()["models"][0]["tiers"][0]["backends"][0]
    return member["status"] == "ramp" and 0 < member["share"] < 100


def test_frozen_under_load_it_hangs_everybody_is_answered_and_it_returns_by_the_ramp(running, gateway):
    """Its health requests have a long time-out and its streams longer deadlines: what finds it is silence."""
    one, two = running
    gw = gateway(*running, deadlines="{first_token: 4s, first_token_per_1k: 0, stall: 60s}",
                 breaker="{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 8s}",
                 health="{interval: 500ms, timeout: 60s, hang_after: 4s, counters: 500ms}")
    wait_until(lambda: gw.backend("one")["engine"], 20, "its slots are read")
    assert gw.chat(**ASK).backend == "one"
    early = ask_in_background(gw, 3)
    wait_until(lambda: gw.backend("one")["in_flight"] == 3, 10, "they are at work there")
    frozen(one)
    try:
        began = time.monotonic()
        gw.wait_state("one", "DOWN", 60)
        found_s = time.monotonic() - began
        late = ask_in_background(gw, 2)
        for answer in early() + late():
            assert answer.status == 200 and answer.is_whole_stream, answer.trail
        assert len(early()) == 3 and all(a.backend == "two" for a in late())
        wait_until(lambda: gw.backend("one")["reason"] == "hung", 60, "it is found to hang")
        assert gw.state("one") == "DOWN"
    finally:
        thawed(one)
    gw.wait_state("one", "HEALTHY", 60)
    wait_until(lambda: gw.logged("backend no longer hangs"), what="a line in the log")
    # Requests are what proves it; the first ones mostly go to the other.
    wait_until(lambda: gw.chat(**ASK).status == 200 and on_the_ramp(gw), 60, "it gets a share")
    wait_until(lambda: gw.chat(**ASK).status == 200 and
               gw.status()["models"][0]["tiers"][0]["backends"][0]["share"] == 100, 60, "it gets all")
    assert gw.chat(**ASK).backend == "one"
    assert found_s < 30


def test_its_slots_tell_its_load(running, gateway):
    one, _ = running
    gw = gateway(*running, deadlines=REAL["deadlines"], health="{interval: 1s, counters: 200ms, hang_after: 20s}")
    sock = gw.open_chat({"model": "m", "stream": True, "max_tokens": 400, "ignore_eos": True,
                         "messages": [{"role": "user", "content": "Count to a thousand."}]})
    wait_until(lambda: (gw.backend("one")["engine"] or {}).get("running") == 1, 20, "a slot is busy")
    assert gw.backend("one")["vitals"] == "flowing"
    sock.close()
    wait_until(lambda: gw.backend("one")["engine"]["running"] == 0, 20, "it is free again")
    wait_until(lambda: gw.backend("one")["vitals"] == "idle", 20, "nothing is owed")


def test_a_long_prompt_goes_to_the_server_with_more_room(gateway):
    both = [Llama("short", "--context", "1024", "--slots", "2"), Llama("long", "--context", "4096", "--slots", "1")]
    try:
        short, long = [b.wait() for b in both]
        gw = gateway(short, long, streams="{resume: off, calibrate: 200ms}", **REAL)

        def contexts() -> list[int | None]:
            return [t["backends"][0]["context"] for t in gw.status()["models"][0]["tiers"]]

        wait_until(lambda: contexts() == [512, 4096], 30, "both were asked")
        members = [t["backends"][0] for t in gw.status()["models"][0]["tiers"]]
        assert [m["capabilities"]["vision"] for m in members] == [False, False]
        assert gw.chat(**ASK).backend == "short"
        answer = gw.chat("word " * 900, temperature=0, max_tokens=4)  # 900 tokens
        assert answer.status == 200 and answer.trail == "long:ok"
        answer = gw.chat("word " * 8000, temperature=0, max_tokens=4)
        assert answer.status == 400 and answer.json["error"]["code"] == "context_length_exceeded"
        assert answer.trail == "long:context_exceeded"
    finally:
        for b in both:
            b.kill()
