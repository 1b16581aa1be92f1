"""`status` and `explain`: what people read, what scripts get, and what happens when it cannot be had."""

import http.server
import json
import ssl
import subprocess
import threading

import pytest
from fake_llm import answers, replies
from gateway import wait_until

STATUS = {
    "version": "9.9", "uptime_s": 61.5, "draining": True, "connections": 3,
    "models": [{"name": "m", "aliases": [], "can_serve": False,
                "tiers": [{"tier": 1, "backends": [{"name": "gpu1", "model": "x", "resume": "differs", "status": "ramp",
                                                   "breaker": "closed", "share": 25, "until_s": 12.0}]}]}],
    "backends": [{"name": "gpu1", "type": "vllm", "url": "http://h", "state": "DOWN", "reason": "probe",
                  "why": "probe answered 503", "since": "2026-11-21T05:24:02.123Z", "for_s": 3723.4,
                  "resume": "no", "in_flight": 2, "tokens_per_s": 12.34, "first_token_p50_ms": 120,
                  "first_token_p99_ms": 900, "attempts": 1, "failures": 1, "held_for_s": 4.0},
                 {"name": "spare", "type": "vllm", "url": "http://s", "state": "HEALTHY", "reason": "ok",
                  "why": "probe answered 200", "since": "x", "for_s": 0.5, "resume": None, "in_flight": 0,
                  "tokens_per_s": 0, "first_token_p50_ms": 0, "first_token_p99_ms": 0, "attempts": 0,
                  "failures": 0, "held_for_s": 0}]}


@pytest.fixture
def admin(llm):
    """An admin port that answers every GET as told."""
    def make(status: int, body, content_type: str = "application/json", **headers: str):
        fake = llm("admin")
        fake.health = replies(status, body, content_type, **headers)
        return fake
    return make


def table(out: str) -> list[str]:
    lines = out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("MODEL"))
    return lines[first:]


# --- status ---

def test_status_of_a_gateway_is_an_aligned_table(cli, llm, gateway):
    a, b = llm("first-one"), llm("b")
    gw = gateway(a, b)
    b.stop()
    gw.wait_state("b", "DOWN")
    done = cli("status", "--admin", gw.admin_url)
    assert done.code == 0 and done.err == ""
    titles, first, second = table(done.out)
    assert titles.split() == ["MODEL", "TIER", "BACKEND", "STATE", "WHY", "SINCE", "BREAKER", "RESUME",
                              "VITALS", "ENGINE", "IN-FLIGHT",
                              "TOK/S", "FIRST-TOKEN", "p50/p99"]
    assert first.split()[:4] == ["m", "1", "first-one", "HEALTHY"]
    assert second.split()[:4] == ["m", "2", "b", "DOWN"]
    assert "connect_refused" in second
    for title in ("BACKEND", "STATE", "WHY", "SINCE"):
        at = titles.index(title)
        assert first[at - 1] == second[at - 1] == " " and first[at] != " " and second[at] != " "
    assert len(titles) == len(first) == len(second)


def test_status_shows_every_figure(cli, admin):
    done = cli("status", "--admin", admin(200, STATUS).url)
    assert done.out.splitlines()[0] == "fallthrough 9.9, up 1m01s, 3 connections, draining"
    row = table(done.out)[1]
    for cell in ("probe answered 503; held for 4s", "1h02m ago", " ramp 25%, 12s ", " differs ", " 2 ", "12.3", "120/900 ms"):
        assert cell in row
    assert "no backend can serve m now" in done.out


def test_status_lists_backends_that_no_model_uses(cli, admin):
    spare = table(cli("status", "--admin", admin(200, STATUS).url).out)[2]
    assert spare.split()[:4] == ["-", "-", "spare", "HEALTHY"]
    assert spare.split()[-1] == "-", "nothing measured is not zero milliseconds"


def test_status_json_is_what_the_admin_port_said(cli, admin):
    text = ' {"version":"1",   "models":[]}'
    assert cli("status", "--json", "--admin", admin(200, text).url).out == text + "\n"


