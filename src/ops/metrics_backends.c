#include "ops/metrics_priv.h"

enum { MS_DECIMALS = 3 };

static void write_attempts(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        struct str name = c->backends[i].name;
        struct backend_figures f;
        board_figures(s->source->board, c->backends[i].index, &f);
        metrics_put_count(e, (const struct str[]){name, STR("ok")}, f.attempts - f.failures);
        metrics_put_count(e, (const struct str[]){name, STR("failed")}, f.failures);
    }
}

static void write_failures(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        for (unsigned k = 0; k < FAILURE_COUNT; k++) {
            enum failure f = (enum failure)k;
            uint64_t count = meters_failures(s->meters, i, f);
            if (count > 0) {
                struct str values[] = {c->backends[i].name, str_from(verdict_of(f)->name)};
                metrics_put_count(e, values, count);
            }
        }
    }
}

static void write_in_flight(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        metrics_put_count(e, &b->name,
                          board_view(s->source->board, b->index, s->now_ms).in_flight);
    }
}

static void write_slots(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        if (c->backends[i].max_concurrent > 0) {
            metrics_put_count(e, &c->backends[i].name, c->backends[i].max_concurrent);
        }
    }
}

static void write_tokens(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        struct backend_figures f;
        board_figures(s->source->board, c->backends[i].index, &f);
        metrics_put_count(e, &c->backends[i].name, f.tokens);
    }
}

static void write_prompt_tokens(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        struct meters_usage u;
        meters_usages(s->meters, i, &u);
        metrics_put_count(e, &c->backends[i].name, u.prompt);
    }
}

static void write_completion_tokens(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        struct meters_usage u;
        meters_usages(s->meters, i, &u);
        metrics_put_count(e, &c->backends[i].name, u.completion);
    }
}

static void write_usages(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        struct meters_usage u;
        meters_usages(s->meters, i, &u);
        metrics_put_count(e, &c->backends[i].name, u.answers);
    }
}

static void write_first_token(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    uint64_t most_ms[FIRST_TOKEN_BUCKETS];
    for (uint32_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        most_ms[i] = board_first_token_most_ms(i);
    }
    for (size_t i = 0; i < c->backend_count; i++) {
        struct backend_figures f;
        board_figures(s->source->board, c->backends[i].index, &f);
        exposition_put_times(e, &c->backends[i].name,
                             &(struct histogram){most_ms, f.first_token, FIRST_TOKEN_BUCKETS,
                                                 f.first_token_sum_ms, MS_DECIMALS});
    }
}

static void write_token_times(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        metrics_put_times(e, s, &c->backends[i].name, TIME_TOKEN, i);
    }
}

static void write_probes(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        struct str name = c->backends[i].name;
        metrics_put_count(e, (const struct str[]){name, STR("ok")},
                          meters_probes(s->meters, i, true));
        metrics_put_count(e, (const struct str[]){name, STR("failed")},
                          meters_probes(s->meters, i, false));
    }
}

static void write_probe_times(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        metrics_put_times(e, s, &c->backends[i].name, TIME_PROBE, i);
    }
}

static const struct metric ROWS[] = {
    {{.name = "fallthrough_attempts_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend", "result"},
      .help =
          "Attempts that have ended at the backend; one that only passed on the client's own "
          "error is ok, one that the client left is not counted."},
     write_attempts},
    {{.name = "fallthrough_attempt_failures_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend", "reason"},
      .help = "Attempts that failed at the backend, by reason, the client's own errors "
              "included; absent while there was none."},
     write_failures},
    {{.name = "fallthrough_attempts_in_flight",
      .kind = METRIC_GAUGE,
      .labels = {"backend"},
      .help = "Attempts that the backend works on now."},
     write_in_flight},
    {{.name = "fallthrough_max_concurrent",
      .kind = METRIC_GAUGE,
      .labels = {"backend"},
      .help = "Attempts that the backend is given at a time; absent where there is no limit."},
     write_slots},
    {{.name = "fallthrough_tokens_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend"},
      .help =
          "Pieces of content received from the backend; added in steps while an answer runs."},
     write_tokens},
    {{.name = "fallthrough_prompt_tokens_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend"},
      .help = "Tokens of prompts by the backend's own word (usage)."},
     write_prompt_tokens},
    {{.name = "fallthrough_completion_tokens_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend"},
      .help = "Tokens of answers by the backend's own word (usage)."},
     write_completion_tokens},
    {{.name = "fallthrough_usage_reports_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend"},
      .help = "Attempts of which the backend told its usage."},
     write_usages},
    {{.name = "fallthrough_first_token_seconds",
      .kind = METRIC_HISTOGRAM,
      .labels = {"backend"},
      .help = "Time from the start of an attempt to its first content, connecting included."},
     write_first_token},
    {{.name = "fallthrough_token_seconds",
      .kind = METRIC_HISTOGRAM,
      .labels = {"backend"},
      .help = "Time from one piece of content to the next, as the average of each streamed "
              "attempt with 2 pieces or more: one value an attempt."},
     write_token_times},
    {{.name = "fallthrough_probes_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend", "result"},
      .help = "Health probes of the backend; ok: answered with a 2xx."},
     write_probes},
    {{.name = "fallthrough_probe_seconds",
      .kind = METRIC_HISTOGRAM,
      .labels = {"backend"},
      .help = "How long those probes took, connecting included, failed ones too."},
     write_probe_times},
};

const struct metric_section METRICS_BACKENDS = METRICS_SECTION(ROWS);
