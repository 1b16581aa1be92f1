#include "ops/metrics_priv.h"

#include "base/clock.h"
#include "net/loop.h"
#include "ops/chronicle.h"

enum { US_DECIMALS = 6 };

static void write_build_info(struct exposition *e, const struct scrape *s)
{
    (void)s;
    metrics_put_count(e, (const struct str[]){STR(FALLTHROUGH_VERSION)}, 1);
}

static void write_connections(struct exposition *e, const struct scrape *s)
{
    metrics_put_count(e, NULL, *s->source->connections);
}

static void write_draining(struct exposition *e, const struct scrape *s)
{
    metrics_put_count(e, NULL, *s->source->draining ? 1 : 0);
}

static void write_own(struct exposition *e, const struct scrape *s)
{
    metrics_put_times(e, s, NULL, TIME_OWN, 0);
}

/* --- loops --- */

/* "control", and a number for each worker. */
static struct str loop_name(size_t index, char digits[STR_NUMBER_MAX])
{
    return index == 0 ? STR("control") : str_number(index - 1, digits);
}

static void write_turns(struct exposition *e, const struct scrape *s)
{
    for (size_t i = 0; i < s->source->loop_count; i++) {
        char digits[STR_NUMBER_MAX];
        struct str name = loop_name(i, digits);
        struct loop_turns t;
        loop_turns(s->source->loops[i], &t);
        exposition_put_times(
            e, &name,
            &(struct histogram){t.most_us, t.count, LOOP_TURN_BUCKETS, t.sum_us, US_DECIMALS});
    }
}

static void write_busy(struct exposition *e, const struct scrape *s)
{
    uint64_t now_us = clock_mono_us();
    for (size_t i = 0; i < s->source->loop_count; i++) {
        char digits[STR_NUMBER_MAX];
        struct str name = loop_name(i, digits);
        uint64_t busy_us = loop_busy_us(s->source->loops[i], now_us);
        exposition_put(e, &name, (struct figure){busy_us, US_DECIMALS});
    }
}

/* --- what happened --- */

static void write_lost(struct exposition *e, const struct scrape *s)
{
    if (s->source->chronicle) {
        metrics_put_count(e, NULL, chronicle_lost(s->source->chronicle));
    }
}

static void write_incidents(struct exposition *e, const struct scrape *s)
{
    if (s->source->chronicle) {
        metrics_put_count(e, NULL, chronicle_open_incidents(s->source->chronicle));
    }
}

static void write_history(struct exposition *e, const struct scrape *s)
{
    const struct chronicle *c = s->source->chronicle;
    if (c && chronicle_has_history(c)) {
        metrics_put_count(e, NULL, chronicle_is_written(c) ? 1 : 0);
    }
}

static const struct metric ROWS[] = {
    {{.name = "fallthrough_build_info",
      .kind = METRIC_GAUGE,
      .labels = {"version"},
      .help = "Always 1; the version is in the label."},
     write_build_info},
    {{.name = "fallthrough_connections",
      .kind = METRIC_GAUGE,
      .help = "Client connections open on the API port."},
     write_connections},
    {{.name = "fallthrough_draining",
      .kind = METRIC_GAUGE,
      .help = "1 while the gateway lets running answers end and takes no new connections."},
     write_draining},
    {{.name = "fallthrough_own_seconds",
      .kind = METRIC_HISTOGRAM,
      .help = "Time inside the gateway of one chat request, waiting for others left out: from "
              "its arrival to the attempt at a backend, and from the first content's arrival "
              "to the client, as often as that was needed."},
     write_own},
    {{.name = "fallthrough_loop_turn_seconds",
      .kind = METRIC_HISTOGRAM,
      .labels = {"loop"},
      .help =
          "How long turns of an event loop took: so late whatever came meanwhile was seen."},
     write_turns},
    {{.name = "fallthrough_loop_busy_seconds",
      .kind = METRIC_GAUGE,
      .labels = {"loop"},
      .help = "How long the turn that a loop is in has taken yet; 0: it waits."},
     write_busy},
    {{.name = "fallthrough_events_lost_total",
      .kind = METRIC_COUNTER,
      .help = "Events that found no room, or could not be written for too long."},
     write_lost},
    {{.name = "fallthrough_incidents_open",
      .kind = METRIC_GAUGE,
      .help = "Incidents that are not over yet."},
     write_incidents},
    {{.name = "fallthrough_history_writable",
      .kind = METRIC_GAUGE,
      .help = "1 while the history's file takes what is to be written, 0 while it does not; "
              "absent without a history."},
     write_history},
};

const struct metric_section METRICS_GATEWAY = METRICS_SECTION(ROWS);
