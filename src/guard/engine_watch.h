#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guard/guard_settings.h"
#include "net/loop.h"

/*
 * Asks the backend: is it well, what do its counters say, does it make a token? While it loads,
 * until there is one; when it is READY, by the rule of guard/pulse. At most one question of
 * each kind is under way. Belongs to the loop's thread.
 */

struct watch;

enum watch_news {
    WATCH_NOTHING,
    WATCH_TOKEN, /* loading: a token came (or health alone, where that is to do) */
    WATCH_HUNG   /* ready: it hangs */
};

struct watch *watch_new(struct loop *l, const struct guard_settings *s,
                        void (*notify)(void *owner), void *owner);
void watch_free(struct watch **w);

void watch_load(struct watch *w, uint64_t now_ms);  /* a process has been started */
void watch_ready(struct watch *w, uint64_t now_ms); /* it is READY */
void watch_rest(struct watch *w);                   /* nothing is asked */

/* What is known now; to be asked every turn. `is_computing`: its processes have used the
 * processor lately. */
enum watch_news watch_next(struct watch *w, bool is_computing, uint64_t now_ms);

/* What it has last seen of the backend, a part of a sentence; lives until the next call. */
const char *watch_words(const struct watch *w);

/* A GPU of it is said to be down: a token is asked for at once. */
void watch_suspect(struct watch *w);
