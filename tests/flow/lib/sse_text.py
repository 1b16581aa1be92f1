"""Reads an event stream the way a client does (WHATWG HTML, section 9.2): any line end will do."""

from __future__ import annotations

import json
import re


def payloads(body: bytes) -> list[str]:
    """The data of each complete event."""
    text = body.decode("utf-8").removeprefix("\ufeff")
    lines = re.split(r"\r\n|\n|\r", text)
    out: list[str] = []
    data: list[str] = []
    for line in lines[:-1]:
        if line == "":
            if data:
                out.append("\n".join(data))
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
    return out


def chunks(body: bytes) -> list[dict]:
    return [json.loads(p) for p in payloads(body) if p != "[DONE]"]


def text_of(body: bytes, index: int = 0) -> str:
    return "".join(c["delta"].get("content") or "" for chunk in chunks(body)
                   for c in chunk.get("choices", []) if c["index"] == index)


def finishes(body: bytes) -> list[str]:
    return [c["finish_reason"] for chunk in chunks(body) for c in chunk.get("choices", []) if c["finish_reason"]]
