#include "sim_server.h"

#include <inttypes.h>

#include "base/check.h"
#include "llm/dialect.h"
#include "sim_draw.h"
#include "sim_loop.h"
#include "sim_manners.h"
#include "sim_request.h"
#include "sim_tokens.h"
#include "wire/http_head.h"

enum {
    FIRST_PORT = 10000,
    REQUEST_MAX = 64 << 20,
    DEAF_ROOM = 100,
    DEATH_MIN_MS = 100,
    DEATH_MAX_MS = 15000,
    IDLE_MAX_MS = 8000,
    FLIGHT_MAX_MS = 20,
    GLUED = 10 /* bytes */
};

/* One connection. It is gone when the gateway has closed its side, or it its own. */
struct session {
    struct sim_end end;
    struct list_node node; /* in the server's sessions */
    struct server *server;
    struct sim_event step;
    struct buf in;
    struct reply_script script;
    bool is_answering;
    bool is_silent;  /* answers nothing any more */
    bool is_deaf;    /* accepts, but does not read */
    bool is_closing; /* was idle for long: its end is on its way, and what comes is lost */
    size_t at;       /* bytes of the script that have been sent */
    struct ask *ask; /* NULL: a probe, or nothing */
    struct token_question tokens;
    uint32_t served;
};

uint16_t servers_port(uint32_t i)
{
    return (uint16_t)(FIRST_PORT + i);
}

/* It cannot be reached, or does not listen. */
static void note_connect_trouble(struct server *sv)
{
    sv->connect_trouble_ms = sim_now_ms();
    sv->has_misbehaved = true;
    sv->has_been_silent = true;
    sv->has_broken = true;
}

static void note_fault(struct server *sv, enum fault f)
{
    bool is_silent = f == SIM_stall || f == SIM_slow || f == SIM_late;
    bool is_break = f == SIM_reset || f == SIM_close || f == SIM_die || f == SIM_bad_framing ||
                    f == SIM_junk;
    sv->has_misbehaved = true;
    sv->has_been_silent = sv->has_been_silent || is_silent;
    sv->has_broken = sv->has_broken || is_break;
}

/* --- the end of a session --- */

static void close_ask(struct session *s, bool is_cancelled)
{
    struct ask *k = s->ask;
    s->ask = NULL;
    if (k) {
        k->over_ms = sim_now_ms();
        k->is_cancelled = is_cancelled;
        k->is_repeated = k->sent == 0 && s->served > 0 && !is_cancelled;
    }
}

static void forget(struct session *s)
{
    sim_event_cancel(&s->step);
    list_remove(&s->server->sessions, &s->node);
    buf_fini(&s->in);
}

static void on_end(struct sim_end *e, enum sim_end_kind kind)
{
    struct session *s = container_of(e, struct session, end);
    if (kind == SIM_SHUT) {
        return;
    }
    if (s->ask) {
        record_trace(s->server->all->record, "%.*s: cancelled after %zu of %zu bytes",
                     STR_FMT(s->server->conf->name), s->at, s->script.bytes.len);
    }
    close_ask(s, true);
    forget(s);
}

static void hang_up(struct session *s, bool is_reset)
{
    close_ask(s, false);
    sim_end_close(&s->end, is_reset);
    forget(s);
}

/* The process dies: all its connections break, and nobody can connect for a while. */
static void die(struct server *sv)
{
    uint32_t for_ms = draw_between(&sv->all->rand, DEATH_MIN_MS, DEATH_MAX_MS);
    sv->dead_until_ms = sim_now_ms() + for_ms;
    note_connect_trouble(sv);
    record_trace(sv->all->record, "%.*s: dies for %u ms", STR_FMT(sv->conf->name), for_ms);
    list_each(&sv->sessions, node, after)
    {
        struct session *s = container_of(node, struct session, node);
        if (s->ask) {
            s->ask->is_killed = true;
        }
        hang_up(s, true);
    }
}

/* --- answering --- */

static void take_request(struct session *s);

/* What comes later than that may be too late for the gateway (125 ms from its dialing). */
enum { SURELY_IN_TIME_MS = 60 };

