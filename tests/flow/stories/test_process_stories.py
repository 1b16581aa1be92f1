"""What a backend process does to itself, and what the clients see of it: nothing.

Each story is played with real processes under a steady load, and prints one line: docs/stories.md has them.
"""

from __future__ import annotations

import os
import pathlib
import signal

import pytest
from gateway import wait_until
from guarded import is_alive, own_cgroup
from story import family

pytestmark = pytest.mark.timeout(180)


def nothing_was_left(s) -> None:
    """Each start found no process of the starts before."""
    assert [start["left"] for start in s.guard.starts()] == [[]] * len(s.guard.starts())


def test_it_exits_with_status_0(story):
    """vLLM's way to tell that its engine has died."""
    s = story()
    s.begin()
    worker = family(s.guard.folder, "worker")
    s.hurt(lambda: os.kill(family(s.guard.folder, "core"), signal.SIGKILL))
    _, incident = s.wait_seen()
    assert incident["cause"] == "exit" and incident["exit_status"] == 0
    assert "exited with status 0 without having been asked to stop" in incident["reason"]
    assert "EngineCore died unexpectedly. Shutting down." in incident["lines"]
    s.wait_well()
    assert not is_alive(worker)
    nothing_was_left(s)
    s.end("exit 0", incident)


def test_its_front_is_killed_and_leaves_orphans_in_sessions_of_their_own(story):
    s = story()
    s.begin()
    pids = {role: family(s.guard.folder, role) for role in ("front", "core", "worker")}
    assert os.getsid(pids["core"]) == pids["core"] and os.getsid(pids["worker"]) == pids["worker"]
    s.hurt(lambda: os.kill(pids["front"], signal.SIGKILL))
    _, incident = s.wait_seen()
    assert incident["cause"] == "signal" and incident["signal"] == 9
    s.wait_well()
    assert not any(is_alive(pid) for pid in pids.values())
    nothing_was_left(s)
    s.end("killed, with setsid'd orphans", incident)


def test_it_crashes_in_a_loop_and_recovers(story):
    s = story(give_up="{restarts: 50, within: 30m}")
    s.begin()
    s.guard.set_mode("crash")
    s.hurt(lambda: os.kill(family(s.guard.folder, "core"), signal.SIGKILL))
    s.wait_seen()
    told = wait_until(lambda: (t := s.guard.told())["restarts"]["total"] >= 4 and t, 30, "it has crashed three times")
    incident = told["incident"]
    assert incident["cause"] == "exit" and incident["exit_status"] == 1
    assert any("no kernel image" in line for line in incident["lines"])
    s.guard.set_mode("")
    s.wait_well(4)
    nothing_was_left(s)
    s.end("crash loop", incident)


def test_it_crashes_in_a_loop_and_is_given_up(story):
    """Tier 1 stays away until an operator has restarted the guard; no client is told so."""
    s = story(give_up="{restarts: 2, within: 30m}")
    s.begin()
    s.guard.expected_code = 1
    s.guard.set_mode("crash")
    s.hurt(lambda: os.kill(family(s.guard.folder, "core"), signal.SIGKILL))
    s.wait_seen()
    told = s.guard.wait_state("GAVE_UP")
    assert "2 restarts within 1800 s did not help; last failure: exited with status 1" in told["reason"]
    answered = len(s.load.asked)
    wait_until(lambda: len(s.load.asked) > answered + 20, 30, "tier 2 goes on to answer")
    assert not any(is_alive(p["pid"]) for p in s.guard.starts())
    s.operator()
    s.wait_well(0)
    nothing_was_left(s)
    s.end("crash loop, given up, guard restarted by hand", {**told["incident"], "reason": told["reason"]})


