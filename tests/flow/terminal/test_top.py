"""`fallthrough top` in real windows."""

import shutil

import pytest
from fake_llm import answers
from gateway import wait_until

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not there")


def last_line(window):
    return [line for line in window.lines if line][-1]


def test_shows_models_and_backends_and_what_changes(window, llm, gateway):
    a, b = llm("a", chat=answers("Hello")), llm("b")
    gw = gateway(a, b)
    w = window()
    w.run("top", "--admin", gw.admin_url)
    lines = w.wait("q quit  p pause  s sort: worst")
    assert lines[0].startswith("fallthrough ") and gw.admin_url in lines[0]
    assert lines[1].startswith("2 backends: 2 HEALTHY; 0 in flight")
    assert lines[2].split() == ["MODEL", "SERVED", "BY"]
    assert lines[3].split() == ["m", "tier", "1:", "a"]
    assert lines[4].split() == ["BACKEND", "STATE", "SINCE", "FLIGHT", "TOK/S", "p50ms", "p99ms", "WHY"]
    assert [line.split()[0] for line in lines[5:7]] == ["a", "b"]
    b.stop()
    lines = w.wait("1 DOWN")
    assert lines[5].split()[:2] == ["b", "DOWN"], "the worst is first"
    w.wait("b went from ")  # and the event tells it
    gw.request("POST", "/backends/a/drain", headers={"X-Fallthrough-Action": "1"}, admin=True)
    lines = w.wait("DRAINING")
    assert lines[3].split() == ["m", "nobody"]
    w.keys("q")
    w.wait("ended 0")


def test_follows_the_size_of_its_window(window, llm, gateway):
    a, b = llm("a"), llm("b")
    gw = gateway(a, b)
    w = window()
    w.run("top", "--admin", gw.admin_url)
    w.wait("q quit")
    w.resize(120, 40)
    lines = w.wait("probe answered 200")  # the whole reason has room now
    assert lines[0].rstrip()[-8:].count(":") == 2 and len(lines[0].rstrip()) == 120
    assert lines[39].startswith("q quit")
    w.resize(40, 10)
    wait_until(lambda: w.lines[2].startswith("BACKEND      STATE     SINCE  FLIGHT"))
    lines = w.lines
    assert len(lines) == 10 and max(len(line) for line in lines) <= 40
    assert lines[9].startswith("q quit") and lines[3].split()[:2] == ["a", "HEALTHY"]
    w.resize(12, 3)
    wait_until(lambda: w.lines[0].rstrip() and len(w.lines) == 3)
    w.resize(80, 24)
    lines = w.wait("SERVED BY")
    assert lines[23].startswith("q quit")


def test_more_backends_than_rows_are_scrolled_through(window, llm, gateway):
    one = llm("one")
    names = [f"b{i:02}" for i in range(30)]
    config = ("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nhealth: {hang_after: 0, counters: 0, interval: 60s}\n"
              "streams: {calibrate: 0}\nbackends:\n"
              + "".join(f"  {name}: {{type: vllm, url: '{one.url}'}}\n" for name in names)
              + "models: {m: {tiers: [{" + ", ".join(f"{name}: x" for name in names) + "}]}}\n")
    gw = gateway(config=config)
    w = window()
    w.run("top", "--admin", gw.admin_url)
    w.wait("more below")
    assert "b00" in w.text and "b29" not in w.text
    w.keys("Down", "j")
    wait_until(lambda: "2 above" in w.text)
    assert not any(line.startswith("b00 ") for line in w.lines)
    w.keys("End")
    w.wait("b29")
    w.keys("NPage", "PPage", "Home")
    w.wait("b00")


def test_keeps_the_old_figures_while_the_gateway_is_away(window, llm, gateway):
    gw = gateway(llm("a"))
    w = window()
    w.run("top", "--admin", gw.admin_url)
    w.wait("q quit")
    gw.stop()
    lines = w.wait("no answer since ")
    assert "connection refused" in w.text
    assert any(line.split()[:2] == ["a", "HEALTHY"] for line in lines)
    w.keys("q")
    w.wait("ended 0")


def test_pauses(window, llm, gateway):
    a = llm("a")
    gw = gateway(a)
    w = window()
    w.run("top", "--admin", gw.admin_url)
    w.wait("q quit")
    w.keys("p")
    w.wait("paused at ")
    a.stop()
    gw.wait_state("a", "DOWN")
    shown = w.lines[1]
    seen = gw.status()["uptime_s"]
    wait_until(lambda: gw.status()["uptime_s"] > seen + 1.2)
    assert w.lines[1] == shown and "DOWN" not in shown
    w.keys("p")
    w.wait("1 DOWN")


