"""Backends that the gateway starts itself: on demand, one at a time, and never left behind."""

import os
import pathlib
import signal
import time

import pytest
from events_reading import wait_events
from gateway import wait_until
from guarded import is_alive
from managed import guards_of, managed, wait_process


def ask(gw, **more):
    return gw.chat(max_tokens=8, timeout=20, **more)


def test_starts_when_the_tier_above_is_down_and_stops_when_it_is_back(llm, engine, managing):
    big = llm("big")
    small = engine("small", load=2)
    gw = managing([big], [small])
    assert ask(gw).backend == "big"
    told = gw.backend("small")
    assert told["state"] == "STOPPED" and told["reason"] == "stopped" and told["managed"]["state"] == "stopped"
    assert small.starts() == []

    big.stop()
    gw.wait_state("big", "DOWN")
    wait_process(gw, "small", "loading")
    assert gw.backend("small")["state"] == "LOADING"
    assert wait_process(gw, "small", "ready")["starts"] == 1
    gw.wait_state("small", "HEALTHY")
    answer = ask(gw)
    assert (answer.status, answer.backend) == (200, "small")
    pid = small.starts()[0]["pid"]

    big.start()
    gw.wait_state("big", "HEALTHY")
    assert ask(gw).backend == "big"
    wait_process(gw, "small", "stopped")
    wait_until(lambda: not is_alive(pid))
    assert gw.backend("small")["state"] == "STOPPED"
    assert guards_of(gw) == []
    assert not [line for line in gw.lines if "level=warn" in line and "backend=small" in line]
    assert not [line for line in gw.lines if "level=error" in line]

    big.stop()  # and once more
    assert wait_process(gw, "small", "ready")["starts"] == 2
    assert ask(gw).backend == "small"


def test_a_disabled_one_is_not_started_and_a_drained_one_not_stopped(llm, engine, managing):
    big = llm("big")
    small = engine("small")
    gw = managing([big], [small])
    action = {"X-Fallthrough-Action": "1"}
    gw.request("POST", "/backends/small/disable", headers=action, admin=True)
    big.stop()
    gw.wait_state("big", "DOWN")
    assert ask(gw).status == 503
    seen = gw.status()["uptime_s"]
    wait_until(lambda: gw.status()["uptime_s"] > seen + 2, 10, "the time after which it would be started")
    assert small.starts() == [] and gw.state("small") == "DISABLED"
    gw.request("POST", "/backends/small/enable", headers=action, admin=True)
    wait_process(gw, "small", "ready")
    gw.request("POST", "/backends/small/drain", headers=action, admin=True)
    big.start()
    gw.wait_state("big", "HEALTHY")
    seen = gw.status()["uptime_s"]
    wait_until(lambda: gw.status()["uptime_s"] > seen + 2, 10, "the time after which it would be stopped")
    assert managed(gw, "small")["state"] == "ready"
    gw.request("POST", "/backends/small/enable", headers=action, admin=True)
    wait_process(gw, "small", "stopped")


def test_is_not_probed_while_it_is_stopped(llm, managing, engine):
    big = llm("big")
    small = engine("small")
    listener = llm("listener")  # stands where the engine would
    small.port = int(listener.url.rsplit(":", 1)[1])
    gw = managing([big], [small])
    seen = len(big.probes)
    wait_until(lambda: len(big.probes) > seen + 5)
    assert listener.probes == [] and listener.readings == []
    assert gw.backend("small")["verdicts"] == []


def test_always_is_started_at_once_and_stays(llm, engine, managing):
    big = llm("big")
    small = engine("small", start="always", stop_after="100ms")
    gw = managing([big], [small])
    wait_process(gw, "small", "ready")
    assert ask(gw).backend == "big"
    told = managed(gw, "small")
    assert told["state"] == "ready" and told["stops_in_s"] is None


def states_now(gw, *names: str) -> tuple[str, ...]:
    """Of one answer: between two of them one may become ready and the other begin."""
    told = {b["name"]: b["managed"]["state"] for b in gw.status()["backends"] if b["managed"]}
    return tuple(told[n] for n in names)


