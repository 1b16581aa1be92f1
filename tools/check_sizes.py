#!/usr/bin/env python3
"""Checks that files, functions and lines of C stay small enough to read.

    .c at most 600 lines, .h at most 200; a function at most 60 lines, from its opening to its closing
    brace; a line at most 96 columns; no tabs.

Functions are found by their braces in the first column, as .clang-format sets them.

    check_sizes.py [--self-test] [DIRECTORY...]      prints file:line: message; exit 1 on a violation
"""

import re
import sys
import tempfile
import unicodedata
from pathlib import Path

FILE_LINES = {".c": 600, ".h": 200}
FUNCTION_LINES = 60
COLUMNS = 96

# file (from the root of the tree) -> reason. No exemption without one.
EXEMPT_FILES = {}

OPENING = re.compile(r"^\{|^[A-Za-z_].*\)\s*\{\s*$")


def width(line):
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in line)
    marks = sum(unicodedata.combining(c) != 0 for c in line)
    return len(line) + wide - marks


def check_lines(lines):
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield number, "tab"
        if width(line) > COLUMNS:
            yield number, f"{width(line)} columns, {COLUMNS} are allowed"


def check_functions(lines):
    opened = None
    for number, line in enumerate(lines, 1):
        if opened is None and OPENING.match(line):
            opened = number
        elif opened is not None and line.startswith("}"):
            if number - opened > FUNCTION_LINES:
                size = f"{number - opened} lines, {FUNCTION_LINES} are allowed"
                yield opened, f"function of {size}"
            opened = None


def check_file(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    limit = FILE_LINES[path.suffix]
    if len(lines) > limit:
        yield limit + 1, f"file of {len(lines)} lines, {limit} are allowed"
    yield from check_lines(lines)
    yield from check_functions(lines)


def check(root, directories):
    """All violations under the directories, as (file from root, line, message)."""
    found = []
    for directory in directories:
        for path in sorted(p for p in directory.rglob("*") if p.suffix in FILE_LINES):
            name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
            if name not in EXEMPT_FILES:
                found += [(name, line, message) for line, message in check_file(path)]
    return found


def function_of(lines):
    """A function whose closing brace is `lines` below its opening one."""
    return "int f(void)\n{\n" + "    g();\n" * (lines - 1) + "}\n"


GOOD = {
    "a.c": "x;\n" * 600,
    "a.h": "x;\n" * 200,
    "wide.c": "x" * 96 + "\n" + "/* " + "─" * 90 + " */\n",
    "f.c": "struct s {\n" + "    int x;\n" * 80 + "};\n" + function_of(60) * 3,
}
BAD = [
    ("a.c", "x;\n" * 601, "a.c:601: file of 601 lines"),
    ("a.h", "x;\n" * 201, "a.h:201: file of 201 lines"),
    ("w.c", "y;\n" + "x" * 97 + "\n", "w.c:2: 97 columns"),
    ("u.h", "/* " + "─" * 91 + " */\n", "u.h:1: 97 columns"),
    ("t.c", "x;\n\ty;\n", "t.c:2: tab"),
    ("f.c", function_of(5) + function_of(61), "f.c:9: function of 61 lines"),
    ("k.c", function_of(61).replace(")\n{", ") {"), "k.c:1: function of 61 lines"),
]


def check_sample(files):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name, text in files.items():
            (root / name).write_text(text, encoding="utf-8")
        return [f"{name}:{line}: {message}" for name, line, message in check(root, [root])]


def self_test():
    failed = []
    good = check_sample(GOOD)
    if good:
        failed.append(f"the good sample is refused: {good}")
    for name, text, expected in BAD:
        found = check_sample({name: text})
        if len(found) != 1 or expected not in found[0]:
            failed.append(f"expected one message with '{expected}', found {found}")
    for message in failed:
        print(message)
    print(f"check_sizes.py self-test: {'failed' if failed else f'1 good and {len(BAD)} bad samples'}")
    return 1 if failed else 0


def main(args):
    if args == ["--self-test"]:
        return self_test()
    root = Path(__file__).resolve().parent.parent
    directories = [Path(a).resolve() for a in args] or [root / "src", root / "tests"]
    if not all(d.is_dir() for d in directories):
        print(__doc__, file=sys.stderr)
        return 2
    found = check(root, directories)
    for name, line, message in found:
        print(f"{name}:{line}: {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
