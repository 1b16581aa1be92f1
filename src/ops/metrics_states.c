#include "ops/metrics_priv.h"

#include "ops/tell.h"

enum { PERMILLE_DECIMALS = 3 };

static void write_state(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        struct backend_view v = board_view(s->source->board, b->index, s->now_ms);
        struct str now = str_from(tell_state(&v));
        size_t count = b->managed.command ? TOLD_STATES : TOLD_STATES - TOLD_OF_MANAGED;
        for (size_t k = 0; k < count; k++) {
            struct str values[] = {b->name, str_from(tell_states[k])};
            metrics_put_count(e, values, str_eq(values[1], now) ? 1 : 0);
        }
    }
}

static void write_holds(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        uint64_t until_ms = board_view(s->source->board, i, s->now_ms).hold_until_ms;
        metrics_put_ms(e, &c->backends[i].name,
                       until_ms > s->now_ms ? until_ms - s->now_ms : 0);
    }
}

static void write_breaker(struct exposition *e, const struct scrape *s)
{
    static const char *const words[] = {"closed", "half_open", "open"};
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->serving_count; i++) {
        struct breaker_view v = breakers_view(board_breakers(s->source->board), i, s->now_ms);
        struct str now = str_from(breaker_view_word(&v));
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
            struct str values[] = {c->servings[i].backend->name, c->servings[i].model,
                                   str_from(words[k])};
            metrics_put_count(e, values, str_eq(values[2], now) ? 1 : 0);
        }
    }
}

static void write_share(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->serving_count; i++) {
        struct breaker_view v = breakers_view(board_breakers(s->source->board), i, s->now_ms);
        struct str values[] = {c->servings[i].backend->name, c->servings[i].model};
        exposition_put(e, values, (struct figure){v.share, 2});
    }
}

static void write_vitals(struct exposition *e, const struct scrape *s)
{
    static const enum vital vitals[] = {VITAL_IDLE, VITAL_FLOWING, VITAL_BUSY, VITAL_SUSPECT,
                                        VITAL_HUNG};
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        enum vital now = board_view(s->source->board, b->index, s->now_ms).vitals.vital;
        for (size_t k = 0; k < sizeof(vitals) / sizeof(vitals[0]); k++) {
            struct str values[] = {b->name, str_from(vital_name(vitals[k]))};
            metrics_put_count(e, values, vitals[k] == now ? 1 : 0);
        }
    }
}

static void write_engine_requests(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        struct vital_view v = board_view(s->source->board, b->index, s->now_ms).vitals;
        if (v.has_engine) {
            metrics_put_count(e, (const struct str[]){b->name, STR("running")}, v.running);
            metrics_put_count(e, (const struct str[]){b->name, STR("waiting")}, v.waiting);
        }
    }
}

static void write_engine_kv(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        struct vital_view v = board_view(s->source->board, b->index, s->now_ms).vitals;
        if (v.has_engine && v.has_kv) {
            exposition_put(e, &b->name, (struct figure){v.kv_permille, PERMILLE_DECIMALS});
        }
    }
}

static void write_gpu_state(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        struct telemetry_view told;
        telemetry_read(board_telemetry(s->source->board), b->index, &told);
        bool has_teller = b->teller[TELLER_AGENT] || b->teller[TELLER_DCGM];
        for (unsigned k = 0; has_teller && k < GPU_HEALTHS; k++) {
            struct str values[] = {b->name, str_from(gpu_health_name((enum gpu_health)k))};
            metrics_put_count(e, values, told.gpu.health == (enum gpu_health)k ? 1 : 0);
        }
    }
}

static bool has_teller(const struct backend *b)
{
    return b->teller[TELLER_AGENT] || b->teller[TELLER_DCGM] || b->teller[TELLER_GUARD];
}

static void write_counsel(struct exposition *e, const struct scrape *s)
{
    static const enum counsel counsels[] = {COUNSEL_NONE, COUNSEL_SPARE, COUNSEL_CHECK,
                                            COUNSEL_DRAIN, COUNSEL_CUT};
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        enum counsel now = board_view(s->source->board, i, s->now_ms).advice.counsel;
        for (size_t k = 0; has_teller(b) && k < sizeof(counsels) / sizeof(counsels[0]); k++) {
            struct str values[] = {b->name, str_from(counsel_name(counsels[k]))};
            metrics_put_count(e, values, counsels[k] == now ? 1 : 0);
        }
    }
}

