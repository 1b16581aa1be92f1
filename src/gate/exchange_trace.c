#include "gate/exchange_trace.h"

#include "base/rand.h"

/* The random part of a trace id, by which all who sample by share decide alike (W3C Trace
 * Context, Level 2: the rightmost 56 bits). */
#define RANDOM_BITS ((uint64_t)1 << 56)

uint64_t exchange_trace_span(struct worker *w)
{
    uint64_t id = rand_next(&w->rand);
    return id != 0 ? id : 1;
}

static bool is_in_share(const struct trace_context *c, double share)
{
    return (double)(c->trace_low % RANDOM_BITS) >= (1 - share) * (double)RANDOM_BITS;
}

static struct trace_context new_context(struct worker *w, double share)
{
    struct trace_context c = {.trace_high = rand_next(&w->rand),
                              .trace_low = exchange_trace_span(w),
                              .span = exchange_trace_span(w)};
    c.flags = is_in_share(&c, share) ? TRACE_FLAG_SAMPLED : 0;
    return c;
}

static void take_state(struct exchange_trace *t, const struct http_request *q, struct arena *a)
{
    char room[TRACESTATE_MAX];
    t->state = arena_dup(a, trace_state_join(q->header, q->header_count, room));
}

bool exchange_trace_begin(struct exchange_trace *t, struct worker *w,
                          const struct http_request *q, struct arena *a)
{
    const struct trace_policy *policy = &w->gateway->settings->traces;
    struct str parent = http_find(q->header, q->header_count, "traceparent");
    bool is_on = policy->collector != NULL;
    bool is_theirs = parent.len > 0 && trace_context_read(parent, &t->context) == ERR_OK;
    t->is_known = is_theirs || is_on;
    if (is_theirs) {
        take_state(t, q, a);
    } else if (is_on) {
        t->context = new_context(w, policy->sample);
    }
    t->is_sampled = is_on && (t->context.flags & TRACE_FLAG_SAMPLED) != 0;
    if (t->is_sampled && is_theirs) {
        t->parent = t->context.span;
        t->context.span = exchange_trace_span(w);
    }
    return t->is_known;
}

struct str exchange_trace_lines(const struct exchange_trace *t, uint64_t span, struct arena *a)
{
    char value[TRACEPARENT_LEN];
    struct trace_context c = t->context;
    if (!t->is_known) {
        return STR("");
    }
    c.span = t->is_sampled ? span : c.span;
    trace_context_write(&c, value);
    struct str parts[] = {STR("\r\ntraceparent: "), str_of(value, sizeof(value)),
                          STR("\r\ntracestate: "), t->state};
    return arena_join(a, parts, t->state.len > 0 ? 4 : 2);
}