def test_it_hangs_and_ignores_sigterm(story):
    s = story("deaf")
    s.begin()
    pids = {role: family(s.guard.folder, role) for role in ("front", "core", "worker")}
    s.guard.set_mode("")
    s.hurt(lambda: os.kill(pids["core"], signal.SIGSTOP))
    _, incident = s.wait_seen("hung")
    told = s.wait_well()
    assert incident["cause"] == "hang"
    assert told["incident"]["signal"] == 9, "SIGTERM did nothing"
    assert not any(is_alive(pid) for pid in pids.values())
    nothing_was_left(s)
    s.end("a hang that ignores SIGTERM", incident)


def test_its_engine_is_stopped_behind_a_good_health_page(story):
    s = story()
    s.begin()
    s.hurt(lambda: os.kill(family(s.guard.folder, "core"), signal.SIGSTOP))
    _, incident = s.wait_seen("hung: it has work and answers, but no token comes")
    assert incident["cause"] == "hang" and "work in flight, but no token comes" in incident["reason"]
    s.wait_well()
    nothing_was_left(s)
    s.end("SIGSTOP behind /health 200", incident)


def test_it_loads_for_longer_than_it_may(story):
    s = story(start_timeout="3s")
    s.begin()
    s.guard.set_mode("slow")
    s.hurt(lambda: os.kill(family(s.guard.folder, "front"), signal.SIGKILL))
    s.wait_seen()
    told = wait_until(lambda: (t := s.guard.told())["incident"]["cause"] == "slow_start" and t, 30, "it was too slow")
    assert "no token within 3 s of its start" in told["incident"]["reason"]
    s.guard.set_mode("")
    s.wait_well(2)
    nothing_was_left(s)
    s.end("a load that takes too long", told["incident"])


# --- memory ---


@pytest.fixture
def memory_limit():
    """A cgroup of ours with a limit of its memory: the keys that a guard needs to put its backend into it, or the
    words that put guard and all into it where the memory controller is still one of cgroup v1."""
    made = None
    try:
        for parent, is_v2 in ((own_cgroup, True), (own_v1_cgroup, False)):
            folder = parent() / f"fallthrough-story-{os.getpid()}"
            folder.mkdir()
            made = folder
            limit = folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")
            if limit.exists():
                break
            folder.rmdir()
            made = None
        if made is None:
            pytest.skip("no memory controller, neither in cgroup v2 nor in v1")
        limit.write_text(str(160 << 20))
    except OSError as e:
        if made:
            made.rmdir()
        pytest.skip(f"no cgroup with a limit of memory can be made here: {e}")
    yield {"cgroup": str(made)} if is_v2 else {"prefix": [
        "sh", "-c", f'echo $$ >{made}/cgroup.procs && exec "$@"', "sh"]}
    for inner in ("engine", "guard"):
        if (made / inner).exists():
            (made / inner).rmdir()
    wait_until(lambda: not (made / "cgroup.procs").read_text(), 20, "it is empty")
    made.rmdir()


def own_v1_cgroup() -> pathlib.Path:
    """Of the memory controller of cgroup v1; where it is mounted elsewhere, or not at all, its folder does not exist."""
    own = next((line.split(":")[2] for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()
                if line.split(":")[1] == "memory"), "/none")
    return pathlib.Path("/sys/fs/cgroup/memory") / own.lstrip("/")


def test_the_kernel_kills_it_for_memory(memory_limit, story):
    s = story(on_oom="[[--less, memory]]", **memory_limit)
    s.begin()

    def eat() -> None:
        s.guard.set_mode("eat")
        wait_until(lambda: not is_alive(core), 60, "it has eaten too much")
        s.guard.set_mode("")

    core = family(s.guard.folder, "core")
    s.hurt(eat)
    _, incident = s.wait_seen()
    assert incident["cause"] == "oom_host" and "out of host memory" in incident["reason"]
    s.wait_well()
    assert s.guard.starts()[-1]["args"][-2:] == ["--less", "memory"]
    nothing_was_left(s)
    s.end("killed for memory by the kernel", incident)
