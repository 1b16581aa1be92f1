"""When people are told: the real gateway, backends that fail, a real HTTP receiver and a real mail server."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import time

import pytest
from events_reading import events, kinds, wait_events
from fake_llm import answers, replies, resets
from gateway import Gateway, wait_until
from hook_server import HookServer
from mail_server import MailServer, SilentServer

WELL, ILL = replies(200, {}), replies(503)


def alerts(url: str, more: str = "", common: str = "for: 300ms") -> str:
    return f"{{{common}, webhook: {{url: '{url}'{', ' + more if more else ''}}}}}"


def mailing(server: MailServer, common: str) -> str:
    return f"{{{common}, email: {{smtp: '{server.url}', starttls: 'off', from: gw@x.test, to: ops@x.test}}}}"


def told(server: HookServer) -> list[tuple]:
    return [(p.json["moment"], (p.json["subject"] or {}).get("name"), p.json["to"] and p.json["to"]["backend"])
            for p in list(server.posts)]


def wait_told(server: HookServer, count: int, limit_s: float = 20) -> list[tuple]:
    wait_until(lambda: len(server.posts) >= count, limit_s, f"{count} alerts; there are {told(server)}")
    return told(server)


@pytest.fixture
def hook():
    with HookServer() as server:
        yield server


@pytest.fixture
def start(tmp_path):
    """start(text) runs a gateway with this file; several may run after each other."""
    made: list[Gateway] = []

    def begin(text: str, env: dict[str, str] | None = None, limit: list[str] | None = None) -> Gateway:
        folder = tmp_path / f"run{len(made)}"
        folder.mkdir()
        made.append(Gateway(text, folder, env, None, limit))
        return made[-1]

    yield begin
    for gw in made:
        gw.judge()


def config(backends, alert: str, history: str) -> str:
    urls = ", ".join(f"{b.name}: {{type: vllm, url: '{b.url}'}}" for b in backends)
    tiers = "".join(f"      - {b.name}: x\n" for b in backends)
    return f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
workers: 2
health: {{interval: 200ms, timeout: 5s, down_after: 3, up_after: 2, hang_after: 0, counters: 0}}
breaker: {{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 0}}
streams: {{calibrate: 0}}
history: {history}
alerts: {alert}
backends: {{{urls}}}
models:
  m:
    tiers:
{tiers}"""


def test_an_outage_is_told_and_its_end(llm, gateway, hook):
    a, b = llm("a", chat=resets()), llm("b", chat=answers("from b"))
    gw = gateway(a, b, alerts=alerts(hook.url), history="{settle: 1s}")
    assert gw.chat().text == "from b"
    a.health = ILL
    gw.wait_state("a", "DOWN")
    assert wait_told(hook, 1) == [("opened", "a", "b")]
    opened = hook.posts[0].json
    assert opened["from"] == {"backend": "a", "tier": 1} and opened["to"] == {"backend": "b", "tier": 2}
    assert opened["severity"] == "error" and opened["incident"] == 1
    assert "DOWN" in opened["error"]
    assert opened["action"].startswith("traffic of m moved to b (tier 2); a is probed every ")
    for _ in range(5):
        assert gw.chat().text == "from b"
    a.chat, a.health = answers("from a"), WELL
    wait_until(lambda: gw.chat().text == "from a", 10, "a serves again")
    assert wait_told(hook, 2) == [("opened", "a", "b"), ("over", "a", "a")]
    over = hook.posts[1].json
    assert over["incident"] == 1 and over["opened_at"] == opened["opened_at"] and over["closed_at"] > over["opened_at"]
    assert over["felt"]["requests"] >= 5 and over["felt"]["failed"] == 0 and over["felt"]["moved"] >= 1
    told_events = wait_events(gw, lambda e: kinds(e).count("alert_sent") == 2, "both are events")
    sent = [e for e in told_events if e["kind"] == "alert_sent"]
    [counts] = gw.status()["alerts"]["channels"]
    assert counts == {"name": "json", "format": "json", "sent": 2, "failed": 0, "waiting": 0, "last_error": None}
    assert [(e["word"], e["cause"]) for e in sent] == [("json", "opened a"), ("json", "over a")]
    assert not any(e["incident"] for e in sent)
    assert gw.stop() == 0
    assert len(hook.posts) == 2


