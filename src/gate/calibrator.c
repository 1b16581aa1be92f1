#include "gate/calibrator.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "gate/inquiry.h"
#include "gate/offer_look.h"
#include "llm/calibration.h"
#include "llm/model_list.h"
#include "net/upstream.h"
#include "tiers/measured.h"

enum {
    AT_ONCE = 2,         /* backends that are measured */
    STARTING_MS = 100,   /* until a backend that was not probed yet is thought of again */
    AGAIN_MS = 500,      /* until a busy one is */
    LOOK_LEAST_MS = 100, /* between two looks, whatever the configuration says */
    QUESTION_MOST_MS = 120000,
    LIST_MAX = 1 << 20,
    OFFER_MAX = 8 << 20, /* with licence and template */
    ANSWER_MAX = 256 << 10
};

/* One of the models that a backend serves. */
struct subject {
    const struct serving *serving;
    struct measured measured;
    uint64_t identity; /* as last told; 0: not told */
    bool is_measurable;
    struct offer_look look;
    uint64_t offer_after_ms; /* no answer came: not before the next look */
};

enum doing { DOING_NOTHING, DOING_LOOK, DOING_OFFER, DOING_QUESTION };

/* One backend. */
struct patient {
    struct calibrator *calibrator;
    const struct backend *backend;
    struct upstream *upstream;
    struct subject *subjects;
    enum doing doing;
    struct inquiry inquiry;
    struct task task;
    struct timer timer;
    bool has_looked;
    uint64_t look_ms;         /* when the next look is due */
    uint32_t looked_outages;  /* as they were at the last one */
    struct subject *offering; /* whom DOING_OFFER is about */

    /* The measurement under way; it outlives questions that were cut off. */
    struct subject *measures; /* NULL: none */
    struct measured_subject holds_for;
    struct calibration calibration;
    struct arena arena;
};

struct calibrator {
    struct gateway *gateway;
    struct loop *loop;
    struct patient *patients;
    size_t count;
    size_t questions; /* open now */
    struct post wake;
    _Atomic bool wake_pending;
};

static uint64_t now_of(const struct patient *p)
{
    return loop_now_ms(p->calibrator->loop);
}

static struct board *board_of(const struct patient *p)
{
    return p->calibrator->gateway->board;
}

static void look_again_at(struct patient *p, uint64_t due_ms)
{
    timer_arm(p->calibrator->loop, &p->timer, due_ms);
}

static void on_inquiry(void *owner)
{
    struct patient *p = owner;
    task_ready(p->calibrator->loop, &p->task);
}

static void on_time(struct timer *t)
{
    struct patient *p = container_of(t, struct patient, timer);
    task_ready(p->calibrator->loop, &p->task);
}

/* --- inquiries --- */

static void open_inquiry(struct patient *p, struct inquiry_conf conf, uint64_t limit_ms)
{
    uint64_t now_ms = now_of(p);
    conf.loop = p->calibrator->loop;
    conf.backend = p->backend;
    conf.upstream = p->upstream;
    conf.purpose = "calibration";
    conf.connect_due_ms = now_ms + p->backend->deadlines.connect_ms;
    conf.due_ms = now_ms + limit_ms;
    conf.notify = on_inquiry;
    conf.owner = p;
    inquiry_open(&p->inquiry, &conf);
    look_again_at(p, conf.due_ms);
}

static void close_inquiry(struct patient *p)
{
    if (p->doing == DOING_QUESTION) {
        board_end_calibration(board_of(p), p->backend->index);
        p->calibrator->questions--;
    }
    inquiry_close(&p->inquiry);
    p->doing = DOING_NOTHING;
}

/* --- looking --- */

/* The shortest wish of its models; UINT64_MAX: nobody wants it looked at. */
static uint64_t look_interval_ms(const struct patient *p)
{
    uint64_t shortest = UINT64_MAX;
    for (uint32_t i = 0; i < p->backend->serving_count; i++) {
        uint64_t one = p->subjects[i].serving->calibrate_ms;
        shortest = one > 0 && one < shortest ? one : shortest;
    }
    return shortest < LOOK_LEAST_MS ? LOOK_LEAST_MS : shortest;
}

