"""`live(gw)` is a reader of the stream of events."""

from __future__ import annotations

import pytest
from events_reading import Live
from gateway import Gateway


@pytest.fixture
def live():
    made: list[Live] = []

    def make(gw: Gateway, query: str = "", headers: dict[str, str] | None = None) -> Live:
        made.append(Live(gw, query, headers))
        return made[-1]

    yield make
    for one in made:
        one.close()
