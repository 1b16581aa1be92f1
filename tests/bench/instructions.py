"""Counts the instructions of three fixed exchanges, and holds them against the numbers in the tree.

A count does not depend on the clock or on what else the machine does: the program runs under callgrind,
one connection, one exchange after the other, twice with different numbers of exchanges, so that the difference is the
exchange alone. tests/bench/instructions.json has a number for each; more than 3 % above it fails. Whoever makes an
exchange dearer on purpose, or cheaper, puts the new numbers there (--write) and says why in the commit.

    instructions.py BUILD [--write]     BUILD: a folder like build-check, with tests/bench
    instructions.py BUILD --watched     the same with everything switched on that tells what happens (WATCHED in benchlib; no collector
                                        is there)
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from bench import FALLTHROUGH, WATCHED, free_ports

NUMBERS = pathlib.Path(__file__).with_name("instructions.json")
MORE_MAX = 0.03
TRIES = 3  # on a busy machine tokens come together in the one run and not in the other: the least counts
READY_S = 60
RUN_S = 120
RATE = 100  # tokens a second: slow enough that under callgrind, too, each comes alone


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    what: str
    body_bytes: int
    tokens: int
    streams: bool
    few: int  # exchanges of the first run
    many: int  # and of the second


CASES = (
    Case("plain", "1.2 KB in, a plain answer", 1200, 20, False, 100, 600),
    Case("stream", "1.2 KB in, a stream of 100 tokens", 1200, 100, True, 1, 7),
    Case("large", "200 KB in, a plain answer", 200_000, 20, False, 10, 60),
)


@contextlib.contextmanager
def process(command: list[str], **options):
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield p
    finally:
        if p.poll() is None:
            p.kill()
        p.wait()


def wait_ready(program: subprocess.Popen, port: int) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end and program.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1).close()
            return
        time.sleep(0.05)
    sys.exit("instructions: the program under callgrind is not ready")


def count(build: pathlib.Path, case: Case, exchanges: int, more: str) -> int:
    """Instructions of a whole run of the program with so many exchanges."""
    tools = build / "tests" / "bench"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as name, process(
            [str(tools / "mock_backend"), "--tokens", str(case.tokens), "--rate", str(RATE)],
            stdout=subprocess.PIPE, text=True) as mock:
        folder = pathlib.Path(name)
        plain, admin = free_ports(2)
        (folder / "conf").write_text(FALLTHROUGH.format(
            plain=plain, admin=admin, backend=mock.stdout.readline().split()[1])
            + more.format(folder=folder, sink=free_ports(1)[0]))
        with process(["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
                      str(build / "src" / "cmd" / "fallthrough"), "serve", "-c", str(folder / "conf")], **quiet) as program:
            wait_ready(program, plain)
            load = [str(tools / "load"), "--port", str(plain), "--connections", "1", "--requests", str(exchanges),
                    "--body-bytes", str(case.body_bytes)]
            load += ["--stream", "--events", str(case.tokens + 3)] if case.streams else []
            subprocess.run(load, check=True, timeout=RUN_S, stdout=subprocess.DEVNULL)
            program.send_signal(signal.SIGTERM)
            program.wait(READY_S)
        return int(re.search(r"^(?:totals|summary): (\d+)", (folder / "out").read_text(), re.MULTILINE)[1])


def measure(build: pathlib.Path, case: Case, more: str) -> int:
    return round((count(build, case, case.many, more) - count(build, case, case.few, more)) / (case.many - case.few))


def measure_at_most(build: pathlib.Path, case: Case, more: str, most: float) -> int:
    """The first that is not more than `most`, or the least of several."""
    found = []
    while not found or (found[-1] > most and len(found) < TRIES):
        found.append(measure(build, case, more))
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--watched", action="store_true")
    args = parser.parse_args()
    known = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    if args.watched:
        found = {case.name: measure(args.build, case, WATCHED) for case in CASES}
    else:
        found = {case.name: measure_at_most(args.build, case, "", known.get(case.name, 0) * (1 + MORE_MAX))
                 for case in CASES}
    if args.write and not args.watched:
        NUMBERS.write_text(json.dumps(found, indent=4) + "\n")
        known = found
    failed = 0
    for case in CASES:
        ratio = found[case.name] / known[case.name]
        is_more = ratio > 1 + MORE_MAX
        failed += is_more
        print(f"{'FAILED' if is_more else 'ok'} {case.name} ({case.what}): {found[case.name]:,} instructions, "
              f"{known[case.name]:,} in the tree: {100 * (ratio - 1):+.1f} %")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