/* What was told before an outage holds no more. */
static void forget_offers(struct patient *p)
{
    for (uint32_t i = 0; i < p->backend->serving_count; i++) {
        p->subjects[i].look = (struct offer_look){.is_told = false};
        p->subjects[i].offer_after_ms = 0;
    }
}

static void begin_look(struct patient *p)
{
    uint32_t outages = board_outages(board_of(p), p->backend->index);
    if (p->has_looked && outages != p->looked_outages) {
        forget_offers(p);
    }
    p->doing = DOING_LOOK;
    p->has_looked = true;
    p->looked_outages = outages;
    open_inquiry(p,
                 (struct inquiry_conf){.path = gateway_dialect(p->backend)->models_path,
                                       .answer_max = LIST_MAX},
                 p->backend->health.timeout_ms);
}

static void publish_offer(const struct patient *p, const struct subject *s)
{
    offer_look_publish(&s->look, board_offers(board_of(p)), s->serving);
}

static void note_identity(const struct patient *p, struct subject *s, uint64_t identity)
{
    if (identity != 0 && s->identity != 0 && identity != s->identity) {
        s->look = (struct offer_look){.is_told = false};
        offers_forget(board_offers(board_of(p)), s->serving->index);
    }
    if (measured_is_outdated(&s->measured, identity) && identity != s->identity) {
        log_info("another model than before", LOG_STR("backend", p->backend->name),
                 LOG_STR("model", s->serving->model));
        board_doubt_ability(board_of(p), s->serving->index);
    }
    s->identity = identity != 0 ? identity : s->identity;
}

static void note_entry(const struct patient *p, struct subject *s, const struct model_entry *e)
{
    enum residence r = RESIDENCE_UNKNOWN;
    if (e->is_loaded || e->is_absent) {
        r = e->is_loaded ? RESIDENCE_LOADED : RESIDENCE_ABSENT;
    }
    board_set_residence(board_of(p), s->serving->index, r);
    s->is_measurable = !e->is_absent;
    if (!e->is_absent) {
        note_identity(p, s, e->identity);
        s->look.listed = *e;
    }
    publish_offer(p, s);
}

/* Where the list cannot be had, nothing is known of a server that may have to load the model
 * first; others are measured all the same. */
static void take_list(struct patient *p, enum err e)
{
    const struct dialect *d = gateway_dialect(p->backend);
    bool is_there = e == ERR_OK && p->inquiry.status == 200;
    p->look_ms = now_of(p) + look_interval_ms(p); /* from its end: it may take longer */
    for (uint32_t i = 0; i < p->backend->serving_count; i++) {
        struct subject *s = &p->subjects[i];
        struct model_entry entry;
        if (is_there && model_list_read(d, inquiry_body(&p->inquiry), s->serving->model,
                                        &entry) == ERR_OK) {
            note_entry(p, s, &entry);
        } else {
            s->is_measurable = !d->lists_loaded;
        }
    }
}

/* --- asking what a model can take --- */

static struct subject *find_unasked(struct patient *p)
{
    bool can_ask = model_offer_path(gateway_dialect(p->backend)) != NULL;
    for (uint32_t i = 0; can_ask && i < p->backend->serving_count; i++) {
        struct subject *s = &p->subjects[i];
        if (s->serving->calibrate_ms > 0 && now_of(p) >= s->offer_after_ms &&
            offer_look_is_due(&s->look, s->identity)) {
            return s;
        }
    }
    return NULL;
}

static void begin_offer(struct patient *p, struct subject *s)
{
    const struct dialect *d = gateway_dialect(p->backend);
    struct arena a;
    p->doing = DOING_OFFER;
    p->offering = s;
    arena_init(&a);
    open_inquiry(p,
                 (struct inquiry_conf){.path = model_offer_path(d),
                                       .body = model_offer_body(d, s->serving->model, &a),
                                       .answer_max = OFFER_MAX},
                 p->backend->health.timeout_ms);
    arena_fini(&a);
}

