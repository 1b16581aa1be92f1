"""`agent(…)` runs the real agent on a fake libnvidia-ml, a fake kernel log and a fake sysfs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from typing import Any

import pytest
from gateway import BINARY, FORBIDDEN, wait_until

FAKES = BINARY.resolve().parents[2] / "tests" / "fake_nvml"
SOURCE = pathlib.Path(__file__).resolve().parents[2] / "fake_nvml" / "fake_nvml.c"
BDF = "0000:{:02x}:00"

# Short times, so that a test waits for conditions and not for the clock.
# Those of silence are long enough for a probe that a busy machine keeps waiting.
THRESHOLDS = {"hold": "0", "late_after": "1s", "hung_after": "2s", "start_after": "2s",
              "abandon_after": "3s", "ecc_grace": "100ms", "app_hold": "1h"}


class Agent:
    def __init__(self, folder: pathlib.Path, library: str, keys: dict[str, str], thresholds: dict[str, str],
                 args: list[str] | None = None):
        self.folder = folder
        self.state_file, self.kmsg, self.nvml_file = folder / "state.json", folder / "kmsg", folder / "nvml"
        self.proc, self.sysfs = folder / "proc", folder / "sys"
        self.library = library
        self.keys, self.thresholds = keys, thresholds
        self.lines: list[str] = []
        self.token = ""
        self.seq = 100
        self.expected_code = 0
        self.process: subprocess.Popen | None = None
        self.boot("11111111-2222-3333-4444-555555555555")
        if not self.kmsg.exists():
            self.kmsg.touch() if keys.pop("kmsg_file", None) else os.mkfifo(self.kmsg)
        if not self.nvml_file.exists():
            self.nvml()
        (self.sysfs / "bus/pci/devices").mkdir(parents=True, exist_ok=True)

    # --- the machine ---

    def boot(self, boot_id: str) -> None:
        file = self.proc / "sys/kernel/random/boot_id"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(boot_id + "\n")

    def nvml(self, **keys: Any) -> None:
        """What the library says from now on; `__` stands for a point."""
        text = "".join(f"{k.replace('__', '.')}={v}\n" for k, v in keys.items())
        beside = self.nvml_file.with_suffix(".new")
        beside.write_text(text)
        beside.rename(self.nvml_file)

    def device(self, gpu: int = 0, vendor: str = "0x10de", config: bytes = b"\xde\x10\x30\x23") -> pathlib.Path:
        """A device on the PCI bus."""
        folder = self.sysfs / "bus/pci/devices" / f"0000:{0x18 + gpu:02x}:00.0"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"vendor": vendor + "\n", "class": "0x030200\n", "power_state": "D0\n"}.items():
            (folder / name).write_text(text)
        (folder / "config").write_bytes(config)
        return folder

    def log(self, text: str, facility: int = 0, age_s: float = 0) -> None:
        """A record of the kernel's log."""
        self.seq += 1
        usec = int((time.monotonic() - age_s) * 1e6)
        self.raw_log(f"{facility << 3 | 3},{self.seq},{max(usec, 0)},-;{text}\n".encode())

    def raw_log(self, data: bytes) -> None:
        fd = os.open(self.kmsg, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)

    def xid(self, number: int, rest: str = "", gpu: int = 0, **more: Any) -> None:
        self.log(f"NVRM: Xid (PCI:{BDF.format(0x18 + gpu)}): {number}{rest}", **more)

    # --- the program ---

    def config(self) -> str:
        fixed = {"listen": "127.0.0.1:0", "interval": "50ms", "retry": "1h", "nvml_library": self.library,
                 "kmsg": self.kmsg, "state": self.state_file, "proc_root": self.proc, "sysfs_root": self.sysfs,
                 "log": "{level: debug}"}
        keys = {**fixed, **self.keys}
        lines = [f"{k}: {v}\n" for k, v in keys.items() if v]
        lines.append("thresholds: {" + ", ".join(f"{k}: {v}" for k, v in {**THRESHOLDS, **self.thresholds}.items()) + "}\n")
        return "".join(lines)

    @property
    def command(self) -> list[str]:
        file = self.folder / "agent.yaml"
        file.write_text(self.config())
        return [str(BINARY), "agent", "-c", str(file)]

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "FAKE_NVML": str(self.nvml_file)}

    def start(self) -> Agent:
        self.lines = []
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, env=self.env)
        self.log_done = threading.Event()
        threading.Thread(target=self._read_log, args=(self.process.stderr, self.lines, self.log_done),
                         daemon=True).start()
        self.port = wait_until(self._port, 20, "the agent says that it listens")
        return self

    @staticmethod
    def _read_log(pipe, lines: list[str], done: threading.Event) -> None:
        with pipe:
            for line in pipe:
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        done.set()

    def _port(self) -> int | None:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError("the agent ended at start:\n" + "\n".join(self.lines))
        for line in self.lines:
            if m := re.search(r"msg=listening agent=\S*?:(\d+)", line):
                return int(m[1])
        return None

    def once(self) -> subprocess.CompletedProcess:
        return subprocess.run([*self.command, "--once"], env=self.env, capture_output=True, timeout=60)

    def stop(self) -> None:
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        code, self.process = self.process.returncode, None
        self.log_done.wait(2)  # a stuck probe keeps the pipe open
        bad = [line for line in self.lines if any(f in line for f in FORBIDDEN)]
        assert not bad, "forbidden in the log:\n" + "\n".join(self.lines[-60:])
        assert code == self.expected_code, f"the agent ended with {code}:\n" + "\n".join(self.lines[-60:])

    def restart(self) -> Agent:
        self.stop()
        return self.start()

    def end(self) -> None:
        self.nvml()  # whatever hangs goes on and ends
        self.stop()

    # --- what it says ---

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, timeout: float = 30):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(conn):
            token = {"authorization": f"Bearer {self.token}"} if self.token else {}
            conn.request(method, path, headers={**token, **(headers or {})})
            response = conn.getresponse()
            return response.status, response.read()

    def get(self, path: str = "/gpu") -> dict:
        status, body = self.request("GET", path)
        assert status == 200, body
        return json.loads(body)

    def gpu(self, number: int = 0) -> dict:
        bdf = BDF.format(0x18 + number)
        return next((g for g in self.get()["gpus"] if g["bdf"] == bdf), {})

    def reasons(self, number: int = 0) -> list[str]:
        return [a["reason"] for a in self.gpu(number).get("ailments", [])]

    def wait_state(self, state: str, reason: str | None = None, limit_s: float = 10) -> dict:
        def holds():
            v = self.get()
            return v["state"] == state and reason in (None, v["reason"]) and v
        return wait_until(holds, limit_s, f"{state} for {reason}")

    def polls(self) -> int:
        return self.get()["agent"]["polls"]

    def wait_read(self, polls: int = 2) -> dict:
        """Until it has read the GPUs anew that many times."""
        before = self.polls()
        wait_until(lambda: self.polls() >= before + polls, 10, "readings")
        return self.get()

    def status_of(self, name: str) -> int:
        assert self.process
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1])

    def cpu_s(self, pid: int | None = None) -> float:
        assert self.process
        fields = pathlib.Path(f"/proc/{pid or self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory: pytest.TempPathFactory):
    """Where the fakes are: as built with the program, or made here where that was without tests."""
    if FAKES.is_dir():
        return FAKES
    folder = tmp_path_factory.mktemp("fake_nvml")
    for name, flags in {"fake": [], "old": ["-DFAKE_OLD"]}.items():
        subprocess.run(["cc", "-shared", "-fPIC", "-std=c17", "-D_GNU_SOURCE", *flags, SOURCE, "-o",
                        folder / f"libnvidia-ml-{name}.so"], check=True)
    return folder


@pytest.fixture
def agent(tmp_path: pathlib.Path, fake_nvml: pathlib.Path):
    """agent() makes one with a fake GPU; `library=` is "fake", "old" or a path; `start=False` leaves
    it to the test; other keywords are top-level keys of its file as YAML text."""
    made: list[Agent] = []

    def make(library: str = "fake", start: bool = True, thresholds: dict[str, str] | None = None,
             nvml: dict[str, Any] | None = None, **keys: str) -> Agent:
        folder = tmp_path / f"agent{len(made)}"
        folder.mkdir()
        path = str(fake_nvml / f"libnvidia-ml-{library}.so") if library in ("fake", "old") else library
        one = Agent(folder, path, keys, thresholds or {})
        made.append(one)
        one.nvml(**(nvml or {}))
        return one.start() if start else one

    yield make
    for one in made:
        one.end()
