#!/usr/bin/env python3
"""Writes the files of the status page as a C file: their bytes, types and tags.

    embed.py OUTPUT.c FILE...

The same files always make the same output: no times, no paths but the files' own names.
"""

from __future__ import annotations

import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
COLUMNS = 20


def path_of(file: pathlib.Path) -> str:
    return "/" if file.name == "index.html" else f"/assets/{file.name}"


def array_of(number: int, data: bytes) -> str:
    rows = [data[i:i + COLUMNS] for i in range(0, len(data), COLUMNS)]
    text = "\n".join("    " + "".join(f"{byte}," for byte in row) for row in rows)
    return f"static const unsigned char asset_{number}[] = {{\n{text}\n}};\n"


def row_of(number: int, file: pathlib.Path, data: bytes) -> str:
    tag = hashlib.sha256(data).hexdigest()[:20]
    return (f'    {{"{path_of(file)}", "{TYPES[file.suffix]}", "\\"{tag}\\"", asset_{number}, '
            f"sizeof(asset_{number})}},\n")


def main(output: str, names: list[str]) -> None:
    files = sorted((pathlib.Path(name) for name in names), key=lambda f: f.name)
    contents = [file.read_bytes() for file in files]
    arrays = "\n".join(array_of(i, data) for i, data in enumerate(contents))
    rows = "".join(row_of(i, file, data) for i, (file, data) in enumerate(zip(files, contents)))
    pathlib.Path(output).write_text(
        '/* Made by tools/embed.py from web/. */\n#include "ops/web_assets.h"\n\n'
        f"{arrays}\nconst struct web_asset WEB_ASSETS[] = {{\n{rows}}};\n"
        f"const size_t WEB_ASSET_COUNT = {len(files)};\n", encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
