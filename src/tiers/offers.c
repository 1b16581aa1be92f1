#include "tiers/offers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

/* What all read of a serving. Written under the lock, but for bytes_per_token. */
struct published {
    _Atomic uint32_t context;
    _Atomic uint32_t embeddings;
    _Atomic uint16_t bytes_per_token;
    _Atomic uint8_t known;
    _Atomic uint8_t can;
    uint32_t answer_max; /* never changes */
};

/* What was learnt of it; under the lock. */
struct learnt {
    struct offer_facts facts;
    uint32_t limit; /* by its refusals; 0: none */
};

struct offers {
    const struct catalog *catalog; /* borrowed, outlives the offers */
    struct published *published;   /* one a serving */
    struct learnt *learnt;         /* likewise */
    pthread_mutex_t lock;
};

/* Servers that refuse a request whose prompt and max_tokens together are longer than their
 * context; the others take max_tokens for a wish. */
static bool counts_answer(enum backend_type type)
{
    switch (type) {
    case BACKEND_VLLM:
    case BACKEND_OPENAI:
    case BACKEND_ANTHROPIC:
        return true;
    case BACKEND_OLLAMA:
    case BACKEND_LLAMACPP:
        return false;
    }
    BUG("no such backend type");
}

static uint32_t answer_max(const struct backend *b)
{
    bool is_cut = b->degrade.has_max_tokens && b->degrade.max_tokens < CONTEXT_MAX;
    if (!counts_answer(b->type)) {
        return 0;
    }
    return is_cut ? (uint32_t)b->degrade.max_tokens : UINT32_MAX;
}

static uint32_t load(const _Atomic uint32_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static bool store(_Atomic uint32_t *to, uint32_t value)
{
    return atomic_exchange_explicit(to, value, memory_order_relaxed) != value;
}

static bool store_bits(_Atomic uint8_t *to, uint32_t value)
{
    return atomic_exchange_explicit(to, (uint8_t)value, memory_order_relaxed) != value;
}

static uint32_t shorter(uint32_t a, uint32_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The configuration's word, else what was learnt. Under the lock. */
static bool publish(struct offers *o, uint32_t serving)
{
    const struct offer_policy *own = &o->catalog->servings[serving].backend->offer;
    const struct learnt *l = &o->learnt[serving];
    struct published *p = &o->published[serving];
    uint32_t told = shorter(l->facts.context, l->limit);
    bool is_new = store(&p->context, own->context != 0 ? own->context : told);
    is_new =
        store(&p->embeddings, own->embeddings != 0 ? own->embeddings : l->facts.embeddings) ||
        is_new;
    /* Known last: whoever reads between the two takes it for able, which is the harmless way.
     */
    is_new =
        store_bits(&p->can, (own->can & own->known) | (l->facts.can & ~own->known)) || is_new;
    return store_bits(&p->known, own->known | l->facts.known) || is_new;
}

struct offers *offers_new(const struct catalog *c)
{
    struct offers *o = mem_alloc(sizeof(*o));
    o->catalog = c;
    o->published = mem_alloc(sizeof(o->published[0]) * (c->serving_count + 1));
    o->learnt = mem_alloc(sizeof(o->learnt[0]) * (c->serving_count + 1));
    CHECK(pthread_mutex_init(&o->lock, NULL) == 0);
    for (uint32_t i = 0; i < c->serving_count; i++) {
        o->published[i].bytes_per_token = BYTES_PER_TOKEN_FIRST;
        o->published[i].answer_max = answer_max(c->servings[i].backend);
        (void)publish(o, i);
    }
    return o;
}

void offers_free(struct offers **o)
{
    struct offers *gone = *o;
    *o = NULL;
    if (!gone) {
        return;
    }
    CHECK(pthread_mutex_destroy(&gone->lock) == 0);
    free(gone->published);
    free(gone->learnt);
    free(gone);
}

static void lock(struct offers *o, uint32_t serving)
{
    CHECK(serving < o->catalog->serving_count);
    CHECK(pthread_mutex_lock(&o->lock) == 0);
}

static void unlock(struct offers *o)
{
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

struct offer offers_of(const struct offers *o, uint32_t serving)
{
    CHECK(serving < o->catalog->serving_count);
    const struct published *p = &o->published[serving];
    uint32_t known = atomic_load_explicit(&p->known, memory_order_relaxed);
    return (struct offer){.context = load(&p->context),
                          .answer_max = p->answer_max,
                          .embeddings = load(&p->embeddings),
                          .known = known,
                          .can = known & atomic_load_explicit(&p->can, memory_order_relaxed),
                          .bytes_per_token =
                              atomic_load_explicit(&p->bytes_per_token, memory_order_relaxed)};
}

enum fit offers_fit(const struct offers *o, uint32_t serving, const struct needs *n)
{
    struct offer offer = offers_of(o, serving);
    return fit_judge(n, &offer);
}

bool offers_learn(struct offers *o, uint32_t serving, const struct offer_facts *f)
{
    lock(o, serving);
    struct offer_facts *facts = &o->learnt[serving].facts;
    *facts = *f;
    facts->context = f->context <= CONTEXT_MAX ? f->context : 0;
    bool is_new = publish(o, serving);
    unlock(o);
    return is_new;
}

bool offers_learn_limit(struct offers *o, uint32_t serving, uint32_t context)
{
    lock(o, serving);
    o->learnt[serving].limit = context <= CONTEXT_MAX ? context : 0;
    bool is_new = publish(o, serving);
    unlock(o);
    return is_new;
}

void offers_forget(struct offers *o, uint32_t serving)
{
    lock(o, serving);
    o->learnt[serving] = (struct learnt){.limit = 0};
    (void)publish(o, serving);
    unlock(o);
}

void offers_note_prompt(struct offers *o, uint32_t serving, uint64_t bytes, uint64_t tokens)
{
    CHECK(serving < o->catalog->serving_count);
    _Atomic uint16_t *at = &o->published[serving].bytes_per_token;
    uint32_t before = atomic_load_explicit(at, memory_order_relaxed);
    uint32_t after = fit_learn(before, bytes, tokens);
    if (after != before) { /* of two at once one is lost: it is a mean */
        atomic_store_explicit(at, (uint16_t)after, memory_order_relaxed);
    }
}
