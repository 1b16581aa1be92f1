"""`make run`: two real llama.cpp backends and the gateway, on loopback, until Ctrl-C."""

import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
API, ADMIN, FIRST, SECOND = 8400, 8401, 8410, 8411

CONFIG = f"""\
# Written by `make run`. gpu and cpu are the same small model here; on a real site gpu would be vLLM.
listen: 127.0.0.1:{API}
admin: 127.0.0.1:{ADMIN}
backends:
  gpu: {{type: llamacpp, url: http://127.0.0.1:{FIRST}, degrade: off}}
  cpu: {{type: llamacpp, url: http://127.0.0.1:{SECOND}}}
models:
  smollm2:
    aliases: ["*"]
    tiers:
      - gpu: smollm2
      - cpu: smollm2
health: {{interval: 2s}}
"""

TRY = f"""
The gateway answers on http://127.0.0.1:{API}. Try:

  curl http://127.0.0.1:{API}/v1/chat/completions -d \\
    '{{"model":"smollm2","messages":[{{"role":"user","content":"Say hello"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="http://127.0.0.1:{API}/v1", api_key="none")
  print(client.chat.completions.create(model="smollm2", messages=[{{"role": "user", "content": "Hi"}}]))

Then kill the first backend (pid {{first}}) and ask again: the second one answers.
  build/fallthrough status      shows who is well, build/fallthrough explain smollm2 who is next.
Ctrl-C stops everything.
"""


def start(*command: str) -> subprocess.Popen:
    # A session of its own: Ctrl-C reaches this script alone, which then stops them in order.
    return subprocess.Popen(command, start_new_session=True)


def start_backend(port: int) -> subprocess.Popen:
    log = open(f"/tmp/fallthrough-backend-{port}.log", "wb")  # noqa: SIM115: lives as long as the child
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
    children: list[subprocess.Popen] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="fallthrough-run-") as folder:
        config = pathlib.Path(folder) / "fallthrough.yaml"
        config.write_text(CONFIG, encoding="utf-8")
        try:
            print("== starting two llama.cpp backends (a few seconds)", flush=True)
            children = [start_backend(FIRST), start_backend(SECOND)]
            for child, port in zip(children, (FIRST, SECOND), strict=True):
                await_url(f"http://127.0.0.1:{port}/health", child, 120)
            print("== starting the gateway", flush=True)
            gateway = start(str(ROOT / "build/fallthrough"), "serve", "-c", str(config))
            children.insert(0, gateway)
            await_url(f"http://127.0.0.1:{API}/health", gateway, 30)
            print(TRY.format(first=children[1].pid), flush=True)
            return gateway.wait()
        except KeyboardInterrupt:
            print("\n== stopping", flush=True)
            return 0
        finally:
            stop(children)


if __name__ == "__main__":
    sys.exit(main())
