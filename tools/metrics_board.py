"""The Grafana dashboard that fallthrough ships, as data. tools/metrics_products.py writes dashboards/fallthrough.json from it."""

from __future__ import annotations

import dataclasses

COLUMNS = 24
HEIGHT = 7


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    queries: tuple[tuple[str, str], ...]  # expression, legend
    unit: str = "short"
    kind: str = "timeseries"  # stat, state-timeline
    width: int = 8
    note: str = ""
    words: tuple[tuple[str, str, str], ...] = ()  # value, text, colour


M, B = 'model=~"$model"', 'backend=~"$backend"'
WELL = (("0", "no", "red"), ("1", "yes", "green"))
BAD = (("0", "no", "green"), ("1", "yes", "red"))


def _rate(name: str, labels: str, by: str) -> str:
    return f"sum by ({by}) (rate({name}{{{labels}}}[$__rate_interval]))"


def _quantile(share: str, name: str, labels: str, by: str = "") -> str:
    keep = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({keep}) (rate({name}_bucket{{{labels}}}[$__rate_interval])))"


def _quantiles(name: str, labels: str = "", by: str = "") -> tuple[tuple[str, str], ...]:
    legend = f" {{{{{by}}}}}" if by else ""
    return tuple((_quantile(q, name, labels, by), f"{word}{legend}") for q, word in (("0.5", "p50"), ("0.99", "p99")))


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Can users get answers?", (
        Panel("Model can be served", ((f"fallthrough_model_can_serve{{{M}}}", "{{model}}"),), kind="stat", width=6, words=WELL),
        Panel("Tier that serves", ((f"fallthrough_model_tier{{{M}}}", "{{model}}"),), kind="stat", width=6,
              note="1 is the best; 0: nobody is usable."),
        Panel("Requests without a whole answer", ((
            f'sum by (model) (rate(fallthrough_requests_total{{{M},outcome=~"failed|interrupted"}}[$__rate_interval])) / '
            f'sum by (model) (rate(fallthrough_requests_total{{{M},outcome!="refused"}}[$__rate_interval]))', "{{model}}"),),
            "percentunit", width=12),
        Panel("Requests by outcome", ((_rate("fallthrough_requests_total", M, "outcome"), "{{outcome}}"),), "reqps", width=12),
        Panel("Whose answers", ((_rate("fallthrough_answers_total", f"{M},{B}", "model, tier, backend"),
                                 "{{model}}: tier {{tier}}, {{backend}}"),), "reqps", width=12),
        Panel("First token", _quantiles("fallthrough_first_token_seconds", B, "backend"), "s", width=12),
        Panel("From piece to piece", _quantiles("fallthrough_token_seconds", B, "backend"), "s", width=12,
              note="The average of each streamed answer."),
    )),
    ("What it costs", (
        Panel("Tokens of prompts", ((_rate("fallthrough_prompt_tokens_total", B, "backend"), "{{backend}}"),), "short",
              note="By the backends' own word, a second; those that tell no usage are not in it."),
        Panel("Tokens of answers", ((_rate("fallthrough_completion_tokens_total", B, "backend"), "{{backend}}"),), "short"),
        Panel("Pieces of content", ((_rate("fallthrough_tokens_total", B, "backend"), "{{backend}}"),), "short"),
        Panel("Attempts for one request", ((
            "sum(rate(fallthrough_attempts_total[$__rate_interval])) / sum(rate(fallthrough_requests_total[$__rate_interval]))", "attempts"),)),
        Panel("Second attempts by requests", ((
            f'sum by (model) (rate(fallthrough_hedges_total{{{M},result=~"won|lost"}}[$__rate_interval])) / '
            f'sum by (model) (rate(fallthrough_requests_total{{{M}}}[$__rate_interval]))', "{{model}}"),), "percentunit"),
        Panel("Degraded, and last resorts", (
            (_rate("fallthrough_degraded_total", M, "model"), "{{model}} degraded"),
            (_rate("fallthrough_last_resort_total", M, "model, kind"), "{{model}} {{kind}}")), "reqps"),
    )),
    ("Backends", (
        Panel("State", tuple((f'fallthrough_backend_state{{{B},state="{s}"}} * {n} > 0', "{{backend}}")
                             for s, n in (("HEALTHY", 1), ("DEGRADED", 2), ("DOWN", 3), ("STOPPED", 4), ("LOADING", 5))),
              kind="state-timeline", width=24, words=(("1", "HEALTHY", "green"), ("2", "DEGRADED", "yellow"), ("3", "DOWN", "red"),
                                                      ("4", "STOPPED", "text"), ("5", "LOADING", "blue"))),
        Panel("Attempts in flight", ((f"fallthrough_attempts_in_flight{{{B}}}", "{{backend}}"),)),
        Panel("Failed attempts", ((_rate("fallthrough_attempt_failures_total", B, "backend, reason"), "{{backend}} {{reason}}"),), "reqps"),
        Panel("Share that the breaker lets through", ((f"fallthrough_breaker_share{{{B}}}", "{{backend}} {{backend_model}}"),), "percentunit"),
        Panel("Breakers that are not closed", ((
            f'fallthrough_breaker_state{{{B},state!="closed"}} == 1', "{{backend}} {{backend_model}} {{state}}"),)),
        Panel("Hung, or in doubt", ((f'fallthrough_backend_vitals{{{B},vitals=~"suspect|hung"}}', "{{backend}} {{vitals}}"),)),
        Panel("Asked to be left alone", ((f"fallthrough_backend_hold_seconds{{{B}}}", "{{backend}}"),), "s"),
        Panel("Probes", _quantiles("fallthrough_probe_seconds", B, "backend"), "s"),
        Panel("Failed probes", ((_rate("fallthrough_probes_total", f'{B},result="failed"', "backend"), "{{backend}}"),), "reqps"),
        Panel("Engine: requests and memory", ((f"fallthrough_engine_requests{{{B}}}", "{{backend}} {{phase}}"),
                                              (f"fallthrough_engine_kv_ratio{{{B}}}", "{{backend}} memory"))),
    )),
    ("Streams and resumes", (
        Panel("Failovers", (("sum by (from, to) (increase(fallthrough_failovers_total[$__rate_interval]))", "{{from}} to {{to}}"),)),
        Panel("Resumes", (("sum by (from, to, result) (increase(fallthrough_resumes_total[$__rate_interval]))",
                           "{{from}} to {{to}} {{result}}"),)),
        Panel("Gap that users saw", _quantiles("fallthrough_resume_gap_seconds"), "s"),
        Panel("Retry budget exhausted", ((_rate("fallthrough_retry_budget_exhausted_total", M, "model"), "{{model}}"),), "reqps", width=12),
        Panel("Second attempts", ((_rate("fallthrough_hedges_total", M, "model, result"), "{{model}} {{result}}"),), "reqps", width=12),
    )),
    ("Queue", (
        Panel("Waiting", ((f"fallthrough_queue_waiting{{{M}}}", "{{model}}"),), width=6),
        Panel("Time waited", _quantiles("fallthrough_queue_wait_seconds", M, "model"), "s", width=6),
        Panel("Refused, and sent to a later tier", (
            (_rate("fallthrough_queue_refused_total", M, "model, reason"), "{{model}} {{reason}}"),
            (_rate("fallthrough_overflows_total", M, "model"), "{{model}} later tier")), "reqps", width=6),
        Panel("Slots in use", ((f"fallthrough_attempts_in_flight{{{B}}} / fallthrough_max_concurrent{{{B}}}", "{{backend}}"),),
              "percentunit", width=6),
    )),
    ("GPUs, guards, processes", (
        Panel("GPUs that ail, or are not seen", ((
            f'fallthrough_backend_gpu_state{{{B},state!="HEALTHY"}} == 1', "{{backend}} {{state}}"),)),
        Panel("What is advised", ((f'fallthrough_backend_counsel{{{B},counsel!="none"}} == 1', "{{backend}} {{counsel}}"),)),
        Panel("Guards that are not ready", ((f'fallthrough_backend_guard_state{{{B},state!="READY"}} == 1', "{{backend}} {{state}}"),)),
        Panel("Restarts", ((f"increase(fallthrough_backend_guard_restarts_total{{{B}}}[$__rate_interval])", "{{backend}} (guard)"),
                           (f"increase(fallthrough_managed_starts_total{{{B}}}[$__rate_interval])", "{{backend}} (managed)"))),
        Panel("Managed processes", ((f"fallthrough_managed_state{{{B}}} == 1", "{{backend}} {{state}}"),)),
        Panel("Temperature", (("fallthrough_gpu_temperature_celsius", "{{gpu}} {{sensor}}"),), "celsius",
              note="This one and the next: where the agents are scraped, too."),
        Panel("Memory of GPUs", (('fallthrough_gpu_memory_bytes{kind="used"}', "{{gpu}}"),), "bytes"),
        Panel("Slowed down", (("rate(fallthrough_gpu_throttled_seconds_total[$__rate_interval])", "{{gpu}} {{reason}}"),), "percentunit"),
        Panel("Power", (("fallthrough_gpu_power_watts", "{{gpu}}"),), "watt"),
    )),
    ("The gateway itself", (
        Panel("Own time of a request", _quantiles("fallthrough_own_seconds"), "s"),
        Panel("Turns of the loops, p99", ((_quantile("0.99", "fallthrough_loop_turn_seconds", "", "instance, loop"),
                                           "{{instance}} {{loop}}"),), "s"),
        Panel("Loops at work", (("sum by (instance, loop) (rate(fallthrough_loop_turn_seconds_sum[$__rate_interval]))",
                                 "{{instance}} {{loop}}"),), "percentunit"),
        Panel("Processor", (("rate(process_cpu_seconds_total[$__rate_interval]) and on (instance, job) fallthrough_build_info",
                             "{{instance}}"),), "percentunit"),
        Panel("Memory", (("process_resident_memory_bytes and on (instance, job) fallthrough_build_info", "{{instance}}"),), "bytes"),
        Panel("Descriptors", (("process_open_fds / process_max_fds and on (instance, job) fallthrough_build_info", "{{instance}}"),),
              "percentunit"),
        Panel("Connections", (("fallthrough_connections", "{{instance}}"),)),
        Panel("Busy now", (("fallthrough_loop_busy_seconds", "{{instance}} {{loop}}"),), "s"),
        Panel("Alerts", (
            ("sum by (instance, channel, result) (increase(fallthrough_alerts_total[$__rate_interval]))", "{{instance}} {{channel}} {{result}}"),
            ("sum by (instance, channel) (fallthrough_alerts_waiting)", "{{instance}} {{channel}} waiting"))),
        Panel("Spans and lines of the access log", (
            ("sum by (instance, result) (rate(fallthrough_trace_spans_total[$__rate_interval]))", "{{instance}} spans {{result}}"),
            ("sum by (instance, result) (rate(fallthrough_access_log_lines_total[$__rate_interval]))", "{{instance}} lines {{result}}"))),
        Panel("Incidents and lost events", (("fallthrough_incidents_open", "{{instance}} incidents"),
                                            ("increase(fallthrough_events_lost_total[$__rate_interval])", "{{instance}} lost"))),
        Panel("History is written", (("fallthrough_history_writable", "{{instance}}"),), kind="stat", width=6, words=WELL),
        Panel("Drains", (("fallthrough_draining", "{{instance}}"),), kind="stat", width=6, words=BAD),
        Panel("Version", (("fallthrough_build_info", "{{instance}} {{version}}"),), kind="stat", width=6),
        Panel("Up for", (("time() - process_start_time_seconds and on (instance, job) fallthrough_build_info", "{{instance}}"),), "s",
              kind="stat", width=6),
    )),
)


