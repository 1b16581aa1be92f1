"""`story(…)`: a gateway with two tiers under steady load, the first one an engine under a real guard."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from types import SimpleNamespace

import pytest
import story as stories
from guarded import Guard

ENGINE = pathlib.Path(stories.__file__).parent / "story_engine.py"
TIMES = {"hang_after": "1500ms", "probe_timeout": "1s", "health_timeout": "1s", "backoff": "{first: 200ms, max: 1s}",
         "stop": "{term: 1s, rest: 500ms, kill: 10s}"}
GATEWAY = {"health": "{interval: 200ms, timeout: 1s, degraded_after: 500ms, down_after: 3, up_after: 2, "
                     "hang_after: 1s, counters: 200ms}",
           "deadlines": "{connect: 500ms, first_token: 2s, stall: 1s, total: 60s}"}


@pytest.fixture
def story(tmp_path: pathlib.Path, llm, gateway, record_property):
    """story(mode, …): other keywords are keys of the guard's file. `end` of it records the line."""
    with contextlib.ExitStack() as stack:
        def make(mode: str = "", **keys) -> stories.Story:
            folder = tmp_path / "guard"
            folder.mkdir()

            def start(mode: str = mode, port: int | None = None) -> Guard:
                one = Guard(folder, mode, port=port, engine=ENGINE, **{**TIMES, **keys})
                stack.callback(one.judge)
                return one

            guard = start()
            engine = SimpleNamespace(name="engine", type="vllm", url=f"http://127.0.0.1:{guard.port}")
            gw = gateway(engine, llm("standby", chat=stories.counts_on()), **GATEWAY)
            s = stack.enter_context(stories.playing(gw, guard, stories.Load(gw)))
            tell = s.end

            def end(title: str, incident: dict) -> None:
                line = tell(title, incident)
                record_property("story", line)
                print(line)

            def operator() -> None:
                """Restarts the guard."""
                s.guard.stop()
                s.guard = start("", guard.port)

            s.end, s.operator = end, operator
            return s
        yield make


def pytest_terminal_summary(terminalreporter):
    lines = [value for report in terminalreporter.getreports("passed")
             for name, value in report.user_properties if name == "story"]
    if lines:
        terminalreporter.section("stories")
    for line in lines:
        terminalreporter.write_line(line)
