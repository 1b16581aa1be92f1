"""The guard around a real llama.cpp server with a real 135M model."""

import os
import signal
import sys

import pytest
from gateway import ROOT, wait_until
from guarded import Guard, is_alive
from ports import free_port

TIMES = {"interval": "200ms", "hang_after": "2s", "probe_timeout": "3s", "health_timeout": "1s",
         "stop": "{term: 1s, rest: 1s, kill: 10s}", "start_timeout": "2m"}


@pytest.fixture
def guarded(tmp_path):
    port = free_port()
    g = Guard(tmp_path, port=port, backend="type: llamacpp", **TIMES,
              command=[sys.executable, str(ROOT / "tools/llama_backend.py"), str(port)])
    g.wait_state("READY", 60)
    yield g
    g.judge()


def test_kill_9_is_restarted_to_a_token(guarded):
    first = guarded.told()["pid"]
    os.kill(first, signal.SIGKILL)
    told = guarded.wait_restarted(1, 60)
    assert told["pid"] != first and told["incident"]["cause"] == "signal"
    assert guarded.stop(20) == 0
    assert not is_alive(told["pid"])


def test_a_stopped_server_is_found_killed_and_restarted(guarded):
    first = guarded.told()["pid"]
    os.kill(first, signal.SIGSTOP)
    told = guarded.wait_restarted(1, 60)
    assert told["pid"] != first and told["incident"]["cause"] == "hang"
    wait_until(lambda: not is_alive(first))
