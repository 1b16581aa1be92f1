"""A real vLLM under the real guard: its processes die and stand still under load, and are started again.

One guard for all of these tests; each leaves its backend ready. Their lines are in docs/stories.md.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from types import SimpleNamespace

import pytest
from asking import PROMPTS
from fake_llm import FakeLLM, answers
from gateway import Gateway, wait_until
from guarded import Guard, NotifySocket, is_alive
from ports import free_port
from server import MODEL_NAME, START_LIMIT_S, family_of, serve_command, serve_environment
from story import Load, Watch, playing

pytestmark = pytest.mark.timeout(900)

TIMES = {"interval": "1s", "health_timeout": "5s", "start_timeout": "10m", "hang_after": "10s",
         "probe_timeout": "5s", "stop": "{term: 20s, rest: 5s, kill: 20s}", "backoff": "{first: 1s, max: 5s}"}
CONFIG = """\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
deadlines: {{connect: 1s, first_token: 5s, stall: 5s, total: 3m}}
health: {{interval: 500ms, timeout: 5s, degraded_after: 5s, up_after: 1, hang_after: 5s, counters: 1s}}
breaker: {{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 0}}
streams: {{calibrate: 0}}
log: {{level: debug}}
backends:
  engine: {{type: vllm, url: '{engine}'}}
  standby: {{type: vllm, url: '{standby}'}}
models:
  m:
    tiers:
      - engine: {model}
      - standby: any
"""


class Server:
    """The guarded vLLM, its manager, and what was seen of its first start."""

    def __init__(self, folder):
        self.port = free_port()
        self.manager = NotifySocket(folder, abstract=True)
        self.began = time.monotonic()
        self.guard = Guard(folder, port=self.port, command=serve_command(self.port), backend=f"model: {MODEL_NAME}",
                           env={**serve_environment(), "NOTIFY_SOCKET": self.manager.name}, **TIMES)
        self.ready_s = self.healthy_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def figure(self, name: str) -> float:
        text = urllib.request.urlopen(self.url + "/metrics", timeout=5).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))

    def family(self) -> dict[str, int]:
        """Pids by the names that vLLM gives its processes; `api` is the one that the guard has started."""
        pid = self.guard.told()["pid"]
        found = {p.title.split()[0].removeprefix("VLLM::"): p.pid for p in family_of(pid) if p.title.startswith("VLLM::")}
        return {"api": pid, **found}

    def is_healthy(self) -> bool:
        try:
            return urllib.request.urlopen(self.url + "/health", timeout=2).status == 200
        except OSError:
            return False

    def start(self) -> None:
        with Watch(lambda: (self.is_healthy(),)) as health:
            wait_until(lambda: self.manager.at("READY=1") >= 0, START_LIMIT_S, "READY=1")
            self.ready_s = time.monotonic() - self.began
        healthy = health.first(0, lambda told: told[0])
        assert healthy is not None
        self.healthy_s = healthy - self.began


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("guarded"))
    try:
        one.start()
        yield one
    finally:
        one.guard.judge()
        one.manager.close()


def takes_its_time(q, w) -> None:
    """Nobody is served by asking it as often as it can be asked."""
    w.pause(0.3)
    answers("An answer of the second tier, a word at a time.", gap_s=0.05)(q, w)


@pytest.fixture
def story(server, tmp_path):
    standby = FakeLLM("standby", chat=takes_its_time)
    gateway = Gateway(CONFIG.format(engine=server.url, standby=standby.url, model=MODEL_NAME), tmp_path)
    load = Load(gateway, text=None, content=PROMPTS[2], max_tokens=60, temperature=0)
    with playing(gateway, server.guard, load, limit_s=START_LIMIT_S) as s:
        s.begin()
        yield s
    standby.end()
    gateway.judge()


@pytest.fixture
def told(record_property):
    def tell(line: str) -> None:
        record_property("story", line)
        print(line)
    return tell


def test_the_service_manager_hears_ready_after_the_first_token(server, told):
    assert server.healthy_s <= server.ready_s
    assert server.figure("vllm:generation_tokens_total") >= 1
    ready = server.manager.heard[server.manager.at("READY=1")]
    assert "STATUS=READY: first token after" in ready
    before = server.manager.heard[:server.manager.at("READY=1")]
    assert any("EXTEND_TIMEOUT_USEC=" in text for text in before)
    told(f"start: /health 200 after {server.healthy_s:.0f} s, READY=1 after {server.ready_s:.0f} s "
         f"({server.guard.told()['reason']})")


def restart(server, story, told, title: str, how, words: str = "DOWN") -> dict:
    """Hurts it; nothing of the old processes is left when the new one is started."""
    old = server.family()
    assert {"api", "EngineCore"} <= set(old), old
    count = server.guard.told()["restarts"]["total"]
    story.hurt(lambda: how(old))
    _, incident = story.wait_seen(words)
    wait_until(lambda: server.guard.told().get("pid") not in (None, 0, old["api"]), 120, "a new one is started")
    assert not [name for name, pid in old.items() if is_alive(pid)]
    back = story.wait_well(count + 1)
    told(story.end(title, incident))
    return back["incident"]


def test_it_is_restarted_after_the_death_of_its_engine(server, story, told):
    incident = restart(server, story, told, "vLLM, EngineCore killed",
                       lambda old: os.kill(old["EngineCore"], signal.SIGKILL))
    assert incident["cause"] == "exit" and incident["exit_status"] == 0


def test_it_is_restarted_after_the_death_of_its_api_server(server, story, told):
    incident = restart(server, story, told, "vLLM, API server killed", lambda old: os.kill(old["api"], signal.SIGKILL))
    assert incident["cause"] == "signal" and incident["signal"] == 9


def test_it_is_restarted_when_its_engine_stands_still(server, story, told):
    def stop(old) -> None:
        os.kill(old["EngineCore"], signal.SIGSTOP)
        assert server.is_healthy()

    incident = restart(server, story, told, "vLLM, EngineCore stopped, /health 200", stop, "no token comes")
    assert incident["cause"] == "hang"


def test_an_engine_that_came_to_a_halt_with_nothing_to_do_is_found_too(server, story, told):
    """Its figures say that it is idle for ever, whoever waits."""
    running = []

    def stop(old) -> None:
        os.kill(old["EngineCore"], signal.SIGSTOP)
        story.load.go_on()
        wait_until(lambda: server.guard.told()["state"] == "READY" and story.load.served_by("standby", story.hurt_at, 3),
                   60, "tier 2 serves")
        running.append(server.figure("vllm:num_requests_running"))

    story.load.rest()
    wait_until(lambda: server.figure("vllm:num_requests_running") == 0, 30, "it is idle")
    incident = restart(server, story, told, "vLLM, EngineCore stopped while idle", stop)
    assert running == [0] and incident["cause"] == "hang"
