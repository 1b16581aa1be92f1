#include "ops/metrics_priv.h"

#include "tiers/lines.h"
#include "tiers/loads.h"

static void write_waiting(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    const struct lines *lines = loads_lines(board_loads(s->source->board));
    for (uint32_t i = 0; i < c->model_count; i++) {
        metrics_put_count(e, &c->models[i].name, lines_waiting(lines, i));
    }
}

static void write_waits(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        struct tally_gaps waits;
        tally_waits(s->source->tally, i, &waits);
        metrics_put_gaps(e, &c->models[i].name, &waits);
    }
}

static void write_queue_refused(struct exposition *e, const struct scrape *s)
{
    static const enum queue_end ends[] = {QUEUE_FULL, QUEUE_TIMEOUT};
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
            struct str values[] = {c->models[i].name, str_from(queue_end_name(ends[k]))};
            metrics_put_count(e, values, tally_queue_ends(s->source->tally, i, ends[k]));
        }
    }
}

static void write_overflows(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        metrics_put_count(e, &c->models[i].name, tally_overflows(s->source->tally, i));
    }
}

static const struct metric ROWS[] = {
    {{.name = "fallthrough_queue_waiting",
      .kind = METRIC_GAUGE,
      .labels = {"model"},
      .help = "Requests that wait for a slot of a backend with max_concurrent."},
     write_waiting},
    {{.name = "fallthrough_queue_wait_seconds",
      .kind = METRIC_HISTOGRAM,
      .labels = {"model"},
      .help = "How long those requests waited that had to and were served then."},
     write_waits},
    {{.name = "fallthrough_queue_refused_total",
      .kind = METRIC_COUNTER,
      .labels = {"model", "reason"},
      .help = "Requests that were refused because too many waited, or that waited too long."},
     write_queue_refused},
    {{.name = "fallthrough_overflows_total",
      .kind = METRIC_COUNTER,
      .labels = {"model"},
      .help = "Attempts at a later tier because all slots of a better one were taken."},
     write_overflows},
};

const struct metric_section METRICS_QUEUE = METRICS_SECTION(ROWS);
