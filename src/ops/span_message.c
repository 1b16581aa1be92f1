#include "ops/span_message.h"

#include <stdio.h>
#include <unistd.h>

#include "base/check.h"

/* Numbers of fields, by message. */
enum { REQUEST_RESOURCE_SPANS = 1 };
enum { RESOURCE_SPANS_RESOURCE = 1, RESOURCE_SPANS_SCOPE_SPANS = 2 };
enum { RESOURCE_ATTRIBUTES = 1 };
enum { SCOPE_SPANS_SCOPE = 1, SCOPE_SPANS_SPANS = 2 };
enum { SCOPE_NAME = 1, SCOPE_VERSION = 2 };
enum {
    SPAN_TRACE_ID = 1,
    SPAN_ID = 2,
    SPAN_TRACE_STATE = 3,
    SPAN_PARENT_ID = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_ATTRIBUTES = 9,
    SPAN_EVENTS = 11,
    SPAN_STATUS = 15,
    SPAN_FLAGS = 16
};
enum { EVENT_TIME = 1, EVENT_NAME_FIELD = 2, EVENT_ATTRIBUTES = 3 };
enum { STATUS_MESSAGE = 2, STATUS_CODE = 3 };
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2 };
enum { VALUE_STRING = 1, VALUE_BOOL = 2, VALUE_INT = 3, VALUE_DOUBLE = 4, VALUE_ARRAY = 5 };
enum { ARRAY_VALUES = 1 };
enum { RESPONSE_PARTIAL_SUCCESS = 1, PARTIAL_REJECTED = 1 };

enum { KIND_SERVER = 2, KIND_CLIENT = 3, STATUS_ERROR = 2 };
enum { FLAGS_SAMPLED = 0x01, FLAGS_HAS_REMOTE = 0x100, FLAGS_IS_REMOTE = 0x200 };
enum { HOST_BYTES = 256 };

/* --- values --- */

/* A key and the value that follows it. */
struct pair {
    size_t whole;
    size_t value;
};

static struct pair open_pair(struct protobuf *p, uint32_t list, const char *key)
{
    struct pair pair = {.whole = protobuf_open(p, list)};
    protobuf_put_text(p, KEY_VALUE_KEY, str_from(key));
    pair.value = protobuf_open(p, KEY_VALUE_VALUE);
    return pair;
}

static void close_pair(struct protobuf *p, struct pair pair)
{
    protobuf_close(p, pair.value);
    protobuf_close(p, pair.whole);
}

/* Attributes of a list; empty and 0 mean that it is not known. */
static void put_text_in(struct protobuf *p, uint32_t list, const char *key, struct str value)
{
    if (value.len > 0) {
        struct pair pair = open_pair(p, list, key);
        protobuf_put_text(p, VALUE_STRING, value);
        close_pair(p, pair);
    }
}

static void put_number_in(struct protobuf *p, uint32_t list, const char *key, uint64_t value)
{
    if (value > 0) {
        struct pair pair = open_pair(p, list, key);
        protobuf_put_uint(p, VALUE_INT, value);
        close_pair(p, pair);
    }
}

static void put_text(struct protobuf *p, const char *key, struct str value)
{
    put_text_in(p, SPAN_ATTRIBUTES, key, value);
}

static void put_number(struct protobuf *p, const char *key, uint64_t value)
{
    put_number_in(p, SPAN_ATTRIBUTES, key, value);
}

static void put_true(struct protobuf *p, const char *key, bool value)
{
    if (value) {
        struct pair pair = open_pair(p, SPAN_ATTRIBUTES, key);
        protobuf_put_uint(p, VALUE_BOOL, 1);
        close_pair(p, pair);
    }
}

static void put_seconds(struct protobuf *p, const char *key, uint64_t us)
{
    if (us > 0) {
        struct pair pair = open_pair(p, SPAN_ATTRIBUTES, key);
        protobuf_put_double(p, VALUE_DOUBLE, (double)us / 1e6);
        close_pair(p, pair);
    }
}