static void note_counted(struct session *s)
{
    bool is_in_time = sim_now_ms() < s->tokens.asked_ms + SURELY_IN_TIME_MS;
    struct sim_exchange *x = is_in_time ? s->tokens.exchange : NULL;
    if (x && s->tokens.is_prompt) {
        x->knows_prompt = true;
    } else if (x) {
        x->counted = s->tokens.given;
    }
    s->tokens.exchange = NULL;
}

static void finish_reply(struct session *s)
{
    note_counted(s);
    switch (s->script.end) {
    case END_KEPT:
        close_ask(s, false);
        s->is_answering = false;
        s->served++;
        sim_event_set(&s->step, draw_between(&s->server->all->rand, 1, IDLE_MAX_MS));
        take_request(s);
        return;
    case END_CLOSED:
        hang_up(s, false);
        return;
    case END_RESET:
        hang_up(s, true);
        return;
    case END_SILENT:
        s->is_silent = true;
        return;
    case END_DEATH:
        die(s->server);
        return;
    }
}

static void send_piece(struct session *s)
{
    struct rand *r = &s->server->all->rand;
    size_t left = s->script.bytes.len - s->at;
    size_t size = draw_between(r, 1 + s->script.piece / 4, s->script.piece);
    size = size < left ? size : left;
    if (s->at < s->script.pause_at && s->at + size > s->script.pause_at) {
        size = s->script.pause_at - s->at;
    }
    if (s->at < s->script.glue_at && s->at + size >= s->script.glue_at &&
        s->script.glue_at != SIZE_MAX) {
        size = s->script.glue_at + GLUED - s->at;
    }
    sim_end_send(&s->end, str_of(s->script.bytes.ptr + s->at, size));
    s->at += size;
    if (s->ask) {
        s->ask->sent = s->at;
    }
}

static uint32_t next_gap(struct session *s)
{
    struct rand *r = &s->server->all->rand;
    uint32_t gap_ms = rand_below(r, s->script.gap_ms + 1);
    if (s->at == s->script.pause_at) {
        s->script.pause_at = SIZE_MAX;
        return s->script.pause_ms;
    }
    return s->script.slow_ms > 0 ? s->script.slow_ms : gap_ms;
}

/* The other side learns of it later, and may ask meanwhile: then it is answered by a reset. */
static void close_idle(struct session *s)
{
    if (!s->is_closing) {
        s->is_closing = true;
        sim_event_set(&s->step, rand_below(&s->server->all->rand, FLIGHT_MAX_MS));
        return;
    }
    hang_up(s, buf_len(&s->in) > 0);
}

static void on_step(struct sim_event *e)
{
    struct session *s = container_of(e, struct session, step);
    if (!s->is_answering) {
        close_idle(s);
        return;
    }
    if (s->at == s->script.pause_at) {
        sim_event_set(&s->step, next_gap(s));
        return;
    }
    if (s->at < s->script.bytes.len) {
        send_piece(s);
    }
    if (s->at < s->script.bytes.len) {
        sim_event_set(&s->step, next_gap(s));
        return;
    }
    finish_reply(s);
}

static void begin_reply(struct session *s)
{
    s->is_answering = true;
    s->at = 0;
    sim_event_set(&s->step, s->script.first_ms);
}

/* --- probes --- */

static void serve_probe(struct session *s)
{
    struct server *sv = s->server;
    struct rand *r = &sv->all->rand;
    manners_judge_probe(sv);
    struct str ok = STR("{\"status\":\"ok\"}");
    bool is_sick = draw_percent(r, sv->sick_percent);
    int status = is_sick && draw_percent(r, 70) ? (draw_percent(r, 70) ? 503 : 500) : 200;
    struct str body = status == 503 && draw_percent(r, 40) ? STR("Loading model") : ok;
    s->script = reply_small(status, body, r, &sv->all->arena);
    s->script.first_ms = rand_below(r, 50);
    if (is_sick) {
        sv->has_misbehaved = true;
        s->script.first_ms = status == 200 ? draw_between(r, 1000, 10000) : s->script.first_ms;
        record_trace(sv->all->record, "%.*s: a sick probe, %d after %u ms",
                     STR_FMT(sv->conf->name), status, s->script.first_ms);
    }
    begin_reply(s);
}