@pytest.mark.parametrize("body", [{}, {"models": 1, "backends": "x"}, {"models": [{"tiers": [{"backends": [1]}]}]},
                                  {"backends": [None, {}, {"name": 1}]}])
def test_status_of_a_stranger_shape_does_no_harm(cli, admin, body):
    assert cli("status", "--admin", admin(200, body).url).code == 0


@pytest.mark.parametrize("hostile", ["\x1b[2Jgone", "a\rb", "\u202edlrow", "\u0085x", "\x07", "a\nb", "\u200b"])
def test_no_name_can_steer_the_terminal(cli, admin, hostile):
    status = json.loads(json.dumps(STATUS).replace('"gpu1"', json.dumps(hostile)))
    status["models"][0]["name"] = status["backends"][0]["why"] = hostile
    done = cli("status", "--admin", admin(200, status).url)
    assert done.code == 0
    assert hostile not in done.out and "\\x" in done.out
    assert not [c for c in done.out if c != "\n" and (ord(c) < 32 or 0x7f <= ord(c) < 0xa0)]


def test_names_beyond_ascii_stay_readable_and_aligned(cli, admin):
    status = json.loads(json.dumps(STATUS).replace("gpu1", "grün"))
    rows = table(cli("status", "--admin", admin(200, status).url).out)
    assert "grün" in rows[1]
    assert rows[0].index("STATE") == rows[1].index("DOWN")


def test_colour_only_on_a_terminal(cli, on_terminal, admin):
    fake = admin(200, STATUS)
    args = ["status", "--admin", fake.url]
    assert "\033" not in cli(*args).out
    for env in ({}, {"NO_COLOR": ""}):
        done = on_terminal(*args, env=env)
        assert done.code == 0 and "\033[31mDOWN\033[0m" in done.out
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        done = on_terminal(*args, env=env)
        assert done.code == 0 and "DOWN" in done.out and "\033" not in done.out


# --- explain ---

def test_explain_tells_the_next_backend_and_why_not_the_others(cli, llm, gateway):
    a, b, c = llm("a"), llm("b"), llm("c")
    gw = gateway(a, b, c)
    a.stop()
    gw.wait_state("a", "DOWN")
    done = cli("explain", "m", "--admin", gw.admin_url)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "next: b"
    assert lines[1].startswith("not a (tier 1): DOWN: ") and "until" in lines[1]
    assert lines[2] == "not c (tier 3): a better tier can serve"
    assert lines[3].startswith("a: DOWN (probe_failed) for ") and "breaker open, 0% of its requests" in lines[3]
    assert lines[5].startswith("c: HEALTHY (ok) for ") and "breaker closed, 100% of its requests" in lines[5]
    assert len(lines) == 6


def test_explain_when_backends_share_the_tier_or_none_is_left(cli, llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, tiers=[[a, b]])
    lines = cli("explain", "m", "--admin", gw.admin_url).out.splitlines()
    assert lines[0] == "next: a or b" and [line[:11] for line in lines[1:]] == ["a: HEALTHY ", "b: HEALTHY "]
    a.stop()
    b.stop()
    gw.wait_state("a", "DOWN")
    gw.wait_state("b", "DOWN")
    lines = cli("explain", "m", "--admin", gw.admin_url).out.splitlines()
    assert lines[0] == ("next: none, no backend can serve this model now; the least bad is tried "
                        "about once a second")
    assert len(lines) == 5


