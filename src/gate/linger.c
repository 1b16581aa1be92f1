#include "gate/exchange_priv.h"

/*
 * The client has everything. The attempt goes on only to see its end, so that its connection
 * can be used again.
 */

enum { LINGER_MS = 500 };

const struct step *exchange_linger(struct exchange *x)
{
    x->finish_by_ms = exchange_now(x) + LINGER_MS;
    return &step_linger;
}

/* True when the backend has said all, or too much. */
static bool has_ended(struct exchange *x)
{
    for (;;) {
        switch (attempt_next(x->attempt)) {
        case YIELD_EVENT:
            break;
        case YIELD_FLUSH:
            if (exchange_turn_is_over(x)) {
                return false;
            }
            break;
        case YIELD_AGAIN:
            return false;
        case YIELD_WHOLE:
        case YIELD_END:
        case YIELD_FAILED:
            return true;
        }
    }
}

const struct step *linger_run(struct exchange *x)
{
    if (exchange_now(x) < x->finish_by_ms && !has_ended(x)) {
        return NULL;
    }
    attempt_close(&x->attempt);
    return &step_done;
}
