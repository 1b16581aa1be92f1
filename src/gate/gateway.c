#include "gate/gateway.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "gate/report.h"
#include "llm/dialect.h"
#include "net/tls.h"
#include "tiers/lines.h"
#include "tiers/loads.h"

enum { ACCESS_QUEUE = 8192 }; /* requests whose line may wait for the disk */

const struct dialect *gateway_dialect(const struct backend *b)
{
    return dialect_find(str_from(backend_type_name(b->type)));
}

static bool is_configured(const struct backend *b, struct str name)
{
    for (size_t i = 0; i < b->header_count; i++) {
        if (str_eq_nocase(b->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

static enum err put_key(const struct backend *b, const struct dialect *d, struct buf *head)
{
    struct str name = str_from(d->key_header);
    if (b->api_key.len == 0) {
        return ERR_OK;
    }
    if (name.len == 0) {
        return buf_printf(head, "Authorization: Bearer %.*s\r\n", STR_FMT(b->api_key));
    }
    return is_configured(b, name) ? ERR_OK : http_put_header(head, name.ptr, b->api_key);
}

static enum err put_credentials(const struct backend *b, struct buf *head)
{
    const struct dialect *d = gateway_dialect(b);
    const struct dialect_header *fixed = &d->fixed_header;
    enum err e = put_key(b, d, head);
    if (e == ERR_OK && fixed->name.len > 0 && !is_configured(b, fixed->name)) {
        e = http_put_header(head, fixed->name.ptr, fixed->value);
    }
    for (size_t i = 0; i < b->header_count; i++) {
        e = e ? e
              : buf_printf(head, "%.*s: %.*s\r\n", STR_FMT(b->headers[i].name),
                           STR_FMT(b->headers[i].value));
    }
    return e;
}

enum err gateway_put_head(const struct backend *b, const char *method, const char *path,
                          const char *purpose, struct buf *head)
{
    enum err e = buf_printf(head,
                            "%s %.*s%s HTTP/1.1\r\nHost: %.*s\r\n"
                            "User-Agent: fallthrough/" FALLTHROUGH_VERSION "%s%s\r\n",
                            method, STR_FMT(b->path), path, STR_FMT(b->host_header),
                            purpose ? " " : "", purpose ? purpose : "");
    return e ? e : put_credentials(b, head);
}

static void make_request_head(struct gateway *g, const struct backend *b)
{
    struct buf head;
    buf_init(&head, REQUEST_HEAD_MAX);
    enum err e = gateway_put_head(b, "POST", gateway_dialect(b)->chat_path, NULL, &head);
    e = e ? e : http_put_header(&head, "Content-Type", STR("application/json"));
    e = e ? e : http_put_header(&head, "Accept", STR("application/json, text/event-stream"));
    e = e ? e : buf_append(&head, STR("Content-Length: "));
    CHECK(e == ERR_OK); /* settings bound every part */
    g->request_head[b->index] = arena_dup(&g->arena, buf_str(&head));
    buf_fini(&head);
}

static enum err load_tls(struct gateway *g, const char **why)
{
    const struct settings *s = g->settings;
    enum err e = ERR_OK;
    if (s->tls_cert.len > 0) {
        e = tls_server_new(s->tls_cert, s->tls_key, &g->listen_tls, why);
    }
    const struct backend *collector = s->traces.collector;
    if (e == ERR_OK && collector && collector->tls) {
        e = tls_client_new(collector->tls_ca, collector->tls_cert, collector->tls_key,
                           &g->collector_tls, why);
    }
    for (size_t i = 0; i < s->catalog.backend_count && e == ERR_OK; i++) {
        const struct backend *b = &s->catalog.backends[i];
        if (b->tls) {
            e = tls_client_new(b->tls_ca, b->tls_cert, b->tls_key, &g->backend_tls[i], why);
        }
        for (size_t k = 0; k < TELLERS && e == ERR_OK; k++) {
            const struct backend *t = b->teller[k];
            if (t && t->tls) {
                e = tls_client_new(t->tls_ca, STR_NONE, STR_NONE,
                                   &g->teller_tls[i * TELLERS + k], why);
            }
        }
    }
    return e;
}

/* Only where some model keeps answers: else it costs nothing. */
static struct answer_cache *make_cache(const struct settings *s)
{
    for (size_t i = 0; i < s->catalog.model_count; i++) {
        if (s->catalog.models[i].last_resort.cache_ms > 0) {
            return answer_cache_new(s->answer_cache_bytes);
        }
    }
    return NULL;
}

static void no_one(void *arg)
{
    (void)arg;
}

enum err gateway_new(const struct settings *s, struct gateway **out, const char **why)
{
    struct gateway *g = mem_alloc(sizeof(*g));
    size_t count = s->catalog.backend_count;
    g->settings = s;
    g->started_wall_ms = clock_wall_ms();
    hash_seed(&g->hash_key);
    g->wake_prober = no_one;
    g->wake_calibrator = no_one;
    g->tell_hang = no_one;
    arena_init(&g->arena);
    g->board = board_new(&s->catalog, clock_mono_ms());
    g->tally = tally_new(&s->catalog);
    g->verdicts = verdict_log_new(&s->catalog);
    g->journal = journal_new();
    g->answer_cache = make_cache(s);
    g->notices = notices_new();
    g->processes = processes_new(&s->catalog, clock_mono_ms());
    if (s->access_log.file.len > 0) {
        g->access_log = account_queue_new(ACCESS_QUEUE);
    }
    if (s->traces.collector) {
        g->spans = account_queue_new(s->traces.queue);
    }
    g->backend_tls = arena_zalloc(&g->arena, sizeof(g->backend_tls[0]) * count);
    g->teller_tls = arena_zalloc(&g->arena, sizeof(g->teller_tls[0]) * count * TELLERS);
    g->request_head = arena_zalloc(&g->arena, sizeof(g->request_head[0]) * count);
    g->retry_budget =
        arena_zalloc(&g->arena, sizeof(g->retry_budget[0]) * s->catalog.model_count);
    g->hedge_budget =
        arena_zalloc(&g->arena, sizeof(g->hedge_budget[0]) * s->catalog.model_count);
    for (size_t i = 0; i < s->catalog.model_count; i++) {
        g->retry_budget[i] = retry_budget_new(&s->catalog.models[i].retry_budget);
    }
    for (size_t i = 0; i < count; i++) {
        make_request_head(g, &s->catalog.backends[i]);
    }
    enum err e = load_tls(g, why);
    if (e != ERR_OK) {
        gateway_free(&g);
        return e;
    }
    *out = g;
    return ERR_OK;
}

void gateway_free(struct gateway **g)
{
    struct gateway *gone = *g;
    *g = NULL;
    if (!gone) {
        return;
    }
    for (size_t i = 0; i < gone->settings->catalog.backend_count; i++) {
        SSL_CTX_free(gone->backend_tls[i]);
    }
    for (size_t i = 0; i < gone->settings->catalog.backend_count * TELLERS; i++) {
        SSL_CTX_free(gone->teller_tls[i]);
    }
    for (size_t i = 0; i < gone->settings->catalog.model_count; i++) {
        retry_budget_free(&gone->retry_budget[i]);
    }
    SSL_CTX_free(gone->listen_tls);
    SSL_CTX_free(gone->collector_tls);
    board_free(&gone->board);
    tally_free(&gone->tally);
    verdict_log_free(&gone->verdicts);
    journal_free(&gone->journal);
    answer_cache_free(&gone->answer_cache);
    notices_free(&gone->notices);
    processes_free(&gone->processes);
    account_queue_free(&gone->access_log);
    account_queue_free(&gone->spans);
    arena_fini(&gone->arena);
    free(gone);
}

/* Who waits for a slot of it may find another now, or nobody; or this one again. */
static void call_waiting(const struct gateway *g, const struct backend *b)
{
    lines_call(loads_lines(board_loads(g->board)), b->index);
}

void gateway_note_change(struct gateway *g, const struct backend *b,
                         const struct board_change *change)
{
    if (change->state_changed) {
        char why[96];
        cause_text(change->cause, why, sizeof(why));
        bool is_bad = change->to == STATE_DOWN && !cause_is_wanted(change->cause.kind);
        LOG_AT(is_bad ? LOG_WARN : LOG_INFO, "backend changed state",
               LOG_STR("backend", b->name), LOG_TEXT("from", state_name(change->from)),
               LOG_TEXT("to", state_word(change->to, change->cause)), LOG_TEXT("reason", why),
               LOG_DONE);
        report_state(g, b, change, why);
    }
    if (change->probe_now || change->state_changed) {
        g->wake_prober(g->wake_arg);
    }
    if (change->state_changed) {
        g->wake_calibrator(g->calibrator_arg);
        call_waiting(g, b);
    }
}

void gateway_note_telemetry(struct gateway *g, const struct backend *b, uint64_t now_ms)
{
    enum counsel was = board_view(g->board, b->index, now_ms).advice.counsel;
    struct board_change change = board_take_advice(g->board, b->index, now_ms);
    enum counsel is = board_view(g->board, b->index, now_ms).advice.counsel;
    gateway_note_change(g, b, &change);
    if (was != is) {
        call_waiting(g, b);
    }
    if (is == COUNSEL_CUT) {
        g->tell_hang(g->tell_hang_arg);
    }
}

/* What was told as an info while the operator's word stood. */
static void tell_again(struct gateway *g, const struct backend *b, const struct backend_view *v)
{
    char why[96];
    struct board_change unchanged = {.from = v->state, .to = v->state, .cause = v->cause};
    cause_text(v->cause, why, sizeof(why));
    report_state(g, b, &unchanged, why);
}

bool gateway_order(struct gateway *g, const struct backend *b, enum operator_word word,
                   uint64_t now_ms)
{
    struct backend_view v = board_view(g->board, b->index, now_ms);
    if (!board_set_operator(g->board, b->index, word, now_ms)) {
        return false;
    }
    log_info("the operator's word", LOG_STR("backend", b->name),
             LOG_TEXT("word", operator_word_deed(word)),
             LOG_TEXT("state", state_word(v.state, v.cause)),
             LOG_NUM("in_flight", v.in_flight));
    report_operator(g, b, word, &v);
    if (word == OPERATOR_NONE) {
        tell_again(g, b, &v);
    }
    if (word == OPERATOR_DISABLED) {
        g->tell_hang(g->tell_hang_arg);
    }
    g->wake_calibrator(g->calibrator_arg);
    call_waiting(g, b);
    return true;
}

static void log_breaker(const char *message, const struct gateway *g,
                        const struct tier_member *m, uint64_t now_ms)
{
    struct breaker_view v = breakers_view(board_breakers(g->board), m->serving, now_ms);
    uint64_t wait_ms = v.until_ms > now_ms ? v.until_ms - now_ms : 0;
    LOG_AT(v.phase == PHASE_OPEN ? LOG_WARN : LOG_INFO, message,
           LOG_STR("backend", m->backend->name), LOG_STR("model", m->model),
           LOG_TEXT("breaker", breaker_view_word(&v)),
           LOG_TEXT("reason", verdict_of(v.reason)->name), LOG_NUM("relapses", v.relapses),
           LOG_NUM(v.phase == PHASE_DWELL ? "dwells_ms" : "next_ms", wait_ms), LOG_DONE);
    report_breaker(g, m, &v, wait_ms);
}

void gateway_note_opened(const struct gateway *g, const struct tier_member *m, uint64_t now_ms)
{
    log_breaker("breaker opened", g, m, now_ms);
    call_waiting(g, m->backend);
}

void gateway_note_content(struct gateway *g, const struct tier_member *m,
                          struct ended_attempt e, uint64_t now_ms)
{
    if (breakers_on_content(board_breakers(g->board), m->serving, &e, now_ms)) {
        log_breaker("breaker closed", g, m, now_ms);
        call_waiting(g, m->backend);
    }
}

void gateway_note_answer(struct gateway *g, const struct tier_member *m, struct ended_attempt e,
                         uint64_t now_ms)
{
    verdict_log_answer(g->verdicts, m->serving, e.claim != 0, now_ms);
    if (board_on_answer(g->board, m->serving, &e, now_ms)) {
        log_breaker("breaker closed", g, m, now_ms);
        call_waiting(g, m->backend);
    }
}
