#include "ops/metrics.h"

#include "ops/tell.h"
#include "tiers/lines.h"
#include "tiers/loads.h"
#include "tiers/tally.h"

enum {
    MS_DECIMALS = 3,
    US_DECIMALS = 6,
    PERMILLE_DECIMALS = 3,
    PAIRS_ALL_MAX = 16 /* with more backends, pairs appear when they have occurred */
};

static void put_count(struct exposition *e, const struct str *values, uint64_t count)
{
    exposition_put(e, values, (struct figure){count, 0});
}

/* --- the gateway --- */

static void write_build_info(struct exposition *e, const struct scrape *s)
{
    (void)s;
    put_count(e, (const struct str[]){STR(FALLTHROUGH_VERSION)}, 1);
}

static void write_connections(struct exposition *e, const struct scrape *s)
{
    put_count(e, NULL, *s->source->connections);
}

static void write_draining(struct exposition *e, const struct scrape *s)
{
    put_count(e, NULL, *s->source->draining ? 1 : 0);
}

/* --- requests and breaks --- */

static void put_request(struct exposition *e, const struct scrape *s, const struct model *m,
                        enum outcome o)
{
    struct str values[] = {m ? m->name : STR(""), str_from(outcome_name(o))};
    put_count(e, values, tally_ends(s->source->tally, m ? m->index : TALLY_NONE, o));
}

static void write_requests(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->model_count; i++) {
        for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
            put_request(e, s, &c->models[i], (enum outcome)o);
        }
    }
    put_request(e, s, NULL, OUTCOME_refused);
}

static void write_last_resort(struct exposition *e, const struct scrape *s)
{
    static const enum last_resort kinds[LAST_RESORTS] = {LAST_RESORT_CACHE,
                                                         LAST_RESORT_MESSAGE};
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->model_count; i++) {
        for (size_t k = 0; k < LAST_RESORTS; k++) {
            struct str values[] = {c->models[i].name, str_from(last_resort_name(kinds[k]))};
            put_count(e, values,
                      tally_last_resorts(s->source->tally, c->models[i].index, kinds[k]));
        }
    }
}

static void write_hedges(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->model_count; i++) {
        const struct model *m = &c->models[i];
        for (unsigned r = 0; r < HEDGE_RESULT_COUNT; r++) {
            enum hedge_result result = (enum hedge_result)r;
            struct str values[] = {m->name, str_from(hedge_result_name(result))};
            put_count(e, values, tally_hedges(s->source->tally, m->index, result));
        }
    }
}

static void put_resume(struct exposition *e, struct str from, struct str to, bool ok,
                       uint64_t count)
{
    put_count(e, (const struct str[]){from, to, ok ? STR("ok") : STR("failed")}, count);
}

static void write_resumes(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    const struct tally *t = s->source->tally;
    bool wants_all = c->backend_count <= PAIRS_ALL_MAX;
    for (uint32_t from = 0; from < c->backend_count; from++) {
        struct str name = c->backends[from].name;
        for (uint32_t to = 0; to < c->backend_count; to++) {
            uint64_t count = tally_resumes(t, from, to);
            if (count > 0 || (wants_all && from != to)) {
                put_resume(e, name, c->backends[to].name, true, count);
            }
        }
        put_resume(e, name, STR(""), true, tally_resumes(t, from, TALLY_NONE));
        put_resume(e, name, STR(""), false, tally_failed_resumes(t, from));
    }
}

static void write_resume_gap(struct exposition *e, const struct scrape *s)
{
    uint64_t most_ms[TALLY_GAP_BUCKETS];
    struct tally_gaps gaps;
    tally_gaps(s->source->tally, &gaps);
    for (uint32_t i = 0; i < TALLY_GAP_BUCKETS; i++) {
        most_ms[i] = tally_gap_most_ms(i);
    }
    exposition_put_times(
        e, NULL, &(struct histogram){most_ms, gaps.count, TALLY_GAP_BUCKETS, gaps.sum_ms});
}