def test_a_blip_is_not_told(llm, gateway, hook):
    a, b = llm("a", chat=[resets(), answers("from a")]), llm("b")
    gw = gateway(a, b, alerts=alerts(hook.url, common="for: 5s"), history="{settle: 300ms}")
    gw.chat()
    wait_events(gw, lambda e: "closed" in kinds(e), "the incident is over")
    assert gw.stop() == 0
    assert not hook.posts and not gw.logged("alert was sent")


def test_further_down_is_worse_and_nobody_left_is_worst(llm, gateway, hook):
    a, b, c = llm("a"), llm("b"), llm("c")
    gw = gateway(a, b, c, alerts=alerts(hook.url, "rate: {burst: 10}"), history="{settle: 500ms}")
    expected: list[tuple] = []
    for one, news in ((a, ("opened", "a", "b")), (b, ("worsened", "a", "c")), (c, ("worsened", "a", None))):
        one.health = ILL
        expected.append(news)
        assert wait_told(hook, len(expected)) == expected
    assert "no backend left: clients get 503" in hook.posts[2].json["action"]
    a.health = b.health = c.health = WELL
    assert wait_told(hook, 4)[3] == ("over", "a", "a")
    assert {p.json["incident"] for p in hook.posts} == {1}
    assert gw.stop() == 0
    assert len(hook.posts) == 4


def test_severities_go_to_the_channels_that_want_them(llm, gateway):
    a, b = llm("a"), llm("b")
    with HookServer() as all_news, HookServer() as errors:
        gw = gateway(a, b, history="{settle: 300ms}", health="{interval: 200ms, timeout: 5s, degraded_after: 500ms}",
                     alerts=f"""{{for: 100ms, webhook: [
            {{name: all, url: '{all_news.url}'}}, {{name: errors, url: '{errors.url}', severity: error}}]}}""")
        a.health = lambda _q, w: (w.pause(0.6), w.reply(200, {}))
        gw.wait_state("a", "DEGRADED")
        wait_told(all_news, 1)
        a.health = WELL
        assert [t[0] for t in wait_told(all_news, 2)] == ["opened", "over"]
        a.health = ILL
        assert [t[0] for t in wait_told(errors, 1)] == ["opened"]
        wait_told(all_news, 3)
        assert gw.stop() == 0


def test_a_receiver_that_fails_gets_it_later_and_once(llm, gateway, hook, tmp_path):
    a, b = llm("a"), llm("b")
    hook.status = 503
    with HookServer() as other:
        gw = gateway(a, b, history=f"{{path: {tmp_path / 'h.db'}, settle: 60s}}", alerts=f"""{{for: 100ms, webhook: [
            {{name: dead, url: '{hook.url}'}}, {{name: well, url: '{other.url}'}}]}}""")
        a.health = ILL
        assert wait_told(other, 1) == [("opened", "a", "b")]  # nobody waits for the dead one
        wait_told(hook, 1)
        hook.status = 200
        wait_told(hook, 2)
        sent = wait_events(gw, lambda e: kinds(e).count("alert_sent") == 2, "both are sent", kind="alert_sent")
        assert {(e["word"], e["numbers"]["tries"]) for e in sent} == {("dead", 2), ("well", 1)}
        assert gw.stop() == 0
        assert len(hook.posts) == 2 and len(other.posts) == 1
        assert hook.posts[0].json["number"] == hook.posts[1].json["number"]


def test_what_is_refused_is_told_once_and_not_tried_again(llm, gateway, hook):
    a, b = llm("a"), llm("b")
    hook.status, hook.answer = 410, b"this hook is gone"
    gw = gateway(a, b, alerts=alerts(hook.url), history="{settle: 60s}")
    a.health = ILL
    [failed] = wait_events(gw, lambda e: e, "it has failed", kind="alert_failed")
    assert failed["word"] == "json" and "this hook is gone" in failed["cause"] and failed["incident"] is None
    wait_until(lambda: gw.logged("could not be sent and is given up"), what="a line in the log")
    assert len(gw.logged("could not be sent and is given up")) == 1
    [counts] = gw.status()["alerts"]["channels"]
    assert (counts["sent"], counts["failed"], counts["waiting"]) == (0, 1, 0)
    assert "this hook is gone" in counts["last_error"]
    assert len(hook.posts) == 1


