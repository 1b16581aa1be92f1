"""Gateways that are large downloads. bench.py --peers NAME,... (or all) installs and measures them.

Each runs as its own documentation advises for throughput, on the same core as the others: LiteLLM with one
worker, no price list and no tokenizer fetched, no retries, no spend log; Portkey headless, in production mode; vllm-router
with round robin and no limit on requests at a time. Telemetry is off where there is any. Whatever listens on all
addresses by itself (Portkey, which cannot be told otherwise) is held to loopback.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import venv

from .gateways import Running, Wiring
from .machine import ROOT, Deadline, Failure, Process, free_ports, say

VENV = ROOT / ".venv-peers"
NODE = VENV / "node"
PYTHON_PACKAGES = {"litellm": "litellm[proxy]==1.106.2", "vllm-router": "vllm-router==0.1.17"}
# The node-server of Portkey's own time: with 1.19 every stream of it ends in "TypeError: immutable".
PORTKEY = {"private": True, "dependencies": {"@portkey-ai/gateway": "1.15.2"},
           "overrides": {"@hono/node-server": "1.13.8"}}
PEERS = ("litellm", "portkey", "vllm-router")
SLOW = ("litellm", "portkey")  # get fewer streams: they cannot carry what the others do
# Named, so that nobody thinks that they were forgotten.
ABSENT = {"olla": "in no package registry that we use: binaries on GitHub only",
          "bifrost": "in no package registry that we use as a server: binaries and images only"}

LITELLM = """\
model_list:
  - model_name: m
    litellm_params:
      {{model: openai/llama-3.1-8b, api_base: "http://127.0.0.1:{backend}/v1", api_key: sk-none}}
litellm_settings: {{telemetry: false, num_retries: 0, request_timeout: 300, disable_hf_tokenizer_download: true}}
general_settings: {{disable_spend_logs: true}}
"""

ONLY_LOOPBACK = """\
const net = require("net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, host, ...rest) {
    return listen.call(this, port, "127.0.0.1", ...(typeof host === "function" ? [host] : rest));
};
"""


def install(names: list[str]) -> dict[str, str]:
    """Installs what is missing. What could not be had, with the reason."""
    missing = {}
    for name in names:
        try:
            install_node(name) if name == "portkey" else install_python(name)
        except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
            said = getattr(e, "stderr", None) or str(e)
            missing[name] = f"cannot be installed: {said.strip().splitlines()[-1] if said.strip() else e}"
    return missing


def run_quietly(command: list[str], cwd: pathlib.Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=900)


def install_python(name: str) -> None:
    folder = VENV / name
    mark = folder / "installed"
    if mark.exists() and mark.read_text() == PYTHON_PACKAGES[name]:
        return
    say(f"installing {PYTHON_PACKAGES[name]} into {folder.relative_to(ROOT)}")
    venv.create(folder, with_pip=True, clear=True)
    run_quietly([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 PYTHON_PACKAGES[name]], folder)
    mark.write_text(PYTHON_PACKAGES[name])


def install_node(name: str) -> None:
    text = json.dumps(PORTKEY)
    mark = NODE / "installed"
    if mark.exists() and mark.read_text() == text:
        return
    if not shutil.which("npm"):
        raise OSError("npm is not installed (apt-get install nodejs npm)")
    say(f"installing {name} into {NODE.relative_to(ROOT)}")
    NODE.mkdir(parents=True, exist_ok=True)
    (NODE / "package.json").write_text(text)
    run_quietly(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], NODE)
    mark.write_text(text)


def start(name: str, w: Wiring, base: pathlib.Path, deadline: Deadline) -> Running:
    folder = base / name
    folder.mkdir(exist_ok=True)
    running, url = {"litellm": start_litellm, "portkey": start_portkey,
                    "vllm-router": start_router}[name](folder, w)
    try:
        running.process.wait_ready(url, 180, deadline)
    except Failure:
        running.process.stop()
        raise
    return running


def start_litellm(folder: pathlib.Path, w: Wiring) -> tuple[Running, str]:
    (port,) = free_ports(1)
    config = folder / "config.yaml"
    config.write_text(LITELLM.format(backend=w.backend))
    command = [str(VENV / "litellm" / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port",
               str(port), "--num_workers", "1", "--telemetry", "False"]
    # Without a master key it checks no keys, as fallthrough does here; it wants to be told that this is meant.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DISABLE_ADMIN_UI": "True",
           "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
           "HF_HUB_OFFLINE": "1", "HOME": str(folder)}  # else it fetches a tokenizer, to count what streams
    process = Process("litellm", command, set(w.cores), folder, env)
    return Running(process, port, port), f"http://127.0.0.1:{port}/health/liveliness"


def start_portkey(folder: pathlib.Path, w: Wiring) -> tuple[Running, str]:
    (port,) = free_ports(1)
    preload = folder / "only_loopback.cjs"
    preload.write_text(ONLY_LOOPBACK)
    server = NODE / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command = [shutil.which("node") or "node", "--require", str(preload), str(server), f"--port={port}", "--headless"]
    process = Process("portkey", command, set(w.cores), folder, {"NODE_ENV": "production"})
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{w.backend}/v1")
    return Running(process, port, port, headers), f"http://127.0.0.1:{port}/"


def start_router(folder: pathlib.Path, w: Wiring) -> tuple[Running, str]:
    port, metrics = free_ports(2)
    command = [str(VENV / "vllm-router" / "bin" / "vllm-router"), "--host", "127.0.0.1", "--port", str(port),
               "--worker-urls", f"http://127.0.0.1:{w.backend}", "--policy", "round_robin", "--prometheus-port",
               str(metrics), "--prometheus-host", "127.0.0.1", "--log-level", "error", "--max-concurrent-requests",
               "100000"]
    process = Process("vllm-router", command, set(w.cores), folder)
    return Running(process, port, port), f"http://127.0.0.1:{port}/health"


if __name__ == "__main__":
    gone = install(sys.argv[1:] or list(PEERS))
    for peer, why in gone.items():
        print(f"bench: {peer}: {why}")
