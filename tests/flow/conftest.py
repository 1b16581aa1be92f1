"""Fixtures: `llm(…)` makes scripted backends, `gateway(…)` the real binary in front of them."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

from fake_llm import FakeLLM  # noqa: E402
from gateway import Gateway  # noqa: E402

# A shell starts what runs in its background with SIGINT ignored, and so would be all that tests start and
# end by Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Short times, so that a test waits for conditions and not for the clock.
DEFAULTS = {
    "listen": "127.0.0.1:0",
    "admin": "127.0.0.1:0",
    "workers": "2",
    "health": "{interval: 200ms, timeout: 3s, degraded_after: 1500ms, down_after: 3, up_after: 2}",
    "breaker": "{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 0}",
    "deadlines": "{connect: 500ms, first_token: 1s, first_token_per_1k: 100ms, stall: 1s, total: 20s}",
    "retry": "{same_backend: 1, on: [429, 500, reset], backoff: 20ms, retry_after_up_to: 2s}",
    "degrade": "{llamacpp: {}, ollama: {}}",
    "streams": "{}",
    "log": "{level: debug}",
}


def without_calibration(streams: str) -> str:
    """Most tests count what a backend is asked: only those that say so let it be calibrated."""
    return streams if "calibrate" in streams else "{calibrate: 0, " + streams.strip()[1:]


def without_vitals(health: str) -> str:
    """The same for what looks after signs of life."""
    off = "".join(f"{key}: 0, " for key in ("hang_after", "counters") if key not in health)
    return "{" + off + health.strip()[1:]


def make_config(backends: list[FakeLLM], tiers: list[list[FakeLLM]] | None, extra: dict[str, str],
                backend_extra: dict[str, str]) -> str:
    keys = {**DEFAULTS, **extra}
    keys["streams"] = without_calibration(keys["streams"])
    keys["health"] = without_vitals(keys["health"])
    lines = [f"{key}: {value}\n" for key, value in keys.items() if value]
    lines.append("backends:\n")
    for b in backends:
        more = backend_extra.get(b.name, "")
        lines.append(f"  {b.name}: {{type: {b.type}, url: '{b.url}'{', ' + more if more else ''}}}\n")
    lines.append("models:\n  m:\n    tiers:\n")
    for tier in tiers or [[b] for b in backends]:
        lines.append("      - {" + ", ".join(f"{b.name}: up-{b.name}" for b in tier) + "}\n")
    return "".join(lines)


@contextlib.contextmanager
def make_llms():
    made: list[FakeLLM] = []

    def make(name: str, *args, **kwargs) -> FakeLLM:
        made.append(FakeLLM(name, *args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.end()


@contextlib.contextmanager
def make_gateways(parent: pathlib.Path):
    made: list[Gateway] = []

    def make(*backends: FakeLLM, tiers=None, config: str | None = None, backend_extra=None,
             wait: bool = True, env=None, nofile: int | None = None, **extra: str) -> Gateway:
        text = config if config is not None else make_config(list(backends), tiers, extra, backend_extra or {})
        folder = parent / f"gw{len(made)}"
        folder.mkdir()
        gw = Gateway(text, folder, env, nofile)
        made.append(gw)
        if wait and config is None:
            gw.wait_probed(*[b.name for b in backends])
        return gw

    yield make
    for one in made:
        one.judge()


@pytest.fixture
def llm():
    with make_llms() as make:
        yield make


@pytest.fixture
def gateway(tmp_path: pathlib.Path):
    """gateway(a, b) puts backend a in tier 1 and b in tier 2 of model `m` and waits for the first
    probes. `tiers=[[a, b], [c]]` shares a tier; `config=` replaces the whole file; other keywords
    are top-level keys of the file as YAML text; `backend_extra={"a": "…"}` adds to a backend;
    `nofile=` limits its descriptors. Backends are not calibrated unless `streams=` says so, their
    counters not read and no token asked for unless `health=` has `counters` or `hang_after`."""
    with make_gateways(tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def shared_llm():
    """As `llm`, for what all tests of a module use."""
    with make_llms() as make:
        yield make


@pytest.fixture(scope="module")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory):
    """As `gateway`, for one that all tests of a module use: its log is judged at their end."""
    with make_gateways(tmp_path_factory.mktemp("shared")) as make:
        yield make
