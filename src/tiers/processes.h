#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/catalog.h"

/*
 * What is known of the processes of those backends that the gateway starts itself: written by
 * who starts them, read by those who decide and those who tell. Judges nothing. For the control
 * thread only.
 */

#define PROCESS_LIST(X)                                                \
    X(stopped) /* there is none */                                     \
    X(waiting) /* for its turn on the GPU, for memory, for the port */ \
    X(loading) /* until it has made a token */                         \
    X(ready)                                                           \
    X(restarting) /* it has failed: waits before the next start */     \
    X(stopping)                                                        \
    X(gave_up) /* too many failures, or it cannot be run: until the next need */

enum process_state {
#define PROCESS_ENUM(name) PROCESS_##name,
    PROCESS_LIST(PROCESS_ENUM)
#undef PROCESS_ENUM
        PROCESS_COUNT
};

const char *process_state_name(enum process_state s); /* "stopped", … */

enum { PROCESS_WHY = 256 };

struct process_word {
    enum process_state state;
    uint64_t since_ms;
    uint64_t starts;   /* of its process, altogether */
    uint32_t restarts; /* after failures, since it was last stopped */
    uint32_t pid;      /* 0: none */
    uint64_t stop_ms;  /* when it is stopped if all stays as it is; 0: not known */
    char why[PROCESS_WHY];
};

struct processes;

/* The catalog must outlive it. All are stopped. */
struct processes *processes_new(const struct catalog *c, uint64_t now_ms);
void processes_free(struct processes **p);

/* Lives as long as it. */
struct process_word *processes_at(struct processes *p, uint32_t backend);
const struct process_word *processes_of(const struct processes *p, uint32_t backend);

/* Nothing of it has failed so far, and it is at it: who comes behind it need not start too. */
bool process_is_coming(const struct process_word *w, uint64_t now_ms);
enum { PROCESS_PATIENCE_MS = 3000 };