@pytest.mark.parametrize("key, code", [("q", 0), ("C-c", 0), ("C-\\", 0)])
def test_gives_the_screen_back(key, code, window, llm, gateway):
    gw = gateway(llm("a"))
    w = window()
    w.keys("echo what was there before", "Enter")
    w.wait("\nwhat was there before")
    w.run("top", "--admin", gw.admin_url)
    w.wait("q quit")
    assert "what was there before" not in w.text
    w.keys(key)
    w.wait(f"ended {code}")
    assert "what was there before" in w.text and "q quit" not in w.text
    assert w.tmux("display-message", "-p", "-t", "w", "#{cursor_flag} #{alternate_on} #{wrap_flag}") == "1 0 1\n"
    w.keys("echo typed is shown", "Enter")
    w.wait("$ echo typed is shown")


def test_gives_it_back_when_it_is_killed_or_stopped(window, llm, gateway):
    gw = gateway(llm("a"))
    w = window()
    w.run("top", "--admin", gw.admin_url)
    w.wait("q quit")
    w.keys("C-z")
    w.wait("Stopped")
    assert "q quit" not in w.text
    w.keys("echo typed; fg", "Enter")
    w.wait("q quit")
    w.keys("C-z")
    wait_until(lambda: "q quit" not in w.text)
    w.keys("kill %1; fg", "Enter")  # SIGTERM reaches it when it goes on
    wait_until(lambda: "q quit" not in w.text and w.tmux("display-message", "-p", "-t", "w", "#{alternate_on}") == "0\n")


def test_color_is_for_those_who_want_it(window, llm, gateway):
    gw = gateway(llm("a"))
    w = window()
    w.run("top", "--admin", gw.admin_url)
    w.wait("HEALTHY")
    assert "\033[32m" in w.colored
    plain = window(NO_COLOR="1")
    plain.run("top", "--admin", gw.admin_url)
    plain.wait("HEALTHY")
    assert "\033" not in plain.colored


def test_ascii_where_the_locale_has_nothing_else(window, llm, gateway):
    gw = gateway(llm("a-backend-with-a-rather-long-name"))
    w = window(LC_ALL="C")
    w.run("top", "--admin", gw.admin_url)
    w.wait("a-backend-with-~")
    w.keys("q")
    utf8 = window()
    utf8.run("top", "--admin", gw.admin_url)
    utf8.wait("a-backend-with-…")


def test_draws_only_what_has_changed(on_terminal, start, window, llm, gateway, tmp_path):
    gw = gateway(llm("a"))
    w = window()
    record = tmp_path / "record"
    w.tmux("pipe-pane", "-t", "w", "-O", f"cat > {record}")
    w.run("top", "--admin", gw.admin_url)
    w.wait("q quit")
    wait_until(lambda: record.read_bytes().count(b"\033[?2026h") >= 4, what="some frames")
    w.keys("q")
    w.wait("ended 0")
    frames = record.read_bytes().split(b"\033[?2026h")[1:]
    assert frames[0].count(b";1H") == 24
    for frame in frames[2:]:
        assert b"\033[2J" not in frame and frame.count(b";1H") <= 5, "title, summary, times"


# --- not a window ---

def test_without_a_terminal_it_is_status_once(cli, on_terminal, llm, gateway):
    gw = gateway(llm("a"))
    done = cli("top", "--admin", gw.admin_url)
    assert done.code == 0 and "no terminal" in done.err
    assert "MODEL" in done.out and "\033" not in done.out
    done = on_terminal("top", "--admin", gw.admin_url, env={"TERM": "dumb"})
    assert done.code == 0 and "no terminal" in done.err and "\033" not in done.out
    assert cli("top", "--json", "--admin", gw.admin_url).out.startswith('{"version"')


def test_a_gateway_that_cannot_be_reached_is_told_before_the_screen_is_taken(cli, on_terminal):
    for run in (cli, on_terminal):
        done = run("top", "--admin", "http://127.0.0.1:1")
        assert done.code == 69 and "cannot reach" in done.err and "\033" not in done.out
    assert cli("top", "--admin", "nonsense").code == 2
