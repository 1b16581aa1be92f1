"""With a cgroup of its own the guard loses nobody, and knows an OOM kill when it sees one.

Needs cgroup v2 and the right to make a folder in it (root, or a delegated one); what is missing is
told where a test is skipped. Only a folder of our own is made, and taken away again.
"""

from __future__ import annotations

import os
import signal

import pytest
from gateway import wait_until
from guarded import is_alive, own_cgroup


@pytest.fixture
def folder():
    made = own_cgroup() / f"fallthrough-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as e:
        pytest.skip(f"no cgroup can be made here: {e}")
    yield made
    for inner in ("engine", "guard"):
        if (made / inner).exists():
            wait_until(lambda i=inner: "populated 0" in (made / i / "cgroup.events").read_text(), what="it is empty")
            (made / inner).rmdir()
    made.rmdir()


def test_the_backend_lives_in_a_cgroup_of_its_own(folder, guard):
    g = guard("grandchild", cgroup=str(folder))
    told = g.wait_state("READY")
    assert told["cgroup"] == str(folder / "engine")
    inside = {int(p) for p in (folder / "engine" / "cgroup.procs").read_text().split()}
    assert told["pid"] in inside and int((g.folder / "grandchild").read_text()) in inside
    assert g.process.pid not in inside
    assert g.stop() == 0
    assert not (folder / "engine").exists()


def test_what_was_left_by_a_killed_guard_is_ended_before_the_next_start(folder, guard):
    """No descendant of the new guard: only the cgroup knows of it."""
    old = guard("grandchild", cgroup=str(folder))
    old.wait_state("READY")
    orphan = int((old.folder / "grandchild").read_text())
    old.expected_code = -signal.SIGKILL
    old.process.kill()
    old.process.wait()
    assert is_alive(orphan)
    new = guard(cgroup=str(folder), port=old.port)
    new.wait_state("READY")
    assert not is_alive(orphan)


def test_an_oom_kill_is_told_from_a_crash(folder, guard):
    if not (folder / "memory.max").exists():
        parent = folder.parent / "cgroup.controllers"
        pytest.skip(f"no memory controller in cgroup v2 here (controllers: '{parent.read_text().strip()}')")
    (folder / "memory.max").write_text(str(96 << 20))
    if (folder / "memory.swap.max").exists():
        (folder / "memory.swap.max").write_text("0")
    g = guard("once:host_oom", cgroup=str(folder), on_oom="[[--less]]")
    told = g.wait_restarted(limit_s=60)
    assert told["incident"]["cause"] == "oom_host" and told["oom_step"] == 1
    assert g.starts()[1]["args"] == ["--less"]


def test_a_folder_that_is_none_is_refused(guard, tmp_path):
    g = guard(cgroup="/nowhere/at/all")
    g.expected_code = 1
    assert g.process.wait(20) == 1
    wait_until(lambda: g.logged("the configured cgroup cannot be written"))


def test_without_one_it_says_why(guard):
    told = guard(cgroup="'off'").wait_state("READY")
    assert told["cgroup"] == "" and told["no_cgroup"] == "switched off"