static void serve_get(struct session *s, struct str path)
{
    struct server *sv = s->server;
    const struct dialect *d = dialect_find(str_from(backend_type_name(sv->conf->type)));
    if (str_eq(path, str_from(d->probe_path))) {
        serve_probe(s);
        return;
    }
    s->script =
        reply_small(404, STR("{\"error\":\"not found\"}"), &sv->all->rand, &sv->all->arena);
    begin_reply(s);
}

/* --- chat requests --- */

static enum fault draw_fault(const struct server *sv, const struct sim_exchange *x,
                             const struct ask *k, struct rand *r)
{
    bool is_first = k == &x->asks[0];
    bool has_its_own = x->plan.leaving != LEAVE_NOT;
    uint32_t percent = is_first && !has_its_own ? 97 : sv->fault_percent;
    return draw_percent(r, percent) ? fault_draw(r) : SIM_none;
}

/* The committed stream of a client cannot go on with one JSON body, nor perhaps at a backend
 * whose own limit ends the answer before its time. */
static void judge_hope(const struct sim_exchange *x, struct ask *k)
{
    const struct plan *p = &x->plan;
    uint64_t natural = plan_end(p, 0);
    bool has_spoken = false;
    for (const struct ask *before = x->asks; before < k; before++) {
        has_spoken = has_spoken || ask_has_spoken(before);
    }
    natural = p->has_limit && p->limit < natural ? p->limit : natural;
    bool is_capped = k->to < natural;
    if (k->hope == HOPE_SURE && has_spoken && (k->answers_plain || is_capped)) {
        k->hope = HOPE_SOME;
    }
}

static bool is_harmless(const struct ask *k)
{
    bool is_clients = k->fault == SIM_client_error || k->is_refusing;
    return k->fault == SIM_none || k->fault == SIM_pause || is_clients;
}

static void trace_ask(const struct server *sv, const struct sim_exchange *x,
                      const struct ask *k, const struct reply_script *script)
{
    static const char *const hopes[] = {"no hope", "some hope", "sure"};
    static const char *const ends[] = {"kept", "closed", "reset", "silent", "death"};
    record_trace(sv->all->record,
                 "%.*s: exchange %" PRIu64 " asks%s%s from token %u: %s%s%s, %s; %zu bytes, "
                 "content at %zd, finish at %zd, end %s, to token %u",
                 STR_FMT(sv->conf->name), x->plan.number, k->streams ? " for a stream" : "",
                 k->continues ? " to continue" : "", k->from, fault_name(k->fault),
                 k->is_refusing ? ", refuses" : "", k->answers_plain ? ", plain" : "",
                 hopes[k->hope], script->bytes.len, (ssize_t)k->marks.content,
                 (ssize_t)k->marks.finish_to, ends[script->end], k->to);
}

/* What the server always does with a half answer. */
static void apply_traits(const struct server *sv, struct ask *k)
{
    k->is_refusing = k->continues && sv->is_refusing_partials;
    k->fault = k->is_refusing ? SIM_none : k->fault;
    k->is_echoing = k->continues && sv->is_echoing;
}

static void script_ask(struct session *s, struct sim_exchange *x, struct ask *k)
{
    struct server *sv = s->server;
    uint64_t lane = x->plan.number * RECORD_ASKS_MAX + (uint64_t)(k - x->asks);
    struct rand r = draw_stream(sv->all->seed, LANE_ASK, lane);
    k->fault = draw_fault(sv, x, k, &r);
    k->where = rand_below(&r, 65536);
    apply_traits(sv, k);
    k->answers_plain = !k->streams || (k->type != BACKEND_OLLAMA && draw_percent(&r, 3));
    s->script = reply_compose(k, &sv->conf->deadlines, &r, &sv->all->arena);
    judge_hope(x, k);
    if (!is_harmless(k)) {
        note_fault(sv, k->fault);
    }
    trace_ask(sv, x, k, &s->script);
    s->ask = k;
    begin_reply(s);
}