static void write_guard_state(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        struct telemetry_view told;
        telemetry_read(board_telemetry(s->source->board), b->index, &told);
        for (unsigned k = 0; b->teller[TELLER_GUARD] && k < GUARD_WORDS; k++) {
            struct str values[] = {b->name, str_from(guard_word_name((enum guard_word)k))};
            metrics_put_count(e, values, told.guard.word == (enum guard_word)k ? 1 : 0);
        }
    }
}

static void write_guard_restarts(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->backend_count; i++) {
        struct telemetry_view told;
        telemetry_read(board_telemetry(s->source->board), i, &told);
        if (told.guard.has_restarts) {
            metrics_put_count(e, &c->backends[i].name, told.guard.restarts);
        }
    }
}

static void write_managed_state(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        for (unsigned k = 0; b->managed.command && k < PROCESS_COUNT; k++) {
            enum process_state state = (enum process_state)k;
            struct str values[] = {b->name, str_from(process_state_name(state))};
            bool is_it = processes_of(s->source->processes, b->index)->state == state;
            metrics_put_count(e, values, is_it ? 1 : 0);
        }
    }
}

static void write_managed_starts(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        if (b->managed.command) {
            metrics_put_count(e, &b->name,
                              processes_of(s->source->processes, b->index)->starts);
        }
    }
}

static const struct metric ROWS[] = {
    {{.name = "fallthrough_backend_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "state"},
      .help = "1 for the state that the backend is in, 0 for the others: the worst of what "
              "probes, traffic, its GPUs and its guard say, or the operator's word."},
     write_state},
    {{.name = "fallthrough_backend_hold_seconds",
      .kind = METRIC_GAUGE,
      .labels = {"backend"},
      .help = "How long the backend is left alone yet, as it has asked for (429, 529); 0: it "
              "is not."},
     write_holds},
    {{.name = "fallthrough_breaker_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "backend_model", "state"},
      .help =
          "1 for the state that the breaker of this backend with this model is in, 0 for the "
          "others."},
     write_breaker},
    {{.name = "fallthrough_breaker_share",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "backend_model"},
      .help =
          "Share of the requests that would go there which the breaker lets through: 0 while "
          "it is open or dwells, less than 1 while the backend returns slowly."},
     write_share},
    {{.name = "fallthrough_backend_vitals",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "vitals"},
      .help =
          "1 for what the signs of life of the backend say, 0 for the others; all 0: nobody "
          "looks."},
     write_vitals},
    {{.name = "fallthrough_engine_requests",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "phase"},
      .help =
          "Requests in the backend's engine, whoever sent them, by its own counters; absent "
          "while those are not known."},
     write_engine_requests},
    {{.name = "fallthrough_engine_kv_ratio",
      .kind = METRIC_GAUGE,
      .labels = {"backend"},
      .help = "Used share of the engine's memory for prompts and answers, by its own counters; "
              "absent while that is not known."},
     write_engine_kv},
    {{.name = "fallthrough_backend_gpu_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "state"},
      .help = "1 for what the agent or dcgm-exporter says of the backend's GPUs, the worst of "
              "them, 0 for the others; absent where nobody is asked."},
     write_gpu_state},
    {{.name = "fallthrough_backend_counsel",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "counsel"},
      .help = "1 for what the backend's GPUs and its guard together advise, 0 for the others; "
              "absent where nobody is asked."},
     write_counsel},
    {{.name = "fallthrough_backend_guard_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "state"},
      .help = "1 for the state that the backend's guard says it is in, 0 for the others; "
              "absent where nobody is asked."},
     write_guard_state},
    {{.name = "fallthrough_backend_guard_restarts_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend"},
      .help = "Restarts of the backend's process after failures, as its guard counts them; "
              "absent while it does not say."},
     write_guard_restarts},
    {{.name = "fallthrough_managed_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "state"},
      .help = "1 for the state of the process of a managed backend, 0 for the others."},
     write_managed_state},
    {{.name = "fallthrough_managed_starts_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend"},
      .help = "Starts of the process of a managed backend, those after failures too."},
     write_managed_starts},
};

const struct metric_section METRICS_STATES = METRICS_SECTION(ROWS);
