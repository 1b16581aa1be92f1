"""What the service manager hears, datagram by datagram."""

from __future__ import annotations

import os
import signal
import time

from gateway import wait_until
from guarded import is_alive


def test_ready_comes_once_and_after_the_first_token(guard, manager):
    g = guard(load=1, env={"NOTIFY_SOCKET": manager.name})
    g.wait_state("READY")
    wait_until(lambda: manager.at("READY=1") >= 0, what="READY=1")
    ready = manager.heard[manager.at("READY=1")].split("\n")
    assert f"MAINPID={g.process.pid}" in ready
    assert any(line.startswith("STATUS=READY: first token after") for line in ready)
    assert (g.folder / "asked").exists()
    before = manager.heard[: manager.at("READY=1")]
    assert any("STATUS=LOADING" in text for text in before)
    assert any("EXTEND_TIMEOUT_USEC=" in text for text in before), before
    os.kill(g.told()["pid"], signal.SIGKILL)
    g.wait_restarted()
    assert g.stop() == 0
    wait_until(lambda: manager.at("STOPPING=1") >= 0, what="STOPPING=1")
    assert len(manager.all("READY")) == 1 and len(manager.all("STOPPING")) == 1
    assert any(s.startswith("RESTARTING: ended by signal 9") for s in manager.all("STATUS"))
    order = [manager.at("READY=1"), manager.at("STOPPING=1")]
    assert order == sorted(order)
    extended = [t for t in manager.heard[manager.at("STOPPING=1"):] if "EXTEND_TIMEOUT_USEC=" in t]
    assert extended, "a stop is given time for the whole ladder"


def test_the_watchdog_is_pinged_from_its_own_loop_whatever_the_backend_does(guard, manager):
    g = guard(load=600, env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1000000"})
    g.wait_state("LOADING")
    wait_until(lambda: len(manager.all("WATCHDOG")) >= 3, what="it is pinged while the backend loads")
    g.set_mode("exit_now")
    wait_until(lambda: g.told()["restarts"]["total"] > 0)
    count = len(manager.all("WATCHDOG"))
    wait_until(lambda: len(manager.all("WATCHDOG")) >= count + 3, what="and while it is restarted")
    os.kill(g.process.pid, signal.SIGSTOP)

    def is_silent() -> bool:
        before = len(manager.all("WATCHDOG"))
        time.sleep(1.2)
        return len(manager.all("WATCHDOG")) == before

    wait_until(is_silent, what="what was on its way has come: a guard that stands still is not alive")
    count = len(manager.all("WATCHDOG"))
    os.kill(g.process.pid, signal.SIGCONT)
    wait_until(lambda: len(manager.all("WATCHDOG")) > count)
    assert manager.at("READY=1") < 0


def test_a_watchdog_of_another_process_is_not_ours(guard, manager):
    g = guard(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    g.wait_state("READY")
    wait_until(lambda: manager.at("READY=1") >= 0)
    assert not manager.all("WATCHDOG")


def test_giving_up_is_told_in_words(guard, manager):
    g = guard("crash", env={"NOTIFY_SOCKET": manager.name}, give_up="{restarts: 1, within: 30m}")
    g.expected_code = 1
    g.wait_state("GAVE_UP")
    wait_until(lambda: any(s.startswith("GAVE_UP: 1 restarts") for s in manager.all("STATUS")))
    assert manager.at("READY=1") < 0
    assert not any(is_alive(s["pid"]) for s in g.starts())
