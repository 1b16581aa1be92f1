"""Without free descriptors: what runs lives on, new clients are refused at once, nothing spins, and all is
well again when some are free."""

import http.client
import signal
import subprocess
import threading
import time

import pytest
from fake_llm import Request, Wire, answers, delta
from gateway import BINARY, FORBIDDEN, wait_until
from raw_client import CHAT, RawClient, post

NOFILE = 64


def talks_on(_q: Request, w: Wire) -> None:
    w.begin_stream()
    w.event(delta("", role="assistant"))
    while True:
        w.event(delta("word"))
        w.pause(0.02)


def fill(port: int) -> list[RawClient]:
    """Idle connections, more than there are descriptors; the ones that are refused see their end."""
    clients = []
    for _ in range(NOFILE + 16):
        try:
            clients.append(RawClient(port, timeout=10))
        except OSError:
            pass  # reset while it connected
    return clients


def is_refused(port: int) -> bool:
    """A client that sends its request is not left hanging."""
    try:
        with RawClient(port, timeout=10) as client:
            client.send_if_open(post(CHAT))
            return not client.more() or client.rest.startswith(b"HTTP/1.1 503")
    except ConnectionError:
        return True


@pytest.fixture
def starved(llm, gateway):
    """A gateway with one running stream, all other descriptors taken by idle clients."""
    a = llm("a", chat=[talks_on, answers("Hello")])
    gw = gateway(a, nofile=NOFILE, deadlines="{first_token: 2s, stall: 2s, total: 60s}")
    stream = RawClient(gw.port).send(post({**CHAT, "stream": True}))
    stream.take_until(b"word")
    clients = fill(gw.port)
    wait_until(lambda: is_refused(gw.port), 20, "new clients are refused")
    yield gw, a, stream, clients
    for client in [stream, *clients]:
        client.close()


def free(clients: list[RawClient]) -> None:
    for client in clients:
        client.close()


def is_well(gw, name: str) -> bool:
    """As the admin port says, which may lack descriptors itself for a moment."""
    try:
        return gw.state(name) == "HEALTHY"
    except (OSError, http.client.HTTPException):
        return False


def test_running_streams_live_on_and_new_clients_are_refused(starved):
    gw, a, stream, clients = starved
    assert wait_until(lambda: is_refused(gw.port), 20, "a new client is refused")
    stream.rest = b""
    for _ in range(10):
        stream.take_until(b"word")
    free(clients)
    wait_until(lambda: gw.chat().status == 200 if not is_refused(gw.port) else False, 20, "clients are served again")
    stream.take_until(b"word")
    wait_until(lambda: is_well(gw, "a"), 20, "a is HEALTHY")


def test_a_rush_of_new_clients_is_refused_too(llm, gateway):
    """Whichever listener is asked, and whoever takes the descriptor that it needs to refuse: probes, other listeners."""
    backends = [llm(f"a{i}") for i in range(6)]
    gw = gateway(*backends, nofile=NOFILE, health="{interval: 100ms, timeout: 1s}")
    clients = fill(gw.port)
    wait_until(lambda: is_refused(gw.port), 20, "new clients are refused")
    end = time.monotonic() + 1
    hanging: list[float] = []

    def rush() -> None:
        while time.monotonic() < end:
            try:
                is_refused(gw.port)
            except TimeoutError:
                hanging.append(time.monotonic())

    threads = [threading.Thread(target=rush) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not hanging
    free(clients)


def test_nothing_spins_and_it_is_logged_once_an_episode(starved):
    gw, _a, stream, clients = starved
    began, used = time.monotonic(), gw.cpu_s()
    while time.monotonic() - began < 0.7:
        stream.take_until(b"word")
    assert gw.cpu_s() - used < 0.6 * (time.monotonic() - began)
    assert len(gw.logged("fewer connections than limits.connections")) == 1
    free(clients)


def test_the_backend_is_not_blamed_for_our_shortage(starved):
    gw, a, stream, clients = starved
    seen = len(a.probes)
    began = time.monotonic()
    while time.monotonic() - began < 1:  # five probes would be due
        stream.take_until(b"word")
    free(clients)
    wait_until(lambda: len(a.probes) > seen, 20, "probes go on")
    changes = [line for line in gw.logged("backend changed state") if "from=HEALTHY" in line or "to=DOWN" in line]
    assert not changes
    wait_until(lambda: is_well(gw, "a"), 20, "a is HEALTHY")


def test_a_kept_connection_gets_an_answer_or_an_honest_error(llm, gateway):
    a = llm("a")
    gw = gateway(a, nofile=NOFILE)
    with RawClient(gw.port) as kept:
        assert kept.is_open()
        clients = fill(gw.port)
        wait_until(lambda: is_refused(gw.port), 20, "new clients are refused")
        response = kept.send(post(CHAT)).response()
        assert response.status in (200, 503)
        if response.status == 503:
            assert response.json["error"]["code"]
        free(clients)
        wait_until(lambda: kept.send(post(CHAT)).response().status == 200, 20, "it is served again")
    wait_until(lambda: is_well(gw, "a"), 20, "a is HEALTHY")


def test_descriptors_come_back_after_faults_and_aborts(llm, gateway):
    def mixed(q: Request, w: Wire) -> None:
        kind = int(q.json["user"]) % 5
        if kind == 0:
            w.reset()
        elif kind == 1:
            w.reply(500, {"error": "x"})
        elif kind == 2:
            w.begin_stream()
            w.event(delta("half"))
            w.close()
        else:
            answers()(q, w)

    a, b = llm("a", chat=mixed), llm("b")
    gw = gateway(a, b)
    gw.chat(user="3")
    before = gw.fd_count()
    for i in range(60):
        with RawClient(gw.port) as client:
            client.send(post({**CHAT, "user": str(i), "stream": i % 2 == 0}))
            if i % 3:
                assert client.response().status in (200, 503)
    wait_until(lambda: gw.backend("a")["in_flight"] == gw.backend("b")["in_flight"] == 0, 20, "all have ended")
    wait_until(lambda: gw.fd_count() <= before + 8, 20, "descriptors are back")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_it_can_be_started_with_closed_standard_streams(llm, tmp_path, closed):
    """Its loop would get their numbers, and abort at the end."""
    config = tmp_path / "fallthrough.yaml"
    config.write_text(f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n"
                      f"backends: {{a: {{type: vllm, url: '{llm('a').url}'}}}}\nmodels: {{m: {{tiers: [{{a: x}}]}}}}\n")
    with subprocess.Popen(["sh", "-c", f'exec "$@" {closed}', "sh", str(BINARY), "serve", "-c", str(config)],
                          stderr=subprocess.PIPE, text=True) as process:
        lines = []
        while not any("msg=listening" in line for line in lines):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGTERM)
        lines += process.stderr.readlines()
        assert process.wait(20) == 0, lines
    assert not [line for line in lines if any(f in line for f in FORBIDDEN)]
