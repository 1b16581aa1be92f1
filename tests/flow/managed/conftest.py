"""`engine(name, …)` is a scripted engine that the gateway starts; `managing([…], […])` the gateway, a tier each."""

from __future__ import annotations

import os
import pathlib

import pytest
from managed import BASE, Engine


@pytest.fixture
def engine(tmp_path: pathlib.Path):
    made: list[Engine] = []

    def make(name: str, **more) -> Engine:
        folder = tmp_path / f"engine-{name}"
        folder.mkdir()
        made.append(Engine(name, folder, **more))
        return made[-1]

    yield make
    for one in made:
        for pid in one.left():  # the gateway did not: its test has failed
            os.kill(pid, 9)


@pytest.fixture
def managing(engine, gateway):
    """managing([llm…], [engine…], [engine…]): a tier each. The engines must be gone when the gateway is."""
    engines: list[Engine] = []
    gateways: list = []

    def make(*tiers: list, more: str = "", wait: bool = True):
        lines = [BASE, more, "backends:\n"]
        for one in [b for tier in tiers for b in tier]:
            if isinstance(one, Engine):
                engines.append(one)
                lines.append(f"  {one.name}: {one.yaml}\n")
            else:
                lines.append(f"  {one.name}: {{type: {one.type}, url: '{one.url}'}}\n")
        lines.append("models:\n  m:\n    tiers:\n")
        for tier in tiers:
            lines.append("      - {" + ", ".join(f"{b.name}: up-{b.name}" for b in tier) + "}\n")
        gw = gateway(config="".join(lines), wait=False)
        gateways.append(gw)
        if wait:
            gw.wait_probed(*[b.name for tier in tiers for b in tier if not isinstance(b, Engine)])
        return gw

    yield make
    for gw in gateways:
        gw.stop()
    left = {one.name: one.left() for one in engines}
    assert not any(left.values()), f"left behind: {left}"