/* A server that has no such page is not asked again until something changes. */
static void take_offer(struct patient *p, enum err e)
{
    struct subject *s = p->offering;
    struct model_offer told;
    if (e != ERR_OK && e != ERR_TOO_LARGE) {
        s->offer_after_ms = p->look_ms;
        return;
    }
    bool is_told = e == ERR_OK && p->inquiry.status == 200 &&
                   model_offer_read(gateway_dialect(p->backend), inquiry_body(&p->inquiry),
                                    &told) == ERR_OK;
    offer_look_take(&s->look, is_told ? &told : NULL, s->identity);
    publish_offer(p, s);
}

/* --- measuring --- */

static struct measured_subject subject_now(const struct patient *p, const struct subject *s)
{
    return (struct measured_subject){.identity = s->identity,
                                     .outages = board_outages(board_of(p), p->backend->index)};
}

static bool is_wanted(const struct subject *s)
{
    return s->is_measurable && s->serving->may_resume;
}

static bool still_holds(const struct patient *p)
{
    struct measured_subject now_is = subject_now(p, p->measures);
    return now_is.identity == p->holds_for.identity && now_is.outages == p->holds_for.outages;
}

static void drop_measurement(struct patient *p)
{
    p->measures = NULL;
    arena_fini(&p->arena);
}

/* Who is to be measured: the one begun goes on, as long as it holds. */
static struct subject *find_due(struct patient *p)
{
    if (p->measures && is_wanted(p->measures) && still_holds(p)) {
        return p->measures;
    }
    for (uint32_t i = 0; i < p->backend->serving_count; i++) {
        struct subject *s = &p->subjects[i];
        struct measured_subject now_is = subject_now(p, s);
        if (is_wanted(s) && measured_is_due(&s->measured, &now_is, now_of(p))) {
            return s;
        }
    }
    return NULL;
}

static void begin_measurement(struct patient *p, struct subject *s)
{
    drop_measurement(p);
    p->measures = s;
    p->holds_for = subject_now(p, s);
    calibration_init(&p->calibration, gateway_dialect(p->backend), s->serving->model,
                     &p->arena);
}

static uint64_t question_limit_ms(const struct backend *b)
{
    uint64_t limit = (uint64_t)b->deadlines.first_token_ms + b->deadlines.stall_ms;
    return limit < QUESTION_MOST_MS ? limit : QUESTION_MOST_MS;
}

/* False: attempts are in flight, or others are being measured. */
static bool begin_question(struct patient *p, struct subject *s)
{
    struct calibrator *c = p->calibrator;
    struct arena a;
    struct rope body;
    if (c->questions >= AT_ONCE ||
        !board_begin_calibration(c->gateway->board, p->backend->index)) {
        return false;
    }
    c->questions++;
    p->doing = DOING_QUESTION;
    if (p->measures != s || !still_holds(p)) {
        begin_measurement(p, s);
    }
    arena_init(&a);
    calibration_ask(&p->calibration, &a, &body);
    open_inquiry(p,
                 (struct inquiry_conf){.path = gateway_dialect(p->backend)->chat_path,
                                       .body = rope_join(&body, &a),
                                       .answer_max = ANSWER_MAX},
                 question_limit_ms(p->backend));
    arena_fini(&a);
    return true;
}

static enum ability ability_of(enum calibration_result result)
{
    switch (result) {
    case CALIBRATION_EXACT:
        return ABILITY_EXACT;
    case CALIBRATION_ECHO:
        return ABILITY_ECHO;
    case CALIBRATION_DIFFERS:
        return ABILITY_DIFFERS;
    case CALIBRATION_REFUSED:
        return ABILITY_NO;
    case CALIBRATION_GO_ON:
    case CALIBRATION_UNCLEAR:
    case CALIBRATION_FAILED:
        break;
    }
    return ABILITY_UNKNOWN;
}

/* A connection that broke under our question: it may have died of it. */
static enum measured_end end_of(enum calibration_result result, enum err e)
{
    bool broke = e == ERR_RESET || e == ERR_CLOSED || e == ERR_TRUNCATED;
    if (broke || result == CALIBRATION_FAILED) {
        return broke ? MEASURED_BROKE : MEASURED_FAILED;
    }
    if (result == CALIBRATION_UNCLEAR) {
        return MEASURED_UNCLEAR;
    }
    return result == CALIBRATION_DIFFERS ? MEASURED_BADLY : MEASURED_WELL;
}

