#include "gate/report.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static struct event begin(enum event_kind kind)
{
    return event_of(kind, clock_wall_ms(), clock_mono_ms());
}

void report_state(struct gateway *g, const struct backend *b, const struct board_change *change,
                  const char *why)
{
    static const enum severity severities[] = {[STATE_HEALTHY] = SEVERITY_INFO,
                                               [STATE_DEGRADED] = SEVERITY_WARN,
                                               [STATE_DOWN] = SEVERITY_ERROR};
    struct event e = begin(EVENT_KIND_state);
    if (change->from == STATE_HEALTHY && change->to == STATE_HEALTHY) {
        return; /* its first probe */
    }
    bool is_wanted = (change->to == STATE_DOWN && cause_is_wanted(change->cause.kind)) ||
                     board_operator(g->board, b->index) != OPERATOR_NONE;
    e.severity = is_wanted ? SEVERITY_INFO : severities[change->to];
    EVENT_PUT(e.backend, b->name);
    EVENT_PUT(e.word, str_from(state_word(change->to, change->cause)));
    EVENT_PUT(e.was, str_from(state_name(change->from)));
    EVENT_PUT(e.cause, str_from(why));
    journal_put(g->journal, &e);
}

void report_operator(struct gateway *g, const struct backend *b, enum operator_word word,
                     const struct backend_view *v)
{
    struct event e = begin(EVENT_KIND_operator);
    char why[96];
    char cause[EVENT_CAUSE];
    cause_text(v->cause, why, sizeof(why));
    (void)snprintf(cause, sizeof(cause), "%s (%s), %u in flight",
                   state_word(v->state, v->cause), why, v->in_flight);
    e.numbers[0] = v->in_flight;
    EVENT_PUT(e.backend, b->name);
    EVENT_PUT(e.word, str_from(operator_word_deed(word)));
    EVENT_PUT(e.cause, str_from(cause));
    journal_put(g->journal, &e);
}

void report_gpu(struct gateway *g, const struct backend *b, const struct gpu_news *n)
{
    struct event e = begin(EVENT_KIND_gpu);
    char cause[EVENT_CAUSE];
    bool is_down = n->health == GPUS_DOWN;
    bool is_bad = is_down || n->health == GPUS_DEGRADED;
    bool is_told = n->reason[0] != '\0';
    e.severity = is_down ? SEVERITY_ERROR : is_bad ? SEVERITY_WARN : SEVERITY_INFO;
    (void)snprintf(cause, sizeof(cause), "%s%s%s", n->reason,
                   is_told && n->why[0] != '\0' ? ", " : "", n->why);
    EVENT_PUT(e.backend, b->name);
    EVENT_PUT(e.word, str_from(gpu_health_name(n->health)));
    EVENT_PUT(e.cause, str_from(cause));
    journal_put(g->journal, &e);
}

static struct event restart_of(const struct backend *b, const char *what, const char *why)
{
    struct event e = begin(EVENT_KIND_restart);
    EVENT_PUT(e.backend, b->name);
    EVENT_PUT(e.word, str_from(what));
    EVENT_PUT(e.cause, str_from(why));
    return e;
}

void report_guard(struct gateway *g, const struct backend *b, const struct guard_news *n)
{
    static const char *const words[GUARD_WORDS] = {[GUARD_SAYS_RESTARTING] = "is started again",
                                                   [GUARD_SAYS_GAVE_UP] = "was given up",
                                                   [GUARD_SAYS_UNKILLABLE] = "cannot be ended",
                                                   [GUARD_SAYS_NEEDS_RESET] =
                                                       "waits for a reset of its GPU"};
    if (words[n->word]) {
        struct event e = restart_of(b, words[n->word], n->why);
        e.severity = n->word == GUARD_SAYS_RESTARTING ? SEVERITY_WARN : SEVERITY_ERROR;
        journal_put(g->journal, &e);
    }
}

void report_process(struct gateway *g, const struct backend *b, const struct process_word *w)
{
    bool is_given_up = w->state == PROCESS_gave_up;
    if (is_given_up || w->state == PROCESS_restarting) {
        struct event e =
            restart_of(b, is_given_up ? "was given up" : "is started again", w->why);
        e.severity = is_given_up ? SEVERITY_ERROR : SEVERITY_WARN;
        e.numbers[0] = w->restarts;
        journal_put(g->journal, &e);
    }
}

