"""The shipped units: as systemd reads them, and under a real `systemd --user`.

The user manager runs in namespaces and a cgroup of its own, all of which are gone afterwards. What
is missing for it is told where a test is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from gateway import BINARY, ROOT, wait_until
from guarded import ENGINE, is_alive, own_cgroup
from ports import free_port

UNITS = ["fallthrough.service", "fallthrough-guard@.service", "fallthrough-agent.service", "vllm@.service"]
MANAGER = "/lib/systemd/systemd"


def unit_text(name: str) -> str:
    """Our own program in the place of an installed one."""
    return (ROOT / "systemd" / name).read_text().replace("@BINDIR@/fallthrough", str(BINARY))


@pytest.mark.parametrize("name", UNITS)
def test_a_shipped_unit_has_no_mistake(tmp_path: pathlib.Path, name: str):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (tools/install.sh check)")
    path = tmp_path / name.replace("@.", "@gpu0.")
    path.write_text(unit_text(name))
    told = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60)
    ours = [line for line in (told.stdout + told.stderr).splitlines() if path.name in line or "fallthrough" in line]
    assert told.returncode == 0 and not ours, told.stdout + told.stderr


def test_systemd_says_what_is_wrong_with_the_naive_unit(tmp_path: pathlib.Path):
    """Limits in [Service] are the trap that docs/systemd.md tells of."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (tools/install.sh check)")
    path = tmp_path / "naive.service"
    path.write_text("[Service]\nExecStart=/bin/sleep 1\nStartLimitIntervalSec=600\nStartLimitBurst=5\n")
    told = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60)
    assert re.search(r"Unknown key .*'StartLimitIntervalSec' in section .*Service.*, ignoring", told.stderr)
    assert "StartLimitBurst" not in told.stderr


# --- a real manager ---

SETUP = """
set -e
mount -t tmpfs tmpfs /run
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd/system $XDG_RUNTIME_DIR
chmod 700 $XDG_RUNTIME_DIR
exec "$@"
"""


