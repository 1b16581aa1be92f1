#include "base/mem.h"
#include "tiers/board_priv.h"

/* --- what is known of a backend with one of its models --- */

/* Anthropic's depends on the model, which nobody asks. */
static enum ability first_ability(const struct backend *b)
{
    return b->type == BACKEND_OPENAI ? ABILITY_NO : ABILITY_UNKNOWN;
}

struct known *board_known_new(const struct catalog *c)
{
    struct known *known = mem_alloc(sizeof(*known) * (c->serving_count + 1));
    for (size_t i = 0; i < c->serving_count; i++) {
        CHECK(c->servings[i].index == i);
        known[i].ability = (uint8_t)first_ability(c->servings[i].backend);
    }
    return known;
}

static struct known *known_of(const struct board *b, uint32_t serving)
{
    CHECK(serving < b->catalog->serving_count);
    return &b->known[serving];
}

static void doubt(struct known *k)
{
    enum ability a = (enum ability)atomic_load_explicit(&k->ability, memory_order_relaxed);
    atomic_store_explicit(&k->ability, (uint8_t)ability_doubted(a), memory_order_relaxed);
}

void board_note_outage(struct board *b, uint32_t backend)
{
    const struct backend *of = &b->catalog->backends[backend];
    (void)atomic_fetch_add_explicit(&board_slot(b, backend)->published.outages, 1,
                                    memory_order_relaxed);
    for (uint32_t i = 0; i < of->serving_count; i++) {
        struct known *k = known_of(b, of->first_serving + i);
        doubt(k);
        offers_forget(b->offers, of->first_serving + i);
        atomic_store_explicit(&k->residence, RESIDENCE_UNKNOWN, memory_order_relaxed);
    }
}

uint32_t board_outages(const struct board *b, uint32_t backend)
{
    return atomic_load_explicit(&board_slot(b, backend)->published.outages,
                                memory_order_relaxed);
}

enum ability board_ability(const struct board *b, uint32_t serving)
{
    return (enum ability)atomic_load_explicit(&known_of(b, serving)->ability,
                                              memory_order_relaxed);
}

enum ability board_worst_ability(const struct board *b, uint32_t backend)
{
    CHECK(backend < b->count);
    const struct backend *of = &b->catalog->backends[backend];
    if (of->serving_count == 0) {
        return first_ability(of);
    }
    enum ability worst = ABILITY_EXACT;
    for (uint32_t i = 0; i < of->serving_count; i++) {
        worst = ability_worse(worst, board_ability(b, of->first_serving + i));
    }
    return worst;
}

bool board_set_ability(struct board *b, uint32_t serving, enum ability a, uint32_t outages)
{
    struct known *k = known_of(b, serving);
    uint32_t backend = b->catalog->servings[serving].backend->index;
    struct slot *s = board_slot(b, backend);
    board_lock(s);
    bool holds = board_outages(b, backend) == outages;
    if (holds) {
        atomic_store_explicit(&k->ability, (uint8_t)a, memory_order_relaxed);
    }
    board_unlock(s);
    return holds;
}

void board_doubt_ability(struct board *b, uint32_t serving)
{
    struct known *k = known_of(b, serving);
    struct slot *s = board_slot(b, b->catalog->servings[serving].backend->index);
    board_lock(s);
    doubt(k);
    board_unlock(s);
}

enum residence board_residence(const struct board *b, uint32_t serving)
{
    return (enum residence)atomic_load_explicit(&known_of(b, serving)->residence,
                                                memory_order_relaxed);
}

void board_set_residence(struct board *b, uint32_t serving, enum residence r)
{
    atomic_store_explicit(&known_of(b, serving)->residence, (uint8_t)r, memory_order_relaxed);
}
