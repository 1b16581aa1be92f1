"""GPU failures as a whole: a real agent on a fake NVML and a fake kernel log, the gateway, and a
client that never stops asking. Each prints how long it took until the gateway knew, and what it said."""

import contextlib
import threading
import time

import pytest
from fake_llm import Request, Wire, answers, delta
from events_reading import wait_events
from gateway import wait_until

BDF = "0000:18:00"
UUID = "GPU-00000000-0000-0000-0000-00000000000{}"


def asks(a, **more: str) -> str:
    """A backend's `agent`."""
    keys = {"url": f"'http://127.0.0.1:{a.port}'", "interval": "200ms", **more}
    return "agent: {" + ", ".join(f"{k}: {v}" for k, v in keys.items()) + "}"


class Traffic:
    """Clients that ask one request after another, plain and streamed, for as long as the story lasts."""

    def __init__(self, gw):
        self.gw, self.answers, self.stopping = gw, [], threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(stream,)) for stream in (False, True)]

    def _ask(self, stream: bool) -> None:
        while not self.stopping.is_set():
            answer = self.gw.chat(stream=stream)
            whole = answer.is_whole_stream if stream else answer.status == 200
            self.answers.append((answer.status, whole, answer.backend))
            time.sleep(0.005)

    def stop(self) -> None:
        """All of them were answered, whatever happened."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(40)
        bad = [a for a in self.answers if a[0] != 200 or not a[1]]
        assert self.answers and not bad, bad[:5]

    def since(self, count: int) -> set[str]:
        return {a[2] for a in self.answers[count:]}


@contextlib.contextmanager
def traffic(gw):
    t = Traffic(gw)
    for thread in t.threads:
        thread.start()
    try:
        yield t
    finally:
        t.stop()


def told(gw, reason: str, name: str = "one", limit_s: float = 10) -> dict:
    return wait_until(lambda: (b := gw.backend(name))["gpu"]["reason"] == reason and b, limit_s,
                      f"the gateway is told of {reason}")


def say(capsys, story: str, began: float, b: dict, t: Traffic | None = None) -> None:
    with capsys.disabled():
        answered = f"; {len(t.answers)} requests, none failed" if t else ""
        print(f"\n  {story}: known after {(time.monotonic() - began) * 1000:.0f} ms; "
              f"status: {b['state']} {b['reason']}: {b['why']}{answered}")


def known(gw, name: str = "one") -> dict:
    return wait_until(lambda: (b := gw.backend(name))["gpu"]["state"] == "HEALTHY" and b, 10, "the GPU is known")


# --- stories ---

def test_heat_lowers_the_weight_before_it_takes_traffic_away_and_goes_again(agent, llm, gateway, capsys):
    a = agent(nvml={"temp": 60})
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, tiers=[[one, two]], load="{policy: weighted}", backend_extra={"one": asks(a)})
    known(gw)
    began = time.monotonic()
    a.nvml(temp=88, throttle=0x40)
    hot = told(gw, "hw_thermal")
    say(capsys, "thermal throttle", began, hot)
    assert hot["state"] == "DEGRADED" and hot["reason"] == "hw_thermal" and "88 C" in hot["why"]
    one.requests.clear()
    two.requests.clear()
    for _ in range(400):
        assert gw.chat().status == 200
    # A fifth, since its weight is 1/4 against 1: 80, with a deviation of 8. Without that 200, with one of 10.
    assert 36 <= len(one.chats) <= 136, len(one.chats)
    a.nvml(temp=70)
    cool = told(gw, "ok")
    assert cool["state"] == "HEALTHY"


def test_heat_of_the_only_backend_takes_nothing_away(agent, llm, gateway):
    a = agent(nvml={"temp": 88, "throttle": 0x40})
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": asks(a)})
    told(gw, "hw_thermal")
    for _ in range(20):
        assert gw.chat().backend == "one"


@pytest.mark.parametrize(("xid", "rest", "reason"), [
    (48, ", pid=7, name=python3, DBE (double bit error)", "reset_required"),
    (64, ", Row remapping failure", "reset_required"), (95, ", Uncontained: FBHUB", "reset_required"),
    (79, ", pid=7, name=python3, GPU has fallen off the bus.", "gpu_lost")])
def test_a_broken_gpu_is_left_and_every_request_is_answered_elsewhere(agent, llm, gateway, capsys, xid, rest, reason):
    a = agent(nvml={"pids": "7:1"})
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": asks(a)})
    known(gw)
    with traffic(gw) as t:
        wait_until(lambda: len(t.answers) > 4)
        assert t.since(0) == {"one"}
        began = time.monotonic()
        a.xid(xid, rest)
        down = told(gw, reason)
        count = len(t.answers) + 2  # one of each client may be on its way
        wait_until(lambda: len(t.answers) > count + 20)
        say(capsys, f"Xid {xid}", began, down, t)
        assert t.since(count) == {"two"}
        assert (down["state"], down["reason"], down["gpu"]["counsel"]) == ("DOWN", reason, "cut")
        explained = gw.request("GET", "/explain?model=m", admin=True).json
        assert explained["next"] == ["two"] and explained["backends"][0]["verdict"] == "drained"
        assert reason in explained["backends"][0]["why"]
        assert a.request("POST", "/clear?gpu=all")[0] == 200
        told(gw, "ok")
        count = len(t.answers) + 2
        wait_until(lambda: "one" in t.since(count))
    wait_until(lambda: gw.logged("GPUs of a backend"), 20, "that is told")


@pytest.mark.parametrize(("xid", "rest", "nvml", "reason", "state"), [
    (63, ", Row remapping event", {"rows_pending": 1}, "maintenance", "HEALTHY"),
    (94, ", pid=7, name=python3, Contained: SM (0x1)", {}, "app_error", "DEGRADED")])
def test_an_error_that_harms_nobody_yet_takes_nothing_away(agent, llm, gateway, capsys, xid, rest, nvml, reason, state):
    a = agent(nvml={"pids": "7:1", **nvml}, start=True)
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": asks(a)})
    with traffic(gw) as t:
        began = time.monotonic()
        a.xid(xid, rest)
        b = told(gw, reason)
        count = len(t.answers) + 2
        wait_until(lambda: len(t.answers) > count + 10)
        say(capsys, f"Xid {xid}", began, b, t)
        assert t.since(count) == {"one"} and b["state"] == state and b["gpu"]["state"] == "DEGRADED"
        assert reason in b["why"]  # of maintenance, too, which makes no state


def test_an_application_error_has_the_engine_asked_for_a_token(agent, llm, gateway):
    a = agent(nvml={"pids": "7:1"})
    one, two = llm("one"), llm("two")
    one.token = lambda _q, w: w.hang()
    gw = gateway(one, two, health="{interval: 200ms, timeout: 1s, hang_after: 1s}", backend_extra={"one": asks(a)})
    known(gw)
    time.sleep(1.2)  # longer than half the patience: nobody asks an idle engine
    assert not one.token_requests
    a.xid(94, ", pid=7, name=python3, Contained: SM (0x1)")
    down = wait_until(lambda: (b := gw.backend("one"))["reason"] == "hung" and b, 10, "its silence is seen")
    assert down["state"] == "DOWN" and one.token_requests
    assert gw.chat().backend == "two"


def test_a_lost_gpu_resumes_its_streams_elsewhere_at_once(agent, llm, gateway, capsys):
    a = agent(nvml={"count": 1})

    def stops(q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event(delta("", role="assistant"))
        w.event(delta("Once upon"))
        w.hang()
    one, two = llm("one", chat=stops), llm("two", chat=answers(" a time"))  # it goes on
    gw = gateway(one, two, backend_extra={"one": asks(a)},
                 deadlines="{connect: 500ms, first_token: 30s, stall: 30s, total: 60s}")
    known(gw)
    result = []
    thread = threading.Thread(target=lambda: result.append(gw.chat(stream=True, temperature=0)))
    thread.start()
    wait_until(lambda: one.chats, 20, "it is asked")
    time.sleep(0.1)
    began = time.monotonic()
    a.nvml(count=1, nvmlDeviceGetTemperatureV__ret=15)
    thread.join(20)
    took_s = time.monotonic() - began
    assert result and result[0].is_whole_stream and result[0].streamed_text == "Once upon a time"
    assert took_s < 10  # and not the 30 s of its stall
    wait_until(lambda: gw.logged("reason=gpu_down"), 20, "that is told")
    wait_until(lambda: one.cancelled_at, 20, "the attempt is closed")
    say(capsys, "GPU lost, stream resumed", began, gw.backend("one"))
    assert gw.backend("one")["reason"] == "gpu_lost"
    told = wait_events(gw, lambda seen: any(e["word"] == "DOWN" for e in seen), "an event of it", kind="gpu")
    assert [e for e in told if e["word"] == "DOWN" and e["backend"] == "one" and e["severity"] == "error"
            and "gpu_lost" in e["cause"] and e["incident"]]


def test_a_stream_that_can_go_nowhere_is_left_to_the_gpu(agent, llm, gateway):
    """The agent may be wrong, and nobody else is there."""
    a = agent()
    go_on = threading.Event()

    def waits(q: Request, w: Wire) -> None:
        w.begin_stream()
        w.event(delta("Once upon"))
        go_on.wait(20)
        w.event(delta(" a time"))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()
    one = llm("one", chat=waits)
    gw = gateway(one, backend_extra={"one": asks(a)},
                 deadlines="{connect: 500ms, first_token: 30s, stall: 30s, total: 60s}")
    known(gw)
    result = []
    thread = threading.Thread(target=lambda: result.append(gw.chat(stream=True)))
    thread.start()
    wait_until(lambda: one.chats, 20, "it is asked")
    a.xid(79, ", GPU has fallen off the bus.")
    told(gw, "gpu_lost")
    go_on.set()
    thread.join(20)
    assert result[0].is_whole_stream and result[0].streamed_text == "Once upon a time"


def test_telemetry_alone_never_takes_the_last_usable_backend_away(agent, llm, gateway):
    a, other = agent(), agent()
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": asks(a), "two": asks(other)})
    a.xid(79, ", GPU has fallen off the bus.")
    told(gw, "gpu_lost")
    assert gw.chat().backend == "two"
    other.nvml(temp=93)  # near shutdown: drained, while the other's GPU is lost
    told(gw, "near_shutdown_temperature", "two")
    assert gw.chat().backend == "two"
    explained = gw.request("GET", "/explain?model=m", admin=True).json
    assert explained["next"] == ["two"]
    two.stop()
    gw.wait_state("two", "DOWN")
    wait_until(lambda: gw.backend("two")["reason"].startswith("connect") or "probe" in gw.backend("two")["reason"])
    assert gw.chat().backend == "one"
    assert gw.request("GET", "/health").status == 200


@pytest.mark.parametrize("where", ["nvmlInit_v2", "nvmlDeviceGetTemperatureV"])
def test_nvml_that_hangs_costs_no_request(agent, llm, gateway, capsys, where):
    begins_so = where == "nvmlInit_v2"
    a = agent(nvml={f"{where}__hang": 1} if begins_so else {})
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, tiers=[[one, two]], backend_extra={"one": asks(a)})
    if not begins_so:
        known(gw)
    with traffic(gw) as t:
        began = time.monotonic()
        a.nvml(**{f"{where}__hang": 1})
        if begins_so:  # there was no reading, so nothing is known of any GPU
            wait_until(lambda: a.get()["late"], 10, "the agent finds it late")
            b = gw.backend("one")
            assert b["gpu"]["state"] == "unknown" and b["state"] == "HEALTHY"
        else:
            b = told(gw, "driver_late")
            assert b["state"] == "DEGRADED" and b["gpu"]["counsel"] == "spare"
        say(capsys, f"NVML hangs in {where}", began, b, t)
        count = len(t.answers)
        wait_until(lambda: len(t.answers) > count + 20)


def test_nvml_that_hangs_for_ever_while_the_gsp_is_silent_is_left(agent, llm, gateway, capsys):
    """Its child is abandoned, never killed, and no other one started beside it."""
    a = agent()
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": asks(a)})
    known(gw)
    with traffic(gw) as t:
        began = time.monotonic()
        a.nvml(nvmlDeviceGetTemperatureV__hang=1)
        told(gw, "driver_late")
        a.log("NVRM: GPU0 _kgspRpcRecvPoll: Timeout after 45s of waiting for RPC response from GPU0 GSP! "
              "Expected function 76 (GSP_RM_CONTROL)")
        b = told(gw, "driver_hung")
        wait_until(lambda: a.get()["agent"]["probe_stuck"], 10, "the child is abandoned")
        count = len(t.answers) + 2
        wait_until(lambda: len(t.answers) > count + 20)
        say(capsys, "NVML hangs for ever", began, b, t)
        assert t.since(count) == {"two"} and gw.backend("one")["gpu"]["counsel"] == "cut"


def test_a_change_is_here_within_a_tenth_of_a_second(agent, llm, gateway, capsys):
    """By the long poll; the agent's own reading is not counted: the kernel's log comes at once."""
    a = agent()
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": asks(a, interval="2s")})
    known(gw)
    took = []
    for _ in range(5):
        time.sleep(0.3)  # so that it waits
        began = time.monotonic()
        a.xid(79, ", GPU has fallen off the bus.")
        wait_until(lambda: (gw.logged("GPUs of a backend") or [""])[-1].count("gpu_lost"), 20, "it is told")
        took.append(time.monotonic() - began)
        a.request("POST", "/clear?gpu=all")
        told(gw, "ok")
    with capsys.disabled():
        print("\n  from the kernel's log to the gateway:", ", ".join(f"{1000 * t:.0f}" for t in took), "ms")
    assert min(took) < 1  # the poll is every 2 s


# --- which GPUs, and who is silent ---

def test_only_its_own_gpus_count_by_index_or_uuid(agent, llm, gateway):
    a = agent(nvml={"count": 3})
    one, two, three = llm("one"), llm("two"), llm("three")
    gw = gateway(one, two, three, backend_extra={
        "one": asks(a, gpus="[0]"), "two": asks(a, gpus=f"[{UUID.format(1)}, 2]"), "three": asks(a)})
    for name in ("one", "two", "three"):
        known(gw, name)
    a.nvml(count=3, **{"gpu1.nvmlDeviceGetTemperatureV.ret": 15})
    told(gw, "gpu_lost", "two")
    told(gw, "gpu_lost", "three")
    assert gw.state("one") == "HEALTHY" and gw.chat().backend == "one"


def test_a_gpu_that_nobody_tells_of_is_warned_of_once(agent, llm, gateway):
    a = agent()
    one = llm("one")
    gw = gateway(one, backend_extra={"one": asks(a, gpus="[0, 7]")})
    known(gw)
    wait_until(lambda: gw.logged("GPUs of a backend are not told of"), 20, "it is warned")
    time.sleep(0.6)
    assert len(gw.logged("GPUs of a backend are not told of")) == 1


def test_a_silent_agent_is_unknown_and_changes_nothing(agent, llm, gateway):
    a = agent()
    one, two = llm("one"), llm("two")
    gw = gateway(one, two, backend_extra={"one": asks(a)})
    a.xid(79, ", GPU has fallen off the bus.")
    told(gw, "gpu_lost")
    a.stop()
    b = wait_until(lambda: (b := gw.backend("one"))["gpu"]["state"] == "unknown" and b, 10, "it is forgotten")
    assert b["state"] == "HEALTHY" and gw.chat().backend == "one"
    wait_until(lambda: gw.logged("telemetry is silent"))
    time.sleep(0.6)
    assert len(gw.logged("telemetry is silent")) == 1


def test_an_agent_asks_for_its_token(agent, llm, gateway):
    a = agent(start=False, token="agent-secret-1")
    a.token = "agent-secret-1"
    a.start()
    one, two = llm("one"), llm("two")
    one.api_key = "backend-key"
    gw = gateway(one, two, backend_extra={"one": "api_key: backend-key, " + asks(a, token="agent-secret-1"),
                                          "two": asks(a, token="wrong-secret-1")})
    known(gw)
    assert gw.backend("two")["gpu"]["state"] == "unknown"
    wait_until(lambda: gw.logged("telemetry makes no sense"), 20, "it is warned")
    assert len(gw.logged("telemetry makes no sense")) == 1
    assert not gw.logged("agent-secret-1") and "agent-secret" not in str(gw.status())
