#pragma once

#include <stdint.h>

#include "tiers/catalog.h"
#include "tiers/fit.h"

/*
 * What is known of each serving's context and capabilities: what the configuration says, else
 * what was learnt from the server or from its refusals. The board owns it. Reading is
 * lock-free; what is learnt is taken in under one short lock. Any thread may call anything
 * here.
 */

struct offers;

/* The catalog must outlive it. */
struct offers *offers_new(const struct catalog *c);
void offers_free(struct offers **o);

struct offer offers_of(const struct offers *o, uint32_t serving);

enum fit offers_fit(const struct offers *o, uint32_t serving, const struct needs *n);

/* What a server says of itself; it takes the place of what it said before. */
struct offer_facts {
    uint32_t context;    /* 0: not told */
    uint32_t embeddings; /* 0: not told */
    uint32_t known;      /* enum feature bits that were told */
    uint32_t can;
};

/* True when that changes what is known. */
bool offers_learn(struct offers *o, uint32_t serving, const struct offer_facts *f);

/* A refusal named the longest context that there is: it holds until all is forgotten. */
bool offers_learn_limit(struct offers *o, uint32_t serving, uint32_t context);

/* It may come back as another: all that was learnt but the length of its tokens. */
void offers_forget(struct offers *o, uint32_t serving);

/* A prompt of so many bytes was so many tokens there. Lock-free. */
void offers_note_prompt(struct offers *o, uint32_t serving, uint64_t bytes, uint64_t tokens);
