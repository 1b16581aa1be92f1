"""A line for each request, with the attempts that it took."""

import json
import os
import re
import shlex
import subprocess

import pytest
from breaks import BREAKS, TEXT, breaks_after, continues
from fake_llm import answers, replies
from gateway import BINARY, wait_until
from metrics_text import scrape

FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]+)')


def read_logfmt(line: str) -> dict[str, str]:
    fields = FIELD.findall(line)
    assert " ".join(f"{k}={v}" for k, v in fields) == line, f"not logfmt: {line!r}"
    assert len(fields) == len({k for k, _ in fields})
    return {k: v[1:-1] if v.startswith('"') else v for k, v in fields}


class Log:
    def __init__(self, path):
        self.path = path

    def lines(self) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        assert text == "" or text.endswith("\n")
        return text.splitlines()

    def wait(self, count: int) -> list[str]:
        return wait_until(lambda: len(lines := self.lines()) >= count and lines, what=f"{count} lines")

    def one(self) -> dict[str, str]:
        (line,) = self.wait(1)
        return read_logfmt(line)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "access.log")


@pytest.fixture
def logged(gateway, log):
    def make(*backends, **more):
        return gateway(*backends, access_log=str(log.path), **more)

    return make


def test_an_answer_has_a_line(llm, logged, log):
    gw = logged(llm("a", chat=answers("Hello")))
    answer = gw.chat(headers={"x-request-id": "mine-7"})
    assert answer.status == 200
    line = log.one()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line["client"])
    assert {k: line[k] for k in ("id", "method", "path", "status", "asked", "model", "backend", "tier", "outcome", "stream",
                                 "attempts", "prompt_tokens", "completion_tokens")} == {
        "id": "mine-7", "method": "POST", "path": "/v1/chat/completions", "status": "200", "asked": "m", "model": "m",
        "backend": "a", "tier": "1", "outcome": "ok", "stream": "0", "attempts": "a:ok",
        "prompt_tokens": str(answer.json["usage"]["prompt_tokens"]),
        "completion_tokens": str(answer.json["usage"]["completion_tokens"])}
    assert int(line["bytes_out"]) == len(answer.body) and int(line["bytes_in"]) > 20
    assert int(line["duration_ms"]) >= int(line["first_token_ms"]) >= 0
    assert not {"error", "key", "resumes", "degraded", "trace", "queue_ms"} & line.keys()


def test_json_has_the_same(llm, gateway, log):
    gw = gateway(llm("a", chat=replies(503, {"error": "no"})), llm("b"), access_log=f"{{file: {log.path}, format: json}}")
    answer = gw.chat(stream=True)
    line = json.loads(log.wait(1)[0])
    assert line["attempts"] == "a:http_503,b:ok" and line["tier"] == 2 and line["stream"] == 1
    assert line["bytes_out"] == len(answer.body)


def test_a_resumed_stream_says_so(llm, logged, log):
    gw = logged(llm("a", chat=breaks_after(5, BREAKS["reset"])), llm("b", chat=continues))
    assert gw.chat(stream=True).streamed_text == TEXT
    line = log.one()
    assert line["resumes"] == "1" and line["backend"] == "b" and line["outcome"] == "ok"
    assert line["attempts"] == "a:ok,a:reset,b:resumed"


def test_refusals_and_other_requests_have_lines_too(llm, logged, log):
    gw = logged(llm("a"), keys="[{name: web, key: sk-the-clients-key}]", limits="{body: 1k}",
                workers="1")  # of several, each hands its lines over on its own
    key = {"authorization": "Bearer sk-the-clients-key"}
    assert gw.chat().status == 401
    assert gw.request("GET", "/nowhere").status == 404
    assert gw.chat("x" * 4000, headers=key).status == 413
    assert gw.chat(model="unheard-of", headers=key).status == 404
    assert gw.request("POST", "/v1/chat/completions", b"{", key).status == 400
    assert gw.request("GET", "/v1/models", headers=key).status == 200
    assert b" 400 " in gw.raw(b"GARBAGE\r\n\r\n")
    assert gw.request("GET", "/health").status == 200  # has none
    lines = [read_logfmt(line) for line in log.wait(7)]
    assert len(lines) == 7
    assert [(line["status"], line.get("error"), line.get("key")) for line in lines[:6]] == [
        ("401", "invalid_api_key", None), ("404", "not_found", None), ("413", "request_too_large", "web"),
        ("404", "model_not_found", "web"), ("400", "invalid_json", "web"), ("200", None, "web")]
    assert lines[3]["asked"] == "unheard-of" and "model" not in lines[3] and lines[3]["outcome"] == "refused"
    assert lines[5]["path"] == "/v1/models" and lines[6]["status"] == "400"
    assert "sk-the-clients-key" not in log.path.read_text()


