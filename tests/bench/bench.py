"""What a request and a token cost through fallthrough, next to nginx and HAProxy.

Each round runs every path in short turns under the same load: straight to the mock backend (bare), through
nginx, through HAProxy and through fallthrough, one worker each, all gateways on one core, the mock
and the load on another. The cost of a gateway is the CPU time of its processes between the start and
the end of a load, divided by what was answered. Ratios are taken within a round, so that a change of
the machine touches both sides. One table at the end, and the same as TSV with every round's values.

FALLTHROUGH_BINARY names another binary than the build's. Everything runs on loopback and is stopped
at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATEWAYS = ("nginx", "haproxy", "fallthrough")
PATHS = ("bare", *GATEWAYS)
TOKENS = 100
RATE = 50
PLAIN_S = 1
STREAM_S = 2
MANY_STREAMS = 1000  # for the memory that each takes
EVENTS = TOKENS + 3  # the role chunk, the finish and [DONE] are events too
RSS_LIMIT_MIB = 30
PICK_LIMIT_NS = 200.0

NGINX = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 32m;
    keepalive_requests 1000000;
    proxy_read_timeout 300s;
    upstream llm {{
        server 127.0.0.1:{backend};
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{plain};
        location / {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
    server {{
        listen 127.0.0.1:{streams};
        location / {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 1s
    timeout client 300s
    timeout server 300s
    option http-keep-alive
    option http-no-delay
    http-reuse always
frontend api
    bind 127.0.0.1:{plain}
    default_backend llm
backend llm
    server one 127.0.0.1:{backend}
"""

FALLTHROUGH = """\
listen: 127.0.0.1:{plain}
admin: 127.0.0.1:{admin}
workers: 1
backends:
  one: {{type: vllm, url: "http://127.0.0.1:{backend}"}}
models:
  m: {{tiers: [one: llama-3.1-8b]}}
streams: {{upstream: never, calibrate: 0}}
log: {{level: info}}
"""

# Whatever tells what happens, and can be switched on: watched.py compares a gateway with all of it with a bare one.
WATCHED = (
    "history: {folder}/history.db",
)


@dataclasses.dataclass
class Plan:
    """How long and how often. A round's turns are short and many, so that whatever else the machine
    does meets every path alike."""

    rounds: int
    plain_turns: int  # of PLAIN_S seconds
    stream_turns: int  # of STREAM_S seconds in which streams begin
    limit_s: int
    connections: int = 64
    streams: int = 200
    body_bytes: int = 1200


@dataclasses.dataclass
class Row:
    """One line of the table: a figure of one path, with a value for each round."""

    case: str
    path: str
    values: list[float]
    base: list[float] | None = None  # the values of what it is compared with
    base_name: str = ""
    reached: bool | None = None

    @property
    def ratios(self) -> list[float]:
        if not self.base:
            return []
        return [v / b for v, b in zip(self.values, self.base) if b]