def test_what_waits_is_sent_after_a_restart(llm, start, hook, tmp_path):
    a, b = llm("a"), llm("b")
    text = config([a, b], alerts(hook.url), f"{{path: {tmp_path / 'h.db'}, settle: 60s}}")
    hook.status = 503
    first = start(text)
    a.health = ILL
    wait_told(hook, 1)
    wait_until(lambda: first.logged("it is tried again"), 10, "the first try is over")
    assert first.stop() == 0
    assert first.logged("alerts wait for the next start")
    hook.status = 200
    second = start(text)
    assert wait_told(hook, 2) == [("opened", "a", "b")] * 2
    wait_events(second, lambda e: "alert_sent" in kinds(e), "it is sent")
    assert hook.posts[0].json["number"] == hook.posts[1].json["number"]
    time.sleep(1)  # it is still broken, and known
    assert second.stop() == 0
    assert len(hook.posts) == 2


def test_a_kill_tells_nobody_twice_and_the_incident_goes_on(llm, start, hook, tmp_path):
    a, b = llm("a"), llm("b")
    file = tmp_path / "h.db"
    text = config([a, b], alerts(hook.url), f"{{path: {file}, settle: 1s}}")
    first = start(text)
    a.health = ILL
    assert wait_told(hook, 1) == [("opened", "a", "b")]

    def is_marked() -> bool:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
            return db.execute("SELECT count(*) FROM alerts WHERE state = 'sent'").fetchone() == (1,)

    wait_until(is_marked, 10, "it is marked as sent")
    first.expected_code = -signal.SIGKILL
    first.signal(signal.SIGKILL)
    first.process.wait(10)
    second = start(text)
    second.wait_state("a", "DOWN")
    wait_events(second, lambda e: any(x["kind"] == "state" and x["incident"] == 2 for x in e), "another incident")
    time.sleep(1)
    a.health = WELL
    assert wait_told(hook, 2) == [("opened", "a", "b"), ("over", "a", "a")]
    assert [p.json["incident"] for p in hook.posts] == [1, 1]
    assert hook.posts[1].json["opened_at"] == hook.posts[0].json["opened_at"]
    assert second.stop() == 0
    assert len(hook.posts) == 2


class SlowHook(HookServer):
    """Keeps what comes and then takes its time for an answer, while it is slow."""

    is_slow = True

    def __getattribute__(self, name: str):
        if name == "status" and self.is_slow:
            time.sleep(3)
        return super().__getattribute__(name)


def test_a_kill_between_sending_and_marking_sends_once_more_under_the_same_number(llm, start, tmp_path):
    a, b = llm("a"), llm("b")
    with SlowHook() as hook:
        text = config([a, b], alerts(hook.url), f"{{path: {tmp_path / 'h.db'}, settle: 60s}}")
        first = start(text)
        a.health = ILL
        wait_told(hook, 1)
        first.expected_code = -signal.SIGKILL
        first.signal(signal.SIGKILL)
        first.process.wait(10)
        hook.is_slow = False
        second = start(text)
        assert wait_told(hook, 2) == [("opened", "a", "b")] * 2
        wait_events(second, lambda e: "alert_sent" in kinds(e), "it is marked")
        assert second.stop() == 0
        third = start(text)
        third.wait_state("a", "DOWN")
        time.sleep(1)
        assert third.stop() == 0
        assert [p.json["number"] for p in hook.posts] == [hook.posts[0].json["number"]] * 2


