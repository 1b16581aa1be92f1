#include "ops/metrics_priv.h"

enum { US_DECIMALS = 6 };

static void write_cpu(struct exposition *e, const struct scrape *s)
{
    exposition_put(e, NULL, (struct figure){s->process.cpu_us, US_DECIMALS});
}

static void write_resident(struct exposition *e, const struct scrape *s)
{
    if (s->process.has_resident) {
        metrics_put_count(e, NULL, s->process.resident_bytes);
    }
}

static void write_open_fds(struct exposition *e, const struct scrape *s)
{
    if (s->process.has_open_fds) {
        metrics_put_count(e, NULL, s->process.open_fds);
    }
}

static void write_max_fds(struct exposition *e, const struct scrape *s)
{
    if (s->process.has_max_fds) {
        metrics_put_count(e, NULL, s->process.max_fds);
    }
}

static void write_start_time(struct exposition *e, const struct scrape *s)
{
    metrics_put_ms(e, NULL, s->source->started_wall_ms);
}

static const struct metric ROWS[] = {
    {{.name = "process_cpu_seconds_total",
      .kind = METRIC_COUNTER,
      .help = "User and system CPU time of this process."},
     write_cpu},
    {{.name = "process_resident_memory_bytes",
      .kind = METRIC_GAUGE,
      .help = "Resident memory of this process."},
     write_resident},
    {{.name = "process_open_fds",
      .kind = METRIC_GAUGE,
      .help = "Descriptors that this process has open."},
     write_open_fds},
    {{.name = "process_max_fds",
      .kind = METRIC_GAUGE,
      .help = "Descriptors that this process may have open."},
     write_max_fds},
    {{.name = "process_start_time_seconds",
      .kind = METRIC_GAUGE,
      .help = "When this process started, in seconds since 1970."},
     write_start_time},
};

const struct metric_section METRICS_PROCESS = METRICS_SECTION(ROWS);