def test_two_on_one_gpu_start_one_after_the_other(llm, engine, managing):
    big = llm("big")
    one, two = engine("one", load=1.0), engine("two", load=1.0)
    gw = managing([big], [one, two])
    big.stop()
    seen: set[tuple[str, str]] = set()

    def both_ready():
        states = states_now(gw, "one", "two")
        seen.add(states)
        return states == ("ready", "ready")
    wait_until(both_ready, 30, "both are ready")
    assert ("loading", "loading") not in seen
    assert ("loading", "waiting") in seen and ("ready", "loading") in seen


def test_two_on_two_gpus_start_together(llm, engine, managing):
    big = llm("big")
    one, two = engine("one", load=2.0, gpu="a"), engine("two", load=2.0, gpu="b")
    gw = managing([big], [one, two])
    big.stop()
    wait_until(lambda: states_now(gw, "one", "two") == ("loading", "loading"), 20)
    wait_process(gw, "two", "ready")


def test_the_last_tier_is_not_started_while_the_one_above_is_on_its_way(llm, engine, managing):
    big = llm("big")
    one, two = engine("one", load=1.0, gpu="a"), engine("two", load=0, gpu="b")
    gw = managing([big], [one], [two])
    big.stop()
    wait_process(gw, "one", "ready")
    assert ask(gw).backend == "one"
    wait_process(gw, "two", "stopped")
    assert two.starts() == []


def test_a_crash_loop_is_told_and_given_up_and_the_last_tier_serves(llm, engine, managing):
    big = llm("big")
    one = engine("one", give_up="{restarts: 2, within: 1m}")
    two = engine("two")
    one.set_mode("crash")
    gw = managing([big], [one], [two])
    big.stop()
    told = wait_process(gw, "one", "gave_up")
    assert "2 restarts" in told["why"] and told["starts"] == 3 and told["restarts"] == 2
    backend = gw.backend("one")
    assert backend["state"] == "DOWN" and backend["reason"] == "gave_up" and "2 restarts" in backend["why"]
    wait_process(gw, "two", "ready")
    assert ask(gw).backend == "two"
    explained = gw.request("GET", "/explain?model=m", admin=True).json
    assert [b["managed"]["state"] for b in explained["backends"] if b["managed"]] == ["gave_up", "ready"]
    told = wait_events(gw, lambda seen: any(e["word"] == "was given up" for e in seen), "it is told", kind="restart")
    assert {e["word"] for e in told[:-1]} == {"is started again"} and told[-1]["word"] == "was given up"
    assert {e["backend"] for e in told} == {"one"}

    one.set_mode("")  # the next need tries again
    big.start()
    wait_process(gw, "one", "stopped")
    big.stop()
    wait_process(gw, "one", "ready")


def test_a_command_that_is_not_there_is_told(llm, engine, managing):
    big = llm("big")
    gw = managing([big], [engine("small", command=["/nonexistent/server"])])
    big.stop()
    told = wait_process(gw, "small", "gave_up")
    assert "/nonexistent/server" in told["why"]
    assert ask(gw).status == 503


def test_an_engine_that_dies_is_an_outage_and_comes_back(llm, engine, managing):
    big = llm("big")
    small = engine("small", load=0.5)
    gw = managing([big], [small])
    big.stop()
    wait_process(gw, "small", "ready")
    os.kill(managed(gw, "small")["pid"], signal.SIGKILL)
    wait_until(lambda: gw.backend("small")["reason"] == "restarting", 10)
    assert gw.state("small") == "DOWN"
    wait_until(lambda: (m := managed(gw, "small"))["state"] == "ready" and m["restarts"] == 1, 20)
    gw.wait_state("small", "HEALTHY")
    assert ask(gw).backend == "small"


def test_a_guard_that_is_killed_is_replaced(llm, engine, managing):
    big = llm("big")
    small = engine("small")
    gw = managing([big], [small])
    big.stop()
    wait_process(gw, "small", "ready")
    first = managed(gw, "small")["pid"]
    os.kill(guards_of(gw)[0], signal.SIGKILL)
    wait_until(lambda: (m := managed(gw, "small"))["state"] == "ready" and m["pid"] not in (None, first), 20)
    assert not is_alive(first)
    assert ask(gw).backend == "small"


