"""`fallthrough events`: what people read, what scripts get, and following."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest
from events_reading import events, kinds, run, wait_events
from fake_llm import answers, resets
from gateway import BINARY, wait_until


@pytest.fixture
def gw(llm, gateway):
    return gateway(llm("a", chat=resets()), llm("b", chat=answers("x")), history="{settle: 300ms}")


@pytest.fixture
def told(gw):
    gw.chat()
    return wait_events(gw, lambda e: "closed" in kinds(e), "the incident is over")


class Follower:
    def __init__(self, *args: str):
        self.process = subprocess.Popen([str(BINARY), "events", "-f", *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.out = b""

    def lines(self) -> list[str]:
        while select.select([self.process.stdout], [], [], 0)[0]:
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                break
            self.out += piece
        return self.out.decode().splitlines()


@pytest.fixture
def follow():
    made: list[Follower] = []

    def begin(*args: str) -> Follower:
        made.append(Follower(*args))
        return made[-1]

    yield begin
    for one in made:
        one.process.send_signal(signal.SIGINT)
        one.process.communicate(timeout=20)


def test_each_event_is_a_line(gw, told):
    done = run("--admin", gw.admin_url)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(told)
    for line, event in zip(lines, told, strict=True):
        assert line.startswith(event["at"]) and event["kind"] in line and event["text"] in line
    assert " #1 " in lines[1] and " - " in lines[0]
    assert "\033" not in done.stdout


def test_filters_reach_the_gateway(gw, told):
    def shown(*args: str) -> list[str]:
        return run("--admin", gw.admin_url, *args).stdout.splitlines()
    assert len(shown("--kind", "closed")) == 1
    assert len(shown("--backend", "a", "--incident", "1")) == len([e for e in told if e["incident"] == 1])
    assert len(shown("--limit", "2")) == 2
    assert len(shown("--since", "2h")) == len(told) and shown("--until", "2h") == []
    assert len(shown("--severity", "error")) == 1
    assert shown("--backend", "no&such=one") == []


def test_json_is_what_the_gateway_said(gw, told):
    done = run("--admin", gw.admin_url, "--json")
    assert json.loads(done.stdout)["events"] == told


def test_a_wrong_filter_is_explained(gw):
    done = run("--admin", gw.admin_url, "--since", "soon")
    assert done.returncode == 1 and "since is a time" in done.stderr and done.stdout == ""


def test_no_gateway_is_exit_69():
    done = run("--admin", "http://127.0.0.1:9")
    assert done.returncode == 69 and "cannot reach" in done.stderr
    assert run("--admin", "http://127.0.0.1:9", "-f").returncode == 69


def on_terminal(*args: str, **env: str) -> str:
    ours, its = pty.openpty()
    own = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen([str(BINARY), "events", *args], stdout=its, stdin=subprocess.DEVNULL,
                               env={**own, "TERM": "xterm", **env})
    os.close(its)
    out, end = b"", time.monotonic() + 20
    while time.monotonic() < end:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the end of a terminal
            break
        out += piece
    os.close(ours)
    assert process.wait(10) == 0
    return out.decode()


def test_colour_is_for_terminals_that_want_it(gw, told):
    assert "\033[31mstate" in on_terminal("--admin", gw.admin_url)
    assert "\033" not in on_terminal("--admin", gw.admin_url, NO_COLOR="1")


def test_following_shows_what_was_and_what_comes(gw, told, follow):
    follower = follow("--admin", gw.admin_url)
    wait_until(lambda: len(follower.lines()) == len(told), 10, "what was")
    gw.chat(headers={"x": "y"})
    wait_until(lambda: [line for line in follower.lines() if " #2 " in line and "closed" in line], 15, "what comes")
    assert len(follower.lines()) == len(events(gw))


def test_following_as_json_is_an_event_a_line(gw, told, follow):
    follower = follow("--admin", gw.admin_url, "--json", "--kind", "closed")
    wait_until(lambda: len(follower.lines()) == 1, 10, "what was")
    gw.chat()
    wait_until(lambda: len(follower.lines()) == 2, 15, "what comes")
    assert [json.loads(line)["kind"] for line in follower.lines()] == ["closed", "closed"]


def test_following_goes_on_after_a_restart(llm, gateway, follow, tmp_path):
    a = llm("a")
    gw = gateway(a, history=str(tmp_path / "h.db"))
    follower = follow("--admin", gw.admin_url)
    wait_until(lambda: len(follower.lines()) == 1, 10, "the first start")
    text = gw.config_file.read_text().replace("admin: 127.0.0.1:0", f"admin: 127.0.0.1:{gw.admin_port}")
    assert gw.stop() == 0
    gateway(config=text)
    wait_until(lambda: len(follower.lines()) == 3, 20, "the stop and the second start")
    assert [line.split(": ")[0].split("gateway ")[-1] for line in follower.lines()] == ["started", "stopped", "started"]
