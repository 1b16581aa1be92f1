"""Two real vLLMs with the same model, a real llama.cpp server with another one, and gateways in front."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/vllm/lib"), str(ROOT / "tests/flow/lib"), str(ROOT / "tools/vllm")]

from asking import PROMPTS, Asking, Undisturbed  # noqa: E402
from cutter import Cutter  # noqa: E402
from gateway import Answer, Gateway, wait_until  # noqa: E402
from server import MODEL_NAME, Vllm, free_port  # noqa: E402

# Silence is noticed soon; what is slow here (a machine that starts another vLLM meanwhile) is not silence.
CONFIG = """\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
workers: 2
deadlines: {connect: 1s, first_token: 4s, stall: 4s, total: 3m}
degrade: {llamacpp: {}}
log: {level: debug}
"""
QUICK = "health: {interval: 500ms, timeout: 5s, degraded_after: 5s, up_after: 1}\n"
PATIENT = "health: {interval: 1h, timeout: 5s, degraded_after: 5s}\nretry: {same_backend: 0}\n"


class Llama:
    """A llama.cpp server with a model of its own."""

    name, type = "llama", "llamacpp"

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen([sys.executable, ROOT / "tools/llama_backend.py", str(self.port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_well(self) -> bool:
        try:
            return urllib.request.urlopen(self.url + "/health", timeout=1).status == 200
        except OSError:
            return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def config(backends: list, models: dict[str, list], extra: str = "") -> str:
    """Each backend of a model is a tier of its own. A llama.cpp server on this processor may take its time."""
    lines = [CONFIG, extra, "backends:\n"]
    for b in backends:
        more = ", deadlines: {first_token: 90s, stall: 60s}" if b.type == "llamacpp" else ""
        lines.append(f"  {b.name}: {{type: {b.type}, url: '{b.url}'{more}}}\n")
    lines.append("models:\n")
    for model, chain in models.items():
        lines.append(f"  {model}:\n    tiers:\n")
        lines += [f"      - {b.name}: {MODEL_NAME}\n" for b in chain]
    return "".join(lines)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("vllm")
    both = [Vllm("one", folder / "one.log"), Vllm("two", folder / "two.log")]
    try:
        for one in both:
            one.start()
        yield [one.wait() for one in both]
    finally:
        for one in both:
            one.stop()


@pytest.fixture(scope="session")
def undisturbed(pair):
    """Filled while nobody does anything to the servers."""
    answers = Undisturbed(pair[1])
    for prompt in PROMPTS:
        answers.text(prompt)
    return answers


@pytest.fixture
def one(pair):
    """Well at the beginning, whatever the test before has done to it."""
    return pair[0].ensure()


@pytest.fixture
def two(pair):
    return pair[1].ensure()


@pytest.fixture(scope="session")
def llama():
    server = Llama()
    try:
        wait_until(server.is_well, 60, "the llama.cpp server is loaded")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory):
    """lasting(a, b): a gateway for all tests that ask for the same backends. It lives through all that
    happens to them; its log is judged at the end."""
    made: dict[tuple[str, ...], Gateway] = {}

    def make(*backends) -> Gateway:
        key = tuple(b.name for b in backends)
        if key not in made:
            made[key] = Gateway(config(list(backends), {"m": list(backends)}, QUICK), tmp_path_factory.mktemp("-".join(key)))
        for name in key:
            made[key].wait_state(name, "HEALTHY", 30)
        return made[key]

    yield make
    for gw in made.values():
        gw.judge()


@pytest.fixture
def start_gateway(tmp_path: pathlib.Path):
    """start_gateway(backends, models, extra): one for this test; `extra` are lines of its file."""
    made: list[Gateway] = []

    def make(backends: list, models: dict[str, list], extra: str = "") -> Gateway:
        folder = tmp_path / f"gw{len(made)}"
        folder.mkdir()
        made.append(Gateway(config(backends, models, extra), folder))
        made[-1].wait_probed(*[b.name for b in backends])
        return made[-1]

    yield make
    for gw in made:
        gw.judge()


@pytest.fixture
def cut_off(one, two, start_gateway):
    """cut_off([{"max_bytes": 7}, …], prompt, …): for each of them the answer of the first vLLM is cut there, and
    goes on at the second one. Returns pairs of the answer and the cutter."""
    cutters: list[Cutter] = []

    def make(places: list[dict], prompt: str, stream: bool = True, **more) -> list[tuple[Answer, Cutter]]:
        # A backend of its own for each place: a broken one is left alone for a while.
        mine = [Cutter(f"c{n}", one.port, **place) for n, place in enumerate(places)]
        cutters.extend(mine)
        gw = start_gateway([*mine, two], {c.name: [c, two] for c in mine}, PATIENT)
        answers = []
        for at in range(0, len(mine), 8):
            asking = [Asking(gw, prompt, stream, model=c.name, **more) for c in mine[at:at + 8]]
            answers += [a.answer() for a in asking]
        return list(zip(answers, mine))

    yield make
    for c in cutters:
        c.stop()
