#include "gate/attempt_load.h"

#include "tiers/loads.h"

static struct loads *loads_of_attempt(const struct attempt *a)
{
    return board_loads(a->worker->gateway->board);
}

void attempt_load_begin(struct attempt *a, const struct chat_request *q)
{
    struct loads *loads = loads_of_attempt(a);
    a->work =
        loads_expect(loads, a->pick.member->serving, q->prompt_bytes, chat_request_limit(q));
    loads_add(loads, a->backend->index, a->work);
}

void attempt_load_tokens(struct attempt *a, uint64_t tokens)
{
    uint32_t done = tokens < a->work ? (uint32_t)tokens : a->work;
    loads_sub(loads_of_attempt(a), a->backend->index, done);
    a->work -= done;
}

void attempt_load_end(struct attempt *a)
{
    struct loads *loads = loads_of_attempt(a);
    uint64_t now_ms = loop_now_ms(a->worker->loop);
    loads_sub(loads, a->backend->index, a->work);
    if (a->finished) {
        loads_note_answer(loads, a->pick.member->serving, a->tokens);
    }
    if (a->pick.has_slot && a->first_content_ms != 0) { /* a failure tells nothing of it */
        loads_note_hold(loads, a->backend->index, now_ms - a->started_ms);
    }
    pick_release(a->worker->gateway->board, &a->pick, now_ms);
}
