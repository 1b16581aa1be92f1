"""Mail channels by `fallthrough alert test`, against a real SMTP server."""

import socket
import time

import pytest
from mail_server import MailServer, SilentServer

ADDRESSES = "from: alerts@example.com, to: [ops@example.com, night@example.org]"
PASSWORD = "correct horse"


def channel(url: str, more: str = "") -> str:
    return f"{{email: {{smtp: '{url}', {ADDRESSES}{', ' + more if more else ''}}}}}"


def login(more: str = "") -> str:
    return f"user: alerts@example.com, password: {PASSWORD}{', ' + more if more else ''}"


def test_a_mail_goes_to_all_recipients_with_a_text_and_an_html_part(alert_test):
    with MailServer() as server:
        result = alert_test(channel(server.url))
    assert result.code == 0, result.out + result.err
    assert result.out == "email (mail): delivered: 250 2.0.0 OK: queued as 1\n"
    [mail] = server.mails
    assert mail.sender == "alerts@example.com"
    assert mail.recipients == ["ops@example.com", "night@example.org"]
    message = mail.message
    assert not message.defects and not any(part.defects for part in message.walk())
    assert message["Subject"] == f"[TEST] LLM Failover: {socket.gethostname()}"
    assert message["From"] == "fallthrough <alerts@example.com>"
    assert message["To"] == "ops@example.com, night@example.org"
    assert message["Date"].datetime.timestamp() == pytest.approx(time.time(), abs=120)
    assert message["Message-ID"].endswith(".fallthrough@" + socket.gethostname() + ">")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["In-Reply-To"] is None
    assert message.get_content_type() == "multipart/alternative"
    assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]
    assert "This is a test" in mail.text and "This is a test" in mail.html
    assert all(len(line) <= 76 for line in mail.raw.split(b"\r\n")) and mail.raw.isascii()
    assert b"\n" not in mail.raw.replace(b"\r\n", b"")
    assert not mail.is_tls and mail.login is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_it_logs_in_behind_starttls(mechanism, certificate, alert_test):
    with MailServer(tls=certificate, must_starttls=True, user="alerts@example.com", password=PASSWORD,
                    mechanisms=[mechanism]) as server:
        result = alert_test(channel(server.url, login(f"ca: {certificate[0]}")))
    assert result.code == 0, result.out + result.err
    assert server.logins == [(mechanism, "alerts@example.com", PASSWORD)]
    assert server.mails[0].is_tls and server.mails[0].login == mechanism


def test_smtps_is_tls_from_the_first_byte(certificate, alert_test):
    with MailServer(tls=certificate, is_smtps=True, user="u", password=PASSWORD) as server:
        result = alert_test(channel(server.url, f"user: u, password: {PASSWORD}, ca: {certificate[0]}"))
    assert result.code == 0, result.out + result.err
    assert server.logins[0][1:] == ("u", PASSWORD) and len(server.mails) == 1


def test_without_starttls_a_password_stays_at_home(alert_test):
    with MailServer(user="alerts@example.com", password=PASSWORD) as server:
        result = alert_test(channel(server.url, login()))
    assert result.code == 69
    assert result.out == "email (mail): failed: the server does not offer STARTTLS, which is required\n"
    assert not server.logins and not server.mails


def test_without_a_password_mail_in_the_clear_is_better_than_none(alert_test):
    with MailServer() as server:
        assert alert_test(channel(server.url)).code == 0
        assert alert_test(channel(server.url, "starttls: required")).code == 69
    assert len(server.mails) == 1


def test_starttls_is_taken_where_it_is_offered(certificate, alert_test):
    with MailServer(tls=certificate) as server:
        assert alert_test(channel(server.url, f"ca: {certificate[0]}")).code == 0
        assert alert_test(channel(server.url, "starttls: off")).code == 0
    assert [m.is_tls for m in server.mails] == [True, False]


@pytest.mark.parametrize("is_smtps", [False, True], ids=["starttls", "smtps"])
def test_a_server_that_is_not_who_it_should_be_gets_no_password_and_no_mail(is_smtps, certificate, alert_test):
    with MailServer(tls=certificate, is_smtps=is_smtps, user="u", password=PASSWORD) as server:
        unknown = alert_test(channel(server.url, login()))
        other = alert_test(channel(server.url.replace("localhost", "127.0.0.1"), login(f"ca: {certificate[0]}")))
    for result in (unknown, other):
        assert result.code == 69 and "certificate" in result.out.lower(), result.out
    assert not server.logins and not server.mails


