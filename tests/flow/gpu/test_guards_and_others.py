"""What a guard says of its backend, dcgm-exporter in place of an agent, and agents that lie."""

import contextlib
import http.server
import json
import threading
import time

import pytest
from gateway import wait_until
from metrics_text import scrape

GPU = {"index": 0, "uuid": "GPU-1", "state": "HEALTHY", "reason": "ok", "why": "", "advice": "serve"}


def report(seq: int = 1, **gpu) -> dict:
    return {"gpu": "nvidia", "seq": seq, "age_ms": 10, "late": False, "gpus": [{**GPU, **gpu}]}


LOST = {"state": "DOWN", "reason": "gpu_lost", "advice": "cut", "why": "gone"}


class Teller:
    """Answers every GET as `answer(handler)` says; a dict or text is a plain answer."""

    def __init__(self):
        self.answer, self.paths, self.tokens, self.stopping = report(), [], [], threading.Event()
        teller = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                teller.paths.append(self.path)
                teller.tokens.append(self.headers.get("authorization"))
                answer = teller.answer
                with contextlib.suppress(OSError):
                    if callable(answer):
                        answer(self)
                    else:
                        teller.reply(self, answer)

            def log_message(self, *args: object) -> None:
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def reply(handler, answer, status: int = 200) -> None:
        body = answer if isinstance(answer, bytes) else answer.encode() if isinstance(answer, str) else json.dumps(
            answer).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def never_ends(self, handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not self.stopping.is_set():
            handler.wfile.write(b" " * 1000)
            time.sleep(0.01)

    def hangs(self, _handler) -> None:
        self.stopping.wait(60)

    def stop(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def teller():
    made = []

    def make() -> Teller:
        made.append(Teller())
        return made[-1]
    yield make
    for one in made:
        one.stop()


def by(kind: str, url: str, **more: str) -> str:
    keys = {"url": f"'{url}'", "interval": "100ms", **more}
    return f"{kind}: {{" + ", ".join(f"{k}: {v}" for k, v in keys.items()) + "}"


def gpu_is(gw, state: str, reason: str | None = None) -> dict:
    return wait_until(lambda: (b := gw.backend("one"))["gpu"]["state"] == state and
                      reason in (None, b["gpu"]["reason"]) and b, 10, f"{state} for {reason}")


# --- agents that lie ---

LIES = {
    "no JSON": "<html>", "a list": [], "no seq": {**report(), "seq": None}, "seq of text": {**report(), "seq": "1"},
    "a negative seq": {**report(), "seq": -1}, "gpus of text": {**report(), "gpus": "all"},
    "a GPU of text": {**report(), "gpus": ["x"]}, "a state of a number": report(state=3),
    "a state that nobody knows": report(state="BROKEN"), "no state": report(state=None),
    "a reason that is a list": report(reason=["x"]), "more GPUs than there are": {**report(), "gpus": [GPU] * 65},
    "an age of text": {**report(), "age_ms": "old"}, "10 MB": '{"seq":1,"gpus":[],"x":"' + "x" * 10_000_000 + '"}',
    "deep": "[" * 100_000, "not UTF-8": b'{"seq":1,"gpus":[],"x":"\xff"}', "nothing": ""}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_ignored_with_one_warning(llm, gateway, teller, lie):
    t = teller()
    t.answer = LIES[lie]
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": by("agent", t.url)})
    wait_until(lambda: len(t.paths) >= 4, 15, "it is asked again and again")
    assert gw.backend("one")["gpu"]["state"] == "unknown" and gw.chat().backend == "one"

    def warned() -> list[str]:
        return gw.logged("telemetry makes no sense") + gw.logged("telemetry is silent")
    wait_until(warned, 20, "it is warned")
    assert len(warned()) == 1, warned()
    t.answer = report(**LOST)
    gpu_is(gw, "DOWN", "gpu_lost")
    wait_until(lambda: gw.logged("telemetry is heard again"), 20, "that is told")
    assert gw.chat().backend == "two"


@pytest.mark.parametrize("way", ["never_ends", "hangs"])
def test_an_answer_that_never_ends_is_bounded_and_the_word_before_it_forgotten(llm, gateway, teller, way):
    t = teller()
    t.answer = report(**LOST)
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": by("agent", t.url)})
    gpu_is(gw, "DOWN")
    t.answer = getattr(t, way)
    rss = gw.rss_kb()
    gpu_is(gw, "unknown")
    wait_until(lambda: gw.logged("telemetry is silent"), 10)
    assert gw.chat().backend == "one" and gw.rss_kb() < rss + 20_000


def test_an_agent_that_answers_at_once_and_always_anew_is_not_asked_without_end(llm, gateway, teller):
    t = teller()
    seq = iter(range(1, 1_000_000))
    t.answer = lambda handler: t.reply(handler, report(next(seq)))
    one = llm("one")
    gw = gateway(one, backend_extra={"one": by("agent", t.url)})
    gpu_is(gw, "HEALTHY")
    before, began = len(t.paths), time.monotonic()
    time.sleep(1)
    asked = len(t.paths) - before
    assert asked < 30 * (time.monotonic() - began) + 10  # every 50 ms at most


def test_texts_of_an_agent_cannot_hurt(llm, gateway, teller):
    t = teller()
    t.answer = report(state="DOWN", advice="drain", reason="x\u001b[31m" + "y" * 500, why="\n\u2028" + "z" * 5000)
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": by("agent", t.url)})
    b = gpu_is(gw, "DOWN")
    assert len(b["gpu"]["reason"]) < 40 and len(b["gpu"]["why"]) < 200 and "\x1b" not in b["why"]
    assert all(ord(ch) < 127 for ch in b["why"])


@pytest.mark.parametrize(("gpu", "state", "counsel"), [
    ({"state": "HEALTHY", "advice": "cut"}, "HEALTHY", "none"), ({"state": "DOWN", "advice": "serve"}, "DOWN", "drain"),
    ({"state": "DEGRADED", "advice": "cut"}, "DEGRADED", "drain"), ({"state": "DOWN", "advice": None}, "DOWN", "drain"),
    ({"state": "DEGRADED", "advice": "dance"}, "DEGRADED", "spare")])
def test_an_advice_that_does_not_fit_its_state_is_brought_into_bounds(llm, gateway, teller, gpu, state, counsel):
    t = teller()
    t.answer = report(**gpu)
    gw = gateway(llm("one"), llm("two"), backend_extra={"one": by("agent", t.url)})
    assert gpu_is(gw, state)["gpu"]["counsel"] == counsel


def test_a_blind_agent_knows_only_what_was_bad(llm, gateway, teller):
    t = teller()
    t.answer = {**report(), "gpu": "blind"}
    gw = gateway(llm("one"), llm("two"), backend_extra={"one": by("agent", t.url)})
    wait_until(lambda: len(t.paths) > 3)
    assert gw.backend("one")["gpu"]["state"] == "unknown"
    t.answer = {**report(2, **LOST), "gpu": "blind"}
    gpu_is(gw, "DOWN", "gpu_lost")


def test_an_old_reading_is_no_knowledge_but_a_late_driver_is(llm, gateway, teller):
    t = teller()
    t.answer = {**report(), "age_ms": 10_000_000}
    gw = gateway(llm("one"), llm("two"), backend_extra={"one": by("agent", t.url)})
    wait_until(lambda: len(t.paths) > 3)
    assert gw.backend("one")["gpu"]["state"] == "unknown"
    t.answer = {**report(2, state="DEGRADED", reason="driver_late", advice="no_promote"), "age_ms": 10_000_000, "late": True}
    gpu_is(gw, "DEGRADED", "driver_late")


def test_the_token_of_the_agent_goes_to_the_agent_and_the_backends_key_does_not(llm, gateway, teller):
    t = teller()
    one = llm("one")
    gw = gateway(one, backend_extra={"one": "api_key: key-of-one, headers: {X-Own: secret-header}, " +
                                     by("agent", t.url, token="token-of-agent")})
    gpu_is(gw, "HEALTHY")
    assert set(t.tokens) == {"Bearer token-of-agent"}
    assert {r.headers["authorization"] for r in one.probes} == {"Bearer key-of-one"}


# --- dcgm-exporter ---

def page(**figures) -> str:
    label = '{gpu="0",UUID="GPU-1",pci_bus_id="00000000:18:00.0",device="nvidia0",modelName="NVIDIA H100",Hostname="h"}'
    names = {"xid": "XID_ERRORS", "recovery": "GPU_RECOVERY_ACTION", "clocks": "CLOCKS_EVENT_REASONS",
             "dbe": "ECC_DBE_VOL_TOTAL", "unmapped": "ROW_REMAP_FAILURE", "memory": "MEMORY_TEMP"}
    lines = ["# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).", f"DCGM_FI_DEV_GPU_TEMP{label} 45"]
    return "\n".join(lines + [f"DCGM_FI_DEV_{names[k]}{label} {v}" for k, v in figures.items()]) + "\n"


def test_dcgm_exporter_serves_in_place_of_an_agent(llm, gateway, teller):
    t = teller()
    t.answer = page(xid=0, dbe=2)
    gw = gateway(llm("one"), llm("two"), backend_extra={"one": by("dcgm", t.url + "/metrics", gpus="[GPU-1]")})
    gpu_is(gw, "HEALTHY")
    assert set(t.paths) == {"/metrics"} and gw.chat().backend == "one"
    t.answer = page(xid=79, dbe=2)
    gpu_is(gw, "DOWN", "gpu_lost")
    assert gw.chat().backend == "two"
    t.answer = page(xid=0, dbe=3)
    gpu_is(gw, "DOWN", "uncorrected_ecc")
    t.answer = page(xid=0, dbe=0)
    gpu_is(gw, "HEALTHY")
    t.answer = "<html>"
    gpu_is(gw, "unknown")
    assert gw.chat().backend == "one"


# --- the guard ---

def guard_is(gw, word: str) -> dict:
    return wait_until(lambda: (b := gw.backend("one"))["guard"]["state"] == word and b, 20, f"guard {word}")


@pytest.mark.parametrize("word", ["STOPPING", "RESTARTING", "NEEDS_RESET", "GAVE_UP", "UNKILLABLE", "STARTING", "LOADING"])
def test_a_guard_that_is_not_ready_drains_and_says_why(llm, gateway, teller, word):
    t = teller()
    t.answer = {"state": "READY", "reason": "it answers"}
    gw = gateway(llm("one"), llm("two"), backend_extra={"one": by("guard", t.url)})
    guard_is(gw, "READY")
    assert gw.chat().backend == "one"
    t.answer = {"state": word, "reason": "because of a test"}
    b = guard_is(gw, word)
    assert (b["state"], b["reason"]) == ("DOWN", f"guard_{word.lower()}") and "because of a test" in b["why"]
    assert gw.chat().backend == "two"
    metrics = gw.request("GET", "/metrics", admin=True).body.decode()
    assert f'fallthrough_backend_guard_state{{backend="one",state="{word}"}} 1' in metrics
    t.answer = {"state": "READY", "reason": "it answers"}
    guard_is(gw, "READY")
    wait_until(lambda: gw.chat().backend == "one", 10, "it serves again")


def test_what_a_guard_counts_and_advises_is_in_the_metrics(llm, gateway, teller):
    t = teller()
    t.answer = {"state": "READY", "reason": "it answers"}
    gw = gateway(llm("one"), llm("two"), backend_extra={"one": by("guard", t.url)})
    guard_is(gw, "READY")
    name = "fallthrough_backend_guard_restarts_total"
    assert not [key for key, _ in scrape(gw).samples if key == name]  # it does not say
    for count in (2, 5):
        t.answer = {"state": "READY", "reason": "it answers", "restarts": {"total": count, "recent": 1}}
        wait_until(lambda n=count: scrape(gw).sum(name, backend="one") == n, 10, f"{count} restarts")
    assert scrape(gw).value("fallthrough_backend_counsel", backend="one", counsel="none") == 1
    t.answer = {"state": "GAVE_UP", "reason": "because of a test"}
    wait_until(lambda: scrape(gw).value("fallthrough_backend_counsel", backend="one", counsel="drain") == 1, 10)
    assert not [own for key, own in scrape(gw).samples if key == "fallthrough_backend_counsel" and ("backend", "two") in own]


def test_a_backend_that_its_guard_loads_has_no_outage(guard, llm, gateway, capsys):
    """The real guard around the scripted engine: it restarts, and nobody is penalised for its loading."""
    g = guard("", load=3)
    two = llm("two")
    config = f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
health: {{interval: 200ms, timeout: 1s, counters: 0, hang_after: 0}}
breaker: {{trial: 500ms, trial_max: 2s, dwell: 60s, slow_start: 0}}
streams: {{calibrate: 0}}
log: {{level: debug}}
backends:
  one: {{type: vllm, url: 'http://127.0.0.1:{g.port}', guard: {{url: 'http://127.0.0.1:{g.address()}', interval: 100ms}}}}
  two: {{type: vllm, url: '{two.url}'}}
models: {{m: {{tiers: [one, two]}}}}
"""
    gw = gateway(config=config)
    b = wait_until(lambda: (b := gw.backend("one"))["reason"].startswith("guard_") and b, 10, "it is told that it loads")
    assert b["state"] == "DOWN" and b["guard"]["state"] in ("STARTING", "LOADING")
    wait_until(lambda: any("its guard starts it" in line for line in gw.logged("changed state")), 10)
    assert gw.chat().backend == "two"
    guard_is(gw, "READY")
    wait_until(lambda: gw.chat().backend == "one", 20, "it serves at once: no dwell of 60 s")
    assert scrape(gw).value("fallthrough_backend_guard_restarts_total", backend="one") == 0
    with capsys.disabled():
        print(f"\n  while its guard loads it: {b['state']} {b['reason']}: {b['why']}")
