"""`make run`: two real llama.cpp backends and the gateway, on loopback, until Ctrl-C.

    python tools/run_local.py [--port 8400]      API on PORT, admin on PORT+1, backends on PORT+10 and PORT+11
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("FALLTHROUGH_BINARY", str(ROOT / "build/fallthrough"))

CONFIG = """\
# Written by `make run`. gpu and cpu are the same small model here; on a real site gpu would be vLLM.
listen: 127.0.0.1:@API@
admin: 127.0.0.1:@ADMIN@
backends:
  gpu: {type: llamacpp, url: http://127.0.0.1:@FIRST@, degrade: off}
  cpu: {type: llamacpp, url: http://127.0.0.1:@SECOND@}
models:
  smollm2:
    aliases: ["*"]
    tiers:
      - gpu: smollm2
      - cpu: smollm2
health: {interval: 2s}
"""

TRY = """
The gateway answers on http://127.0.0.1:@API@. Try:

  curl http://127.0.0.1:@API@/v1/chat/completions -d \\
    '{"model":"smollm2","messages":[{"role":"user","content":"Say hello"}]}'

  from openai import OpenAI
  client = OpenAI(base_url="http://127.0.0.1:@API@/v1", api_key="none")
  print(client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "Hi"}]))

Then kill the first backend (pid @PID@) and ask again: the second one answers.
  build/fallthrough status --admin http://127.0.0.1:@ADMIN@ shows who is well.
Ctrl-C stops everything.
"""


def fill(template: str, names: dict[str, int]) -> str:
    for name, value in names.items():
        template = template.replace(f"@{name}@", str(value))
    return template


def start(*command: str) -> subprocess.Popen:
    # A session of its own: Ctrl-C reaches this script alone, which then stops them in order.
    return subprocess.Popen(command, start_new_session=True)


def start_backend(port: int, folder: pathlib.Path) -> subprocess.Popen:
    with open(folder / f"backend-{port}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tools/llama_backend.py"), str(port)],
            start_new_session=True, stdout=log, stderr=log)


def await_url(url: str, child: subprocess.Popen, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise SystemExit(f"{child.args[0]} ended with {child.returncode}; is its port in use?")
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url} after {limit_s:.0f} s")


def stop(children: list[subprocess.Popen]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8400)
    port = parser.parse_args().port
    names = {"API": port, "ADMIN": port + 1, "FIRST": port + 10, "SECOND": port + 11}
    children: list[subprocess.Popen] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell ignored it
    with tempfile.TemporaryDirectory(prefix="fallthrough-run-") as name:
        folder = pathlib.Path(name)
        config = folder / "fallthrough.yaml"
        config.write_text(fill(CONFIG, names), encoding="utf-8")
        try:
            print("== starting two llama.cpp backends (a few seconds)", flush=True)
            backends = [start_backend(names[n], folder) for n in ("FIRST", "SECOND")]
            children = list(backends)
            for child, which in zip(backends, ("FIRST", "SECOND"), strict=True):
                await_url(f"http://127.0.0.1:{names[which]}/health", child, 120)
            print("== starting the gateway", flush=True)
            gateway = start(BINARY, "serve", "-c", str(config))
            children.insert(0, gateway)
            await_url(f"http://127.0.0.1:{port}/health", gateway, 30)
            print(fill(TRY, {**names, "PID": backends[0].pid}), flush=True)
            return gateway.wait()
        except KeyboardInterrupt:
            print("\n== stopping", flush=True)
            return 0
        finally:
            stop(children)


if __name__ == "__main__":
    sys.exit(main())