def test_both_tell_the_last_verdicts(cli, llm, gateway):
    a, b = llm("a", chat=replies(501)), llm("b", chat=answers("from b"))
    gw = gateway(a, b)
    for _ in range(3):
        assert gw.chat().text == "from b"
    a.chat = replies(429, retry_after="600")
    gw.chat()
    wait_until(lambda: gw.backend("a")["held_for_s"] > 0, what="it is held")
    for told in (gw.backend("a"), gw.request("GET", "/explain?model=m", admin=True).json["backends"][0]):
        newest, older = told["verdicts"]
        assert (newest["verdict"], newest["status"], newest["times"]) == ("http_429", 429, 1)
        assert (older["verdict"], older["status"], older["times"]) == ("http_501", 501, 3)
        assert older["model"] == "up-a" and older["then"] == "next backend" and older["trial"] is False
        assert older["first"] <= older["at"] <= newest["at"] and newest["ago_s"] >= 0
        assert told["state"] == "HEALTHY" and told["reason"] == "ok" and told["held_for_s"] > 500
        assert told["for_s"] >= 0 and told["since"].endswith("Z")
    out = cli("explain", "m", "--admin", gw.admin_url).out.splitlines()
    (at,) = [i for i, line in enumerate(out) if line.startswith("a: HEALTHY")]
    assert "; held for " in out[at]
    assert "http_429 (429) with up-a, next backend" in out[at + 1]
    assert out[at + 2].endswith("http_501 (501) with up-a, next backend, 3 times")
    assert gw.backend("b")["verdicts"] == []


def test_the_answer_that_ends_a_row_of_failures_is_told_and_no_other(llm, gateway):
    a, b = llm("a", chat=[replies(501), answers()]), llm("b")
    gw = gateway(a, b)
    for _ in range(4):
        gw.chat()
    assert [(v["verdict"], v["times"]) for v in gw.backend("a")["verdicts"]] == [("ok", 1), ("http_501", 1)]
    assert gw.backend("a")["verdicts"][0]["then"] == "answered"


def test_no_more_than_ten_verdicts_are_told(llm, gateway):
    a, b = llm("a", chat=[replies(501), answers()] * 8), llm("b")
    gw = gateway(a, b)
    for _ in range(16):
        gw.chat()
    verdicts = gw.backend("a")["verdicts"]
    assert [v["verdict"] for v in verdicts] == ["ok", "http_501"] * 5


def test_explain_an_unknown_model_fails(cli, llm, gateway):
    gw = gateway(llm("a"))
    done = cli("explain", "nope", "--admin", gw.admin_url)
    assert done.code == 1 and done.out == ""
    assert "no model has that name" in done.err and "nope" in done.err


def test_explain_shows_until_when_and_which_model_an_alias_means(cli, admin):
    fake = admin(200, {"asked": "gpt", "model": "llama", "next": ["b"], "backends": [
        {"tier": 1, "name": "a", "model": "x", "verdict": "held", "why": "left alone", "until_s": 12.0},
        {"tier": 2, "name": "b", "model": "x", "verdict": "next", "why": "fine", "until_s": None}]})
    assert cli("explain", "gpt", "--admin", fake.url).out == (
        "next: b (model llama)\nnot a (tier 1): left alone; for another 12s\n")


@pytest.mark.parametrize("args", [["--json", "NAME"], ["NAME", "--json"], ["--json", "--", "NAME"]])
def test_any_model_name_arrives_whole_wherever_the_options_stand(cli, admin, args):
    fake = admin(200, {})
    name = "meta/llama 3&x=ü%"
    done = cli("explain", "--admin", fake.url, *[name if a == "NAME" else a for a in args])
    assert done.code == 0 and done.out == "{}\n"
    assert fake.requests[0].path == "/explain?model=meta%2Fllama%203%26x%3D%C3%BC%25"


def test_a_model_name_may_begin_with_a_dash(cli, admin):
    fake = admin(200, {})
    assert cli("explain", "--admin", fake.url, "--", "--json").code == 0
    assert fake.requests[0].path == "/explain?model=--json"


# --- both ---

@pytest.mark.parametrize("args", [["explain"], ["explain", "a", "b"], ["status", "x"], ["status", "--nope"],
                                  ["status", "--admin"], ["status", "--admin", "localhost:8401"],
                                  ["status", "--admin", "ftp://x"], ["status", "--admin", "http://x:99999"]])
