"""Lint: format, layers, sizes, Python syntax, clang-tidy. Used by check.py."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import pathlib
import re
import shutil
import sys

from runner import JOBS, ROOT, TAIL_LINES, Report, run, say

CLANG_FORMAT = "clang-format-14"
CLANG_TIDY = "clang-tidy-14"
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# gcc's options in the compilation database that clang does not know.
TIDY_ARGS = ["--quiet", "--extra-arg=-Wno-unknown-warning-option"]


def _sources(suffixes: tuple[str, ...], *folders: str) -> list[pathlib.Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*")
                  if p.suffix in suffixes and p.is_file())


def _name(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def check_format(report: Report) -> None:
    files = _sources((".c", ".h"), "src", "tests")
    code, output = run([CLANG_FORMAT, "--dry-run", "-Werror", *files], "clang-format", 120)
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error: ", output, re.MULTILINE)))
    for name in bad:
        report.fail(f"lint/format {_name(pathlib.Path(name))} (clang-format-14 -i mends it)")
    if not bad:
        report.judge("lint/format", code, output)


def check_scripts(report: Report) -> None:
    for name in ("layers", "sizes"):
        for extra in ([], ["--self-test"]):
            code, output = run([sys.executable, ROOT / f"tools/check_{name}.py", *extra], name, 60)
            report.judge(" ".join([f"lint/{name}", *extra]), code, output)


def check_python(report: Report) -> None:
    # Compiled here and not by compileall, which would leave files behind.
    for path in _sources((".py",), "tools", "tests"):
        try:
            compile(path.read_bytes(), str(path), "exec")
        except SyntaxError as e:
            report.fail(f"lint/python {_name(path)}:{e.lineno}: {e.msg}")
        else:
            report.ok()


class Tidy:
    """clang-tidy over src/. A file that was clean is not looked at again until the file, a header
    that it includes, the rules, the options of its compilation or clang-tidy change."""

    def __init__(self, build: pathlib.Path):
        self.build = build
        self.cache = build / "tidy-cache"
        self.includes: dict[pathlib.Path, list[pathlib.Path]] = {}
        self.seed = hashlib.sha256()
        self.seed.update((ROOT / ".clang-tidy").read_bytes())
        self.seed.update(pathlib.Path(shutil.which(CLANG_TIDY) or "").resolve().as_posix().encode())
        self.seed.update(run([CLANG_TIDY, "--version"], "clang-tidy")[1].encode())
        self.commands = {}
        for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
            path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
            self.commands[path] = entry["command"]

    def _direct(self, path: pathlib.Path) -> list[pathlib.Path]:
        if path not in self.includes:
            names = INCLUDE.findall(path.read_bytes())
            found = [ROOT / "src" / name.decode() for name in names]
            self.includes[path] = [p for p in found if p.is_file()]
        return self.includes[path]

    def _key(self, path: pathlib.Path) -> str:
        seen = {path}
        left = [path]
        while left:
            for header in self._direct(left.pop()):
                if header not in seen:
                    seen.add(header)
                    left.append(header)
        digest = self.seed.copy()
        digest.update(self.commands[path].encode())
        for part in sorted(seen):
            digest.update(_name(part).encode() + b"\0" + part.read_bytes())
        return digest.hexdigest()

    def _look(self, report: Report, path: pathlib.Path, mark: pathlib.Path) -> None:
        code, output = run([CLANG_TIDY, "-p", self.build, *TIDY_ARGS, path],
                           f"clang-tidy {path.name}", 300)
        kept = [line for line in output.splitlines()
                if not re.fullmatch(r"\d+ warnings? generated\.", line)]
        # The finding comes first, then the path that leads to it.
        if report.judge(f"lint/tidy {_name(path)}", code, "\n".join(kept[:TAIL_LINES])):
            mark.touch()

    def check(self, report: Report) -> None:
        self.cache.mkdir(exist_ok=True)
        files = [p for p in _sources((".c",), "src") if p in self.commands]
        for p in _sources((".c",), "src"):
            if p not in self.commands:
                report.fail(f"lint/tidy {_name(p)} is in no meson.build")
        marks = {p: self.cache / self._key(p) for p in files}
        todo = [p for p in files if not marks[p].exists()]
        for old in set(self.cache.iterdir()) - set(marks.values()):
            old.unlink()
        report.ok(len(files) - len(todo))
        say(f"   {len(todo)} of {len(files)} files changed since they were clean")
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for number, _ in enumerate(pool.map(lambda p: self._look(report, p, marks[p]), todo), 1):
                if number % 25 == 0:
                    say(f"   {number} of {len(todo)} done")


def check_cheap(report: Report) -> None:
    with report.step("lint: format, layers, sizes, Python syntax"):
        check_format(report)
        check_scripts(report)
        check_python(report)


def check_tidy(report: Report, build: pathlib.Path) -> None:
    with report.step("lint: clang-tidy"):
        Tidy(build).check(report)
