"""What is compared: how nginx, HAProxy, the bare relay and fallthrough are configured and started.

Each gets its fastest fair setting: connections to the backend are kept, nothing is logged per request, prompts
stay in memory. nginx and fallthrough take a prompt in whole before they send it on, so that it can go
elsewhere; HAProxy and the relay pass it on as it comes. Streams go through nginx unbuffered, and through
HAProxy with `option http-no-delay`, without which it holds tokens back for 100 ms.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

from .machine import Deadline, Failure, Process, free_ports, program, raise_files

NGINX = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 32m;
    client_body_buffer_size 4m;
    keepalive_requests 100000000;
    proxy_read_timeout 300s;
    upstream llm {{
        server 127.0.0.1:{backend};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        location / {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
    server {{
        listen 127.0.0.1:{streams} backlog=4096;
        location / {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    timeout connect 1s
    timeout client 300s
    timeout server 300s
    option http-keep-alive
    option http-no-delay
    http-reuse always
frontend api
    bind 127.0.0.1:{plain} backlog 4096
    maxconn {connections}
    default_backend llm
backend llm
    server one 127.0.0.1:{backend}
"""

# Also what instructions.py counts, so that its numbers stay comparable.
FALLTHROUGH = """\
listen: 127.0.0.1:{plain}
admin: 127.0.0.1:{admin}
workers: 1
backends:
  one: {{type: vllm, url: "http://127.0.0.1:{backend}"}}
models:
  m: {{tiers: [one: llama-3.1-8b]}}
streams: {{upstream: never, calibrate: 0}}
log: {{level: info}}
"""

# Whatever tells what happens, and can be switched on; `sink` is a port that takes it.
WATCHED = """\
history: {folder}/history.db
access_log: {folder}/access.log
traces: {{otlp: "http://127.0.0.1:{sink}", sample: 0.1}}
alerts: {{webhook: {{url: "http://127.0.0.1:{sink}/alerts"}}}}
"""

TIER_MAX = 64  # backends that a tier may have


@dataclasses.dataclass(frozen=True)
class Wiring:
    """What a gateway is to be connected with, and where it may run."""

    backend: int           # port of the mock
    cores: frozenset[int]
    upstream: str = "never"  # fallthrough's streams.upstream
    backends: int = 1      # fallthrough: so many by name, all of them at the mock's port
    standby: int = 0       # fallthrough: port of a second tier
    workers: int = 1
    probe_interval: str = "10s"
    more: str = ""         # fallthrough: further lines of its configuration


@dataclasses.dataclass
class Running:
    """A gateway that answers."""

    process: Process
    plain: int    # port for whole answers
    streams: int  # and for streams; the same but for nginx
    headers: tuple[str, ...] = ()  # that requests to it need
    admin: int = 0  # fallthrough's


def fallthrough_conf(plain: int, admin: int, w: Wiring) -> str:
    names = [f"b{i}" for i in range(w.backends)]
    lines = [f"listen: 127.0.0.1:{plain}", f"admin: 127.0.0.1:{admin}", f"workers: {w.workers}", "backends:"]
    lines += [f'  {name}: {{type: vllm, url: "http://127.0.0.1:{w.backend}"}}' for name in names]
    if w.standby:
        lines.append(f'  standby: {{type: vllm, url: "http://127.0.0.1:{w.standby}"}}')
    lines += ["models:", "  m:", "    tiers:"]
    for first in range(0, len(names), TIER_MAX):
        tier = ", ".join(f"{name}: llama-3.1-8b" for name in names[first:first + TIER_MAX])
        lines.append(f"      - {{{tier}}}")
    if w.standby:
        lines.append("      - standby: llama-3.1-8b")
    lines += [f"streams: {{upstream: {w.upstream}, calibrate: 0}}",
              f"health: {{interval: {w.probe_interval}}}", "log: {level: info}"]
    return "\n".join(lines) + "\n" + w.more


class Starter:
    """Starts gateways by name, each with its files in a folder of its own."""

    def __init__(self, tools: pathlib.Path, binary: pathlib.Path, folder: pathlib.Path, deadline: Deadline):
        self.tools, self.binary, self.folder, self.deadline = tools, binary, folder, deadline

    def start(self, name: str, w: Wiring) -> Running:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        running = {"nginx": self.nginx, "haproxy": self.haproxy, "relay": self.relay,
                   "fallthrough": self.fallthrough}[name](folder, w)
        try:
            running.process.wait_ready(f"http://127.0.0.1:{running.plain}/health", 20, self.deadline)
        except Failure:
            running.process.stop()
            raise
        return running

    def nginx(self, folder: pathlib.Path, w: Wiring) -> Running:
        plain, streams = free_ports(2)
        config = folder / "conf"
        config.write_text(NGINX.format(plain=plain, streams=streams, backend=w.backend, folder=folder,
                                       files=raise_files(), user="user root;" if os.geteuid() == 0 else ""))
        command = [program("nginx"), "-p", str(folder), "-c", str(config)]
        return Running(Process("nginx", command, set(w.cores), folder), plain, streams)

    def haproxy(self, folder: pathlib.Path, w: Wiring) -> Running:
        (plain,) = free_ports(1)
        config = folder / "conf"
        config.write_text(HAPROXY.format(plain=plain, backend=w.backend,
                                         connections=min(20_000, raise_files() // 2 - 50)))
        command = [program("haproxy"), "-db", "-f", str(config)]
        return Running(Process("haproxy", command, set(w.cores), folder), plain, plain)

    def relay(self, folder: pathlib.Path, w: Wiring) -> Running:
        command = [str(self.tools / "relay"), "--target", str(w.backend)]
        process = Process("relay", command, set(w.cores), folder)
        port = process.wait_port(self.deadline)
        return Running(process, port, port)

    def fallthrough(self, folder: pathlib.Path, w: Wiring) -> Running:
        plain, admin = free_ports(2)
        config = folder / "conf"
        config.write_text(fallthrough_conf(plain, admin, w))
        command = [str(self.binary), "serve", "-c", str(config)]
        return Running(Process("fallthrough", command, set(w.cores), folder), plain, plain, admin=admin)