def test_wrong_usage_is_2(cli, args):
    done = cli(*args)
    assert done.code == 2 and done.out == "" and f"fallthrough {args[0]}: " in done.err


@pytest.mark.parametrize("command", [["status"], ["explain", "m"]])
def test_not_reachable_is_69_and_names_the_place_and_the_reason(cli, llm, command):
    gone = llm("gone")
    gone.stop()
    done = cli(*command, "--admin", gone.url)
    assert done.code == 69 and done.out == ""
    assert gone.url in done.err and "connection refused" in done.err


def test_a_name_that_cannot_be_resolved_is_69(cli):
    done = cli("status", "--admin", "http://name.invalid")
    assert done.code == 69 and "could not be resolved" in done.err


def test_an_answer_that_is_not_http_is_69(cli, llm):
    fake = llm("x")
    fake.health = lambda _q, w: (w.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), w.close())
    done = cli("status", "--admin", fake.url)
    assert done.code == 69 and "not HTTP" in done.err


@pytest.mark.parametrize(("status", "body", "said"), [
    (404, "<html>", "404"), (500, {"error": {"message": "broken\x1b"}}, "broken\\x1b (500"),
    (200, "<html>hello</html>", "JSON"), (200, [1], "JSON"), (200, "", "JSON"), (503, {"error": "plain"}, "plain (503"),
    (401, {"error": {"message": "wrong token"}}, "FALLTHROUGH_ADMIN_TOKEN")])
def test_an_answer_that_is_no_status_is_1(cli, admin, status, body, said):
    done = cli("status", "--admin", admin(status, body).url)
    assert done.code == 1 and done.out == "" and said in done.err


def test_a_cut_answer_is_1(cli, llm):
    fake = llm("x")
    fake.health = lambda _q, w: (w.send(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"), w.close())
    done = cli("status", "--admin", fake.url)
    assert done.code == 1 and "ended before it was complete" in done.err


def test_an_endless_answer_is_1(cli, admin):
    done = cli("status", "--json", "--admin", admin(200, b"[" + b" " * (16 << 20) + b"]").url)
    assert done.code == 1 and done.out == "" and "over the limit" in done.err


def test_the_token_goes_along(cli, admin):
    fake = admin(200, {})
    assert cli("status", "--admin", fake.url, env={"FALLTHROUGH_ADMIN_TOKEN": "s3cret"}).code == 0
    assert cli("status", "--admin", fake.url).code == 0
    assert fake.requests[0].headers["authorization"] == "Bearer s3cret"
    assert "authorization" not in fake.requests[1].headers


def test_a_token_that_no_header_can_carry_is_never_sent(cli, admin):
    fake = admin(200, {})
    done = cli("status", "--admin", fake.url, env={"FALLTHROUGH_ADMIN_TOKEN": "a\r\nx-evil: 1"})
    assert done.code != 0 and fake.requests == []


def test_a_path_before_the_admin_port_is_kept(cli, admin):
    fake = admin(200, {})
    assert cli("status", "--admin", fake.url + "/prefix/").code == 0
    assert fake.requests[0].path == "/prefix/status"


class StatusHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args):
        pass


@pytest.fixture
def https_admin(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-keyout", str(key), "-out", str(cert)],
                   check=True, capture_output=True, timeout=30)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StatusHandler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}", str(cert)
    server.shutdown()
    server.server_close()


def test_https_is_verified(cli, https_admin):
    url, cert = https_admin
    trusted = cli("status", "--json", "--admin", url, env={"SSL_CERT_FILE": cert})
    assert trusted.code == 0 and trusted.out == "{}\n"
    stranger = cli("status", "--admin", url)
    assert stranger.code == 69 and "TLS" in stranger.err
    wrong_name = cli("status", "--admin", url.replace("localhost", "127.0.0.1"), env={"SSL_CERT_FILE": cert})
    assert wrong_name.code == 69
