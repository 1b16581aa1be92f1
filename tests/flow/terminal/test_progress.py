"""Colour and progress: only where a person looks on, and only as much as helps."""

import json
import os
import pty
import re
import select
import subprocess
import threading
import time

import pytest
from fake_llm import delta, replies
from gateway import BINARY, wait_until
from running import environment


class OnTerminal:
    """A command whose standard error is a terminal; `text` is what was written there."""

    def __init__(self, *args: str, **env: str):
        own = {k: v for k, v in environment(None).items() if k not in ("NO_COLOR", "TERM")}
        self.ours, its = pty.openpty()
        self.process = subprocess.Popen([str(BINARY), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=its, env={**own, "TERM": "xterm", **env})
        os.close(its)
        self.text = ""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            while True:
                if select.select([self.ours], [], [], 0.2)[0]:
                    piece = os.read(self.ours, 65536)
                    if not piece:
                        return
                    self.text += piece.decode()
        except OSError:
            return

    def end(self) -> int:
        code = self.process.wait(30)
        self.thread.join(5)
        self.process.stdout.close()
        os.close(self.ours)
        return code


def test_wait_healthy_tells_on_one_line_how_long_it_takes(llm):
    a = llm("a")
    a.health = replies(503, {"error": {"message": "Loading model"}})
    command = OnTerminal("wait-healthy", a.url + "/health")
    wait_until(lambda: command.text.count("\r") >= 3, what="the line is written over")
    assert re.search(r"\r\S+: waiting for \d+s, last: GET /health answered 503 \(", command.text)
    a.health = replies(200, {})
    assert command.end() == 0
    last = command.text.rsplit("\r\033[K", 1)
    assert len(last) == 2 and "well after" in last[1], "the line is gone before the last word"
    assert "\033[3" not in command.text


def test_a_dumb_terminal_gets_no_line_that_is_written_over(llm):
    a = llm("a")
    a.health = replies(503, {})
    command = OnTerminal("wait-healthy", "--timeout", "1500ms", a.url + "/health", TERM="dumb")
    assert command.end() == 1
    assert "\033" not in command.text and "waiting" not in command.text


def test_without_a_terminal_only_the_reasons_are_told(cli, llm):
    a = llm("a")
    a.health = replies(503, {})
    done = cli("wait-healthy", "--timeout", "1500ms", a.url + "/health")
    assert done.code == 1 and done.err.count("\n") == 2 and "\r" not in done.err


def test_drain_wait_tells_how_many_are_left(llm, gateway):
    begun, may_end = threading.Event(), threading.Event()

    def slow(_q, w):
        w.begin_stream()
        w.event(delta("word", role="assistant"))
        begun.set()
        while not may_end.is_set() and not w.llm.stopping.is_set():
            w.pause(0.01)
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()
    gw = gateway(llm("a", chat=slow), deadlines="{connect: 500ms, first_token: 20s, stall: 20s, total: 60s}")
    asking = threading.Thread(target=gw.chat, kwargs={"stream": True}, daemon=True)
    asking.start()
    assert begun.wait(10)
    command = OnTerminal("drain", "a", "--wait", "--admin", gw.admin_url)
    wait_until(lambda: "drain: 1 in flight at 1 backend, " in command.text, what="progress")
    may_end.set()
    assert command.end() == 0
    assert command.text.endswith("\r\033[K")
    asking.join(10)


# --- --json ---

def test_wait_healthy_as_json(cli, llm):
    a = llm("a")
    done = cli("wait-healthy", "--json", a.url)
    assert done.code == 0
    assert re.fullmatch(r'\{"url":"http://[^"]+","well":true,"took_s":\d+\.\d,"reason":""\}\n', done.out)
    a.health = replies(503, {})
    done = cli("wait-healthy", "--json", "--timeout", "0", a.url)
    assert done.code == 1 and '"well":false' in done.out and "answered 503" in done.out


@pytest.mark.parametrize("text, ok", [("backends: {a: {type: vllm, url: 'http://h:1'}}\nmodels: {m: {tiers: [a: x]}}\n", True),
                                      ("backends: {a: {type: vllm, ulr: 'http://h:1'}}\nmodels: {m: {tiers: [a: x]}}\n", False)])
def test_check_as_json(text, ok, cli, tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text(text)
    done = cli("check", "--json", "-c", str(file))
    assert done.code == (0 if ok else 78) and done.err == ""
    told = json.loads(done.out)
    assert told["file"] == str(file) and told["ok"] is ok and bool(told["errors"]) is not ok
    assert len(told["mistakes"]) == told["errors"] + told["warnings"]
    if not ok:
        first = told["mistakes"][0]
        assert first["line"] == 1 and first["severity"] == "error"
        assert any("ulr" in m["message"] and m["column"] == 28 for m in told["mistakes"])


def test_nothing_is_told_in_the_first_second(llm, gateway):
    gw = gateway(llm("a"))
    began = time.monotonic()
    command = OnTerminal("drain", "a", "--wait", "--admin", gw.admin_url)
    assert command.end() == 0
    assert time.monotonic() - began > 1 or command.text == ""