/* --- lines --- */

static void write_waiting(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    const struct lines *lines = loads_lines(board_loads(s->source->board));
    for (uint32_t i = 0; i < c->model_count; i++) {
        put_count(e, &c->models[i].name, lines_waiting(lines, i));
    }
}

static void write_waits(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    uint64_t most_ms[TALLY_GAP_BUCKETS];
    for (uint32_t i = 0; i < TALLY_GAP_BUCKETS; i++) {
        most_ms[i] = tally_gap_most_ms(i);
    }
    for (uint32_t i = 0; i < c->model_count; i++) {
        struct tally_gaps waits;
        tally_waits(s->source->tally, i, &waits);
        exposition_put_times(
            e, &c->models[i].name,
            &(struct histogram){most_ms, waits.count, TALLY_GAP_BUCKETS, waits.sum_ms});
    }
}

static void write_queue_refused(struct exposition *e, const struct scrape *s)
{
    static const enum queue_end ends[] = {QUEUE_FULL, QUEUE_TIMEOUT};
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
            struct str values[] = {c->models[i].name, str_from(queue_end_name(ends[k]))};
            put_count(e, values, tally_queue_ends(s->source->tally, i, ends[k]));
        }
    }
}

static void write_degraded(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        put_count(e, &c->models[i].name, tally_degraded_answers(s->source->tally, i));
    }
}

static void write_overflows(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        put_count(e, &c->models[i].name, tally_overflows(s->source->tally, i));
    }
}

static void write_slots(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        if (c->backends[i].max_concurrent > 0) {
            put_count(e, &c->backends[i].name, c->backends[i].max_concurrent);
        }
    }
}

/* --- backends --- */

static void write_attempts(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        struct str name = c->backends[i].name;
        struct backend_figures f;
        board_figures(s->source->board, c->backends[i].index, &f);
        put_count(e, (const struct str[]){name, STR("ok")}, f.attempts - f.failures);
        put_count(e, (const struct str[]){name, STR("failed")}, f.failures);
    }
}

static void write_in_flight(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        put_count(e, &b->name, board_view(s->source->board, b->index, s->now_ms).in_flight);
    }
}

static void write_tokens(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        struct backend_figures f;
        board_figures(s->source->board, c->backends[i].index, &f);
        put_count(e, &c->backends[i].name, f.tokens);
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
                                                 f.first_token_sum_ms});
    }
}

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
            put_count(e, values, str_eq(values[1], now) ? 1 : 0);
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
            put_count(e, values, is_it ? 1 : 0);
        }
    }
}