def test_what_is_well_after_a_restart_is_told_as_over(llm, start, hook, tmp_path):
    a, b = llm("a"), llm("b")
    text = config([a, b], alerts(hook.url), f"{{path: {tmp_path / 'h.db'}, settle: 500ms}}")
    first = start(text)
    a.health = ILL
    wait_told(hook, 1)
    assert first.stop() == 0
    a.health = WELL
    second = start(text)
    assert wait_told(hook, 2) == [("opened", "a", "b"), ("over", "a", "a")]
    assert hook.posts[1].json["action"] == "the gateway was restarted; all is well"
    assert second.stop() == 0
    third = start(text)
    third.wait_probed("a", "b")
    time.sleep(1.5)
    assert third.stop() == 0
    assert len(hook.posts) == 2


def test_without_a_history_alerts_are_sent_all_the_same(llm, gateway, hook):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, alerts=alerts(hook.url))
    a.health = ILL
    assert wait_told(hook, 1) == [("opened", "a", "b")]
    assert gw.stop() == 0


def test_a_history_that_cannot_be_written_holds_no_alert_back(llm, gateway, hook, tmp_path):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, alerts=alerts(hook.url), history=f"{{path: {tmp_path / 'no such folder' / 'h.db'}}}")
    a.health = ILL
    assert wait_told(hook, 1) == [("opened", "a", "b")]
    wait_until(lambda: gw.logged("alerts cannot be written to the history"), 10, "one warning")
    (tmp_path / "no such folder").mkdir()
    wait_until(lambda: gw.logged("alerts are written again"), 20, "it is written later")
    with contextlib.closing(sqlite3.connect(tmp_path / "no such folder" / "h.db")) as db:
        wait_until(lambda: db.execute("SELECT count(*) FROM alerts").fetchone() == (1,), 10, "the row is there")


def test_a_full_disk_holds_no_alert_back(llm, start, hook, tmp_path):
    a, b = llm("a", chat=resets()), llm("b", chat=resets())
    file = tmp_path / "h.db"
    text = config([a, b], alerts(hook.url, common="for: 1s"), f"{{path: {file}, settle: 300ms}}")
    start(text).stop()  # the file is there, small
    gw = start(text, limit=["prlimit", "--fsize=70000:unlimited"])
    wait_until(lambda: gw.chat().status and gw.logged("history cannot be written"), 60, "the disk is full")
    hook.posts.clear()
    a.chat = b.chat = answers("x")
    wait_until(lambda: gw.chat().status == 200, 10, "traffic goes on")
    wait_events(gw, lambda e: gw.request("GET", "/events", admin=True).json["open_incidents"] == 0, "all is well")
    a.health = ILL
    wait_until(lambda: ("opened", "a", "b") in told(hook), 20, "it is told")
    wait_until(lambda: gw.logged("alerts cannot be written to the history"), 10, "one warning")
    subprocess.run(["prlimit", f"--pid={gw.process.pid}", "--fsize=unlimited"], check=True)
    wait_until(lambda: gw.logged("alerts are written again"), 30, "it is written again")
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
        wait_until(lambda: db.execute("SELECT count(*) FROM alerts WHERE moment = 'opened' AND state = 'sent'")
                   .fetchone()[0] >= 1, 10, "the row is there")
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_is_too_much_comes_as_a_digest(llm, gateway, hook):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b, alerts=alerts(hook.url, "rate: {burst: 1, every: 1h}", "for: 100ms, digest: 1s"),
                 history="{settle: 300ms}")
    a.health = ILL
    wait_told(hook, 1)
    a.health = WELL
    assert wait_told(hook, 2) == [("opened", "a", "b"), ("digest", None, None)]
    digest = hook.posts[1].json
    assert len(digest["lines"]) == 1 and " a: over: " in digest["lines"][0]
    assert gw.stop() == 0
    assert len(hook.posts) == 2