class Deadline:
    def __init__(self, limit_s: float):
        self.limit_s = limit_s
        self.end = time.monotonic() + limit_s

    def left_s(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            sys.exit(f"bench: not done within {self.limit_s:.0f} s; is the machine busy?")
        return left


def pick_cores() -> tuple[int, int]:
    """One core for the load and the mock, one for the gateways."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        print("bench: only one core; the load and the gateways share it", file=sys.stderr)
    return cores[0], cores[1 % len(cores)]


def free_ports(count: int) -> list[int]:
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [h.getsockname()[1] for h in holders]
    for h in holders:
        h.close()
    return ports


# --- Processes ---

class Process:
    """A program on one core, with its children. Its output goes to a file."""

    def __init__(self, name: str, command: list[str], core: int, folder: pathlib.Path):
        self.name = name
        self.output = folder / f"{name}.log"
        with self.output.open("wb") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          preexec_fn=lambda: os.sched_setaffinity(0, {core}))

    def pids(self) -> list[int]:
        found = [self.popen.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_us(self) -> float:
        """CPU time so far, of all threads, in the scheduler's own resolution (/proc/PID/stat has
        10 ms only): the clock of another process, as clock_getcpuclockid(3) names it."""
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids()) / 1000

    def rss_mib(self) -> float:
        kb = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    kb += int(line.split()[1])
        return kb / 1024

    def fail(self, why: str) -> None:
        sys.exit(f"bench: {self.name} {why}:\n{self.output.read_text(errors='replace')[-2000:]}")

    def wait_ready(self, port: int, deadline: Deadline) -> None:
        url = f"http://127.0.0.1:{port}/health"
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                self.fail("ended at once")
            try:
                with urllib.request.urlopen(url, timeout=min(1, deadline.left_s())) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        self.fail("is not ready after 10 s")

    def stop(self) -> None:
        if self.popen.poll() is not None:
            return
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(5)
        except subprocess.TimeoutExpired:
            pids = self.pids()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self.popen.wait(5)


class Bench:
    def __init__(self, plan: Plan, tools: pathlib.Path, binary: pathlib.Path, folder: pathlib.Path):
        self.plan, self.tools, self.binary, self.folder = plan, tools, binary, folder
        self.deadline = Deadline(plan.limit_s)
        self.load_core, self.gateway_core = pick_cores()
        self.processes: dict[str, Process] = {}
        self.ports: dict[str, dict[str, int]] = {}  # path -> case -> port
        self.seen: dict[tuple[str, str], list[float]] = {}  # (figure, path) -> values by round
        self.json: dict[str, list[tuple[float, float]]] = {}  # text -> (ours, jansson) by round
        self.picks: dict[str, list[float]] = {}

    def note(self, figure: str, path: str, value: float) -> None:
        self.seen.setdefault((figure, path), []).append(value)

    # --- starting and stopping ---

    def start(self) -> None:
        backend = self.start_mock()
        for name in GATEWAYS:
            self.start_gateway(name, backend)
            self.note("RSS idle, MiB", name, self.processes[name].rss_mib())

    def start_mock(self) -> int:
        mock = Process("mock", [str(self.tools / "mock_backend"), "--tokens", str(TOKENS), "--rate",
                                str(RATE)], self.load_core, self.folder)
        self.processes["mock"] = mock
        while "\n" not in mock.output.read_text():
            if mock.popen.poll() is not None:
                mock.fail("ended at once")
            self.deadline.left_s()
            time.sleep(0.01)
        port = int(mock.output.read_text().split()[1])
        self.ports["bare"] = {"plain": port, "streams": port}
        return port

    def start_gateway(self, name: str, backend: int) -> None:
        plain, streams, admin = free_ports(3)
        template = {"nginx": NGINX, "haproxy": HAPROXY, "fallthrough": FALLTHROUGH}[name]
        config = self.folder / f"{name}.conf"
        config.write_text(template.format(
            plain=plain, streams=streams, admin=admin, backend=backend, folder=self.folder,
            user="user root;" if os.geteuid() == 0 else ""))
        command = {
            "nginx": [program("nginx"), "-p", str(self.folder), "-c", str(config)],
            "haproxy": [program("haproxy"), "-db", "-f", str(config)],
            "fallthrough": [str(self.binary), "serve", "-c", str(config)],
        }[name]
        process = Process(name, command, self.gateway_core, self.folder)
        self.processes[name] = process
        process.wait_ready(plain, self.deadline)
        self.ports[name] = {"plain": plain, "streams": streams if name == "nginx" else plain}

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.stop()

    # --- loads ---

    def load_command(self, path: str, case: str, seconds: int, streams: int) -> list[str]:
        plan = self.plan
        command = [str(self.tools / "load"), "--port", str(self.ports[path][case]), "--seconds",
                   str(seconds), "--body-bytes", str(plan.body_bytes)]
        if case == "streams":
            # A ramp over many token times keeps the streams out of step with each other.
            command += ["--stream", "--connections", str(streams), "--ramp-ms", "1000",
                        "--events", str(EVENTS)]
        else:
            command += ["--connections", str(plan.connections)]
        return command

    def load(self, path: str, case: str, seconds: int) -> tuple[dict, float]:
        """Runs one load. Returns its report and the CPU microseconds of the gateway meanwhile."""
        command = self.load_command(path, case, seconds, self.plan.streams)
        gateway = self.processes.get(path)
        before = gateway.cpu_us() if gateway else 0
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=self.deadline.left_s(),
                              preexec_fn=lambda: os.sched_setaffinity(0, {self.load_core}))
        cost = gateway.cpu_us() - before if gateway else 0
        if done.returncode != 0:
            print(done.stdout.decode(), file=sys.stderr)
            (gateway or self.processes["mock"]).fail(f"gave wrong answers ({case})")
        return json.loads(done.stdout), cost

    def take_turns(self, case: str, paths: list[str]) -> dict[str, list[tuple[dict, float]]]:
        turns, seconds = ((self.plan.plain_turns, PLAIN_S) if case == "plain"
                          else (self.plan.stream_turns, STREAM_S))
        done: dict[str, list[tuple[dict, float]]] = {path: [] for path in paths}
        for turn in range(turns):
            for path in paths if turn % 2 == 0 else reversed(paths):
                done[path].append(self.load(path, case, seconds))
        return done

    def measure_plain(self, paths: list[str]) -> None:
        for path, turns in self.take_turns("plain", paths).items():
            count = sum(report["requests"] for report, _ in turns)
            if path != "bare":
                self.note("plain: CPU µs/request", path, sum(cost for _, cost in turns) / count)
            seconds = sum(report["seconds"] for report, _ in turns)
            self.note("plain: requests/s", path, count / seconds)
            self.note_times("plain: latency", path, [report["latency_us"] for report, _ in turns])

    def measure_streams(self, paths: list[str]) -> None:
        for path, turns in self.take_turns("streams", paths).items():
            count = sum(report["tokens"] for report, _ in turns)
            if path != "bare":
                self.note("streams: CPU µs/token", path, sum(cost for _, cost in turns) / count)
            self.note_times("streams: first token", path,
                            [report["first_token_us"] for report, _ in turns])

    def measure_memory(self) -> None:
        """The most that each gateway takes while many streams are open, and what that is for one."""
        for name in GATEWAYS:
            gateway, most = self.processes[name], 0.0
            idle = self.seen["RSS idle, MiB", name][0]
            command = self.load_command(name, "streams", STREAM_S, MANY_STREAMS)
            load = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                    preexec_fn=lambda: os.sched_setaffinity(0, {self.load_core}))
            while load.poll() is None:
                self.deadline.left_s()
                most = max(most, gateway.rss_mib())
                time.sleep(0.05)
            if load.returncode != 0:
                gateway.fail(f"gave wrong answers ({MANY_STREAMS} streams)")
            self.note(f"RSS with {MANY_STREAMS:,} streams, MiB", name, most)
            self.note("RSS for each of them, KiB", name, (most - idle) * 1024 / MANY_STREAMS)

    def note_times(self, figure: str, path: str, times: list[dict]) -> None:
        for share in ("p50", "p99"):
            self.note(f"{figure} {share}, µs", path, statistics.median(t[share] for t in times))

    def measure_json(self) -> None:
        done = subprocess.run([str(self.tools / "json_speed")], stdout=subprocess.PIPE, check=True,
                              timeout=self.deadline.left_s(),
                              preexec_fn=lambda: os.sched_setaffinity(0, {self.load_core}))
        for line in done.stdout.decode().splitlines()[1:]:
            cells = line.split("\t")
            if len(cells) >= 5:
                self.json.setdefault(cells[0], []).append((float(cells[2]), float(cells[4])))

    def measure_picks(self) -> None:
        done = subprocess.run([str(self.tools / "pick_speed")], stdout=subprocess.PIPE, check=True,
                              timeout=self.deadline.left_s(),
                              preexec_fn=lambda: os.sched_setaffinity(0, {self.load_core}))
        for line in done.stdout.decode().splitlines():
            text, numbers = line[:40].strip(), line[40:].split()
            self.picks.setdefault(text, []).append(float(numbers[0]))

    def warm_up(self) -> None:
        for path in GATEWAYS:
            self.load(path, "plain", PLAIN_S)
            self.load(path, "streams", PLAIN_S)

    def run(self) -> None:
        self.start()
        say(f"warm-up (mock and load on core {self.load_core}, gateways on {self.gateway_core})")
        self.warm_up()
        for number in range(self.plan.rounds):
            order = [PATHS[(i + number) % len(PATHS)] for i in range(len(PATHS))]
            say(f"round {number + 1} of {self.plan.rounds}: {', '.join(order)}")
            self.measure_plain(order)
            self.measure_streams(order)
            self.measure_json()
            self.measure_picks()
        self.measure_memory()
        for name in GATEWAYS:
            self.note("RSS after the loads, MiB", name, self.processes[name].rss_mib())

    # --- the table ---

    def rows(self) -> list[Row]:
        rows = [self.row(figure, path) for figure, path in sorted(self.seen, key=self.order)]
        for text, pairs in self.json.items():
            rows.append(Row(f"JSON {text}: scanned, GB/s", "fallthrough", [p[0] for p in pairs],
                            [p[1] for p in pairs], "jansson"))
        for text, values in self.picks.items():
            row = Row(f"pick, {text}: ns", "fallthrough", values, [PICK_LIMIT_NS] * len(values), "limit")
            row.reached = min(values) < PICK_LIMIT_NS
            rows.append(row)
        return rows

    def order(self, key: tuple[str, str]) -> tuple[int, int]:
        figures = list(dict.fromkeys(figure for figure, _ in self.seen))
        costs_first = sorted(figures, key=lambda f: ("RSS" in f, "streams" in f, "CPU" not in f))
        return costs_first.index(key[0]), PATHS.index(key[1])

    def row(self, figure: str, path: str) -> Row:
        base = "haproxy" if figure.startswith("streams") else "nginx"
        row = Row(figure, path, self.seen[figure, path], self.seen[figure, base], base)
        if path == "fallthrough" and "CPU" in figure:
            row.reached = statistics.median(row.ratios) <= 1.0
        if path == "fallthrough" and "RSS idle" in figure:
            row.reached = max(row.values) < RSS_LIMIT_MIB
        return row


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        sys.exit(f"bench: {name} is not installed; tools/install.sh bench")
    return found


# --- Printing ---

def number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def cells(row: Row) -> list[str]:
    ratio = f"{statistics.median(row.ratios):.2f} x {row.base_name}" if row.ratios else ""
    spread = f"{min(row.ratios):.2f}-{max(row.ratios):.2f}" if row.ratios else ""
    verdict = "" if row.reached is None else "reached" if row.reached else "NOT reached"
    low, mid, high = min(row.values), statistics.median(row.values), max(row.values)
    return [row.case, row.path, number(low), number(mid), number(high), ratio, spread, verdict]


def print_table(rows: list[Row]) -> None:
    head = ["figure", "path", "min", "median", "max", "ratio (median)", "ratios", "target"]
    lines = [head] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    previous = ""
    for line in lines:
        if line[0] != previous:
            print()
        parts = ["" if line[0] == previous else line[0], *line[1:]]
        previous = line[0]
        print("  ".join(p.rjust(w) if 2 <= i <= 4 else p.ljust(w)
                        for i, (p, w) in enumerate(zip(parts, widths))).rstrip())


def write_tsv(rows: list[Row], path: pathlib.Path) -> None:
    lines = ["figure\tpath\tmin\tmedian\tmax\tratio\tratios\ttarget\trounds"]
    for row in rows:
        rounds = ",".join(f"{v:.3f}" for v in row.values)
        lines.append("\t".join([*cells(row), rounds]))
    path.write_text("\n".join(lines) + "\n")


def find_binary(build: pathlib.Path) -> pathlib.Path:
    given = os.environ.get("FALLTHROUGH_BINARY")
    places = [pathlib.Path(given)] if given else [build / "fallthrough",
                                                  build / "src" / "cmd" / "fallthrough"]
    for place in places:
        if place.is_file():
            return place.resolve()
    sys.exit(f"bench: no {places[0]}; make build")


def run(plan: Plan, build: pathlib.Path, binary: pathlib.Path) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="fallthrough-bench-") as folder:
        bench = Bench(plan, build / "tests" / "bench", binary, pathlib.Path(folder))
        try:
            bench.run()
        except subprocess.TimeoutExpired:
            sys.exit(f"bench: not done within {plan.limit_s} s; is the machine busy?")
        finally:
            bench.stop()
        return bench.rows()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is stopped then too
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="rounds after the warm-up (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round, under a minute")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build",
                        help="the Meson build directory with the bench's programs")
    options = parser.parse_args()
    build = options.build.resolve()
    plan = (Plan(options.rounds or 1, plain_turns=3, stream_turns=1, limit_s=60) if options.quick
            else Plan(options.rounds or 3, plain_turns=4, stream_turns=2, limit_s=300))
    binary = find_binary(build)
    rows = run(plan, build, binary)
    write_tsv(rows, build / "bench.tsv")
    print_table(rows)
    print(f"\nRatios are within a round. All values: {build / 'bench.tsv'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
