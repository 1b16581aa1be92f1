#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * When is something that was measured of a backend to be measured again: when the backend or
 * its model may be another, or when the last time taught nothing and its wait is over. Pure;
 * time is an argument.
 */

/* What a measurement holds for. */
struct measured_subject {
    uint64_t identity; /* of the model; 0: not told, which is no change */
    uint32_t outages;  /* of the backend, so far */
};

enum measured_end {
    MEASURED_WELL,    /* holds until something changes */
    MEASURED_BADLY,   /* may have been chance: again in 10 min, growing to 1 h */
    MEASURED_UNCLEAR, /* taught nothing, and hardly will: the same */
    MEASURED_FAILED,  /* no answer: in 5 s, growing to 10 min */
    MEASURED_BROKE    /* it may have died of our question: in 1 min, growing to 1 h, and not
                         sooner because it came back */
};

struct measured {
    bool is_valid; /* there is a result */
    /* private: */
    struct measured_subject subject; /* of the result */
    uint64_t not_before_ms;
    uint64_t again_ms; /* UINT64_MAX: not by time */
    uint32_t waits;    /* in a row */
};

void measured_init(struct measured *m);

/* There is a result, and it is of another model. */
bool measured_is_outdated(const struct measured *m, uint64_t identity);

bool measured_is_due(const struct measured *m, const struct measured_subject *now_is,
                     uint64_t now_ms);

/* When to ask measured_is_due again if nothing changes; UINT64_MAX: then never. */
uint64_t measured_next_ms(const struct measured *m, const struct measured_subject *now_is,
                          uint64_t now_ms);

void measured_note(struct measured *m, enum measured_end end,
                   const struct measured_subject *subject, uint64_t now_ms);
