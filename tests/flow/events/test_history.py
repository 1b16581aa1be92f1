"""The history outlives the gateway: kills, restarts, full disks, old files, size and age."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import time

import pytest
from events_reading import events, kinds, wait_events
from fake_llm import answers, resets
from gateway import Gateway, wait_until


def config(url: str, history: str, more: str = "") -> str:
    return f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
workers: 2
health: {{interval: 200ms, timeout: 1s, down_after: 3, up_after: 2, hang_after: 0, counters: 0}}
breaker: {{trial: 500ms, trial_max: 2s, dwell: 0, slow_start: 0}}
retry: {{same_backend: 0}}
panic: false
streams: {{calibrate: 0}}
history: {history}
{more}
backends: {{a: {{type: vllm, url: '{url}'}}}}
models: {{m: {{tiers: [a: x]}}}}
"""


def rows(file: pathlib.Path, sql: str = "SELECT id, kind, times, incident FROM events ORDER BY id") -> list[tuple]:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def start(tmp_path):
    """start(text) runs a gateway with this file; `limit` are words before the command."""
    made: list[Gateway] = []

    def begin(text: str, limit: list[str] | None = None) -> Gateway:
        folder = tmp_path / f"run{len(made)}"
        folder.mkdir()
        made.append(Gateway(text, folder, None, None, limit))
        return made[-1]

    yield begin
    for gw in made:
        gw.judge()



def test_what_happened_before_a_restart_is_read_after_it(llm, start, tmp_path):
    a, file = llm("a", chat=[resets(), answers("x")]), tmp_path / "h.db"
    text = config(a.url, f"{{path: {file}, settle: 300ms}}")
    first = start(text)
    first.chat()
    before = wait_events(first, lambda e: "closed" in kinds(e), "the incident is over")
    assert first.stop() == 0
    second = start(text)
    told = wait_events(second, lambda e: kinds(e).count("gateway") == 3, "both runs are there")
    assert told[:len(before)] == before
    assert [e["id"] for e in told] == list(range(1, len(told) + 1))
    assert [e["text"].split(":")[0] for e in told[-2:]] == ["the gateway stopped", "the gateway started"]
    a.chat = resets()
    second.chat()
    later = wait_events(second, lambda e: kinds(e).count("closed") == 2, "another incident")
    assert later[-1]["incident"] == 2  # numbers go on
    answer = second.request("GET", "/events", admin=True).json
    assert answer["from"] == "history" and answer["lost"] == 0 and answer["last"] == later[-1]["id"]


def test_a_live_reader_gets_what_he_missed_during_a_restart(llm, start, tmp_path, live):
    a = llm("a", chat=[resets(), answers("x")])
    text = config(a.url, f"{{path: {tmp_path / 'h.db'}, settle: 300ms}}")
    first = start(text)
    first.chat()
    before = wait_events(first, lambda e: "closed" in kinds(e), "the incident is over")
    first.stop()
    second = start(text)
    wait_events(second, lambda e: kinds(e).count("gateway") == 3, "both runs are there")
    reader = live(second, headers={"Last-Event-ID": str(before[-1]["id"])})
    told = reader.wait(lambda e: len(e) >= 2, "what happened since")
    assert [e["text"].split(":")[0] for e in told[:2]] == ["the gateway stopped", "the gateway started"]


def test_a_kill_loses_at_most_the_last_second_and_breaks_nothing(llm, start, tmp_path):
    a, file = llm("a", chat=resets()), tmp_path / "h.db"
    text = config(a.url, f"{{path: {file}, settle: 300ms}}")
    for _ in range(4):
        gw = start(text)
        end = time.monotonic() + 3
        shown: list[tuple[float, int]] = []
        while time.monotonic() < end:
            gw.chat()
            shown.append((time.monotonic(), events(gw, limit=1)[-1]["id"]))
        killed = time.monotonic()
        gw.expected_code = -signal.SIGKILL
        gw.signal(signal.SIGKILL)
        gw.process.wait(10)
        kept = rows(file)
        assert rows(file, "PRAGMA integrity_check") == [("ok",)]
        assert [r[0] for r in kept] == list(range(1, len(kept) + 1))
        # The second, and another one for a disk or a machine that is slow.
        assert kept[-1][0] >= max(i for at, i in shown if at < killed - 2.0)
    last = start(text)
    told = wait_events(last, lambda e: kinds(e).count("gateway") == 5, "all runs are there", limit=2000)
    assert len({e["id"] for e in told}) == len(told)


def failed_once(gw: Gateway) -> None:
    wait_until(lambda: gw.logged("history cannot be written"), 10, "one warning")


