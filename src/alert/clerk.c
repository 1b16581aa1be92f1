#include "alert/alerter_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/*
 * The clerk of alert/alerter: the one thread that has the file. It opens it, brings back what
 * an earlier process has left, and writes what changes.
 */

enum { BATCH = 16, WHY_BYTES = 160, NOT_YET_MS = 100, GRACE_MS = 1000, RETRY_MS = 1000 };

static void wake_carriers(struct alerter *a)
{
    for (size_t i = 0; i < a->carrier_count; i++) {
        CHECK(pthread_cond_broadcast(&a->carriers[i].changed) == 0);
    }
}

/* Whether senders are to wait for the file. */
static void set_written(struct alerter *a, bool is_written)
{
    alerter_lock(a);
    if (a->is_written != is_written) {
        a->is_written = is_written;
        wake_carriers(a);
    }
    alerter_unlock(a);
}

static void fail(struct alerter *a, const char *why)
{
    if (!a->is_failing) {
        log_warn("alerts cannot be written to the history; they are sent all the same",
                 LOG_TEXT("file", a->path), LOG_TEXT("reason", why));
    }
    a->is_failing = true;
    a->retry_ms = clock_mono_ms() + RETRY_MS;
    outbox_db_close(&a->db);
    set_written(a, false);
}

static void note_fine(struct alerter *a)
{
    if (a->is_failing) {
        a->is_failing = false;
        log_info("alerts are written again", LOG_TEXT("file", a->path));
    }
    set_written(a, true);
}

/* --- what an earlier process has left --- */

static struct carrier *find_carrier(struct alerter *a, const char *name)
{
    char cut[EVENT_NAME];
    for (size_t i = 0; i < a->carrier_count; i++) {
        EVENT_PUT(cut, a->carriers[i].channel->name);
        if (strcmp(cut, name) == 0) {
            return &a->carriers[i];
        }
    }
    return NULL;
}

static void bring_back(struct carrier *c, const struct outbox_row *row)
{
    uint64_t wall_ms = clock_wall_ms();
    uint64_t wait_ms = row->due_wall_ms > wall_ms ? row->due_wall_ms - wall_ms : 0;
    uint64_t most_ms = letters_gap_ms(row->tries, RETRY_FIRST_MS, 0);
    alerter_lock(c->alerter);
    struct letter *l = letters_push(&c->letters, &row->alert, clock_mono_ms());
    l->due_ms += wait_ms < most_ms ? wait_ms : most_ms; /* the clock may have been set */
    l->tries = row->tries;
    l->written = l->version;
    alerter_unlock(c->alerter);
}

/* Its channel is not configured any more. */
static enum err give_up(struct alerter *a, struct outbox_row *row)
{
    struct letter gone = {.alert = row->alert, .tries = row->tries};
    alerter_tell_failed(a, row->channel, &gone, "no channel of that name is configured");
    row->state = OUTBOX_FAILED;
    return outbox_db_put(a->db, row, 1);
}

static enum err load_waiting(struct alerter *a, struct outbox_row *rows)
{
    size_t count = 0;
    enum err e = outbox_db_waiting(a->db, rows, OUTBOX_ROWS, &count);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        struct carrier *c = find_carrier(a, rows[i].channel);
        if (c) {
            bring_back(c, &rows[i]);
        } else {
            e = give_up(a, &rows[i]);
        }
    }
    return e;
}

static void on_carry(struct post *p, void *arg)
{
    struct carry_post *c = arg;
    (void)p;
    c->alerter->conf.carry(c->alerter->conf.carry_arg, &c->carried);
}

static struct carry_post *find_carry(struct alerter *a, size_t count, uint64_t incident)
{
    for (size_t i = 0; i < count; i++) {
        if (a->carries[i].carried.last.incident == incident) {
            return &a->carries[i];
        }
    }
    return NULL;
}

/* Rows come in order: the last of an incident is what was told last. */
static size_t gather_carries(struct alerter *a, const struct outbox_row *rows, size_t row_count)
{
    size_t count = 0;
    for (size_t i = 0; i < row_count; i++) {
        struct carrier *c = find_carrier(a, rows[i].channel);
        struct carry_post *into = find_carry(a, count, rows[i].alert.incident);
        if (!c) {
            continue;
        }
        into = into ? into : &a->carries[count++];
        into->carried.last = rows[i].alert;
        into->carried.channels |= 1ULL << c->index;
    }
    return count;
}

static enum err load_open(struct alerter *a, struct outbox_row *rows)
{
    size_t row_count = 0;
    enum err e = outbox_db_open_incidents(a->db, rows, OUTBOX_ROWS, &row_count);
    if (e != ERR_OK || row_count == 0) {
        return e;
    }
    a->carries = mem_alloc(sizeof(a->carries[0]) * row_count);
    size_t count = gather_carries(a, rows, row_count);
    for (size_t i = 0; i < count; i++) {
        struct carry_post *c = &a->carries[i];
        c->alerter = a;
        c->post = (struct post){.run = on_carry, .arg = c};
        loop_post(a->conf.loop, &c->post);
    }
    return ERR_OK;
}

