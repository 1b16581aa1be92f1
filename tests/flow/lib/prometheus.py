"""A real Prometheus on loopback that scrapes a gateway and evaluates the rules that are shipped."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from gateway import ROOT, wait_until
from ports import free_port

RULES = ROOT / "prometheus" / "fallthrough.rules.yml"
STEP = "500ms"  # of scrapes and of rules


def tool(name: str) -> str:
    program = shutil.which(name)
    assert program, f"needs {name}: Debian's package prometheus (tools/install.sh check)"
    return program


class Prometheus:
    def __init__(self, folder: pathlib.Path, *targets: int):
        """Scrapes those ports. Its alerts are the shipped ones, but need hold for a second only."""
        self.port = free_port()
        (folder / "rules.yml").write_text(re.sub(r"^( +for:) .*$", r"\1 1s", RULES.read_text(), flags=re.MULTILINE))
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": STEP, "scrape_timeout": STEP, "evaluation_interval": STEP},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "fallthrough",
                                "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets]}]}]}))
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self._is_ready, 60, "Prometheus is ready")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, pathlib.Path(self.log.name).read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2).close()
        except OSError:
            return False
        return True

    def _get(self, path: str, **query: str) -> dict:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                got = json.load(answer)
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{query}: {e.read().decode()}") from e
        assert got["status"] == "success" and not got.get("warnings"), (query, got)
        return got["data"]

    def query(self, expression: str) -> list[dict]:
        return self._get("query", query=expression)["result"]

    def targets(self) -> list[dict]:
        return self._get("targets", state="active")["activeTargets"]

    def rules(self) -> list[dict]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def alerts(self, state: str = "firing") -> set[tuple[str, str]]:
        """Those in this state, as (name, backend or model)."""
        return {(a["labels"]["alertname"].removeprefix("Fallthrough"), a["labels"].get("backend", a["labels"].get("model", "")))
                for a in self._get("alerts")["alerts"] if a["state"] == state}

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
