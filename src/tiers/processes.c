#include "tiers/processes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct processes {
    size_t count;
    struct process_word *words;
};

const char *process_state_name(enum process_state s)
{
    static const char *const names[] = {
#define PROCESS_NAME(name) #name,
        PROCESS_LIST(PROCESS_NAME)
#undef PROCESS_NAME
    };
    CHECK(s < PROCESS_COUNT);
    return names[s];
}

struct processes *processes_new(const struct catalog *c, uint64_t now_ms)
{
    struct processes *p = mem_alloc(sizeof(*p));
    p->count = c->backend_count;
    p->words = mem_alloc(sizeof(p->words[0]) * (p->count + 1));
    for (size_t i = 0; i < p->count; i++) {
        p->words[i].since_ms = now_ms;
        (void)snprintf(p->words[i].why, PROCESS_WHY, "not needed so far");
    }
    return p;
}

void processes_free(struct processes **p)
{
    if (*p) {
        free((*p)->words);
        free(*p);
        *p = NULL;
    }
}

struct process_word *processes_at(struct processes *p, uint32_t backend)
{
    CHECK(backend < p->count);
    return &p->words[backend];
}

const struct process_word *processes_of(const struct processes *p, uint32_t backend)
{
    CHECK(backend < p->count);
    return &p->words[backend];
}

bool process_is_coming(const struct process_word *w, uint64_t now_ms)
{
    bool is_patient = w->state == PROCESS_waiting && now_ms < w->since_ms + PROCESS_PATIENCE_MS;
    return w->restarts == 0 && (w->state == PROCESS_loading || is_patient);
}
