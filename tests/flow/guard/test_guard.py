"""What the guard makes of a backend that dies, hangs, loads for ever or does not want to end."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from gateway import BINARY, wait_until
from guarded import is_alive


def test_ready_means_that_a_token_was_made(guard):
    g = guard(load=2)
    assert g.wait_state("LOADING")["ready"] is False
    told = g.wait_state("READY")
    assert told["ready"] is True and "first token after" in told["reason"]
    asked = [json.loads(line) for line in (g.folder / "asked").read_text().splitlines()]
    assert asked[0]["path"] == "/v1/chat/completions"
    assert asked[0]["body"]["max_tokens"] == 1 and asked[0]["body"]["model"] == "fake"
    assert g.get("/health")[0] == 200
    assert g.stop() == 0
    assert not is_alive(told["pid"])


def test_health_alone_does_not_make_it_ready(guard):
    g = guard("refuse")
    wait_until(lambda: "answers 401" in g.told()["reason"], what="it says why it is not ready")
    assert g.told()["state"] == "LOADING"


def test_health_alone_is_enough_where_no_token_is_wanted(guard):
    g = guard("refuse", token="false")
    g.wait_state("READY")
    assert not (g.folder / "asked").exists()


def test_an_exit_with_0_that_nobody_asked_for_is_a_failure(guard):
    g = guard()
    first = g.wait_state("READY")["pid"]
    g.set_mode("exit_now")
    wait_until(lambda: not is_alive(first), what="the first one has gone")
    g.set_mode("")
    told = g.wait_restarted()
    assert told["pid"] != first
    incident = told["incident"]
    assert incident["cause"] == "exit" and incident["exit_status"] == 0
    assert "without having been asked" in incident["reason"]
    assert incident["pid"] == first and "leaving" in incident["lines"]


def test_kill_9_is_restarted_and_told_as_a_signal(guard):
    g = guard()
    os.kill(g.wait_state("READY")["pid"], signal.SIGKILL)
    incident = g.wait_restarted()["incident"]
    assert incident["cause"] == "signal" and incident["signal"] == 9


def test_a_grandchild_in_a_session_of_its_own_is_killed_before_the_next_start(guard):
    g = guard("once:exit0_grandchild")
    told = g.wait_restarted()
    orphan = int((g.folder / "grandchild").read_text())
    assert not is_alive(orphan)
    assert told["incident"]["cause"] == "exit"


def test_a_stop_leaves_nothing_behind(guard):
    g = guard("grandchild")
    pid = g.wait_state("READY")["pid"]
    orphan = int((g.folder / "grandchild").read_text())
    assert is_alive(orphan)
    assert g.stop() == 0
    assert not is_alive(orphan) and not is_alive(pid)


def test_what_ignores_sigterm_is_killed(guard):
    g = guard("ignore_term", stop="{term: 300ms, rest: 300ms, kill: 5s}")
    pid = g.wait_state("READY")["pid"]
    assert g.stop() == 0
    assert not is_alive(pid)


def test_a_second_signal_does_not_wait(guard):
    g = guard("ignore_term", stop="{term: 10m, rest: 10m, kill: 5s}")
    g.wait_state("READY")
    g.term()
    wait_until(lambda: g.logged("state=STOPPING"), what="it is stopping")
    g.term()
    assert g.stop(20) == 0


def test_a_hang_behind_a_good_health_page_is_found_killed_and_restarted(guard):
    g = guard(hang_after="500ms", probe_timeout="500ms")
    first = g.wait_state("READY")["pid"]
    g.set_mode("hang")
    wait_until(lambda: not is_alive(first), 20, "the hung one has gone")
    g.set_mode("")
    incident = g.wait_restarted()["incident"]
    assert incident["cause"] == "hang"
    assert "work in flight, but no token comes" in incident["reason"]


def test_a_busy_backend_is_left_alone(guard):
    """Its counters move; a token would have to wait for longer than probe_timeout."""
    g = guard(hang_after="1s", probe_timeout="500ms")
    pid = g.wait_state("READY")["pid"]
    g.set_mode("busy")
    time.sleep(4)
    told = g.told()
    assert told["pid"] == pid and told["state"] == "READY" and told["restarts"]["total"] == 0


def test_a_stopped_process_is_found_by_its_silence(guard):
    g = guard(hang_after="500ms", probe_timeout="500ms", health_timeout="500ms",
              stop="{term: 300ms, rest: 300ms, kill: 5s}")
    first = g.wait_state("READY")["pid"]
    os.kill(first, signal.SIGSTOP)
    incident = g.wait_restarted()["incident"]
    assert incident["cause"] == "hang" and incident["signal"] == 9
    assert not is_alive(first)


def test_counters_that_are_answered_no_more_are_found(guard):
    """llama.cpp answers /health always, and /slots between two steps of its engine."""
    g = guard(hang_after="500ms", probe_timeout="500ms", health_timeout="300ms")
    first = g.wait_state("READY")["pid"]
    wait_until(lambda: g.get("/health"), what="its counters have been read")
    time.sleep(0.5)
    g.set_mode("mute")
    wait_until(lambda: not is_alive(first), 20, "the hung one has gone")
    g.set_mode("")
    incident = g.wait_restarted()["incident"]
    assert incident["cause"] == "hang" and "its counters are not answered any more" in incident["reason"]


def test_an_engine_that_came_to_a_halt_idle_is_found(guard):
    """As of vLLM, whose front goes on to tell what the engine said last."""
    g = guard(hang_after="300ms", probe_timeout="300ms")
    first = g.wait_state("READY")["pid"]
    g.set_mode("halt")
    wait_until(lambda: not is_alive(first), 20, "the hung one has gone")
    g.set_mode("")
    incident = g.wait_restarted()["incident"]
    assert incident["cause"] == "hang" and "it makes no token" in incident["reason"]


def test_a_dead_health_page_is_found(guard):
    """An engine is dead, its server lives on and answers 503."""
    g = guard(hang_after="1500ms", probe_timeout="1500ms")
    first = g.wait_state("READY")["pid"]
    g.set_mode("no_health")
    # It still makes tokens: no reason to kill it.
    time.sleep(4)
    assert g.told()["pid"] == first


def test_a_dead_health_page_alone_decides_where_no_token_is_wanted(guard):
    g = guard(hang_after="500ms", token="false")
    first = g.wait_state("READY")["pid"]
    g.set_mode("no_health")
    wait_until(lambda: not is_alive(first), 20, "it has gone")
    g.set_mode("")
    assert "its health page does not answer 200" in g.wait_restarted()["incident"]["reason"]


def test_without_counters_two_tokens_must_fail(guard):
    g = guard(hang_after="400ms", probe_timeout="300ms", backend="type: openai")
    first = g.wait_state("READY")["pid"]
    g.set_mode("hang")
    wait_until(lambda: not is_alive(first), 20, "the hung one has gone")
    g.set_mode("")
    assert g.wait_restarted()["incident"]["cause"] == "hang"


def test_it_can_be_stopped_while_it_loads(guard):
    g = guard(load=600)
    pid = g.wait_state("LOADING")["pid"]
    wait_until(lambda: g.starts(), what="it runs")
    assert g.stop(20) == 0
    assert not is_alive(pid)


def test_a_start_that_takes_too_long_is_ended(guard):
    g = guard(load=600, start_timeout="1s", give_up="{restarts: 1, within: 30m}")
    g.expected_code = 1
    told = g.wait_state("GAVE_UP")
    assert told["incident"]["cause"] == "slow_start" and "no token within 1 s" in told["reason"]


def test_a_crash_loop_is_given_up_and_told(guard, tmp_path):
    note = tmp_path / "note"
    hook = json.dumps(["sh", "-c", f'echo "$FALLTHROUGH_EVENT $FALLTHROUGH_CAUSE $FALLTHROUGH_REASON" >>{note}'])
    g = guard("crash", give_up="{restarts: 3, within: 30m}", hooks=f"{{down: {hook}, gave_up: {hook}}}")
    g.expected_code = 1
    told = g.wait_state("GAVE_UP")
    assert told["restarts"] == {"total": 3, "recent": 3, "limit": 3}
    assert "3 restarts within 1800 s did not help" in told["reason"]
    assert len(g.starts()) == 4
    assert "about to crash" in told["incident"]["lines"]
    events = wait_until(lambda: note.exists() and len(note.read_text().splitlines()) == 5 and
                        note.read_text().splitlines(), what="four times down, then given up")
    assert sorted(e.split()[0] for e in events) == ["down"] * 4 + ["gave_up"]
    assert all("exit exited with status 3" in e for e in events if e.startswith("down"))


def test_having_given_up_it_can_leave(guard):
    g = guard("crash", give_up="{restarts: 1, within: 30m, then: exit}")
    g.expected_code = 1
    assert g.process.wait(30) == 1


def test_gpu_memory_that_ran_out_takes_the_next_step(guard):
    g = guard("cache_oom", on_oom="[[--util, '0.7'], [--util, '0.5']]")
    told = g.wait_state("READY")
    assert told["oom_step"] == 2 and told["incident"]["cause"] == "oom_gpu"
    assert [s["args"] for s in g.starts()] == [[], ["--util", "0.7"], ["--util", "0.7", "--util", "0.5"]]


def test_pytorchs_words_on_standard_error_count_too(guard):
    g = guard("once:cuda_oom", on_oom="[[--less]]")
    told = g.wait_restarted()
    assert told["incident"]["cause"] == "oom_gpu" and g.starts()[1]["args"] == ["--less"]


def test_no_step_is_taken_for_a_crash(guard):
    g = guard("once:crash", on_oom="[[--less]]")
    assert g.wait_restarted()["oom_step"] == 0
    assert g.starts()[1]["args"] == []


def test_a_crash_by_signal_is_named(guard):
    g = guard("once:segv")
    incident = g.wait_restarted()["incident"]
    assert incident["cause"] == "signal" and incident["signal"] == signal.SIGSEGV


def test_output_is_passed_on_and_its_last_200_lines_are_kept(guard):
    g = guard("chatter")
    pid = g.wait_state("READY")["pid"]
    wait_until(lambda: len(g.logged("line ")) == 300, what="all lines have come")
    os.kill(pid, signal.SIGKILL)
    lines = g.wait_restarted()["incident"]["lines"]
    assert lines == [f"line {i}" for i in range(100, 300)]


def test_secrets_of_the_command_are_not_kept_with_its_lines(guard):
    g = guard("once:crash_loudly", more=["--api-key", "sesame-open"], backend="api_key: another-one")
    told = json.dumps(g.wait_restarted())
    assert "about to crash with" in told and "sesame-open" not in told and "another-one" not in told


def test_the_child_inherits_nothing_of_the_guard(guard, tmp_path):
    report = tmp_path / "report"
    g = guard(command=["sh", "-c", f"{{ env; ls -l /proc/self/fd; grep -E '^Sig(Ign|Blk)' /proc/self/status; }} >{report}; "
                                   "exec sleep 600"],
              env={"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000000", "WATCHDOG_PID": "1", "LISTEN_FDS": "1"})
    g.wait_state("LOADING")
    text = wait_until(lambda: report.exists() and "SigBlk" in report.read_text() and report.read_text())
    for name in ("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_FDS"):
        assert name not in text
    # Signals 32 and 33 are the C library's own, which lets nobody touch them.
    assert int(text.split("SigIgn:")[1].split()[0], 16) & ~(3 << 31) == 0
    assert "0000000000000000" in text.split("SigBlk:")[1].splitlines()[0]
    assert "socket:" not in text and "eventpoll" not in text


def test_the_child_has_a_group_of_its_own_and_dies_with_the_guard(guard):
    g = guard()
    pid = g.wait_state("READY")["pid"]
    assert g.starts()[0]["group"] == pid
    g.expected_code = -signal.SIGKILL
    g.process.kill()
    wait_until(lambda: not is_alive(pid), what="the kernel ends the child")


def test_a_strangers_port_gets_no_start(guard):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        g = guard(port=taken.getsockname()[1])
        wait_until(lambda: "held by a process that is not ours" in g.told()["reason"], what="it tells of the port")
        assert g.told()["state"] == "STARTING" and not g.starts()
    g.wait_state("READY")


def test_a_command_that_is_not_there_is_bad_configuration(guard):
    g = guard(command=["/nowhere/vllm", "serve"])
    g.expected_code = 78
    assert g.process.wait(20) == 78
    wait_until(lambda: g.logged("No such file or directory"))


def test_descendants_of_whoever_started_it_are_left_alone(guard, tmp_path):
    """`sh -c 'sleep & exec fallthrough guard'`: the sleep is no business of ours."""
    note = tmp_path / "pid"
    g = guard("once:exit0_grandchild", prefix=["sh", "-c", f'sleep 600 & echo $! >{note}; exec "$@"', "sh"])
    try:
        g.wait_restarted()
        assert g.stop() == 0
        assert is_alive(int(note.read_text()))
    finally:
        os.kill(int(note.read_text()), signal.SIGKILL)


def test_a_guard_asked_to_stop_while_it_waits_leaves_at_once(guard):
    g = guard("crash", backoff="{first: 10m, max: 10m}")
    g.wait_state("RESTARTING")
    assert g.told()["next_start_ms"] > 60_000
    assert g.stop(10) == 0


# --- the GPU agent ---


class Agent:
    def __init__(self) -> None:
        self.report: dict = {"gpu": "nvidia", "state": "HEALTHY", "gpus": []}
        self.asked = 0
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked += 1
                assert self.path == "/gpu"
                data = json.dumps(owner.report).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def agent():
    a = Agent()
    yield a
    a.server.shutdown()
    a.server.server_close()


def test_a_gpu_that_needs_a_reset_gets_no_start_until_it_is_well(guard, agent, tmp_path):
    note = tmp_path / "note"
    hook = json.dumps(["sh", "-c", f'echo "$FALLTHROUGH_REASON" >>{note}'])
    agent.report = {"gpus": [{"uuid": "GPU-7", "state": "DOWN", "reason": "Xid 79", "recovery_action": "gpu_reset"}]}
    g = guard(agent=agent.url, hooks=f"{{needs_reset: {hook}}}")
    assert "GPU GPU-7 is DOWN and needs a reset: Xid 79" in g.wait_state("NEEDS_RESET")["reason"]
    wait_until(lambda: agent.asked >= 3, what="it asks again")
    assert note.read_text().splitlines() == ["GPU GPU-7 is DOWN and needs a reset: Xid 79"]
    assert not g.starts()
    agent.report = {"gpus": [{"uuid": "GPU-7", "state": "HEALTHY", "recovery_action": None}]}
    g.wait_state("READY")


def test_gpu_memory_must_be_back_before_the_next_start(guard, agent):
    g = guard(agent=agent.url)
    first = g.wait_state("READY")["pid"]
    agent.report = {"gpus": [{"uuid": "GPU-7", "state": "HEALTHY", "memory": {"used": 9, "processes": [{"pid": first, "used": 9}]}}]}
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: f"GPU memory is still held by process {first}" in g.told()["reason"], what="it waits for the memory")
    assert len(g.starts()) == 1
    agent.report = {"gpus": []}
    g.wait_restarted()


def test_a_gpu_that_goes_down_under_a_backend_that_works_is_told_and_left_alone(guard, agent, tmp_path):
    note = tmp_path / "note"
    hook = json.dumps(["sh", "-c", f'echo "$FALLTHROUGH_REASON" >>{note}'])
    g = guard(agent=agent.url, hang_after="60s", hooks=f"{{needs_reset: {hook}}}")
    pid = g.wait_state("READY")["pid"]
    asked = len((g.folder / "asked").read_text().splitlines())
    agent.report = {"gpus": [{"uuid": "GPU-7", "state": "DOWN", "recovery_action": 1}]}
    wait_until(lambda: len((g.folder / "asked").read_text().splitlines()) > asked, what="it is asked for a token")
    wait_until(lambda: note.exists() and note.read_text(), what="the hook runs")
    told = g.told()
    assert told["state"] == "READY" and told["pid"] == pid


def test_a_gpu_that_takes_its_backend_with_it_is_a_hang_and_then_needs_a_reset(guard, agent):
    g = guard(agent=agent.url, hang_after="60s", probe_timeout="300ms")
    g.wait_state("READY")
    g.set_mode("hang")
    agent.report = {"gpus": [{"uuid": "GPU-7", "state": "DOWN", "recovery_action": 1}]}
    incident = g.wait_state("NEEDS_RESET")["incident"]
    assert incident["cause"] == "hang" and "hangs:" in incident["reason"]
    assert len(g.starts()) == 1


def test_memory_of_others_is_no_matter(guard, agent):
    agent.report = {"gpus": [{"memory": {"used": 9, "processes": [{"pid": 1, "used": 9}]}}]}
    guard(agent=agent.url).wait_state("READY")


# --- the command line ---


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(BINARY), "guard", *words], capture_output=True, text=True, timeout=20)


def test_usage_and_help():
    told = run("--help")
    assert told.returncode == 0 and "-- COMMAND..." in told.stdout and "--health URL" in told.stdout
    assert run("--url", "http://127.0.0.1:1").returncode == 2
    assert "no command to guard" in run("--url", "http://127.0.0.1:1").stderr
    assert run("--", "true").returncode == 2
    assert "where does the backend answer" in run("--", "true").stderr
    assert run("--health", "127.0.0.1", "--", "true").returncode == 2
    assert run("--url", "http://127.0.0.1:1", "--hang-after", "soon", "--", "true").returncode == 2


def test_mistakes_in_the_file_are_told_with_their_places(tmp_path: pathlib.Path):
    file = tmp_path / "guard.yaml"
    file.write_text("command: vllm serve\nbackend: {url: 'ftp://x', typ: vllm}\nhang_after: soon\n", encoding="utf-8")
    told = run("-c", str(file))
    assert told.returncode == 78
    for part in (":1:10: error", ":2:16: error", "unknown key 'typ' in 'backend'; did you mean 'type'?", ":3:13: error"):
        assert part in told.stderr, told.stderr


def test_an_open_address_needs_a_token(tmp_path: pathlib.Path):
    told = run("--url", "http://127.0.0.1:1", "--listen", "0.0.0.0:0", "--", "true")
    assert told.returncode == 2 and "admin_token" in told.stderr


def test_the_token_is_asked_for_and_a_strange_host_is_refused(guard):
    g = guard(admin_token="'sesame-sesame'")
    assert g.get()[0] == 401
    assert g.get(headers={"Authorization": "Bearer sesame-sesame"})[0] == 200
    open_one = guard()
    assert open_one.get(headers={"Host": "evil.example:80"})[0] == 403


def test_words_on_the_command_line_count_more_than_the_file(tmp_path: pathlib.Path):
    process = subprocess.Popen([str(BINARY), "guard", "--health", "http://127.0.0.1:1/health", "--listen", "off", "--",
                                sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout and process.stdout.readline() == "here\n"
    process.terminate()
    assert process.wait(20) == 0
    process.stdout.close()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_it_can_be_started_with_closed_standard_streams(guard, closed):
    """Its loop would get their numbers, and abort at the end."""
    g = guard(prefix=["sh", "-c", f'exec "$@" {closed}', "sh"])
    pid = g.wait_state("READY")["pid"]
    assert g.stop() == 0
    assert not is_alive(pid)
