#include "base/hash.h"

#include "base/rand.h"

enum { WORD = 8, ROUNDS_WORD = 2, ROUNDS_END = 4 };

struct sip {
    uint64_t v0, v1, v2, v3;
};

void hash_seed(struct hash_key *key)
{
    struct rand r;
    rand_seed(&r);
    key->k0 = rand_next(&r);
    rand_seed(&r);
    key->k1 = rand_next(&r);
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void stir(struct sip *s, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v2 = rotate(s->v2, 32);
    }
}

/* Little-endian, of up to eight bytes. */
static uint64_t read_word(const char *at, size_t count)
{
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++) {
        word |= (uint64_t)(unsigned char)at[i] << (8 * i);
    }
    return word;
}

static void take_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    stir(s, ROUNDS_WORD);
    s->v0 ^= word;
}

uint64_t hash_text(const struct hash_key *key, struct str text)
{
    struct sip s = {.v0 = key->k0 ^ 0x736f6d6570736575U,
                    .v1 = key->k1 ^ 0x646f72616e646f6dU,
                    .v2 = key->k0 ^ 0x6c7967656e657261U,
                    .v3 = key->k1 ^ 0x7465646279746573U};
    size_t whole = text.len - text.len % WORD;
    for (size_t at = 0; at < whole; at += WORD) {
        take_word(&s, read_word(text.ptr + at, WORD));
    }
    uint64_t rest = whole < text.len ? read_word(text.ptr + whole, text.len - whole) : 0;
    take_word(&s, rest | (uint64_t)text.len << 56);
    s.v2 ^= 0xff;
    stir(&s, ROUNDS_END);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_mix(uint64_t a, uint64_t b)
{
    struct rand first = {.state = b};
    struct rand both = {.state = a ^ rand_next(&first)};
    return rand_next(&both);
}