def test_a_wrong_password_is_told_in_the_servers_words(certificate, alert_test):
    with MailServer(tls=certificate, user="u", password="other") as server:
        result = alert_test(channel(server.url, login(f"ca: {certificate[0]}")), "--json")
    assert result.code == 1
    [told] = result.channels
    assert told["result"] == "refused" and told["status"] == 535
    assert told["words"] == "535 5.7.8 No, no, no"
    assert PASSWORD not in result.out + result.err and not server.mails


def test_a_server_that_repeats_the_password_does_not_get_it_into_what_is_told(certificate, alert_test):
    said = f"535 no such password: {PASSWORD}"
    with MailServer(tls=certificate, user="u", password="x", auth_refusal=said) as server:
        result = alert_test(channel(server.url, login(f"ca: {certificate[0]}")))
    assert server.logins[0][2] == PASSWORD
    assert result.out == "email (mail): failed: 535 no such password: ***\n"


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("said, result", [("550 5.7.1 We do not want this", "refused"),
                                          ("451 4.3.2 Come back later", "later")])
def test_a_refusal_is_told_in_the_servers_words(command, said, result, alert_test):
    with MailServer(refuse={command: said}) as server:
        done = alert_test(channel(server.url), "--json")
        assert done.code == 1
        [told] = done.channels
        assert (told["result"], told["status"], told["words"]) == (result, int(said[:3]), said)
        assert told["channel"] == "email" and told["format"] == "mail"
        assert not server.mails
        server.refuse.clear()
        assert alert_test(channel(server.url)).code == 0
    assert len(server.mails) == 1


def test_one_unknown_recipient_costs_only_himself(alert_test):
    with MailServer(refuse={"RCPT ops@example.com": "550 5.1.1 Nobody of that name"}) as server:
        result = alert_test(channel(server.url))
    assert result.code == 0
    assert result.out == "email (mail): delivered: not to every recipient: 550 5.1.1 Nobody of that name\n"
    assert server.mails[0].recipients == ["night@example.org"]


def test_a_server_of_the_last_century_is_greeted_as_it_wants(alert_test):
    with MailServer(refuse={"EHLO": "502 5.5.1 What is that?"}) as server:
        result = alert_test(channel(server.url))
    assert (result.code, result.out) == (0, "email (mail): delivered: 250 2.0.0 OK: queued as 1\n")


def test_a_greylisting_server_takes_the_second_try(alert_test):
    with MailServer(refuse={"RCPT": ["450 4.7.1 Greylisted", "450 4.7.1 Greylisted"]}) as server:
        first = alert_test(channel(server.url))
        second = alert_test(channel(server.url))
    assert first.code == 1 and "450 4.7.1 Greylisted" in first.out
    assert second.code == 0 and len(server.mails) == 1


@pytest.mark.parametrize("greeting", [b"", b"220 mail.test ESMTP\r\n"], ids=["mute", "greets"])
def test_silence_ends_at_the_timeout(greeting, alert_test):
    with SilentServer(greeting) as server:
        start = time.monotonic()
        result = alert_test(channel(f"smtp://127.0.0.1:{server.port}", "timeout: 300ms"), "--json")
        took_s = time.monotonic() - start
    assert result.code == 69 and took_s < 20
    [told] = result.channels
    assert told["result"] == "later" and told["status"] is None
    assert "timed out" in told["words"].lower() and told["took_ms"] >= 300


def test_a_slow_server_is_waited_for_within_the_timeout(alert_test):
    with MailServer(slow_s=1.0) as server:
        assert alert_test(channel(server.url, "timeout: 300ms")).code == 69
        assert alert_test(channel(server.url, "timeout: 30s")).code == 0


def test_a_port_where_nobody_listens_is_not_reachable(alert_test):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = alert_test(channel(f"smtp://127.0.0.1:{port}"), "--json")
    assert result.code == 69
    [told] = result.channels
    assert told["result"] == "later" and told["status"] is None and str(port) in told["words"]


def test_a_farewell_in_place_of_a_greeting_is_told(alert_test):
    with SilentServer(b"554 5.3.2 Closed for today\r\n") as server:
        result = alert_test(channel(f"smtp://127.0.0.1:{server.port}", "timeout: 3s"))
    assert result.code == 1 and "554 5.3.2 Closed for today" in result.out
