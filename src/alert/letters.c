#include "alert/letters.h"

#include <stdlib.h>

#include "base/mem.h"

enum { DAY_MS = 24 * 3600 * 1000 };

void letters_fini(struct letters *l)
{
    while (l->first) {
        struct letter *gone = l->first;
        l->first = gone->next;
        free(gone);
    }
    l->waiting = 0;
}

struct letter *letters_push(struct letters *l, const struct alert *a, uint64_t now_ms)
{
    struct letter *new = mem_alloc(sizeof(*new));
    struct letter **at = &l->first;
    new->alert = *a;
    new->due_ms = now_ms;
    new->version = 1;
    while (*at && (*at)->alert.number <= a->number) {
        at = &(*at)->next;
    }
    new->next = *at;
    *at = new;
    l->waiting++;
    return new;
}

/* Whether one of the same incident is before it. */
static bool is_behind(const struct letters *l, const struct letter *one)
{
    for (const struct letter *k = l->first; k != one; k = k->next) {
        if (k->state == OUTBOX_WAITING && k->alert.incident == one->alert.incident &&
            k->alert.incident != 0) {
            return true;
        }
    }
    return false;
}

struct letter *letters_next(const struct letters *l, uint64_t now_ms, uint64_t *due_ms)
{
    *due_ms = UINT64_MAX;
    for (struct letter *k = l->first; k; k = k->next) {
        if (k->state != OUTBOX_WAITING || is_behind(l, k)) {
            continue;
        }
        if (k->due_ms <= now_ms) {
            return k;
        }
        *due_ms = k->due_ms < *due_ms ? k->due_ms : *due_ms;
    }
    return NULL;
}

struct letter *letters_oldest(const struct letters *l)
{
    struct letter *k = l->first;
    while (k && (k->state != OUTBOX_WAITING || k->is_sent_now)) {
        k = k->next;
    }
    return k;
}

void letters_finish(struct letters *l, struct letter *done, enum outbox_state state)
{
    done->state = state;
    done->version++;
    l->waiting--;
}

void letters_sweep(struct letters *l, bool needs_writing)
{
    struct letter **at = &l->first;
    while (*at) {
        struct letter *k = *at;
        bool is_kept = needs_writing && k->written != k->version;
        if (k->state == OUTBOX_WAITING || is_kept) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        free(k);
    }
}

uint64_t letters_gap_ms(uint32_t tries, uint32_t first_ms, uint32_t retry_after_ms)
{
    static const uint32_t TIMES[] = {1, 3, 12, 60, 180, 720};
    uint32_t last = sizeof(TIMES) / sizeof(TIMES[0]) - 1;
    uint32_t at = tries == 0 ? 0 : tries - 1;
    uint64_t gap_ms = (uint64_t)first_ms * TIMES[at < last ? at : last];
    uint64_t asked_ms = retry_after_ms < DAY_MS ? retry_after_ms : DAY_MS;
    return gap_ms > asked_ms ? gap_ms : asked_ms;
}