static void put_id(struct protobuf *p, uint32_t number, const uint64_t *parts, size_t count)
{
    char bytes[16];
    for (size_t i = 0; i < count * 8; i++) {
        bytes[i] = (char)(parts[i / 8] >> (56 - 8 * (i % 8)));
    }
    protobuf_put_text(p, number, str_of(bytes, count * 8));
}

/* --- spans --- */

static uint64_t nanoseconds(const struct account *r, uint64_t us)
{
    return (r->wall_us + us) * 1000;
}

struct span_head {
    uint64_t span;
    uint64_t parent; /* 0: none */
    struct str model;
    int kind;
    uint32_t flags;
    uint64_t began_us, ended_us;
};

static void put_head(struct protobuf *p, const struct account *r, const struct span_head *h)
{
    const uint64_t trace[] = {r->ids.trace_high, r->ids.trace_low};
    char name[ACCOUNT_MODEL_MAX + 16];
    int len = snprintf(name, sizeof(name), "chat%s%.*s", h->model.len > 0 ? " " : "",
                       STR_FMT(h->model));
    CHECK(len > 0 && (size_t)len < sizeof(name));
    put_id(p, SPAN_TRACE_ID, trace, 2);
    put_id(p, SPAN_ID, &h->span, 1);
    if (r->trace_state.len > 0) {
        protobuf_put_text(p, SPAN_TRACE_STATE, r->trace_state);
    }
    if (h->parent != 0) {
        put_id(p, SPAN_PARENT_ID, &h->parent, 1);
    }
    protobuf_put_text(p, SPAN_NAME, str_of(name, (size_t)len));
    protobuf_put_uint(p, SPAN_KIND, (uint64_t)h->kind);
    protobuf_put_fixed64(p, SPAN_START, nanoseconds(r, h->began_us));
    protobuf_put_fixed64(p, SPAN_END, nanoseconds(r, h->ended_us));
    protobuf_put_fixed32(p, SPAN_FLAGS, FLAGS_SAMPLED | FLAGS_HAS_REMOTE | h->flags);
    put_text(p, "gen_ai.operation.name", STR("chat"));
}

static size_t open_event(struct protobuf *p, const struct account *r, const char *name,
                         uint64_t at_us)
{
    size_t event = protobuf_open(p, SPAN_EVENTS);
    protobuf_put_fixed64(p, EVENT_TIME, nanoseconds(r, at_us));
    protobuf_put_text(p, EVENT_NAME_FIELD, str_from(name));
    return event;
}

static void put_first_token(struct protobuf *p, const struct account *r, uint64_t at_us)
{
    if (at_us > 0) {
        protobuf_close(p, open_event(p, r, "fallthrough.first_token", at_us));
    }
}

static void put_error(struct protobuf *p, struct str type)
{
    size_t status = protobuf_open(p, SPAN_STATUS);
    protobuf_put_text(p, STATUS_MESSAGE, type);
    protobuf_put_uint(p, STATUS_CODE, STATUS_ERROR);
    protobuf_close(p, status);
}

/* --- of an attempt --- */

static struct str outcome_of(const struct account_attempt *a)
{
    if (a->failure != FAILURE_ok) {
        return str_from(verdict_of(a->failure)->name);
    }
    return a->is_good ? STR("ok") : STR("cancelled");
}

static void put_backend(struct protobuf *p, const struct account_attempt *a)
{
    const struct backend *b = a->backend;
    put_text(p, "gen_ai.provider.name", str_from(backend_type_name(b->type)));
    put_text(p, "gen_ai.request.model", a->model);
    put_text(p, "server.address", b->host);
    put_number(p, "server.port", b->port);
    put_text(p, "fallthrough.backend", b->name);
    put_number(p, "fallthrough.tier", a->tier);
}

