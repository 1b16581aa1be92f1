"""`alert_test("{email: …}")` runs `fallthrough alert test` with these alerts configured."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
from gateway import BINARY, FORBIDDEN

LIMIT_S = 60
REST = "backends: {a: {type: vllm, url: 'http://127.0.0.1:1'}}\nmodels: {m: {tiers: [a]}}\n"
# Whoever started the tests may have proxies: they must not be used.
PROXIES = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY")}


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def channels(self) -> list[dict[str, Any]]:
        return json.loads(self.out)["channels"]


@pytest.fixture
def alert_test(tmp_path):
    def run(alerts: str, *args: str) -> Result:
        file = tmp_path / "fallthrough.yaml"
        file.write_text(f"alerts: {alerts}\n{REST}", encoding="utf-8")
        done = subprocess.run([str(BINARY), "alert", "test", *args, "-c", str(file)], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=LIMIT_S, text=True, check=False,
                              env={**os.environ, **PROXIES, "ASAN_OPTIONS": "detect_leaks=1"})
        bad = [line for line in (done.stdout + done.stderr).splitlines() if any(f in line for f in FORBIDDEN)]
        assert not bad, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)
    return run


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key