def test_waits_for_memory_of_the_gpu(llm, engine, managing):
    big, agent = llm("big"), llm("agent")
    free = {"memory": 8 << 30}

    def report(q, w):
        w.reply(200, {"gpus": [{"uuid": "GPU-1", "state": "HEALTHY",
                                "memory": {"total": 40 << 30, "used": (40 << 30) - free["memory"]}}]})
    agent.health = report
    small = engine("small", needs_memory="12GiB", agent=f"'{agent.url}'")
    gw = managing([big], [small])
    big.stop()
    wait_until(lambda: "needs 12288 MiB" in managed(gw, "small")["why"], 20)
    assert managed(gw, "small")["state"] == "waiting" and small.starts() == []
    free["memory"] = 20 << 30
    wait_process(gw, "small", "ready")


@pytest.mark.parametrize("mode", ["", "grandchild", "ignore_term"])
def test_sigterm_leaves_nothing_behind(llm, engine, managing, mode):
    big = llm("big")
    small = engine("small", stop="{term: 500ms, rest: 300ms, kill: 5s}")
    small.set_mode(mode)
    gw = managing([big], [small])
    big.stop()
    wait_process(gw, "small", "ready")
    guards = guards_of(gw)
    assert guards
    assert gw.stop(20) == 0
    assert small.left() == []
    assert not any(is_alive(pid) for pid in guards)


@pytest.mark.parametrize("state", ["loading", "ready"])
@pytest.mark.parametrize("mode", ["", "grandchild"])
def test_kill_9_of_the_gateway_leaves_nothing_behind(llm, engine, managing, mode, state):
    big = llm("big")
    small = engine("small", load=60 if state == "loading" else 0, stop="{term: 500ms, rest: 300ms, kill: 5s}")
    small.set_mode(mode)
    gw = managing([big], [small])
    big.stop()
    wait_process(gw, "small", state)
    wait_until(lambda: small.starts() and (not mode or (small.folder / "grandchild").exists()), 20)
    guards = guards_of(gw)
    gw.expected_code = -signal.SIGKILL
    gw.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not small.left() and not any(is_alive(pid) for pid in guards), 20, "all are gone")


def test_an_answer_in_flight_is_not_cut_when_it_is_not_needed_any_more(llm, engine, managing):
    big = llm("big")
    small = engine("small", stop_after="300ms")
    gw = managing([big], [small], more="deadlines: {connect: 500ms, first_token: 20s, stall: 20s, total: 40s}\n")
    big.stop()
    wait_process(gw, "small", "ready")
    small.set_mode("busy")  # answers nothing
    sock = gw.open_chat({"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}]})
    wait_until(lambda: gw.backend("small")["in_flight"] == 1)
    big.start()
    gw.wait_state("big", "HEALTHY")
    end = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > end, 5)
    assert managed(gw, "small")["state"] == "ready"
    sock.close()
    wait_process(gw, "small", "stopped")


def test_metrics_tell_starts_and_state(llm, engine, managing):
    big = llm("big")
    gw = managing([big], [engine("small")])
    big.stop()
    wait_process(gw, "small", "ready")
    text = gw.request("GET", "/metrics", admin=True).body.decode()
    assert 'fallthrough_managed_starts_total{backend="small"} 1\n' in text
    assert 'fallthrough_managed_state{backend="small",state="ready"} 1\n' in text
    assert 'fallthrough_backend_state{backend="small",state="STOPPED"} 0\n' in text
    assert 'backend="big",state="STOPPED"' not in text


def test_its_key_is_in_no_command_line_but_reaches_its_guard(llm, engine, managing):
    key = "sk-secret-of-small"
    big = llm("big")
    small = engine("small", extra=f"api_key: {key}, ")
    gw = managing([big], [small])
    big.stop()
    wait_process(gw, "small", "ready")
    pids = [*guards_of(gw), managed(gw, "small")["pid"]]
    assert not [pid for pid in pids if key.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert not gw.logged(key)
    assert {a["key"] for a in small.asked()} == {f"Bearer {key}"}