static void put_attempt(struct protobuf *p, const struct account *r,
                        const struct account_attempt *a)
{
    size_t span = protobuf_open(p, SCOPE_SPANS_SPANS);
    put_head(p, r,
             &(struct span_head){.span = a->span,
                                 .parent = r->ids.span,
                                 .model = a->model.len < ACCOUNT_MODEL_MAX ? a->model : STR(""),
                                 .kind = KIND_CLIENT,
                                 .began_us = a->began_us,
                                 .ended_us = a->ended_us});
    put_backend(p, a);
    put_text(p, "http.request.method", STR("POST"));
    put_number(p, "http.response.status_code", (uint64_t)a->status);
    put_number(p, "gen_ai.usage.input_tokens", a->prompt_tokens);
    put_number(p, "gen_ai.usage.output_tokens", a->completion_tokens);
    put_number(p, "fallthrough.pieces", a->pieces);
    put_text(p, "fallthrough.outcome", outcome_of(a));
    put_true(p, "fallthrough.resumes", a->resumes);
    put_first_token(p, r, a->first_us);
    if (a->failure != FAILURE_ok) {
        put_text(p, "error.type", outcome_of(a));
        put_error(p, outcome_of(a));
    }
    protobuf_close(p, span);
}

/* --- of an exchange --- */

static void put_finish(struct protobuf *p, const struct account *r)
{
    if (r->finish_count == 0) {
        return;
    }
    struct pair pair = open_pair(p, SPAN_ATTRIBUTES, "gen_ai.response.finish_reasons");
    size_t array = protobuf_open(p, VALUE_ARRAY);
    for (size_t i = 0; i < r->finish_count; i++) {
        size_t value = protobuf_open(p, ARRAY_VALUES);
        protobuf_put_text(p, VALUE_STRING, str_from(r->finish[i]));
        protobuf_close(p, value);
    }
    protobuf_close(p, array);
    close_pair(p, pair);
}

static void put_asked(struct protobuf *p, const struct account *r)
{
    const char *provider = r->backend ? backend_type_name(r->backend->type) : "fallthrough";
    put_text(p, "gen_ai.provider.name", str_from(provider));
    put_text(p, "gen_ai.request.model", r->asked);
    put_true(p, "gen_ai.request.stream", r->streams);
    put_number(p, "gen_ai.request.max_tokens", r->max_tokens);
    put_number(p, "gen_ai.request.choice.count", r->choices > 1 ? r->choices : 0);
    put_text(p, "http.request.method", r->method);
    put_text(p, "url.path", r->path);
    put_text(p, "fallthrough.request_id", r->request_id);
    put_text(p, "fallthrough.key", r->key);
    put_text(p, "fallthrough.model", r->model ? r->model->name : STR(""));
}

static void put_answered(struct protobuf *p, const struct account *r)
{
    put_number(p, "http.response.status_code", (uint64_t)r->status);
    put_text(p, "gen_ai.response.model", r->served);
    put_finish(p, r);
    put_seconds(p, "gen_ai.response.time_to_first_chunk", r->streams ? r->first_us : 0);
    put_number(p, "gen_ai.usage.input_tokens", r->prompt_tokens);
    put_number(p, "gen_ai.usage.output_tokens", r->completion_tokens);
    put_text(p, "fallthrough.outcome", str_from(outcome_name(r->outcome)));
    put_text(p, "fallthrough.backend", r->backend ? r->backend->name : STR(""));
    put_number(p, "fallthrough.tier", r->tier);
    put_number(p, "fallthrough.attempts", r->attempts);
    put_text(p, "fallthrough.trail", r->trail);
    put_text(p, "fallthrough.degraded", r->degraded);
    put_number(p, "fallthrough.resumes", r->resume_count);
    put_seconds(p, "fallthrough.queue_time", r->queued_us);
}

/* Between two attempts, the first of which had failed. */
static void put_failovers(struct protobuf *p, const struct account *r)
{
    for (uint32_t i = 0; i + 1 < r->attempt_count; i++) {
        const struct account_attempt *a = &r->attempt[i];
        const struct account_attempt *next = &r->attempt[i + 1];
        if (a->failure == FAILURE_ok || next->began_us < a->ended_us) {
            continue; /* the other one of a hedge */
        }
        size_t event = open_event(p, r, "fallthrough.failover", a->ended_us);
        put_text_in(p, EVENT_ATTRIBUTES, "fallthrough.from", a->backend->name);
        put_text_in(p, EVENT_ATTRIBUTES, "fallthrough.to", next->backend->name);
        put_text_in(p, EVENT_ATTRIBUTES, "error.type", outcome_of(a));
        protobuf_close(p, event);
    }
}