static const char *word_of(enum calibration_result result)
{
    const char *name = ability_name(ability_of(result));
    return name ? name : result == CALIBRATION_UNCLEAR ? "unclear" : "no answer";
}

static void conclude(struct patient *p, enum calibration_result result, enum err e)
{
    struct subject *s = p->measures;
    enum measured_end end = end_of(result, e);
    bool is_result = end == MEASURED_WELL || end == MEASURED_BADLY;
    bool is_news =
        is_result && board_ability(board_of(p), s->serving->index) != ability_of(result);
    bool holds = !is_result || (still_holds(p) &&
                                board_set_ability(board_of(p), s->serving->index,
                                                  ability_of(result), p->holds_for.outages));
    if (holds) {
        measured_note(&s->measured, end, &p->holds_for, now_of(p));
    }
    LOG_AT(is_news && holds ? LOG_INFO : LOG_DEBUG, "resume measured",
           LOG_STR("backend", p->backend->name), LOG_STR("model", s->serving->model),
           LOG_TEXT("resume", word_of(result)),
           LOG_TEXT("echo", result == CALIBRATION_ECHO ? "yes" : "no"),
           LOG_TEXT("error", e == ERR_OK ? "none" : err_text(e)), LOG_DONE);
    drop_measurement(p);
}

static void take_answer(struct patient *p, enum err e)
{
    enum calibration_result result = CALIBRATION_FAILED;
    if (e == ERR_OK) {
        result =
            calibration_answer(&p->calibration, p->inquiry.status, inquiry_body(&p->inquiry));
    }
    if (result != CALIBRATION_GO_ON) {
        conclude(p, result, e);
    }
}

/* --- what is next --- */

/* An attempt has begun: its backend is to think of nothing else. Or of nothing at all. */
static bool must_make_way(const struct patient *p)
{
    struct backend_view v = board_view(board_of(p), p->backend->index, now_of(p));
    return p->doing == DOING_QUESTION && (v.in_flight > 0 || v.operator.word != OPERATOR_NONE);
}

static void take_inquiry(struct patient *p, enum err e)
{
    switch (p->doing) {
    case DOING_LOOK:
        take_list(p, e);
        return;
    case DOING_OFFER:
        take_offer(p, e);
        return;
    case DOING_QUESTION:
        take_answer(p, e);
        return;
    case DOING_NOTHING:
        break;
    }
    BUG("an answer to no inquiry");
}

static void proceed(struct patient *p)
{
    enum err e = inquiry_next(&p->inquiry, now_of(p));
    if (e == ERR_AGAIN) {
        if (must_make_way(p)) {
            close_inquiry(p);
        }
        return;
    }
    take_inquiry(p, e);
    close_inquiry(p);
}

/* When something becomes due by itself. */
static uint64_t next_ms(const struct patient *p)
{
    uint64_t soonest = p->look_ms;
    for (uint32_t i = 0; i < p->backend->serving_count; i++) {
        const struct subject *s = &p->subjects[i];
        struct measured_subject now_is = subject_now(p, s);
        uint64_t one =
            is_wanted(s) ? measured_next_ms(&s->measured, &now_is, now_of(p)) : UINT64_MAX;
        soonest = one < soonest ? one : soonest;
    }
    return soonest;
}

static bool is_look_due(const struct patient *p)
{
    return !p->has_looked || now_of(p) >= p->look_ms ||
           board_outages(board_of(p), p->backend->index) != p->looked_outages;
}

