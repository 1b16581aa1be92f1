#!/usr/bin/env python3
"""Every test of this repository; the verbs of the Makefile call it.

    check.py all      lint, instructions, unit tests, fuzz corpora, simulation, whole program; plain
                      (gcc) and under ASan (clang)
    check.py quick    unit tests, a short simulation, tests/flow/fallback, the cheap lint
    check.py asan     all suites under AddressSanitizer and UBSan (clang)
    check.py tsan     all suites under ThreadSanitizer (gcc)
    check.py fuzz     each libFuzzer target for a minute [--seconds N]
    check.py lint     format, layers, sizes, clang-tidy
    check.py tidy     clang-tidy alone, and
    check.py builds   the builds with ASan and with -O3: what all does beside its tests
    check.py vllm     tests/vllm: real vLLMs on the CPU (not in all: tools/install.sh vllm)

Nothing stops at the first failure. The last line is `N passed, N failed`; exit 1 if anything failed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

import lint
from runner import JOBS, ROOT, Beside, Report, run, say

ASAN = ["--buildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false"]
BUILDS = {
    "check": ("gcc", ["--buildtype=debugoptimized"]),
    "asan": ("clang-14", ASAN),
    "tsan": ("gcc", ["--buildtype=debugoptimized", "-Db_sanitize=thread"]),
    "fuzz": ("clang-14", [*ASAN, "-Dfuzz=true"]),
    # As README says; only built: an optimiser that sees more warns of more.
    "o3": ("gcc", ["--buildtype=release", "-Dtests=false"]),
}
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# Real servers, a browser, SDKs and whole stories: slow under a sanitizer, and nothing of ours that the others
# do not reach.
PLAIN_ONLY = ["page", "prometheus", "real", "sdk", "stories"]
FLOW = ROOT / "tests" / "flow"
FLOW_JOBS = 2 * JOBS  # whole-program tests mostly wait
VLLM = ROOT / "tests" / "vllm"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FUZZ_WORK = ROOT / "tests" / "fuzz" / "work"
# Simulated exchanges by build: of a fixed seed, and of a random one.
SIM_EXCHANGES = {"check": (100_000, 20_000), "asan": (2_500, 2_500), "tsan": (1_000, 1_000)}
SIM_QUICK = 2_000


class Build:
    def __init__(self, name: str):
        self.name = name
        self.folder = ROOT / f"build-{name}"
        self.compiler, self.options = BUILDS[name]
        self.env = dict(SANITIZER_ENV)
        if name == "tsan":
            suppressions = ROOT / "tools" / "tsan.supp"
            if suppressions.exists():
                self.env["TSAN_OPTIONS"] += f":suppressions={suppressions}"
        # gcc 12's ThreadSanitizer cannot place its shadow memory under the address randomisation of
        # newer kernels.
        self.prefix = plain_addresses() if name == "tsan" else []

    @property
    def binary(self) -> pathlib.Path:
        return self.folder / "src" / "cmd" / "fallthrough"

    def make(self, report: Report) -> bool:
        with report.step(f"build-{self.name}: {self.compiler} {' '.join(self.options)}"):
            code, output = run([ROOT / "tools/build.sh", f"build-{self.name}", *self.options],
                               f"build-{self.name}", env={"CC": self.compiler})
            return report.judge(f"build-{self.name}", code, output)

    def tests(self, suite: str) -> list[dict]:
        found = subprocess.run(["meson", "introspect", "--tests", self.folder], cwd=ROOT,
                               check=True, capture_output=True, text=True).stdout
        return [t for t in json.loads(found) if suite in [s.split(":")[-1] for s in t["suite"]]]


def plain_addresses() -> list[str]:
    command = ["setarch", platform.machine(), "-R"]
    try:
        works = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        works = False
    return command if works else []


# --- unit tests ---


def judge_cmocka(report: Report, program: str, code: int, output: str) -> None:
    """Each single test of the program counts; one that neither passed nor failed has crashed."""
    results: dict[str, str] = {}
    for word, name in re.findall(r"^\[ +(RUN|OK|FAILED|SKIPPED) +\] (\w+)\s*$", output, re.MULTILINE):
        # FAILED comes a second time in the list at the end.
        results[name] = word
    bad = [name for name, word in results.items() if word in ("RUN", "FAILED")]
    report.ok(sum(word == "OK" for word in results.values()))
    for name in bad:
        report.fail(f"{program}: {name}")
    if bad:
        say("\n".join("    " + line for line in output.rstrip().splitlines()[-60:]))
    elif code != 0:
        report.fail(f"{program} (exit status {code})", output)
    elif not results:
        report.ok()


def run_units(report: Report, build: Build) -> None:
    def one(test: dict) -> None:
        name = f"build-{build.name} {test['name']}"
        code, output = run([*build.prefix, *test["cmd"]], name, test["timeout"], build.env)
        judge_cmocka(report, name, code, output)

    with report.step(f"unit tests of build-{build.name}"):
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            list(pool.map(one, build.tests("unit")))


# --- fuzz corpora ---


def replay(report: Report, build: Build, test: dict) -> None:
    """All files at once; where that fails, one by one to see which."""
    program = test["cmd"][0]
    target = test["name"].split("/")[-1]
    files = sorted(p for p in (CORPUS / target).iterdir() if p.is_file())
    code, _ = run([*build.prefix, program, *files], target, 120, build.env)
    if code == 0:
        report.ok(len(files))
        return
    for path in files:
        code, output = run([*build.prefix, program, path], target, 120, build.env)
        report.judge(f"build-{build.name} {test['name']} {path.name}", code, output)


def run_corpora(report: Report, build: Build) -> None:
    with report.step(f"fuzz corpora, build-{build.name}"):
        for test in build.tests("fuzz"):
            replay(report, build, test)


# --- simulation ---


def simulate(report: Report, build: Build, seed: str, exchanges: int) -> None:
    """One run; what failed is told with the command that replays it."""
    program = (build.folder / "tests" / "sim" / "sim").relative_to(ROOT)
    name = f"build-{build.name} simulation, seed {seed}"
    code, output = run([*build.prefix, program, "--seed", seed, "--exchanges", str(exchanges)],
                       name, 900, build.env)
    report.judge(name, code, output)
    for line in output.splitlines():
        if line.startswith("seed "):
            say(f"   {line}")


def run_sim(report: Report, build: Build, runs: dict[str, int]) -> None:
    """`runs`: how many exchanges, by seed."""
    with report.step(f"simulation of {sum(runs.values()):,} exchanges, build-{build.name}"):
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            list(pool.map(lambda seed: simulate(report, build, seed, runs[seed]), runs))


# --- instructions ---


def run_instructions(report: Report, build: Build) -> None:
    """What three fixed exchanges cost, against the numbers in the tree."""
    with report.step(f"instructions of three exchanges, build-{build.name}"):
        code, output = run([sys.executable, ROOT / "tests/bench/instructions.py", build.folder], "instructions", 600)
        lines = re.findall(r"^(ok|FAILED) (\w+) (.*)$", output, re.MULTILINE)
        for word, name, rest in lines:
            say(f"   {name} {rest}")
            if word == "ok":
                report.ok()
            else:
                report.fail(f"instructions: {name} {rest}")
        if not lines:
            report.judge("instructions", code or 1, output)


# --- whole program ---


def judge_junit(report: Report, name: str, path: pathlib.Path) -> int:
    """Counts the tests in the file; a test whose fixture fails at the end is there twice."""
    failures: dict[str, str] = {}
    passed: set[str] = set()
    skipped: dict[str, str] = {}
    for case in ET.parse(path).getroot().iter("testcase"):
        test = f"{case.get('classname', '')}::{case.get('name', '')}"
        bad = [e for e in case if e.tag in ("failure", "error")]
        skip = case.find("skipped")
        if bad:
            failures[test] = failures.get(test, "") + "\n".join(e.text or e.get("message", "") for e in bad)
        elif skip is not None:
            skipped[test] = skip.get("message", "")
        else:
            passed.add(test)
    report.ok(len(passed - failures.keys()))
    for test, output in failures.items():
        report.fail(f"{name} {test}", output)
    for test, why in skipped.items():
        say(f"   skipped {test}: {why}")
    return len(failures)


def run_pytest(report: Report, build: Build, title: str, args: list[str], jobs: int = FLOW_JOBS) -> None:
    with report.step(title), tempfile.TemporaryDirectory(prefix="fallthrough-check-") as folder:
        result = pathlib.Path(folder) / "result.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(jobs), f"--junitxml={result}",
                   f"--basetemp={folder}/tmp", *args]
        code, output = run([*build.prefix, *command], "pytest", 1800,
                           {**build.env, "FALLTHROUGH_BINARY": str(build.binary)})
        failed = judge_junit(report, f"build-{build.name}", result) if result.exists() else 0
        if code != 0 and failed == 0:
            report.fail(f"{title}: pytest (exit status {code})", output)


def run_flow(report: Report, build: Build, only: str | None = None) -> None:
    folders = sorted(p.name for p in FLOW.iterdir() if any(p.rglob("test_*.py")))
    quiet = [f for f in folders if f not in PLAIN_ONLY and only in (None, f)]
    loud = [f for f in folders if f in PLAIN_ONLY and build.name == "check" and not only]
    for what, names in (("", quiet), (" with real servers, a browser, SDKs and stories", loud)):
        if names:
            run_pytest(report, build, f"whole program{what}, build-{build.name}",
                       [str(FLOW / n) for n in names])


# --- verbs ---


def run_suites(report: Report, build: Build, flow: str | None = None) -> None:
    run_units(report, build)
    run_corpora(report, build)
    run_sim(report, build, dict(zip(("1", "random"), SIM_EXCHANGES[build.name])))
    run_flow(report, build, flow)


def check_quick(report: Report, _args: argparse.Namespace) -> None:
    build = Build("check")
    lint.check_cheap(report)
    if build.make(report):
        run_units(report, build)
        run_sim(report, build, {"1": SIM_QUICK})
        run_flow(report, build, "fallback")


def check_lint(report: Report, _args: argparse.Namespace) -> None:
    build = Build("check")
    build.make(report)
    lint.check_cheap(report)
    if (build.folder / "compile_commands.json").exists():
        lint.check_tidy(report, build.folder)


def check_tidy(report: Report, _args: argparse.Namespace) -> None:
    lint.check_tidy(report, Build("check").folder)


def check_builds(report: Report, _args: argparse.Namespace) -> None:
    Build("asan").make(report)
    Build("o3").make(report)


def check_all(report: Report, _args: argparse.Namespace) -> None:
    plain, asan = Build("check"), Build("asan")
    if plain.make(report):
        lint.check_cheap(report)
        run_instructions(report, plain)
        with Beside(report, "tidy", 1800):
            with Beside(report, "builds", 1800):
                run_suites(report, plain)
            if asan.binary.exists():
                run_suites(report, asan)


def check_build(report: Report, args: argparse.Namespace) -> None:
    build = Build(args.verb)
    if build.make(report):
        run_suites(report, build)


def check_vllm(report: Report, _args: argparse.Namespace) -> None:
    build = Build("check")
    if build.make(report):
        # One after the other: they share two servers, and end what they need.
        run_pytest(report, build, "whole program with real vLLMs", [str(VLLM)], jobs=0)


def fuzz_one(report: Report, program: pathlib.Path, seconds: int) -> None:
    target = program.name.removeprefix("fuzz_")
    work = FUZZ_WORK / target
    work.mkdir(parents=True, exist_ok=True)
    known = set(FUZZ_WORK.glob(f"{target}-*"))
    # New inputs go to the first folder only; the corpus in the tree is read.
    command = [program, work, CORPUS / target, f"-max_total_time={seconds}", "-timeout=10",
               "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={FUZZ_WORK / target}-"]
    code, output = run(command, f"fuzz {target}", seconds + 120, SANITIZER_ENV)
    for crash in sorted(set(FUZZ_WORK.glob(f"{target}-*")) - known):
        say(f"   new crash: {crash.relative_to(ROOT)}")
    runs = re.search(r"number_of_executed_units: (\d+)", output)
    say(f"   {target}: {runs[1] if runs else '?'} runs")
    report.judge(f"fuzz {target}", code, output)


def check_fuzz(report: Report, args: argparse.Namespace) -> None:
    build = Build("fuzz")
    if not build.make(report):
        return
    programs = sorted(p for p in (build.folder / "tests" / "fuzz").glob("fuzz_*")
                      if p.is_file() and os.access(p, os.X_OK))
    with report.step(f"fuzz: {len(programs)} targets, {args.seconds} s each"):
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            list(pool.map(lambda p: fuzz_one(report, p, args.seconds), programs))


VERBS = {"all": check_all, "quick": check_quick, "asan": check_build, "tsan": check_build,
         "fuzz": check_fuzz, "lint": check_lint, "tidy": check_tidy, "builds": check_builds, "vllm": check_vllm}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--seconds", type=int, default=60, help="per fuzz target")
    args = parser.parse_args()
    report = Report()
    VERBS[args.verb](report, args)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