static void put_resumes(struct protobuf *p, const struct account *r)
{
    for (uint32_t i = 0; i < r->resume_count && i < ACCOUNT_RESUMES_MAX; i++) {
        const struct account_resume *one = &r->resume[i];
        size_t event = open_event(p, r, "fallthrough.resume", one->at_us);
        put_number_in(p, EVENT_ATTRIBUTES, "fallthrough.gap_ms", one->gap_us / 1000);
        protobuf_close(p, event);
    }
}

static void put_exchange(struct protobuf *p, const struct account *r)
{
    size_t span = protobuf_open(p, SCOPE_SPANS_SPANS);
    put_head(p, r,
             &(struct span_head){.span = r->ids.span,
                                 .parent = r->ids.parent,
                                 .model = r->asked,
                                 .kind = KIND_SERVER,
                                 .flags = r->ids.parent != 0 ? FLAGS_IS_REMOTE : 0,
                                 .ended_us = r->ended_us});
    put_asked(p, r);
    put_answered(p, r);
    put_failovers(p, r);
    put_first_token(p, r, r->first_us);
    put_resumes(p, r);
    if (r->outcome == OUTCOME_client_left) {
        put_text(p, "error.type", STR("client_left"));
    } else if (r->outcome != OUTCOME_ok && r->error.len > 0) {
        put_text(p, "error.type", r->error);
    }
    /* A client's own mistake is no error of the server (semantic conventions for HTTP spans).
     */
    if (r->outcome == OUTCOME_failed || r->outcome == OUTCOME_interrupted) {
        put_error(p, r->error);
    }
    protobuf_close(p, span);
}

/* --- the message --- */

static void put_resource(struct protobuf *p, struct str service)
{
    char host[HOST_BYTES] = "";
    size_t resource = protobuf_open(p, RESOURCE_SPANS_RESOURCE);
    put_text_in(p, RESOURCE_ATTRIBUTES, "service.name", service);
    put_text_in(p, RESOURCE_ATTRIBUTES, "service.version", STR(FALLTHROUGH_VERSION));
    if (gethostname(host, sizeof(host) - 1) == 0) {
        put_text_in(p, RESOURCE_ATTRIBUTES, "host.name", str_from(host));
    }
    put_number_in(p, RESOURCE_ATTRIBUTES, "process.pid", (uint64_t)getpid());
    protobuf_close(p, resource);
}

void span_message_begin(struct span_message *m, struct buf *out, struct str service)
{
    struct protobuf *p = &m->p;
    *m = (struct span_message){.p = {.out = out}};
    m->resource = protobuf_open(p, REQUEST_RESOURCE_SPANS);
    put_resource(p, service);
    m->scope = protobuf_open(p, RESOURCE_SPANS_SCOPE_SPANS);
    size_t scope = protobuf_open(p, SCOPE_SPANS_SCOPE);
    protobuf_put_text(p, SCOPE_NAME, STR("fallthrough"));
    protobuf_put_text(p, SCOPE_VERSION, STR(FALLTHROUGH_VERSION));
    protobuf_close(p, scope);
}

void span_message_put(struct span_message *m, const struct account *r)
{
    put_exchange(&m->p, r);
    for (uint32_t i = 0; i < r->attempt_count; i++) {
        put_attempt(&m->p, r, &r->attempt[i]);
    }
    m->spans += 1U + r->attempt_count;
}

void span_message_end(struct span_message *m)
{
    protobuf_close(&m->p, m->scope);
    protobuf_close(&m->p, m->resource);
}

uint64_t span_message_rejected(struct str answer)
{
    struct protobuf_field f;
    struct str partial = STR("");
    while (protobuf_next(&answer, &f) == ERR_OK) {
        partial = f.number == RESPONSE_PARTIAL_SUCCESS ? f.bytes : partial;
    }
    uint64_t rejected = 0;
    while (protobuf_next(&partial, &f) == ERR_OK) {
        rejected = f.number == PARTIAL_REJECTED ? f.value : rejected;
    }
    return rejected;
}