/* A question of the gateway's own: nobody's client waits for it, so no fault is needed. */
static void serve_inquiry(struct session *s, struct ask *k)
{
    struct server *sv = s->server;
    apply_traits(sv, k);
    k->answers_plain = !k->streams;
    s->script = reply_compose(k, &sv->conf->deadlines, &sv->all->rand, &sv->all->arena);
    record_trace(sv->all->record, "%.*s: the gateway asks on its own%s",
                 STR_FMT(sv->conf->name), k->continues ? ", to continue" : "");
    begin_reply(s);
}

static void serve_exchange(struct session *s, struct sim_exchange *x, struct ask *k)
{
    struct server *sv = s->server;
    if (x->ask_count == RECORD_ASKS_MAX) {
        record_fail(sv->all->record, x, "asked without end");
        hang_up(s, true);
        return;
    }
    k->at_ms = sim_now_ms();
    manners_judge(sv, x, k);
    x->asks[x->ask_count] = *k;
    x->ask_count++;
    script_ask(s, x, &x->asks[x->ask_count - 1]);
}

static void serve_chat(struct session *s, struct str body)
{
    struct server *sv = s->server;
    struct ask k = {.backend = sv->conf->index, .type = sv->conf->type, .model = sv->model};
    struct sim_exchange *x = NULL;
    if (!request_read(sv->all->record, sv->conf, &sv->all->inquiry, body, &k, &x)) {
        hang_up(s, true);
    } else if (x) {
        serve_exchange(s, x, &k);
    } else {
        serve_inquiry(s, &k);
    }
}

/* --- tokens --- */

static void serve_tokens(struct session *s, struct str body)
{
    s->is_silent = !tokens_answer(s->server, body, &s->tokens, &s->script);
    if (!s->is_silent) {
        begin_reply(s);
    }
}

/* --- requests --- */

static struct str chat_path(enum backend_type type)
{
    return type == BACKEND_OLLAMA ? STR("/api/chat") : STR("/v1/chat/completions");
}

static bool has_tokenizer(enum backend_type type)
{
    return type == BACKEND_VLLM || type == BACKEND_LLAMACPP;
}

static void take_request(struct session *s)
{
    struct http_request q;
    struct http_fault fault;
    size_t scanned = 0;
    struct record *rec = s->server->all->record;
    struct str bytes = buf_str(&s->in);
    size_t head = http_head_find(bytes, &scanned);
    if (head == 0) {
        return;
    }
    if (http_request_parse(str_of(bytes.ptr, head), &q, &fault) != ERR_OK) {
        record_fail(rec, NULL, "the gateway's request head is malformed: %s", fault.why);
        return;
    }
    size_t length = q.framing == HTTP_LENGTH ? (size_t)q.content_length : 0;
    if (bytes.len < head + length) {
        return;
    }
    struct str body = str_of(bytes.ptr + head, length);
    if (bytes.len > head + length) {
        record_fail(rec, NULL, "the gateway sends more than its request");
    }
    if (str_eq(q.method, STR("GET"))) {
        serve_get(s, q.path);
    } else if (str_eq(q.path, chat_path(s->server->conf->type))) {
        serve_chat(s, body);
    } else if (str_eq(q.path, STR("/tokenize")) && has_tokenizer(s->server->conf->type)) {
        serve_tokens(s, body);
    } else {
        record_fail(rec, NULL, "the gateway asks for a path that nobody knows");
    }
    buf_fini(&s->in);
}

static void on_bytes(struct sim_end *e, struct str bytes)
{
    struct session *s = container_of(e, struct session, end);
    if (s->is_deaf && !s->is_silent) {
        s->is_silent = true;
        note_connect_trouble(s->server);
        sim_end_limit(e, rand_below(&s->server->all->rand, DEAF_ROOM));
        record_trace(s->server->all->record, "%.*s: is deaf", STR_FMT(s->server->conf->name));
    }
    put(&s->in, bytes);
    if (!s->is_answering && !s->is_silent && !s->is_closing) {
        take_request(s);
    }
}

/* --- connecting --- */

static enum err draw_connect_error(struct server *sv, uint32_t *after_ms)
{
    struct rand *r = &sv->all->rand;
    *after_ms = rand_below(r, 4);
    switch (rand_below(r, 8)) {
    case 0:
        return ERR_AGAIN; /* a packet filter that swallows */
    case 1:
        return ERR_UNREACHABLE;
    case 2:
        return ERR_RESET;
    case 3:
        *after_ms = 0;
        return ERR_NO_FDS;
    default:
        return ERR_REFUSED;
    }
}

