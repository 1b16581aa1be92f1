"""Start and end of the process: SIGTERM drains, a second signal does not wait, exit codes are kept."""

import signal
import socket
import subprocess
import threading
import time

import pytest
from fake_llm import Request, Wire, answers, delta, hangs
from gateway import BINARY, wait_until
from ports import free_port
from raw_client import CHAT, RawClient, post
from sse_text import payloads, text_of

STREAM = {**CHAT, "stream": True}
LONG = "{first_token: 20s, stall: 20s, total: 60s}"


class Gate:
    """Begins to answer, goes on when it is opened."""

    def __init__(self):
        self.open = threading.Event()

    def __call__(self, q: Request, w: Wire) -> None:
        if not q.json.get("stream"):
            self.open.wait(20)
            answers("Hello world")(q, w)
            return
        w.begin_stream()
        w.event(delta("", role="assistant"))
        w.event(delta("Hello"))
        self.open.wait(20)
        w.event(delta(" world"))
        w.event(delta(finish="stop"))
        w.event("[DONE]")
        w.end_stream()


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the listener was closed right behind the handshake
        return False
    return False


def serve(tmp_path, text: str, seconds: float = 30) -> subprocess.CompletedProcess:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    return subprocess.run([str(BINARY), "serve", "-c", str(file)], capture_output=True, text=True, timeout=seconds)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_stream_ends_whole_and_new_connections_are_refused(number, llm, gateway):
    gate = Gate()
    gw = gateway(llm("a", chat=gate), deadlines=LONG)
    with RawClient(gw.port) as client, RawClient(gw.port) as idle:
        client.send(post(STREAM))
        client.take_until(b"Hello")
        assert idle.is_open()
        gw.signal(number)
        wait_until(lambda: is_refused(gw.port), 15, "new connections are refused")
        assert idle.ends() and not idle.was_reset
        assert gw.process.poll() is None
        gate.open.set()
        rest = b""
        client.take_until(b"\r\n")
        while (piece := client.chunk()) is not None:
            rest += piece
        assert text_of(rest) == " world" and payloads(rest)[-1] == "[DONE]"
        assert client.ends() and not client.was_reset
    assert gw.process.wait(15) == 0
    wait_until(lambda: gw.logged("stopped"), 15, "the end is logged")


def test_a_running_plain_answer_ends_whole_and_closes(llm, gateway):
    gate = Gate()
    a = llm("a", chat=gate)
    gw = gateway(a, deadlines=LONG)
    with RawClient(gw.port) as client:
        client.send(post(CHAT))
        wait_until(lambda: a.chats, what="the request is under way")
        gw.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gw.port), 15, "new connections are refused")
        gate.open.set()
        response = client.response()
        assert response.text == "Hello world" and response.closes
        assert client.ends()
    assert gw.process.wait(15) == 0


def test_a_request_that_has_begun_to_arrive_is_served(llm, gateway):
    gw = gateway(llm("a", chat=answers("Hello world")))
    data = post(CHAT)
    with RawClient(gw.port) as in_head, RawClient(gw.port) as in_body:
        in_head.send(data[:30])
        in_body.send(data[:-10])
        assert gw.chat().status == 200 and gw.chat().status == 200
        gw.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gw.port), 15, "new connections are refused")
        assert in_body.send(data[-10:]).response().text == "Hello world"
        in_head.send_if_open(data[30:])
        assert in_head.response().text == "Hello world"
    assert gw.process.wait(15) == 0


def test_connections_that_wait_to_be_accepted_are_served(llm, gateway):
    """Their handshake was complete before the signal: the client believes that it is connected."""
    gw = gateway(llm("a", chat=answers("Hello world")), deadlines=LONG)
    gw.signal(signal.SIGSTOP)
    clients = [RawClient(gw.port).send(post(CHAT)) for _ in range(100)]
    gw.signal(signal.SIGTERM)
    gw.signal(signal.SIGCONT)
    for client in clients:
        assert client.response().text == "Hello world"
        client.close()
    assert gw.process.wait(15) == 0


def test_a_fallback_still_works_while_draining(llm, gateway):
    gate = threading.Event()

    def play(_q: Request, w: Wire) -> None:
        gate.wait(20)
        w.close()

    a, b = llm("a", chat=play), llm("b", chat=answers("Hello from b"))
    gw = gateway(a, b, deadlines=LONG, retry="{same_backend: 0}")
    with RawClient(gw.port) as client:
        client.send(post(CHAT))
        wait_until(lambda: a.chats, what="the request is under way")
        gw.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gw.port), 15, "new connections are refused")
        gate.set()
        assert client.response().text == "Hello from b"
    assert gw.process.wait(15) == 0


def test_the_admin_port_tells_of_the_drain(llm, gateway):
    gate = Gate()
    a = llm("a", chat=gate)
    gw = gateway(a, deadlines=LONG)
    with RawClient(gw.port) as client:
        client.send(post(CHAT))
        wait_until(lambda: a.chats, what="the request is under way")
        gw.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gw.port), 15, "new connections are refused")
        assert gw.status()["draining"] is True
        gate.open.set()
        assert client.response().status == 200
    assert gw.process.wait(15) == 0