class Manager:
    """`systemd --user` in a mount and a cgroup namespace."""

    def __init__(self, folder: pathlib.Path, cgroup: pathlib.Path):
        self.folder, self.cgroup = folder, cgroup
        self.units = folder / "config/systemd/user"
        self.units.mkdir(parents=True)
        self.env = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", "HOME": str(folder),
                    "XDG_CONFIG_HOME": str(folder / "config"), "XDG_DATA_HOME": str(folder / "data")}
        self.env.pop("DBUS_SESSION_BUS_ADDRESS", None)
        enter = 'echo $$ >"$1/cgroup.procs"; shift; exec unshare -m -C --propagation private sh -c "$@"'
        self.log = open(folder / "manager.log", "wb")
        self.process = subprocess.Popen(
            ["sh", "-c", enter, "sh", str(cgroup), SETUP, "sh", MANAGER, "--user", "--log-target=console"],
            env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def is_up(self) -> bool:
        return self.process.poll() is None and self.ctl("is-system-running", "--wait").stdout.strip() in ("running", "degraded")

    def ctl(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(["nsenter", "-m", "-C", "-t", str(self.process.pid), "systemctl", "--user", "--no-pager", *words],
                              env=self.env, capture_output=True, text=True, timeout=60)

    def show(self, unit: str, key: str) -> str:
        return self.ctl("show", "-p", key, "--value", unit).stdout.strip()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        (self.cgroup / "cgroup.kill").write_text("1")
        self.log.close()
        for path in sorted((p for p in self.cgroup.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
            wait_until(lambda p=path: "populated 0" in (p / "cgroup.events").read_text(), what=f"{path} is empty")
            path.rmdir()
        wait_until(lambda: "populated 0" in (self.cgroup / "cgroup.events").read_text(), what="it is empty")
        self.cgroup.rmdir()


@pytest.fixture
def manager(tmp_path: pathlib.Path):
    for need in (MANAGER, "/usr/bin/unshare", "/usr/bin/nsenter"):
        if not pathlib.Path(need).exists():
            pytest.skip(f"{need} is not installed (tools/install.sh check)")
    if os.getuid() != 0:
        pytest.skip("namespaces and a cgroup for a systemd --user of our own need root here")
    cgroup = own_cgroup() / f"fallthrough-systemd-{os.getpid()}"
    try:
        cgroup.mkdir()
    except OSError as e:
        pytest.skip(f"no cgroup can be made here: {e}")
    m = Manager(tmp_path, cgroup)
    try:
        try:
            wait_until(m.is_up, 20, "systemd --user runs")
        except AssertionError:
            pytest.skip("systemd --user does not run here: " + (tmp_path / "manager.log").read_text()[-500:])
        yield m
    finally:
        m.end()


class Backend:
    """fallthrough-guard@gpu0.service with our file, as shipped but for the two paths."""

    def __init__(self, manager: Manager, folder: pathlib.Path, mode: str = "", load: float = 0, **more: str):
        self.manager, self.folder, self.port, self.listen = manager, folder, free_port(), free_port()
        self.unit = "fallthrough-guard@gpu0.service"
        self.set_mode(mode)
        keys = {"listen": f"127.0.0.1:{self.listen}", "interval": "100ms", "backoff": "{first: 100ms, max: 200ms}", **more}
        words = [sys.executable, "-S", str(ENGINE), "--port", str(self.port), "--state", str(folder), "--load", str(load)]
        (folder / "gpu0.yaml").write_text(
            f"command: {json.dumps(words)}\nbackend: {{url: 'http://127.0.0.1:{self.port}'}}\n" +
            "".join(f"{k}: {v}\n" for k, v in keys.items()))
        text = unit_text("fallthrough-guard@.service").replace("/etc/fallthrough/guard/%i.yaml", str(folder / "%i.yaml"))
        # A user manager may not raise limits; all else is as shipped.
        text = re.sub(r"^Limit.*\n", "", text, flags=re.MULTILINE)
        self.change(text)

    def change(self, text: str) -> None:
        self.text = text
        (self.manager.units / "fallthrough-guard@.service").write_text(text)
        self.manager.ctl("daemon-reload")

    def set_mode(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def starts(self) -> list[dict]:
        path = self.folder / "starts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def show(self, key: str) -> str:
        return self.manager.show(self.unit, key)


def test_the_guard_unit_starts_watches_restarts_and_stops(manager, tmp_path):
    b = Backend(manager, tmp_path)
    told = manager.ctl("start", b.unit)
    assert told.returncode == 0, told.stderr
    # `start` came back, so READY=1 had come: after a token.
    assert (tmp_path / "asked").exists()
    assert b.show("ActiveState") == "active" and b.show("StatusText").startswith("READY: first token after")
    main = int(b.show("MainPID"))
    child = b.starts()[0]
    assert child["pid"] != main and child["leaks"] == []
    assert child["cgroup"].strip().splitlines()[-1].endswith("/fallthrough-guard@gpu0.service/engine")
    os.kill(child["pid"], signal.SIGKILL)
    wait_until(lambda: len(b.starts()) == 2, what="the guard, not systemd, starts it again")
    wait_until(lambda: b.show("StatusText").startswith("READY"), 20, "it is READY again")
    assert b.show("NRestarts") == "0" and int(b.show("MainPID")) == main
    assert manager.ctl("stop", b.unit).returncode == 0
    assert b.show("Result") == "success" and not is_alive(b.starts()[1]["pid"])


def test_a_load_longer_than_the_time_for_starts_is_given_time(manager, tmp_path):
    b = Backend(manager, tmp_path, load=5)
    b.change(b.text.replace("TimeoutStartSec=120", "TimeoutStartSec=2"))
    told = manager.ctl("start", b.unit)
    assert told.returncode == 0, told.stderr
    assert b.show("NRestarts") == "0"


def test_a_guard_that_stands_still_is_killed_by_the_watchdog_and_nothing_of_it_stays(manager, tmp_path):
    b = Backend(manager, tmp_path, "grandchild")
    b.change(b.text.replace("WatchdogSec=30", "WatchdogSec=1").replace("RestartSec=10", "RestartSec=100ms")
             .replace("TimeoutAbortSec=20", "TimeoutAbortSec=1"))
    assert manager.ctl("start", b.unit).returncode == 0
    main, first = int(b.show("MainPID")), b.starts()[0]["pid"]
    orphan = int((tmp_path / "grandchild").read_text())
    time.sleep(2.5)
    assert int(b.show("MainPID")) == main, "a guard that runs is not killed"
    os.kill(main, signal.SIGSTOP)
    wait_until(lambda: b.show("NRestarts") == "1", 20, "systemd starts it anew")
    assert not is_alive(first) and not is_alive(orphan)


def test_bad_configuration_is_not_tried_again(manager, tmp_path):
    b = Backend(manager, tmp_path, unknown_key="1")
    assert manager.ctl("start", b.unit).returncode != 0
    assert b.show("ExecMainStatus") == "78" and b.show("ActiveState") == "failed" and b.show("NRestarts") == "0"


def test_the_naive_watchdog_kills_a_backend_that_is_well(manager, tmp_path):
    """The unit that people copy: Type=simple and WatchdogSec on a server that never pings."""
    (manager.units / "naive.service").write_text("[Service]\nType=simple\nWatchdogSec=1\nExecStart=/bin/sleep 600\n")
    manager.ctl("daemon-reload")
    assert manager.ctl("start", "naive.service").returncode == 0
    wait_until(lambda: manager.show("naive.service", "Result") == "watchdog", 20, "it is killed")
