#include "ops/metrics_priv.h"

#include "tiers/incumbent.h"
#include "tiers/picker.h"

/* With more members of a model, those are written whose answers clients have had. */
enum { MEMBERS_ALL_MAX = 32 };

static void write_can_serve(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->model_count; i++) {
        const struct model *m = &c->models[i];
        metrics_put_count(e, &m->name, pick_can_serve(m, s->source->board, s->now_ms) ? 1 : 0);
    }
}

static void write_tier(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->model_count; i++) {
        const struct model *m = &c->models[i];
        metrics_put_count(e, &m->name, incumbent_of(m, s->source->board, s->now_ms).tier);
    }
}

static void put_request(struct exposition *e, const struct scrape *s, const struct model *m,
                        enum outcome o)
{
    struct str values[] = {m ? m->name : STR(""), str_from(outcome_name(o))};
    metrics_put_count(e, values, tally_ends(s->source->tally, m ? m->index : TALLY_NONE, o));
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

/* A member of a model, by its place in it. */
struct member {
    const struct model *model;
    struct str backend;
    struct str tier;
    uint32_t place;
};

static void put_member(struct exposition *e, const struct scrape *s, const struct member *of,
                       bool wants_all)
{
    for (unsigned k = 0; k < ANSWER_ENDS; k++) {
        enum answer_end end = (enum answer_end)k;
        uint64_t count = meters_answers(s->meters, of->model->index, of->place, end);
        struct str values[] = {of->model->name, of->backend, of->tier,
                               str_from(outcome_name(answer_end_outcome(end)))};
        if (count > 0 || wants_all) {
            metrics_put_count(e, values, count);
        }
    }
}

/* All its members, in order, or those that have answered. */
static void put_answers(struct exposition *e, const struct scrape *s, const struct model *m,
                        bool wants_all)
{
    uint32_t place = 0;
    for (uint32_t t = 0; t < m->tier_count; t++) {
        char digits[STR_NUMBER_MAX];
        struct str tier = str_number(t + 1, digits);
        for (size_t i = 0; i < m->tiers[t].member_count; i++, place++) {
            struct str backend = m->tiers[t].members[i].backend->name;
            put_member(e, s, &(struct member){m, backend, tier, place}, wants_all);
        }
    }
}

static void write_answers(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->model_count; i++) {
        size_t members = 0;
        for (size_t t = 0; t < c->models[i].tier_count; t++) {
            members += c->models[i].tiers[t].member_count;
        }
        put_answers(e, s, &c->models[i], members <= MEMBERS_ALL_MAX);
    }
}

static void write_degraded(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        metrics_put_count(e, &c->models[i].name, tally_degraded_answers(s->source->tally, i));
    }
}

static void write_last_resort(struct exposition *e, const struct scrape *s)
{
    static const enum last_resort kinds[LAST_RESORTS] = {LAST_RESORT_CACHE,
                                                         LAST_RESORT_MESSAGE};
    const struct catalog *c = s->source->catalog;
    for (size_t i = 0; i < c->model_count; i++) {
        for (size_t k = 0; k < LAST_RESORTS; k++) {
            struct str values[] = {c->models[i].name, str_from(last_resort_name(kinds[k]))};
            metrics_put_count(
                e, values, tally_last_resorts(s->source->tally, c->models[i].index, kinds[k]));
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
            metrics_put_count(e, values, tally_hedges(s->source->tally, m->index, result));
        }
    }
}

static void write_over_budget(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    for (uint32_t i = 0; i < c->model_count; i++) {
        metrics_put_count(e, &c->models[i].name, meters_over_budgets(s->meters, i));
    }
}

static void write_failovers(struct exposition *e, const struct scrape *s)
{
    const struct catalog *c = s->source->catalog;
    bool wants_all = c->backend_count <= PAIRS_ALL_MAX;
    for (uint32_t from = 0; from < c->backend_count; from++) {
        for (uint32_t to = 0; to < c->backend_count; to++) {
            uint64_t count = meters_failovers(s->meters, from, to);
            if (count > 0 || (wants_all && from != to)) {
                struct str values[] = {c->backends[from].name, c->backends[to].name};
                metrics_put_count(e, values, count);
            }
        }
    }
}

static void put_resume(struct exposition *e, struct str from, struct str to, bool ok,
                       uint64_t count)
{
    metrics_put_count(e, (const struct str[]){from, to, ok ? STR("ok") : STR("failed")}, count);
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
    struct tally_gaps gaps;
    tally_gaps(s->source->tally, &gaps);
    metrics_put_gaps(e, NULL, &gaps);
}

static const struct metric ROWS[] = {
    {{.name = "fallthrough_model_can_serve",
      .kind = METRIC_GAUGE,
      .labels = {"model"},
      .help = "1 while some backend of the model is usable, 0 while none is."},
     write_can_serve},
    {{.name = "fallthrough_model_tier",
      .kind = METRIC_GAUGE,
      .labels = {"model"},
      .help = "The tier of the model, from 1, where its next request would go; 0: there is "
              "nobody."},
     write_tier},
    {{.name = "fallthrough_requests_total",
      .kind = METRIC_COUNTER,
      .labels = {"model", "outcome"},
      .help = "Chat requests that have ended, by configured model and by what came of them."},
     write_requests},
    {{.name = "fallthrough_answers_total",
      .kind = METRIC_COUNTER,
      .labels = {"model", "backend", "tier", "outcome"},
      .help = "Chat requests that have ended after some backend's answer, or a part of it, had "
              "gone to the client: by the backend that gave the last of it."},
     write_answers},
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
    {{.name = "fallthrough_retry_budget_exhausted_total",
      .kind = METRIC_COUNTER,
      .labels = {"model"},
      .help = "Attempts that were not made because the model's retry budget was used up."},
     write_over_budget},
    {{.name = "fallthrough_failovers_total",
      .kind = METRIC_COUNTER,
      .labels = {"from", "to"},
      .help = "Attempts at another backend after one had failed before its first content."},
     write_failovers},
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
};

const struct metric_section METRICS_REQUESTS = METRICS_SECTION(ROWS);
