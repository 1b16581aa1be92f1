"""What `make run` starts: two real backends and the gateway; Ctrl-C leaves nothing running."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

from gateway import BINARY, ROOT, wait_until


def free_ports() -> int:
    """A port P with P, P+1, P+10 and P+11 free."""
    for port in range(20400, 30000, 20):
        try:
            for p in (port, port + 1, port + 10, port + 11):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", p))
            return port
        except OSError:
            continue
    raise AssertionError("no free ports")


def is_running(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_it_answers_says_how_to_try_it_and_stops_everything():
    port = free_ports()
    with subprocess.Popen([sys.executable, ROOT / "tools/run_local.py", "--port", str(port)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "FALLTHROUGH_BINARY": str(BINARY)}) as run:
        out = ""
        while "Ctrl-C" not in out:
            line = run.stdout.readline()
            assert line, out
            out += line
        children = [int(p) for p in subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], text=True,
                                                   capture_output=True, check=True).stdout.split()]
        body = re.search(r"-d \\\s+'(\{.*\})'", out)[1]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body.encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            assert json.load(response)["choices"][0]["message"]["content"]
        assert "from openai import OpenAI" in out
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 0
        run.stdout.read()
    assert len(children) == 3
    wait_until(lambda: not any(is_running(p) for p in children), 20, "all children are gone")