static enum err on_connect(void *owner, uint16_t port, uint32_t *after_ms)
{
    struct servers *all = owner;
    CHECK(port >= FIRST_PORT && port < FIRST_PORT + all->count);
    struct server *sv = &all->at[port - FIRST_PORT];
    enum err e = ERR_OK;
    if (sim_now_ms() < sv->dead_until_ms) {
        *after_ms = rand_below(&all->rand, 3);
        e = ERR_REFUSED;
    } else if (draw_percent(&all->rand, all->connect_percent)) {
        e = draw_connect_error(sv, after_ms);
    } else {
        *after_ms = rand_below(&all->rand, 20);
        return ERR_OK;
    }
    note_connect_trouble(sv);
    record_trace(all->record, "%.*s: connect fails: %s", STR_FMT(sv->conf->name), err_text(e));
    return e;
}

static struct sim_end *on_open(void *owner, uint16_t port)
{
    struct servers *all = owner;
    struct server *sv = &all->at[port - FIRST_PORT];
    struct session *s = arena_zalloc(&all->arena, sizeof(*s));
    s->server = sv;
    s->is_deaf = draw_percent(&all->rand, all->connect_percent > 1 ? 2 : 0);
    s->end = (struct sim_end){.on_bytes = on_bytes, .on_end = on_end};
    buf_init(&s->in, REQUEST_MAX);
    sim_event_init(&s->step, on_step);
    list_push_back(&sv->sessions, &s->node);
    return &s->end;
}

void servers_start(struct servers *all, struct record *rec, const struct setup *setup,
                   struct rand rand, uint64_t seed)
{
    const struct model *model = setup->model;
    *all = (struct servers){.record = rec,
                            .rand = rand,
                            .seed = seed,
                            .resume = setup->resume,
                            .hedges = setup->hedges};
    arena_init(&all->arena);
    plan_make_inquiry(&all->inquiry, &all->rand, &all->arena);
    all->connect_percent = draw_percent(&all->rand, 40) ? 10 : 1;
    for (size_t t = 0; t < model->tier_count; t++) {
        for (size_t i = 0; i < model->tiers[t].member_count; i++) {
            const struct tier_member *m = &model->tiers[t].members[i];
            struct server *sv = &all->at[m->backend->index];
            *sv = (struct server){.all = all, .conf = m->backend, .model = m->model};
            sv->tier = (uint32_t)t;
            sv->is_refusing_partials = draw_percent(&all->rand, 15);
            sv->tokenizer = rand_below(&all->rand, 100);
            sv->is_echoing = draw_percent(&all->rand, setup->echo_percent);
            sv->serving = m->serving;
            sv->fault_percent = draw_between(&all->rand, 0, 60);
            sv->sick_percent = draw_percent(&all->rand, 20) ? 30 : 0;
            list_init(&sv->sessions);
            all->count++;
        }
    }
    sim_network_set(
        &(struct sim_network){.owner = all, .connect = on_connect, .open = on_open});
}

void servers_stop(struct servers *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        list_each(&all->at[i].sessions, node, after)
        {
            forget(container_of(node, struct session, node));
        }
    }
    arena_fini(&all->arena);
}

static const struct session *session_of(const struct servers *all, const struct ask *k)
{
    const struct server *sv = &all->at[k->backend];
    list_each(&sv->sessions, node, after)
    {
        const struct session *s = container_of(node, struct session, node);
        if (s->ask == k) {
            return s;
        }
    }
    return NULL;
}

size_t servers_read(const struct servers *all, const struct ask *k)
{
    const struct session *s = session_of(all, k);
    return s ? s->at - sim_end_unread(&s->end) : 0;
}

size_t servers_unread(const struct servers *all, const struct ask *k)
{
    const struct session *s = session_of(all, k);
    return s ? sim_end_unread(&s->end) : 0;
}

size_t servers_sessions(const struct servers *all)
{
    size_t count = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        count += all->at[i].sessions.count;
    }
    return count;
}
