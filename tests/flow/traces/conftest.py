"""`collector(…)` makes a collector of traces, `traced(a, b)` a gateway that tells it."""

import pytest
from collector import Collector


@pytest.fixture
def collectors():
    made: list[Collector] = []

    def make(**how) -> Collector:
        made.append(Collector(**how))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def collector(collectors):
    return collectors()


@pytest.fixture
def traced(gateway, collector):
    def make(*backends, traces: str = "", **more):
        return gateway(*backends, traces=f"{{otlp: '{collector.url}', {traces}}}", **more)

    return make