def _variable(name: str, metric: str) -> dict:
    return {"name": name, "label": name, "type": "query", "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "definition": f"label_values({metric}, {name})", "query": {"query": f"label_values({metric}, {name})", "refId": name},
            "multi": True, "includeAll": True, "allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "refresh": 2, "sort": 1}


def _field(panel: Panel) -> dict:
    mappings = [{"type": "value", "options": {v: {"text": text, "color": colour, "index": i}}}
                for i, (v, text, colour) in enumerate(panel.words)]
    return {"defaults": {"unit": panel.unit, "min": 0, "mappings": mappings}, "overrides": []}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict:
    source = {"type": "prometheus", "uid": "${datasource}"}
    is_now = panel.kind == "stat"
    options = {"stat": {"colorMode": "background" if panel.words else "value", "textMode": "auto", "reduceOptions": {"calcs": ["lastNotNull"]}},
               "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
               "state-timeline": {"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}}}[panel.kind]
    return {"id": number, "type": panel.kind, "title": panel.title, "description": panel.note, "datasource": source,
            "gridPos": {"h": HEIGHT, "w": panel.width, "x": x, "y": y}, "fieldConfig": _field(panel), "options": options,
            "targets": [{"refId": chr(ord("A") + i), "expr": expr, "legendFormat": legend, "datasource": source, "instant": is_now,
                         "range": not is_now} for i, (expr, legend) in enumerate(panel.queries)]}


def _panels() -> list[dict]:
    made, y = [], 0
    for title, panels in ROWS:
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                     "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y}})
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + HEIGHT
            made.append(_panel(panel, len(made) + 1, x, y))
            x += panel.width
        y += HEIGHT
    return made


def dashboard() -> dict:
    return {"uid": "fallthrough", "title": "fallthrough", "tags": ["llm"], "schemaVersion": 38, "editable": True, "graphTooltip": 1,
            "time": {"from": "now-3h", "to": "now"}, "refresh": "30s", "timezone": "browser",
            "templating": {"list": [{"name": "datasource", "label": "datasource", "type": "datasource", "query": "prometheus",
                                     "current": {}, "hide": 0},
                                    _variable("model", "fallthrough_model_can_serve"),
                                    _variable("backend", "fallthrough_backend_state")]},
            "panels": _panels()}


def expressions() -> list[str]:
    return [expr for _, panels in ROWS for panel in panels for expr, _ in panel.queries]