def test_a_client_that_leaves_ends_the_drain(llm, gateway):
    a = llm("a", chat=hangs())
    gw = gateway(a, deadlines=LONG)
    with RawClient(gw.port) as client:
        client.send(post(CHAT))
        wait_until(lambda: a.chats, what="the request is under way")
        gw.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gw.port), 15, "new connections are refused")
    assert gw.process.wait(15) == 0
    wait_until(lambda: a.cancelled_at, 15, "it was cancelled")


def test_without_work_it_ends_at_once(llm, gateway):
    gw = gateway(llm("a"))
    clients = [RawClient(gw.port) for _ in range(20)]
    gw.signal(signal.SIGTERM)
    assert gw.process.wait(15) == 0
    for client in clients:
        assert client.ends()
        client.close()


def test_a_second_signal_does_not_wait(llm, gateway):
    a = llm("a", chat=hangs())
    gw = gateway(a, deadlines=LONG, env={"TSAN_OPTIONS": "report_thread_leaks=0"})  # it waits for no thread
    gw.expected_code = 1
    with RawClient(gw.port) as client:
        client.send(post(CHAT))
        wait_until(lambda: a.chats, what="the request is under way")
        gw.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gw.port), 15, "it drains")
        assert gw.process.poll() is None
        gw.signal(signal.SIGTERM)
        assert gw.process.wait(15) == 1


def test_sigpipe_and_sighup_of_a_closed_terminal_are_no_reason_to_end_badly(llm, gateway):
    gw = gateway(llm("a"))
    gw.signal(signal.SIGPIPE)
    assert gw.chat().status == 200


# --- the start ---

CONFIG = """\
listen: 127.0.0.1:{api}
admin: 127.0.0.1:{admin}
workers: 2
backends:
  a: {{type: vllm, url: 'http://127.0.0.1:1'}}
models:
  m:
    tiers:
      - {{a: x}}
"""


def test_a_bad_configuration_is_exit_78(tmp_path):
    done = serve(tmp_path, CONFIG.format(api=0, admin=0) + "no_such_key: 1\n")
    assert done.returncode == 78
    assert "bad.yaml:10:1: error:" in done.stderr


def test_a_missing_configuration_is_exit_78(tmp_path):
    done = subprocess.run([str(BINARY), "serve", "-c", str(tmp_path / "none.yaml")], capture_output=True, timeout=30)
    assert done.returncode == 78


def test_bad_usage_is_exit_2():
    done = subprocess.run([str(BINARY), "serve", "--no-such-option"], capture_output=True, timeout=30)
    assert done.returncode == 2


@pytest.mark.parametrize("taken", ["api", "admin"])
def test_a_port_in_use_is_exit_1(taken, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = {"api": 0, "admin": 0, taken: other.getsockname()[1]}
        done = serve(tmp_path, CONFIG.format(**ports))
    assert done.returncode == 1
    assert "in use" in done.stderr


@pytest.mark.parametrize("taken", ["api", "admin"])
def test_a_port_in_use_by_another_gateway_is_exit_1(taken, llm, gateway, tmp_path):
    """Two processes behind one port would each get half of the traffic, and nobody would know."""
    gw = gateway(llm("a"))
    ports = {"api": 0, "admin": 0, taken: {"api": gw.port, "admin": gw.admin_port}[taken]}
    try:
        done = serve(tmp_path, CONFIG.format(**ports), 15)
    except subprocess.TimeoutExpired:
        pytest.fail("the second gateway runs behind the port of the first")
    assert done.returncode == 1
    assert "in use" in done.stderr


def test_a_killed_gateways_ports_can_be_bound_at_once(llm, gateway):
    a = llm("a", chat=hangs())
    ports = {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}"}
    first = gateway(a, deadlines=LONG, **ports)
    first.expected_code = -signal.SIGKILL
    clients = [RawClient(first.port).send(post(CHAT)) for _ in range(3)]
    wait_until(lambda: len(a.chats) == 3, what="all are under way")
    first.signal(signal.SIGKILL)
    first.process.wait(15)
    a.chat = answers("Hello again")
    second = gateway(a, **ports)
    assert second.port == first.port and second.admin_port == first.admin_port
    assert second.chat().text == "Hello again"
    for client in clients:
        assert not client.more()
        client.close()


def test_a_backend_that_is_down_at_the_start_is_adopted_later(llm, gateway):
    a, b = llm("a", chat=answers("from a")), llm("b", chat=answers("from b"))
    a.stop()
    gw = gateway(a, b)
    assert gw.chat().text == "from b"
    a.start()
    gw.wait_state("a", "HEALTHY")
    assert gw.chat().text == "from a"


def test_it_starts_while_no_backend_is_there(llm, gateway):
    a = llm("a")
    a.stop()
    gw = gateway(a)
    assert gw.chat().status == 503
    assert gw.request("GET", "/health").status == 503