def test_a_client_that_leaves_before_an_answer_is_499(llm, logged, log):
    def slow(q, w):
        w.pause(30)
    a = llm("a", chat=slow)
    gw = logged(a, deadlines="{connect: 500ms, first_token: 20s, stall: 1s, total: 30s}")
    with gw.open_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}):
        wait_until(lambda: a.chats, what="the backend is asked")
    line = log.one()
    assert line["status"] == "499" and line["outcome"] == "client_left"


@pytest.mark.parametrize("name", ['a\nstatus=200 id="forged"', 'a" status="200', "a=b c\\", "\u2028\u0000é" * 40])
def test_nothing_that_a_client_says_forges_a_line_or_a_field(name, llm, gateway, log, tmp_path):
    other = Log(tmp_path / "json.log")
    a = llm("a")
    gw = gateway(a, access_log=str(log.path))
    js = gateway(a, access_log=f"{{file: {other.path}, format: json}}")
    assert gw.chat(model=name, headers={"x-request-id": "bad id\x85"}).status == 404
    assert js.chat(model=name).status == 404
    line = log.one()
    assert line["status"] == "404" and re.fullmatch("req_[0-9a-f]+", line["id"])
    (text,) = other.wait(1)
    assert json.loads(text)["status"] == 404


def test_a_file_that_was_moved_away_is_opened_again(llm, logged, log, tmp_path):
    gw = logged(llm("a"))
    gw.chat()
    log.wait(1)
    moved = tmp_path / "access.log.1"
    log.path.rename(moved)

    def goes_on():
        gw.chat()
        return log.lines()

    wait_until(goes_on, what="lines in the new file")
    assert moved.read_text().endswith("\n")
    wait_until(lambda: len(Log(moved).lines()) + len(log.lines()) ==
               scrape(gw).value("fallthrough_access_log_lines_total", result="written"), what="no line is lost")


def test_a_pipe_that_nobody_reads_holds_up_nobody(llm, gateway, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    gw = gateway(llm("a"), access_log=str(fifo), limits="{body: 1m}")
    for _ in range(400):
        assert gw.chat().status == 200
    assert gw.stop() == 0
    data = b""
    while piece := os.read(reader, 1 << 16):
        data += piece
    os.close(reader)
    lines = data.decode().splitlines()
    assert lines and all(read_logfmt(line)["status"] == "200" for line in lines[:-1])


def test_a_full_disk_is_counted_and_warned_of_once(llm, gateway):
    gw = gateway(llm("a"), access_log="/dev/full")
    for _ in range(3):
        assert gw.chat().status == 200
    wait_until(lambda: scrape(gw).value("fallthrough_access_log_lines_total", result="dropped") == 3, what="3 are dropped")
    wait_until(lambda: gw.logged("the access log cannot be written"), what="a warning")
    assert len(gw.logged("the access log cannot be written")) == 1


def test_stderr_takes_it_along_with_the_log(llm, gateway):
    gw = gateway(llm("a"), access_log="stderr")
    gw.chat(headers={"x-request-id": "mine-7"})
    (line,) = wait_until(lambda: [text for text in gw.lines if " id=mine-7 " in text], what="a line on stderr")
    assert read_logfmt(line)["status"] == "200"


def test_a_file_that_cannot_be_opened_is_told_at_the_start(llm, tmp_path):
    conf = tmp_path / "conf"
    conf.write_text("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nbackends: {a: {type: vllm, url: 'http://127.0.0.1:9'}}\n"
                    f"models: {{m: {{tiers: [a]}}}}\naccess_log: {shlex.quote(str(tmp_path / 'no' / 'such'))}\n")
    done = subprocess.run([str(BINARY), "serve", "-c", str(conf)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0 and "cannot open the access log" in done.stderr


def test_with_traces_the_line_names_the_trace(llm, gateway, log):
    gw = gateway(llm("a"), access_log=str(log.path), traces="{otlp: 'http://127.0.0.1:9'}")
    gw.chat(headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    assert log.one()["trace"] == "4bf92f3577b34da6a3ce929d0e0e4736"