def local_minutes(offset_min: int) -> int:
    return (int(time.time()) // 60 + offset_min) % 1440


def clock(minute: int) -> str:
    return f"{minute % 1440 // 60:02}:{minute % 60:02}"


def test_in_quiet_hours_of_the_local_time_only_errors_are_told(llm, start, hook, tmp_path):
    a, b = llm("a"), llm("b")
    here = local_minutes(5 * 60 + 30)  # a zone where it is now another hour than in UTC
    quiet = f"quiet_hours: {{from: '{clock(here - 120)}', to: '{clock(here + 120)}', severity: error}}"
    text = config([a, b], alerts(hook.url, quiet, "for: 100ms, digest: 200ms"),
                  f"{{path: {tmp_path / 'h.db'}, settle: 300ms}}")
    text = text.replace("health: {", "health: {degraded_after: 1s, ")
    gw = start(text, {"TZ": "XXX-05:30"})
    gw.wait_probed("a", "b")
    a.health = lambda _q, w: (w.pause(1.3), w.reply(200, {}))
    gw.wait_state("a", "DEGRADED")
    time.sleep(1)
    a.health = WELL
    wait_events(gw, lambda e: "closed" in kinds(e), "the incident is over")
    assert not hook.posts
    a.health = ILL
    assert wait_told(hook, 1) == [("opened", "a", "b")]
    gw.stop()
    again = start(text, {"TZ": "XXX-05:30"})
    again.wait_probed("b")
    assert again.stop() == 0
    assert [p.json["moment"] for p in hook.posts] == ["opened"]
    later = start(text, {"TZ": "UTC"})  # where the quiet hours are not now
    wait_until(lambda: "digest" in [p.json["moment"] for p in hook.posts], 20, "what was held back comes")
    digest = next(p.json for p in hook.posts if p.json["moment"] == "digest")
    assert [line.split(": ")[1] for line in digest["lines"]] == ["opened", "over"]
    assert later.stop() == 0


def test_a_storm_of_state_changes_is_six_mails_at_most_and_loses_no_event(llm, gateway, tmp_path):
    backends = [llm(f"s{i}") for i in range(48)]
    begun = time.monotonic()

    def flaps(request, wire):
        wire.reply(200 if int((time.monotonic() - begun) / 0.7) % 2 else 503, {})

    with MailServer() as server:
        gw = gateway(*backends, history=f"{{path: {tmp_path / 'h.db'}}}",
                     health="{interval: 500ms, timeout: 1s, down_after: 3, up_after: 1}",
                     alerts=mailing(server, "for: 1s"))
        for b in backends:
            b.health = flaps
        first = time.monotonic()
        wait_until(lambda: events(gw, limit=1)[-1]["id"] > 1100, 60, "1,100 events")
        took_s = time.monotonic() - first
        for b in backends:
            b.health = WELL
        answer = gw.request("GET", "/events?kind=state&limit=2000", admin=True).json
        assert answer["lost"] == 0
        assert len(answer["events"]) >= 1000 and took_s < 60
        wait_until(lambda: server.mails, 20, "a mail")
        assert gw.stop() == 0
        assert 1 <= len(server.mails) <= 6
    with contextlib.closing(sqlite3.connect(tmp_path / "h.db")) as db:
        ids = [row[0] for row in db.execute("SELECT id FROM events ORDER BY id")]
    assert ids == list(range(1, len(ids) + 1))


def test_one_incident_is_one_thread_of_mails(llm, gateway):
    a, b = llm("a"), llm("b")
    with MailServer() as server:
        gw = gateway(a, b, history="{settle: 500ms}",
                     alerts=mailing(server, "for: 200ms"))
        a.health = ILL
        wait_until(lambda: len(server.mails) == 1, 20, "the first mail")
        a.health = WELL
        wait_until(lambda: len(server.mails) == 2, 20, "the second mail")
        assert gw.stop() == 0
    first, second = (m.message for m in server.mails)
    assert first["Subject"] == "[ALERT] LLM Failover: a -> b"
    assert second["Subject"].startswith("[RESOLVED]")
    assert second["In-Reply-To"] == first["Message-ID"] != second["Message-ID"]


def test_a_silent_server_does_not_keep_the_gateway_from_ending(llm, gateway):
    a, b = llm("a"), llm("b")
    with SilentServer() as server:
        gw = gateway(a, b, alerts=alerts(f"http://127.0.0.1:{server.port}", "timeout: 30s"))
        a.health = ILL
        wait_until(lambda: server.connections, 20, "it is being sent")
        began = time.monotonic()
        assert gw.stop() == 0
        assert time.monotonic() - began < 10
