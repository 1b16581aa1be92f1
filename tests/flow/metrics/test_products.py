"""What is made from the program's table of metrics: documentation, dashboard, alert rules."""

import json
import re
import subprocess
import sys

import pytest
from gateway import BINARY, ROOT
from prometheus import RULES, tool

sys.path.insert(0, str(ROOT / "tools"))

import metrics_products  # noqa: E402
from metrics_board import dashboard, expressions  # noqa: E402
from metrics_rules import ALERTS  # noqa: E402


@pytest.fixture(scope="module")
def table() -> list[dict]:
    return metrics_products.read_table(str(BINARY))


def promtool(*args: str) -> None:
    done = subprocess.run([tool("promtool"), *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_committed_files_are_what_the_tool_writes(table):
    for name, text in metrics_products.products(table).items():
        assert (ROOT / name).read_text() == text, f"{name}: run tools/metrics_products.py"


def test_promtool_accepts_the_rules():
    promtool("check", "rules", str(RULES))


def test_promtool_s_unit_tests_of_the_rules_pass():
    promtool("test", "rules", str(RULES.with_suffix("").with_suffix(".rules.test.yml")))


def test_a_name_that_nobody_exposes_is_found(table):
    def unknown(expr: str) -> list[str]:
        return metrics_products.unknown_names(expr, table)
    assert unknown('fallthrough_connections > 1 and rate(fallthrough_own_seconds_bucket[5m]) > 0') == []
    assert unknown("fallthrough_gpu_temperature_celsius > process_open_fds") == []  # the agent's
    assert unknown("fallthrough_conections > 1") == ["fallthrough_conections"]
    assert unknown("rate(fallthrough_own_seconds[5m])") == ["fallthrough_own_seconds"]  # a histogram has only parts
    assert unknown("rate(fallthrough_connections_bucket[5m])") == ["fallthrough_connections_bucket"]
    assert unknown('fallthrough_backend_state{sate="DOWN"}') == ["fallthrough_backend_state{sate}"]
    assert unknown('fallthrough_backend_state{state=~"A|B",backend!="x"}') == []


def test_the_words_that_rules_and_panels_ask_for_are_the_program_s(table):
    """A value of a label that no sample ever has makes an alert that never fires."""
    words = set(re.findall(r"`([A-Za-z_0-9]+)`", (ROOT / "docs/metrics.md").read_text()))
    words |= set(re.findall(r"^\| ([A-Z_]+) \|", (ROOT / "docs/guard.md").read_text(), re.MULTILINE))
    words |= set(re.findall(r'"(\w+)"', (ROOT / "src/agent/gpu_metrics.c").read_text()))
    for expr in [*expressions(), *(alert.expr for alert in ALERTS)]:
        for label, value in re.findall(r'(\w+)(?:=~|!=|=)"([^"$]+)"', expr):
            for word in value.split("|"):
                assert word in words, f"{label}={word} in {expr}"


def test_every_alert_says_what_to_do():
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert.severity in ("critical", "warning")
        assert len(alert.action) > 60 and alert.summary.endswith("."), alert.name


def test_the_dashboard_is_whole():
    board = dashboard()
    panels = board["panels"]
    assert [p["title"] for p in panels if p["type"] == "row"] == [
        "Can users get answers?", "What it costs", "Backends", "Streams and resumes", "Queue", "GPUs, guards, processes",
        "The gateway itself"]
    assert len({p["id"] for p in panels}) == len(panels)
    assert {v["name"] for v in board["templating"]["list"]} == {"datasource", "model", "backend"}
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert json.loads((ROOT / "dashboards/fallthrough.json").read_text()) == board


def test_each_metric_of_the_program_is_in_the_dashboard_or_in_a_rule_or_is_known_not_to_be(table):
    named = {metrics_products.PART.sub("", name) for expr in [*expressions(), *(a.expr for a in ALERTS)]
             for name in metrics_products.NAME.findall(expr)}
    unused = {row["name"] for row in table} - named
    assert unused == {"fallthrough_usage_reports_total"}  # only to judge the coverage of the token counters
