"""`wait-healthy`: exit codes that scripts can trust, and why it still waits for people."""

import json
import time

import pytest
from fake_llm import completion, hangs, replies


def by_path(table: dict, otherwise: int = 404):
    """A GET behaviour: path → status, or a list of statuses played one a request."""
    def play(q, w):
        answer = table.get(q.path, otherwise)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, dict):
            w.reply(200, answer)
        else:
            w.reply(answer, {"status": answer})
    return play


def paths(fake) -> list[str]:
    return [r.path for r in fake.requests]


def test_a_healthy_server_is_0_at_once(cli, llm):
    fake = llm("a")
    done = cli("wait-healthy", fake.url)
    assert done.code == 0 and done.out == ""
    assert "well after" in done.err
    assert paths(fake) == ["/health"]


def test_waits_while_it_loads_and_says_why_only_once(cli, llm):
    fake = llm("a")
    answers = [replies(503, {"error": {"message": "Loading model", "code": 503}})] * 3 + [replies(200, "{}")]
    fake.health = lambda q, w: answers.pop(0)(q, w)
    done = cli("wait-healthy", fake.url)
    assert done.code == 0
    assert done.err.count("GET /health answered 503 (Loading model)") == 1
    assert len(paths(fake)) == 4


@pytest.mark.parametrize(("table", "asked"), [
    ({"/api/version": 200}, ["/health", "/v1/models", "/api/version"]),
    ({"/v1/models": 200}, ["/health", "/v1/models"]),
    ({"/health": 405, "/api/version": 200}, ["/health", "/v1/models", "/api/version"])])
def test_asks_elsewhere_where_there_is_no_health(cli, llm, table, asked):
    fake = llm("a")
    fake.health = by_path(table)
    assert cli("wait-healthy", fake.url + "/").code == 0
    assert paths(fake) == asked


def test_an_unwell_health_is_not_overruled(cli, llm):
    fake = llm("a")
    fake.health = by_path({"/health": 503, "/v1/models": 200})
    assert cli("wait-healthy", fake.url, "--timeout", "2s").code == 1
    assert set(paths(fake)) == {"/health"}


def test_a_path_is_asked_as_it_is_and_alone(cli, llm):
    fake = llm("a")
    fake.health = by_path({"/ready": [404, 200]})
    assert cli("wait-healthy", fake.url + "/ready").code == 0
    assert paths(fake) == ["/ready", "/ready"]


def test_an_unwell_server_is_1_after_the_time(cli, llm):
    fake = llm("a")
    fake.health = replies(500)
    began = time.monotonic()
    done = cli("wait-healthy", "--timeout", "2s", fake.url)
    assert done.code == 1
    assert 1.95 < time.monotonic() - began < 25
    assert "answered 500" in done.err and "not well within 2s" in done.err


@pytest.mark.parametrize("timeout", ["0", "300ms"])
def test_a_server_that_is_not_there_is_69(cli, llm, timeout):
    fake = llm("a")
    fake.stop()
    done = cli("wait-healthy", fake.url, "--timeout", timeout)
    assert done.code == 69 and "connection refused" in done.err


def test_a_silent_server_is_69_and_not_waited_for_longer_than_asked(cli, llm):
    fake = llm("a")
    fake.health = hangs()
    began = time.monotonic()
    done = cli("wait-healthy", fake.url, "--timeout", "500ms")
    assert done.code == 69 and "no answer within" in done.err
    assert time.monotonic() - began < 25


def test_one_answer_is_enough_to_know_that_it_is_there(cli, llm):
    fake = llm("a")
    fake.health = lambda q, w: (replies(503)(q, w), fake.stop())
    assert cli("wait-healthy", fake.url, "--timeout", "2s").code == 1


def test_notices_a_server_that_comes_up(llm, start, finish):
    fake = llm("a")
    fake.stop()
    waiting = start("wait-healthy", fake.url, "--timeout", "20s")
    assert "connection refused" in waiting.stderr.readline()
    fake.start()
    assert finish(waiting).code == 0


# --- one token ---

def test_generate_asks_the_first_model_for_one_token(cli, llm):
    fake = llm("a")
    fake.health = by_path({"/health": 200, "/v1/models": {"data": [{"id": 'the "big"/one'}, {"id": "b"}]}})
    done = cli("wait-healthy", fake.url, "--generate")
    assert done.code == 0 and "one token made" in done.err
    asked = fake.chats[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.json == {"model": 'the "big"/one', "max_tokens": 1,
                          "messages": [{"role": "user", "content": "Say one word."}]}


@pytest.mark.parametrize("models", [404, {"data": []}, {"data": [{"id": 5}]}, {}])
def test_generate_names_a_model_even_where_none_is_listed(cli, llm, models):
    fake = llm("a")
    fake.health = by_path({"/health": 200, "/v1/models": models})
    assert cli("wait-healthy", "--generate", fake.url).code == 0
    assert fake.chats[0].json["model"] == "default"


def test_generate_waits_until_a_token_comes(cli, llm):
    fake = llm("a", chat=[replies(503), replies(200, {"error": "not yet"}), replies(200, "<html>"),
                          replies(200, completion("x"))])
    done = cli("wait-healthy", fake.url, "--generate")
    assert done.code == 0 and len(fake.chats) == 4
    assert "answered 503" in done.err and "without choices" in done.err


def test_generate_fails_when_no_token_comes(cli, llm):
    fake = llm("a", chat=replies(500, {"error": {"message": "CUDA error"}}))
    done = cli("wait-healthy", fake.url, "--generate", "--timeout", "2s")
    assert done.code == 1 and "500 (CUDA error)" in done.err


@pytest.mark.parametrize("status", [401, 403])
def test_generate_does_not_wait_for_a_key(cli, llm, status):
    fake = llm("a", chat=replies(status))
    assert cli("wait-healthy", fake.url, "--generate").code == 1
    assert len(fake.chats) == 1


@pytest.mark.parametrize(("path", "expected"), [
    ("/health", "/v1/chat/completions"), ("/prefix/health", "/prefix/v1/chat/completions"),
    ("/v1/models", "/v1/chat/completions"), ("/api/version", "/v1/chat/completions"),
    ("/custom", "/v1/chat/completions")])
def test_generate_finds_the_api_behind_a_health_path(cli, llm, path, expected):
    fake = llm("a")
    assert cli("wait-healthy", fake.url + path, "--generate").code == 0
    assert fake.chats[0].path == expected


def test_generate_through_the_gateway_itself(cli, llm, gateway):
    gw = gateway(llm("a"))
    assert cli("wait-healthy", gw.url, "--generate").code == 0


# --- the rest ---

@pytest.mark.parametrize("args", [[], ["localhost:8000"], ["http://x", "http://y"], ["ftp://x"],
                                  ["http://x", "--timeout", "soon"], ["http://x", "--timeout", "5"],
                                  ["http://x", "--timeout", "-1s"], ["http://x", "--timeout", "9999h"]])
def test_wrong_usage_is_2(cli, args):
    done = cli("wait-healthy", *args)
    assert done.code == 2 and "fallthrough wait-healthy: " in done.err


def test_a_server_cannot_steer_the_terminal(cli, llm):
    fake = llm("a")
    fake.health = replies(503, json.dumps({"error": "\x1b[2J" + "x" * 5000}))
    done = cli("wait-healthy", fake.url, "--timeout", "1s")
    assert "\x1b" not in done.err and "\\x1b[2J" in done.err
    assert len(done.err) < 2000