/* A backend that is not well, or not enabled, wakes us when that changes. */
static void choose(struct patient *p)
{
    uint64_t now_ms = now_of(p);
    struct backend_view v = board_view(board_of(p), p->backend->index, now_ms);
    bool is_out = v.state != STATE_HEALTHY || v.operator.word != OPERATOR_NONE;
    if (is_out || p->calibrator->gateway->draining) {
        timer_disarm(&p->timer);
        return;
    }
    if (v.cause.kind == CAUSE_STARTING || now_ms < v.hold_until_ms) {
        bool is_held = v.cause.kind != CAUSE_STARTING;
        look_again_at(p, now_ms + (is_held ? AGAIN_MS : STARTING_MS));
        return;
    }
    if (is_look_due(p)) {
        begin_look(p);
        return;
    }
    struct subject *s = find_unasked(p);
    if (s) {
        begin_offer(p, s);
        return;
    }
    s = find_due(p);
    if (!s) {
        look_again_at(p, next_ms(p));
    } else if (!begin_question(p, s)) {
        look_again_at(p, now_ms + AGAIN_MS);
    }
}

static void run(struct task *t)
{
    struct patient *p = container_of(t, struct patient, task);
    if (p->doing != DOING_NOTHING) {
        proceed(p);
    }
    if (p->doing == DOING_NOTHING) {
        choose(p);
    }
}

/* --- life --- */

/* In the control thread: a backend changed its state, or an attempt wants to be alone. */
static void on_wake(struct post *post, void *arg)
{
    struct calibrator *c = arg;
    (void)post;
    atomic_store(&c->wake_pending, false);
    for (size_t i = 0; i < c->count; i++) {
        task_ready(c->loop, &c->patients[i].task);
    }
}

static void wake(void *arg)
{
    struct calibrator *c = arg;
    if (!atomic_exchange(&c->wake_pending, true)) {
        loop_post(c->loop, &c->wake);
    }
}

static void init_patient(struct calibrator *c, struct patient *p, const struct backend *b)
{
    const struct catalog *catalog = &c->gateway->settings->catalog;
    *p = (struct patient){.calibrator = c, .backend = b};
    p->subjects = mem_alloc(sizeof(p->subjects[0]) * b->serving_count);
    for (uint32_t i = 0; i < b->serving_count; i++) {
        p->subjects[i].serving = &catalog->servings[b->first_serving + i];
        measured_init(&p->subjects[i].measured);
    }
    p->upstream = upstream_new(
        c->loop, &(struct upstream_conf){.host = b->host,
                                         .port = b->port,
                                         .tls = c->gateway->backend_tls[b->index]});
    arena_init(&p->arena);
    task_init(&p->task, run);
    timer_init(&p->timer, on_time);
    look_again_at(p, loop_now_ms(c->loop));
}

/* Some model wants it looked at, and asking costs nobody money. */
static bool is_patient(const struct catalog *catalog, const struct backend *b)
{
    const struct dialect *d = gateway_dialect(b);
    bool is_wished = false;
    for (uint32_t i = 0; i < b->serving_count; i++) {
        is_wished = is_wished || catalog->servings[b->first_serving + i].calibrate_ms > 0;
    }
    return is_wished && d->models_path && !backend_type_is_paid(b->type);
}

struct calibrator *calibrator_start(struct gateway *g, struct loop *l)
{
    struct calibrator *c = mem_alloc(sizeof(*c));
    const struct catalog *catalog = &g->settings->catalog;
    c->gateway = g;
    c->loop = l;
    c->patients = mem_alloc(sizeof(c->patients[0]) * (catalog->backend_count + 1));
    c->wake = (struct post){.run = on_wake, .arg = c};
    for (size_t i = 0; i < catalog->backend_count; i++) {
        if (is_patient(catalog, &catalog->backends[i])) {
            init_patient(c, &c->patients[c->count++], &catalog->backends[i]);
        }
    }
    g->wake_calibrator = wake;
    g->calibrator_arg = c;
    return c;
}

void calibrator_stop(struct calibrator **c)
{
    struct calibrator *gone = *c;
    *c = NULL;
    for (size_t i = 0; i < gone->count; i++) {
        struct patient *p = &gone->patients[i];
        inquiry_close(&p->inquiry);
        task_cancel(gone->loop, &p->task);
        timer_drop(gone->loop, &p->timer);
        arena_fini(&p->arena);
        upstream_free(&p->upstream);
        free(p->subjects);
    }
    free(gone->patients);
    free(gone);
}
