"""Webhook channels by `fallthrough alert test`, against a real HTTP server."""

import hashlib
import hmac
import socket
import time
from email.utils import formatdate

import pytest
from hook_server import HookServer
from mail_server import MailServer, SilentServer

SECRET = "a shared secret"


def hook(url: str, more: str = "") -> str:
    return f"{{webhook: {{url: '{url}'{', ' + more if more else ''}}}}}"


def test_json_is_posted_with_a_signature_that_can_be_verified(alert_test):
    with HookServer() as server:
        result = alert_test(hook(server.url + "/in?source=llm", f"secret: {SECRET}, headers: {{X-Team: night shift}}"))
    assert (result.code, result.out) == (0, "json (json): delivered: ok\n")
    [post] = server.posts
    assert post.path == "/in?source=llm"
    assert post.headers["content-type"] == "application/json"
    assert post.headers["x-team"] == "night shift"
    stamp = post.headers["x-fallthrough-timestamp"]
    assert int(stamp) == pytest.approx(time.time(), abs=120)
    expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + post.body, hashlib.sha256).hexdigest()
    assert post.headers["x-fallthrough-signature"] == "sha256=" + expected
    told = post.json
    assert told["version"] == 1 and told["moment"] == "test" and told["severity"] == "info"
    assert told["gateway"] == socket.gethostname()
    assert told["incident"] is None and told["opened_at"] is None and told["from"] is None


def test_without_a_secret_nothing_is_signed(alert_test):
    with HookServer() as server:
        assert alert_test(hook(server.url)).code == 0
    assert not [name for name in server.posts[0].headers if name.startswith("x-fallthrough")]


def test_every_format_has_its_own_body(alert_test):
    with HookServer() as server:
        result = alert_test(f"{{webhook: [{{url: '{server.url}/slack', format: slack}}, "
                            f"{{url: '{server.url}/pd', format: pagerduty, routing_key: R0UTE}}, "
                            f"{{url: '{server.url}/', format: alertmanager}}]}}")
    assert result.code == 0, result.out
    slack, pagerduty, alertmanager = server.posts
    assert slack.json["text"].startswith("[TEST] LLM Failover: ")
    assert [b["type"] for b in slack.json["blocks"]] == ["header", "section", "section"]
    assert pagerduty.json["routing_key"] == "R0UTE" and pagerduty.json["event_action"] == "trigger"
    assert pagerduty.json["payload"]["severity"] == "info"
    assert alertmanager.path == "/api/v2/alerts"
    assert alertmanager.json[0]["labels"]["alertname"] == "LLMFailoverTest"


@pytest.mark.parametrize("status, result", [(400, "refused"), (401, "refused"), (404, "refused"), (302, "refused"),
                                            (408, "later"), (429, "later"), (500, "later"), (503, "later")])
def test_the_status_decides_whether_to_come_again(status, result, alert_test):
    headers = {"Location": "/elsewhere"} if status == 302 else {}
    with HookServer(status=status, answer=b"invalid_payload:\r\n  no\ttext", headers=headers) as server:
        done = alert_test(hook(server.url), "--json")
    assert done.code == 1
    [told] = done.channels
    assert (told["result"], told["status"], told["words"]) == (result, status, "invalid_payload: no text")
    assert len(server.posts) == 1


@pytest.mark.parametrize("said, expected_ms",
                         [("7", 7_000), ("0", 0), ("soon", 0), ("-5", 0), ("999999999", 86_400_000)])
def test_a_server_may_say_when_to_come_again(said, expected_ms, alert_test):
    with HookServer(status=429, headers={"Retry-After": said}) as server:
        [told] = alert_test(hook(server.url), "--json").channels
    assert told["result"] == "later" and told["retry_after_ms"] == expected_ms


def test_a_date_to_come_again_is_taken_too(alert_test):
    with HookServer(status=503, headers={"Retry-After": formatdate(time.time() + 600, usegmt=True)}) as server:
        [told] = alert_test(hook(server.url), "--json").channels
    assert 60_000 < told["retry_after_ms"] <= 601_000


def test_a_server_that_repeats_a_token_does_not_get_it_into_what_is_told(alert_test):
    answer = b"cannot POST /services/T0KEN?key=sesame with Bearer open-up and route R0UTE-KEY"
    with HookServer(status=404, answer=answer) as server:
        result = alert_test(hook(server.url + "/services/T0KEN?key=sesame",
                                 "format: pagerduty, routing_key: R0UTE-KEY, headers: {Authorization: Bearer open-up}"))
    assert result.out == "pagerduty (pagerduty): failed (404): cannot POST *** with *** and route ***\n"


def test_an_answer_without_end_is_cut(alert_test):
    with HookServer(answer=b"\x1b[31mred \xff" + b"x" * 3_000_000) as server:
        result = alert_test(hook(server.url))
    assert result.code == 0 and len(result.out) < 400
    assert result.out.startswith("json (json): delivered: ?[31mred ?xxx")


def test_https_needs_a_certificate_that_is_trusted(certificate, alert_test):
    with HookServer(tls=certificate) as server:
        assert alert_test(hook(server.url, f"ca: {certificate[0]}")).code == 0
        unknown = alert_test(hook(server.url))
        other = alert_test(hook(server.url.replace("localhost", "127.0.0.1"), f"ca: {certificate[0]}"))
    assert unknown.code == other.code == 69
    assert "certificate" in unknown.out.lower()
    assert len(server.posts) == 1


def test_silence_ends_at_the_timeout(alert_test):
    with SilentServer() as server:
        result = alert_test(hook(f"http://127.0.0.1:{server.port}/", "timeout: 300ms"))
    assert result.code == 69 and "timed out" in result.out.lower()


def test_one_channel_is_tested_by_its_name_and_all_without_one(alert_test):
    with HookServer() as server, MailServer() as mail:
        alerts = (f"{{email: {{smtp: '{mail.url}', from: a@b, to: c@d}}, webhook: [{{url: '{server.url}/1'}}, "
                  f"{{url: '{server.url}/2', name: second}}]}}")
        one = alert_test(alerts, "second")
        assert (one.code, one.out) == (0, "second (json): delivered: ok\n")
        assert [p.path for p in server.posts] == ["/2"] and not mail.mails
        every = alert_test(alerts)
        assert every.code == 0 and [line.split()[0] for line in every.out.splitlines()] == ["email", "json", "second"]
        assert len(server.posts) == 3 and len(mail.mails) == 1
        none = alert_test(alerts, "third")
        assert none.code == 2 and "no channel is called 'third'; there are: email json second" in none.err


def test_a_failing_channel_does_not_stop_the_others(alert_test):
    with HookServer() as server:
        result = alert_test(f"{{webhook: [{{url: 'http://127.0.0.1:1/', name: dead}}, {{url: '{server.url}'}}]}}")
    assert result.code == 69
    assert [line.split(":")[0] for line in result.out.splitlines()] == ["dead (json)", "json (json)"]
    assert len(server.posts) == 1


def test_without_channels_there_is_nothing_to_test(alert_test):
    result = alert_test("{}")
    assert result.code == 1 and "'alerts' has no channel" in result.err


def test_a_bad_configuration_is_told_with_its_place(alert_test):
    result = alert_test("{email: {smtp: x}}")
    assert result.code == 78 and ":1:24: error: 'smtp' is no URL" in result.err