static enum err load(struct alerter *a)
{
    struct outbox_row *rows = mem_alloc(sizeof(*rows) * OUTBOX_ROWS);
    enum err e = load_open(a, rows);
    a->has_loaded = e == ERR_OK; /* once: what was given on cannot be taken back */
    e = e ? e : load_waiting(a, rows);
    free(rows);
    if (e == ERR_OK) {
        alerter_lock(a);
        wake_carriers(a);
        alerter_unlock(a);
    }
    return e;
}

/* --- opening --- */

static void try_to_open(struct alerter *a)
{
    char why[WHY_BYTES] = "";
    uint64_t now_ms = clock_mono_ms();
    enum err e = outbox_db_open(a->path, &a->db, why, sizeof(why));
    a->opened_ms = a->opened_ms > 0 ? a->opened_ms : now_ms;
    if (e == ERR_AGAIN && now_ms < a->opened_ms + GRACE_MS) {
        a->retry_ms = now_ms + NOT_YET_MS;
        return;
    }
    if (e == ERR_OK && !a->has_loaded && load(a) != ERR_OK) {
        fail(a, outbox_db_why(a->db));
        return;
    }
    if (e != ERR_OK) {
        fail(a, e == ERR_AGAIN ? "the history has not made it" : why);
    }
}

/* --- writing --- */

static void copy_row(const struct carrier *c, const struct letter *l, struct outbox_row *out)
{
    uint64_t now_ms = clock_mono_ms();
    out->alert = l->alert;
    out->state = l->state;
    out->tries = l->tries;
    out->due_wall_ms = clock_wall_ms() + (l->due_ms > now_ms ? l->due_ms - now_ms : 0);
    EVENT_PUT(out->channel, c->channel->name);
}

struct batch {
    size_t count;
    struct outbox_row rows[BATCH];
    uint32_t version[BATCH];
};

static void take_batch(struct alerter *a, struct batch *b)
{
    b->count = 0;
    alerter_lock(a);
    a->has_unwritten = false;
    for (size_t i = 0; i < a->carrier_count; i++) {
        struct letter *l = a->carriers[i].letters.first;
        for (; l && b->count < BATCH; l = l->next) {
            if (l->written != l->version) {
                copy_row(&a->carriers[i], l, &b->rows[b->count]);
                b->version[b->count++] = l->version;
            }
        }
    }
    a->has_unwritten = b->count == BATCH;
    alerter_unlock(a);
}

static void note_row(struct alerter *a, uint64_t number, uint32_t version)
{
    for (size_t i = 0; i < a->carrier_count; i++) {
        for (struct letter *l = a->carriers[i].letters.first; l; l = l->next) {
            if (l->alert.number == number) {
                l->written = version;
            }
        }
    }
}

static void note_batch(struct alerter *a, const struct batch *b)
{
    alerter_lock(a);
    for (size_t i = 0; i < b->count; i++) {
        note_row(a, b->rows[i].alert.number, b->version[i]);
    }
    for (size_t i = 0; i < a->carrier_count; i++) {
        letters_sweep(&a->carriers[i].letters, true);
    }
    wake_carriers(a);
    alerter_unlock(a);
}

static void write_all(struct alerter *a, struct batch *b)
{
    take_batch(a, b);
    while (b->count > 0) {
        if (outbox_db_put(a->db, b->rows, b->count) != ERR_OK) {
            fail(a, outbox_db_why(a->db));
            return;
        }
        note_batch(a, b);
        take_batch(a, b);
    }
    note_fine(a);
}

/* --- the thread --- */

/* True when it is to end: the channels' threads have. */
static bool wait_for_work(struct alerter *a)
{
    alerter_lock(a);
    while (!a->is_ending) {
        bool has_work = a->db && a->has_unwritten;
        bool is_due = !a->db && clock_mono_ms() >= a->retry_ms;
        if (has_work || is_due) {
            break;
        }
        alerter_wait(a, &a->clerk_changed, a->db ? UINT64_MAX : a->retry_ms);
    }
    bool is_ending = a->is_ending;
    alerter_unlock(a);
    return is_ending;
}

/* The channels' threads have ended, too, when this is called for the last time. */
static void work(struct alerter *a, struct batch *b)
{
    if (!a->db) {
        try_to_open(a);
    }
    if (a->db) {
        write_all(a, b);
    }
}

void *clerk_run(void *alerter)
{
    struct alerter *a = alerter;
    struct batch *b = mem_alloc(sizeof(*b));
    while (!wait_for_work(a)) {
        work(a, b);
    }
    alerter_lock(a);
    while (!a->has_left) { /* they may have something to write still */
        alerter_wait(a, &a->clerk_changed, UINT64_MAX);
    }
    alerter_unlock(a);
    work(a, b);
    outbox_db_close(&a->db);
    free(b);
    return NULL;
}