static void write_managed_starts(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->backend_count; i++) {
        const struct backend *b = &c->backends[i];
        if (b->managed.command) {
            put_count(e, &b->name, processes_of(s->source->processes, b->index)->starts);
        }
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
            put_count(e, values, str_eq(values[2], now) ? 1 : 0);
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

/* --- the process --- */

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
            put_count(e, values, vitals[k] == now ? 1 : 0);
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
            put_count(e, values, told.gpu.health == (enum gpu_health)k ? 1 : 0);
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
            put_count(e, values, told.guard.word == (enum guard_word)k ? 1 : 0);
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
            put_count(e, (const struct str[]){b->name, STR("running")}, v.running);
            put_count(e, (const struct str[]){b->name, STR("waiting")}, v.waiting);
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

/* --- the process --- */

static void write_cpu(struct exposition *e, const struct scrape *s)
{
    exposition_put(e, NULL, (struct figure){s->process.cpu_us, US_DECIMALS});
}

static void write_resident(struct exposition *e, const struct scrape *s)
{
    if (s->process.has_resident) {
        put_count(e, NULL, s->process.resident_bytes);
    }
}

static void write_open_fds(struct exposition *e, const struct scrape *s)
{
    if (s->process.has_open_fds) {
        put_count(e, NULL, s->process.open_fds);
    }
}

static void write_max_fds(struct exposition *e, const struct scrape *s)
{
    if (s->process.has_max_fds) {
        put_count(e, NULL, s->process.max_fds);
    }
}

static void write_start_time(struct exposition *e, const struct scrape *s)
{
    exposition_put(e, NULL, (struct figure){s->source->started_wall_ms, MS_DECIMALS});
}

/* --- the table --- */

static const struct metric METRICS[] = {
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
    {{.name = "fallthrough_requests_total",
      .kind = METRIC_COUNTER,
      .labels = {"model", "outcome"},
      .help = "Chat requests that have ended, by configured model and by what came of them."},
     write_requests},
    {{.name = "fallthrough_degraded_total",
      .kind = METRIC_COUNTER,
      .labels = {"model"},
      .help = "Whole answers that were degraded: weaker than asked for, and marked so."},
     write_degraded},
    {{.name = "fallthrough_last_resort_total",
      .kind = METRIC_COUNTER,
      .labels = {"model", "kind"},
      .help = "Requests that no backend could serve and that were answered from memory or with "
              "the fixed text."},
     write_last_resort},
    {{.name = "fallthrough_hedges_total",
      .kind = METRIC_COUNTER,
      .labels = {"model", "result"},
      .help = "Second attempts beside a first one whose first token was late."},
     write_hedges},
    {{.name = "fallthrough_resumes_total",
      .kind = METRIC_COUNTER,
      .labels = {"from", "to", "result"},
      .help = "Breaks of answers after their first content, by the backend that broke and the "
              "one where the answer went on."},
     write_resumes},
    {{.name = "fallthrough_resume_gap_seconds",
      .kind = METRIC_HISTOGRAM,
      .help = "Time between the last content before a break and the first new content from the "
              "backend where the answer went on."},
     write_resume_gap},
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
    {{.name = "fallthrough_attempts_total",
      .kind = METRIC_COUNTER,
      .labels = {"backend", "result"},
      .help =
          "Attempts that have ended at the backend; one that only passed on the client's own "
          "error is ok, one that the client left is not counted."},
     write_attempts},
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
    {{.name = "fallthrough_first_token_seconds",
      .kind = METRIC_HISTOGRAM,
      .labels = {"backend"},
      .help = "Time from the start of an attempt to its first content, connecting included."},
     write_first_token},
    {{.name = "fallthrough_backend_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "state"},
      .help = "1 for the state that the backend is in, 0 for the others: the worst of what "
              "probes, traffic, its GPUs and its guard say, or the operator's word."},
     write_state},
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
    {{.name = "fallthrough_backend_vitals",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "vitals"},
      .help =
          "1 for what the signs of life of the backend say, 0 for the others; all 0: nobody "
          "looks."},
     write_vitals},
    {{.name = "fallthrough_backend_gpu_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "state"},
      .help = "1 for what the agent or dcgm-exporter says of the backend's GPUs, the worst of "
              "them, 0 for the others; absent where nobody is asked."},
     write_gpu_state},
    {{.name = "fallthrough_backend_guard_state",
      .kind = METRIC_GAUGE,
      .labels = {"backend", "state"},
      .help = "1 for the state that the backend's guard says it is in, 0 for the others; "
              "absent where nobody is asked."},
     write_guard_state},
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

const struct metric *metrics_table(size_t *count)
{
    *count = sizeof(METRICS) / sizeof(METRICS[0]);
    return METRICS;
}

bool metrics_write(const struct status_source *source, uint64_t now_ms, struct exposition *e)
{
    struct scrape s = {.source = source, .now_ms = now_ms};
    process_figures_read(&s.process);
    for (size_t i = 0; i < sizeof(METRICS) / sizeof(METRICS[0]); i++) {
        exposition_begin(e, &METRICS[i].family);
        METRICS[i].write(e, &s);
    }
    return !e->is_cut;
}
