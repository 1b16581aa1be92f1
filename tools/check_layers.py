#!/usr/bin/env python3
"""Checks how the files under src/ lean on each other.

* A room includes only the rooms below it (ARROWS), and always as "room/file.h".
* A file name occurs once in the tree.
* Every .c has the .h of its name; a part of a split module includes a private header of its room
  instead (NAME_priv.h or NAME_private.h), which no other room may include. Else see NO_HEADER.
* Every header has `#pragma once`, and no headers include each other in a circle.

    check_layers.py [--self-test] [DIRECTORY]        prints file:line: message; exit 1 on a violation
"""

import re
import sys
import tempfile
from pathlib import Path

ARROWS = {
    "base": [],
    "wire": ["base"],
    "net": ["base", "wire"],
    "llm": ["base", "wire"],
    "tiers": ["base"],
    "gate": ["base", "wire", "net", "llm", "tiers"],
    "ops": ["base", "wire", "net", "tiers"],
    "alert": ["base", "wire", "net", "tiers", "ops"],
    "guard": ["base", "wire", "net"],
    "agent": ["base", "wire", "net"],
    "cmd": ["base", "wire", "net", "llm", "tiers", "gate", "ops", "alert", "guard",
            "agent"],
}
# Files without a header of their name -> reason. No exemption without one.
NO_HEADER = {
    "cmd/main.c": "holds main() only",
    "wire/json_value.c": "the values' part of wire/json.h, whose functions it defines",
    "wire/json_walk.c": "the walking part of wire/json.h, whose functions it defines",
    "wire/http_response.c": "the answers' half of wire/http_head.h",
}
PRIVATE = ("_priv.h", "_private.h")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]*)"')


class Source:
    def __init__(self, root, path):
        self.name = path.relative_to(root).as_posix()
        self.room = self.name.split("/")[0]
        self.lines = path.read_text(encoding="utf-8").splitlines()
        self.includes = []
        for number, line in enumerate(self.lines, 1):
            found = INCLUDE.match(line)
            if found:
                self.includes.append((number, found.group(1)))


def is_private(name):
    return name.endswith(PRIVATE)


def check_includes(source, sources):
    for line, target in source.includes:
        room = target.split("/")[0]
        if target not in sources:
            yield source.name, line, f'"{target}" is not "room/file.h" of an existing file'
        elif room != source.room and room not in ARROWS.get(source.room, []):
            yield source.name, line, f"{source.room} may not include {room} ({target})"
        elif room != source.room and is_private(target):
            yield source.name, line, f"{target} is private to {room}"


def check_place(source):
    if source.name.count("/") != 1:
        yield source.name, 1, "is not in a room, as room/file"
    elif source.room not in ARROWS:
        yield source.name, 1, f"there is no room {source.room}"


def check_pair(source, sources):
    if source.name.endswith(".h"):
        if not any(line.strip() == "#pragma once" for line in source.lines):
            yield source.name, 1, "header without #pragma once"
        return
    is_part = any(t.startswith(source.room + "/") and is_private(t) for _, t in source.includes)
    if source.name[:-2] + ".h" not in sources and not is_part and source.name not in NO_HEADER:
        yield source.name, 1, "has neither a header of its name nor a private header it is a part of"


def check_names(sources):
    seen = {}
    for name in sorted(sources):
        base = name.rsplit("/", 1)[-1]
        if base in seen:
            yield name, 1, f"file name is taken by {seen[base]}"
        seen.setdefault(base, name)


def check_cycles(sources):
    done = set()

    def walk(name, trail):
        if name in trail:
            circle = trail[trail.index(name) :] + [name]
            line = next(n for n, t in sources[trail[-1]].includes if t == name)
            yield trail[-1], line, "include cycle: " + " -> ".join(circle)
            return
        if name in done or name not in sources:
            return
        for _, target in sources[name].includes:
            yield from walk(target, trail + [name])
        done.add(name)

    for name in sorted(sources):
        yield from walk(name, [])


def check(root):
    """All violations under root, as (file, line, message)."""
    files = sorted(p for p in root.rglob("*") if p.suffix in (".c", ".h"))
    sources = {s.name: s for s in (Source(root, p) for p in files)}
    found = []
    for source in sources.values():
        found += check_place(source)
        found += check_includes(source, sources)
        found += check_pair(source, sources)
    found += check_names(sources)
    found += check_cycles(sources)
    return sorted(found)


GOOD = {
    "base/str.h": "#pragma once\n",
    "base/str.c": '#include "base/str.h"\n#include <string.h>\n',
    "base/list.h": "#pragma once\n",
    "wire/json.h": '#pragma once\n#include "base/str.h"\n',
    "wire/json.c": '#include "wire/json.h"\n',
    "wire/json_priv.h": '#pragma once\n#include "wire/json.h"\n',
    "wire/json_walk.c": '#include "wire/json_priv.h"\n',
    "cmd/main.c": '#include "wire/json.h"\n',
}
# What is added to GOOD, and a part of the message that must come; one message each.
BAD = [
    ({"base/up.h": '#pragma once\n#include "wire/json.h"\n'}, "base/up.h:2: base may not include wire"),
    ({"tiers/t.h": '#pragma once\n\n#include "wire/json.h"\n'}, "tiers/t.h:3: tiers may not include"),
    ({"base/bare.h": '#pragma once\n#include "str.h"\n'}, 'base/bare.h:2: "str.h" is not'),
    ({"base/gone.h": '#pragma once\n  # include "base/x.h"\n'}, 'base/gone.h:2: "base/x.h" is not'),
    ({"wire/str.h": "#pragma once\n"}, "wire/str.h:1: file name is taken by base/str.h"),
    ({"base/alone.c": '#include "base/str.h"\n'}, "base/alone.c:1: has neither a header"),
    ({"base/open.h": "/* nothing */\n"}, "base/open.h:1: header without #pragma once"),
    ({"net/n.h": '#pragma once\n#include "wire/json_priv.h"\n'}, "is private to wire"),
    ({"attic/a.h": "#pragma once\n"}, "attic/a.h:1: there is no room attic"),
    ({"base/deep/d.h": "#pragma once\n"}, "base/deep/d.h:1: is not in a room"),
    (
        {
            "base/a.h": '#pragma once\n#include "base/b.h"\n',
            "base/b.h": '#pragma once\n#include "base/a.h"\n',
        },
        "base/b.h:2: include cycle: base/a.h -> base/b.h -> base/a.h",
    ),
]


def check_sample(files):
    with tempfile.TemporaryDirectory() as directory:
        for name, text in files.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return [f"{name}:{line}: {message}" for name, line, message in check(Path(directory))]


def self_test():
    failed = []
    good = check_sample(GOOD)
    if good:
        failed.append(f"the good sample is refused: {good}")
    for files, expected in BAD:
        found = check_sample({**GOOD, **files})
        if len(found) != 1 or expected not in found[0]:
            failed.append(f"expected one message with '{expected}', found {found}")
    for message in failed:
        print(message)
    print(f"check_layers.py self-test: {'failed' if failed else f'1 good and {len(BAD)} bad samples'}")
    return 1 if failed else 0


def main(args):
    if args == ["--self-test"]:
        return self_test()
    root = Path(args[0]) if args else Path(__file__).resolve().parent.parent / "src"
    if len(args) > 1 or not root.is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    found = check(root)
    for name, line, message in found:
        print(f"{root.name}/{name}:{line}: {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
