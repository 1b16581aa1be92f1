"""The alerts that fallthrough ships, as data. tools/metrics_products.py writes prometheus/fallthrough.rules.yml from it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Alert:
    name: str  # without Fallthrough in front
    expr: str
    wait: str  # for how long it must hold; "0s": at once
    severity: str  # critical: users get no answers, or soon will not. warning: look at it today
    summary: str
    action: str  # what to do


def _share(bad: str, all_: str) -> str:
    return (f"sum by (instance, model) (rate(fallthrough_requests_total{{{bad}}}[5m])) / "
            f"sum by (instance, model) (rate(fallthrough_requests_total{{{all_}}}[5m]))")


ALERTS = (
    # --- users ---
    Alert("Absent", "absent(fallthrough_build_info)", "2m", "critical",
          "No gateway is scraped.",
          "See whether the process runs (systemctl status fallthrough) and whether its admin port answers GET /health. If both are well, "
          "the scrape configuration is not: address, and admin_token as a bearer."),
    Alert("ModelUnserved", "fallthrough_model_can_serve == 0", "30s", "critical",
          "No backend of model {{ $labels.model }} is usable.",
          "Run `fallthrough explain {{ $labels.model }}`: it says for each backend what stands in the way, and until when. Restart those that "
          "are DOWN, or add a tier that does not depend on the same machine."),
    Alert("FailedShare", _share('outcome=~"failed|interrupted"', 'outcome!="refused"') + " > 0.05", "5m", "critical",
          "{{ $value | humanizePercentage }} of the requests for {{ $labels.model }} got no whole answer.",
          "Run `fallthrough events --model {{ $labels.model }} --since 30m` for the reasons. fallthrough_attempt_failures_total shows which backend "
          "fails and how; one that fails while its probes are good is best disabled until it is mended."),
    Alert("LastResort", "sum by (instance, model) (increase(fallthrough_last_resort_total[10m])) > 0", "0s", "critical",
          "Users of {{ $labels.model }} get earlier answers or the fixed text.",
          "As for a model that cannot be served: `fallthrough explain {{ $labels.model }}` says why no backend could."),
    Alert("LowerTier", "fallthrough_model_tier > 1", "15m", "warning",
          "{{ $labels.model }} is served by tier {{ $value }} for a quarter of an hour.",
          "Users get answers, but not the best ones. `fallthrough explain {{ $labels.model }}` says what keeps the first tier away."),
    Alert("QueueRefuses", "sum by (instance, model) (increase(fallthrough_queue_refused_total[5m])) > 0", "5m", "warning",
          "Requests for {{ $labels.model }} are refused because too many wait.",
          "There are fewer slots than users. Compare fallthrough_attempts_in_flight with fallthrough_max_concurrent: raise max_concurrent if the "
          "engines have room (fallthrough_engine_kv_ratio), else add a backend, or let `queue.overflow` use a later tier."),
    # --- backends ---
    Alert("BackendDown", 'fallthrough_backend_state{state="DOWN"} == 1', "2m", "warning",
          "Backend {{ $labels.backend }} is DOWN.",
          "`fallthrough status` says why and since when, `fallthrough events --backend {{ $labels.backend }}` what came before. The gateway goes "
          "round it and takes it back by itself once it makes tokens again."),
    Alert("BackendHung", 'fallthrough_backend_vitals{vitals="hung"} == 1', "30s", "critical",
          "Backend {{ $labels.backend }} answers its probes but makes no token.",
          "Its engine hangs; only a restart helps. With `fallthrough guard` that happens by itself: see why it does not. Keep its log, and for vLLM "
          "the output of py-spy dump, for a report."),
    Alert("BreakerOpen",
          'fallthrough_breaker_state{state="open"} == 1 and on (instance, backend) fallthrough_backend_state{state="DOWN"} == 0',
          "5m", "warning",
          "Requests to {{ $labels.backend }} for {{ $labels.backend_model }} fail although its probes are good.",
          "The reasons are in `fallthrough status` and in fallthrough_attempt_failures_total: often a wrong model name, a key, or an engine "
          "that is out of memory."),
    Alert("RetryBudgetExhausted", "rate(fallthrough_retry_budget_exhausted_total[5m]) > 0", "5m", "warning",
          "Backends of {{ $labels.model }} fail so often that requests are no longer tried again.",
          "The gateway protects what still works. Find the failing backend in fallthrough_attempt_failures_total and take it out (`disable`) "
          "rather than raising retry_budget."),
    Alert("RestartLoop",
          'increase(fallthrough_backend_guard_restarts_total[30m]) > 3 or '
          '(increase(fallthrough_managed_starts_total[30m]) > 3 and on (instance, backend) '
          'max_over_time(fallthrough_managed_state{state="restarting"}[30m]) == 1)',
          "0s", "warning",
          "The process of {{ $labels.backend }} has been restarted {{ $value | humanize }} times within half an hour.",
          "It fails again and again, and will be given up soon. Its last output is in the guard's log; memory (too long a context, too large a "
          "share of the GPU) is the usual cause."),
    Alert("GuardGaveUp",
          'fallthrough_backend_guard_state{state=~"GAVE_UP|NEEDS_RESET|UNKILLABLE"} == 1 or '
          'fallthrough_managed_state{state="gave_up"} == 1',
          "30s", "critical",
          "The guard of {{ $labels.backend }} can do no more: {{ $labels.state }}.",
          "GAVE_UP: mend the cause, then restart the guard's unit. NEEDS_RESET: the GPU must be reset (nvidia-smi --gpu-reset) or the machine "
          "rebooted. UNKILLABLE: the process hangs in the kernel; only a reboot helps."),
    Alert("GpuAils", 'fallthrough_backend_gpu_state{state=~"DEGRADED|DOWN"} == 1', "1m", "warning",
          "The GPUs of {{ $labels.backend }} are {{ $labels.state }}.",
          "`fallthrough status` names the ailment, docs/agent.md what to do about each. Heat: see to the cooling. Memory: have the board "
          "replaced. An Xid that asks for a reset: drain, reset."),
    Alert("AgentUnknown", 'fallthrough_backend_gpu_state{state="unknown"} == 1', "5m", "warning",
          "Nobody tells how the GPUs of {{ $labels.backend }} are.",
          "See whether the agent (or dcgm-exporter) runs on that machine and answers, whether it sees NVIDIA's driver, and whether the "
          "backend's `gpus` are named as it names them."),
    # --- the gateway ---
    Alert("Descriptors", "process_open_fds / process_max_fds > 0.8 and on (instance, job) fallthrough_build_info", "2m", "critical",
          "{{ $value | humanizePercentage }} of the gateway's descriptors are in use.",
          "Raise LimitNOFILE of the unit, or lower limits.connections. Many idle connections: see who keeps them open."),
    Alert("LoopLate",
          "histogram_quantile(0.99, sum by (instance, loop, le) (rate(fallthrough_loop_turn_seconds_bucket[5m]))) > 0.1",
          "5m", "warning",
          "Loop {{ $labels.loop }} of the gateway is late by {{ $value | humanizeDuration }}.",
          "The machine is too busy, or too small: see its CPU (steal, throttling) and give the gateway cores of its own, or more workers."),
    Alert("LoopStuck", 'fallthrough_loop_busy_seconds{loop!="control"} > 2', "30s", "critical",
          "Worker {{ $labels.loop }} has not looked at its connections for {{ $value | humanizeDuration }}.",
          "That is a fault of the gateway, or the machine stands still. Keep a stack (gdb -p PID -batch -ex 'thread apply all bt') for a report, "
          "then restart."),
    Alert("HistoryNotWritten", "fallthrough_history_writable == 0", "5m", "warning",
          "The history cannot be written.",
          "See the disk (full, read-only) and the file's owner; the reason is in the log. Answers do not suffer; the oldest events will be lost."),
    Alert("EventsLost", "increase(fallthrough_events_lost_total[10m]) > 0", "0s", "warning",
          "{{ $value | humanize }} events were lost.",
          "More happened at a time than there is room for, or the history could not be written for too long. Counters are whole all the same."),
    Alert("AlertsNotSent", 'increase(fallthrough_alerts_total{result="failed"}[1h]) > 0 or fallthrough_alerts_waiting > 20', "10m", "warning",
          "The gateway's own alerts do not get out by channel {{ $labels.channel }}.",
          "`fallthrough alert test {{ $labels.channel }}` prints what the server says; `fallthrough events --kind alert_failed` what was not told."),
    Alert("TracesDropped", 'increase(fallthrough_trace_spans_total{result="dropped"}[15m]) > 0', "5m", "warning",
          "{{ $value | humanize }} spans did not reach the collector.",
          "The collector is away, slow or refuses them: the reason is in the gateway's log. Answers do not suffer."),
    Alert("AccessLogDropped", 'increase(fallthrough_access_log_lines_total{result="dropped"}[15m]) > 0', "5m", "warning",
          "{{ $value | humanize }} lines of the access log could not be written.",
          "See the disk (full, read-only) and the file's owner. Answers do not suffer."),
)