def test_a_directory_that_is_not_there_is_one_warning_and_written_later(llm, start, tmp_path):
    a, folder = llm("a", chat=[resets(), answers("x")]), tmp_path / "later"
    gw = start(config(a.url, f"{{path: {folder / 'h.db'}, settle: 300ms}}"))
    failed_once(gw)
    gw.chat()
    told = wait_events(gw, lambda e: "closed" in kinds(e), "events are told from memory")
    assert gw.request("GET", "/events", admin=True).json["from"] == "memory"
    assert gw.chat().status == 200
    folder.mkdir()
    wait_until(lambda: gw.logged("history is written again"), 20, "it is written again")
    assert gw.request("GET", "/events", admin=True).json["from"] == "history"
    assert events(gw)[:len(told)] == told
    assert len(rows(folder / "h.db")) >= len(told)
    assert len(gw.logged("history cannot be written")) == 1


def test_a_file_that_may_not_be_written_is_one_warning(llm, start, tmp_path):
    a, file = llm("a"), tmp_path / "h.db"
    file.write_text("this is no database, and is left alone " * 200)
    was = file.read_bytes()
    gw = start(config(a.url, str(file)))
    failed_once(gw)
    assert gw.chat().status == 200
    assert kinds(events(gw)) == ["gateway"]
    assert file.read_bytes() == was


def test_a_full_disk_is_one_warning_and_written_when_there_is_room(llm, start, tmp_path):
    a, file = llm("a", chat=resets()), tmp_path / "h.db"
    text = config(a.url, f"{{path: {file}, settle: 300ms}}")
    start(text).stop()  # the file is there, small
    gw = start(text, ["prlimit", "--fsize=60000:unlimited"])
    seen = wait_until(lambda: gw.chat().status and gw.logged("history cannot be written"), 60, "the disk is full")
    assert len(seen) == 1
    a.chat = answers("x")
    wait_until(lambda: gw.chat().status == 200, 10, "traffic goes on")
    last = events(gw)[-1]["id"]
    subprocess.run(["prlimit", f"--pid={gw.process.pid}", "--fsize=unlimited"], check=True)
    wait_until(lambda: gw.logged("history is written again"), 30, "it is written again")
    wait_until(lambda: rows(file)[-1][0] >= last, 10, "what was kept in memory is in the file")
    assert [r[0] for r in rows(file)] == list(range(1, rows(file)[-1][0] + 1))
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    assert len(gw.logged("history cannot be written")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in a read-only directory")
def test_a_read_only_directory_is_one_warning(llm, start, tmp_path):
    a, folder = llm("a"), tmp_path / "ro"
    folder.mkdir(0o555)
    gw = start(config(a.url, str(folder / "h.db")))
    failed_once(gw)
    assert gw.chat().status == 200
    folder.chmod(0o755)
    wait_until(lambda: gw.logged("history is written again"), 20, "it is written again")


def fill(file: pathlib.Path, count: int, at_ms: int) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        last = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
        db.executemany("INSERT INTO events VALUES (?, ?, 'failover', 0, 0, 1, 'old', '', 'm', '', '', ?, 0, 0, 0)",
                       [(last + 1 + i, at_ms, "x" * 100) for i in range(count)])


def test_old_events_are_forgotten(llm, start, tmp_path):
    a, file = llm("a"), tmp_path / "h.db"
    text = config(a.url, f"{{path: {file}, keep: 1h}}")
    start(text).stop()
    fill(file, 3000, int((time.time() - 7200) * 1000))
    fill(file, 10, int((time.time() - 1800) * 1000))
    gw = start(text)
    wait_until(lambda: len(rows(file, "SELECT id FROM events WHERE backend = 'old'")) == 10, 20, "old ones are gone")
    told = wait_events(gw, lambda e: kinds(e).count("gateway") == 3, "the rest is there")
    assert told[-1]["id"] == told[-2]["id"] + 1 == 3013


def test_the_file_stays_below_its_size(llm, start, tmp_path):
    a, file = llm("a"), tmp_path / "h.db"
    text = config(a.url, f"{{path: {file}, max_size: 2m}}")
    start(text).stop()
    fill(file, 30000, int(time.time() * 1000))
    assert file.stat().st_size > 4 << 20
    gw = start(text)
    wait_until(lambda: sum(f.stat().st_size for f in tmp_path.glob("h.db*")) <= 2 << 20 or gw.chat() and None, 40,
               "the file is small enough")
    assert events(gw)[-1]["id"] == 30003


def test_a_file_of_an_older_schema_is_brought_up_to_date(llm, start, tmp_path):
    a, file = llm("a"), tmp_path / "h.db"
    text = config(a.url, str(file))
    start(text).stop()
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.executescript("DROP INDEX events_at; DROP INDEX events_incident; DROP TABLE alerts; PRAGMA user_version = 1;")
    gw = start(text)
    wait_events(gw, lambda e: len(e) == 3, "the old ones are there")
    assert rows(file, "PRAGMA user_version") == [(version,)]


def test_a_file_of_a_newer_schema_is_left_alone(llm, start, tmp_path):
    a, file = llm("a"), tmp_path / "h.db"
    text = config(a.url, str(file))
    start(text).stop()
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA user_version = 99")
    gw = start(text)
    failed_once(gw)
    assert "newer version" in gw.logged("history cannot be written")[0]
    assert gw.chat().status == 200 and kinds(events(gw)) == ["gateway"]
    assert len(rows(file)) == 2
