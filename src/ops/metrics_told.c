#include "ops/access_log.h"
#include "ops/metrics_priv.h"
#include "ops/otlp.h"

/* What became of what others are told: alerts, spans, lines of the access log. */

static void write_alerts(struct exposition *e, const struct scrape *s)
{
    for (size_t i = 0; i < s->source->alert_channels; i++) {
        struct alert_counts counts = {.format = ""};
        s->source->alerts(s->source->alerts_arg, i, &counts);
        metrics_put_count(e, (const struct str[]){counts.name, STR("sent")}, counts.sent);
        metrics_put_count(e, (const struct str[]){counts.name, STR("failed")}, counts.failed);
    }
}

static void write_alerts_waiting(struct exposition *e, const struct scrape *s)
{
    for (size_t i = 0; i < s->source->alert_channels; i++) {
        struct alert_counts counts = {.format = ""};
        s->source->alerts(s->source->alerts_arg, i, &counts);
        metrics_put_count(e, &counts.name, counts.waiting);
    }
}

static void write_spans(struct exposition *e, const struct scrape *s)
{
    const struct otlp *o = s->source->spans;
    if (o) {
        metrics_put_count(e, (const struct str[]){STR("exported")}, otlp_exported(o));
        metrics_put_count(e, (const struct str[]){STR("dropped")}, otlp_dropped(o));
    }
}

static void write_access_lines(struct exposition *e, const struct scrape *s)
{
    const struct access_log *log = s->source->access_log;
    if (log) {
        metrics_put_count(e, (const struct str[]){STR("written")}, access_log_written(log));
        metrics_put_count(e, (const struct str[]){STR("dropped")}, access_log_dropped(log));
    }
}

static const struct metric ROWS[] = {
    {{.name = "fallthrough_alerts_total",
      .kind = METRIC_COUNTER,
      .labels = {"channel", "result"},
      .help = "Alerts that the channel's server has taken (sent), and those that were given up "
              "(failed); absent without channels."},
     write_alerts},
    {{.name = "fallthrough_alerts_waiting",
      .kind = METRIC_GAUGE,
      .labels = {"channel"},
      .help = "Alerts that wait to be sent, or to be tried again; absent without channels."},
     write_alerts_waiting},
    {{.name = "fallthrough_trace_spans_total",
      .kind = METRIC_COUNTER,
      .labels = {"result"},
      .help = "Spans that the collector has taken (exported), and those that it never will "
              "(dropped); absent without traces."},
     write_spans},
    {{.name = "fallthrough_access_log_lines_total",
      .kind = METRIC_COUNTER,
      .labels = {"result"},
      .help =
          "Lines of the access log that were written, and those that could not be (dropped); "
          "absent without one."},
     write_access_lines},
};

const struct metric_section METRICS_TOLD = METRICS_SECTION(ROWS);