void report_breaker(const struct gateway *g, const struct tier_member *m,
                    const struct breaker_view *v, uint64_t wait_ms)
{
    struct event e = begin(EVENT_KIND_breaker);
    bool is_open = v->phase == PHASE_OPEN;
    e.severity = is_open ? SEVERITY_WARN : SEVERITY_INFO;
    e.numbers[0] = v->relapses;
    e.numbers[1] = (int64_t)wait_ms;
    EVENT_PUT(e.backend, m->backend->name);
    EVENT_PUT(e.model, m->model);
    EVENT_PUT(e.word, is_open ? STR("opened") : STR("closed"));
    EVENT_PUT(e.cause, str_from(v->reason == FAILURE_ok ? "the backend was DOWN"
                                                        : verdict_of(v->reason)->name));
    journal_put(g->journal, &e);
}

void report_failover(const struct exchange *x, enum failure f, const char *then)
{
    struct event e = begin(EVENT_KIND_failover);
    const struct attempt *a = x->attempt;
    e.numbers[0] = a->status;
    e.numbers[1] = (int64_t)(loop_now_ms(x->worker->loop) - a->started_ms);
    EVENT_PUT(e.backend, a->backend->name);
    EVENT_PUT(e.model, x->model->name);
    EVENT_PUT(e.word, str_from(then));
    EVENT_PUT(e.cause, str_from(verdict_of(f)->name));
    journal_put(x->worker->gateway->journal, &e);
}

void report_resumed(const struct exchange *x)
{
    struct event e = begin(EVENT_KIND_resume);
    const struct catalog *c = &x->worker->gateway->settings->catalog;
    e.numbers[0] = (int64_t)(loop_now_ms(x->worker->loop) - x->broken_at_ms);
    EVENT_PUT(e.backend, c->backends[x->broken_backend].name);
    EVENT_PUT(e.other, x->attempt->backend->name);
    EVENT_PUT(e.model, x->model->name);
    EVENT_PUT(e.cause, x->trail);
    journal_put(x->worker->gateway->journal, &e);
}

/* By what the client is told. The retry budget has its own word (report_budget). */
static enum event_kind kind_of_error(const struct exchange *x)
{
    if (x->is_committed) {
        return EVENT_KIND_cut;
    }
    return x->is_shed ? EVENT_KIND_queue : EVENT_KIND_unserved;
}

void report_unserved(const struct exchange *x)
{
    if (!x->is_committed && x->error.status < 500) {
        return;
    }
    struct event e = begin(kind_of_error(x));
    e.numbers[0] = x->error.status;
    if (!x->is_committed) {
        e.numbers[1] = (int64_t)(loop_now_ms(x->worker->loop) - x->started_ms);
    }
    EVENT_PUT(e.model, x->model->name);
    EVENT_PUT(e.word, str_from(x->error.code));
    EVENT_PUT(e.cause, x->trail);
    journal_put(x->worker->gateway->journal, &e);
}

void report_last_resort(const struct exchange *x, enum last_resort kind)
{
    struct event e = begin(EVENT_KIND_last_resort);
    e.numbers[0] = (int64_t)x->by.age_s;
    e.numbers[1] = (int64_t)(loop_now_ms(x->worker->loop) - x->started_ms);
    EVENT_PUT(e.model, x->model->name);
    EVENT_PUT(e.word, str_from(last_resort_name(kind)));
    EVENT_PUT(e.cause, x->trail);
    journal_put(x->worker->gateway->journal, &e);
}

void report_budget(const struct exchange *x, uint64_t refused)
{
    struct event e = begin(EVENT_KIND_budget);
    e.numbers[0] = (int64_t)refused;
    e.numbers[1] = 503;
    EVENT_PUT(e.model, x->model->name);
    EVENT_PUT(e.word, STR("not tried again"));
    EVENT_PUT(e.cause, x->trail);
    journal_put(x->worker->gateway->journal, &e);
}

void report_key(const struct gateway *g, int status)
{
    struct event e = begin(EVENT_KIND_key);
    e.numbers[0] = status;
    EVENT_PUT(e.word, STR("refused"));
    EVENT_PUT(e.cause, STR("its API key is missing or wrong"));
    journal_put(g->journal, &e);
}
