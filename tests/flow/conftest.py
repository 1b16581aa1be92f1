"""Fixtures: `llm(…)` makes scripted backends, `gateway(…)` the real binary in front of them."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

from fake_llm import FakeLLM  # noqa: E402
from gateway import Gateway  # noqa: E402

# Short times, so that a test waits for conditions and not for the clock.
BASE = """\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
"""
DEFAULTS = {
    "workers": "2",
    "health": "{interval: 200ms, timeout: 1s, degraded_after: 500ms, down_after: 3, up_after: 2}",
    "deadlines": "{connect: 500ms, first_token: 1s, first_token_per_1k: 100ms, stall: 1s, total: 20s}",
    "retry": "{same_backend: 1, on: [429, 500, reset], backoff: 20ms, retry_after_up_to: 2s}",
    "degrade": "{llamacpp: {}, ollama: {}}",
    "log": "{level: debug}",
}


def make_config(backends: list[FakeLLM], tiers: list[list[FakeLLM]] | None, extra: dict[str, str],
                backend_extra: dict[str, str]) -> str:
    lines = [BASE]
    for key, value in {**DEFAULTS, **extra}.items():
        if value:
            lines.append(f"{key}: {value}\n")
    lines.append("backends:\n")
    for b in backends:
        more = backend_extra.get(b.name, "")
        lines.append(f"  {b.name}: {{type: {b.type}, url: '{b.url}'{', ' + more if more else ''}}}\n")
    lines.append("models:\n  m:\n    tiers:\n")
    for tier in tiers or [[b] for b in backends]:
        lines.append("      - {" + ", ".join(f"{b.name}: up-{b.name}" for b in tier) + "}\n")
    return "".join(lines)


@pytest.fixture
def llm():
    made: list[FakeLLM] = []

    def make(name: str, *args, **kwargs) -> FakeLLM:
        made.append(FakeLLM(name, *args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def gateway(tmp_path: pathlib.Path):
    """gateway(a, b) puts backend a in tier 1 and b in tier 2 of model `m` and waits for the first
    probes. `tiers=[[a, b], [c]]` shares a tier; `config=` replaces the whole file; other keywords
    are top-level keys of the file as YAML text; `backend_extra={"a": "…"}` adds to a backend."""
    made: list[Gateway] = []

    def make(*backends: FakeLLM, tiers=None, config: str | None = None, backend_extra=None,
             wait: bool = True, env=None, **extra: str) -> Gateway:
        text = config if config is not None else make_config(list(backends), tiers, extra, backend_extra or {})
        folder = tmp_path / f"gw{len(made)}"
        folder.mkdir()
        gw = Gateway(text, folder, env)
        made.append(gw)
        if wait and config is None:
            gw.wait_probed(*[b.name for b in backends])
        return gw

    yield make
    for one in made:
        one.judge()
