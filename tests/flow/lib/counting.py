"""Answers that count: " 0 1 2 …" up to COUNT. Who goes on with another one's answer begins behind its last number."""

from __future__ import annotations

COUNT = 30


def first_number(body: dict) -> int:
    """The next one to be said."""
    last = (body.get("messages") or [{}])[-1]
    said = last.get("content", "").split() if last.get("role") == "assistant" else []
    return int(said[-1]) + 1 if said else 0


def words(begin: int = 0) -> list[str]:
    return [f" {n}" for n in range(begin, COUNT)]


WHOLE = "".join(words())
