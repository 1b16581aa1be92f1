#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "llm/dialect.h"
#include "wire/json_edit.h"

/*
 * Can this backend go on with a half answer of this model? Asks for a short greedy answer, cuts
 * it at two places where a piece of its stream ended, asks for the rest of each and compares.
 * Three requests of at most CALIBRATION_TOKENS tokens, the same in form as those of a client
 * and of a resume. Pure: the caller carries requests and answers.
 *
 *     calibration_init(&c, dialect, model, &arena);
 *     do {
 *         calibration_ask(&c, &request_arena, &body);     … POST it, read all of the answer …
 *         result = calibration_answer(&c, status, answer);
 *     } while (result == CALIBRATION_GO_ON);
 */

enum { CALIBRATION_TOKENS = 24, CALIBRATION_CUTS = 2 };

enum calibration_result {
    CALIBRATION_GO_ON,
    CALIBRATION_EXACT,   /* every continuation is the rest of the answer */
    CALIBRATION_ECHO,    /* the same, each behind the half answer repeated */
    CALIBRATION_DIFFERS, /* some continuation is something else */
    CALIBRATION_REFUSED, /* it answers, but not when it is to continue */
    CALIBRATION_UNCLEAR, /* its answers tell nothing: too short, repetitive, no plain text */
    CALIBRATION_FAILED   /* there was no whole answer: nothing is known, ask again later */
};

struct calibration {
    const struct dialect *dialect;
    struct str model;
    /* private: */
    struct arena *arena;
    unsigned prompt;       /* which one; the next when the answer tells nothing */
    unsigned cuts_done;    /* of this prompt's answer */
    struct str whole;      /* the answer, canonical; NULL: not asked yet */
    bool is_cut_by_length; /* it would have gone on */
    struct {
        size_t at;      /* byte of `whole` */
        uint64_t spent; /* pieces before it */
    } cut[CALIBRATION_CUTS];
    bool is_echoed; /* at the first cut */
};

/* `model` and the arena must outlive it; what is remembered goes into the arena. */
void calibration_init(struct calibration *c, const struct dialect *d, struct str model,
                      struct arena *a);

/* The body of the next request; lives as long as the arena and the calibration. After the same
 * answers always the same: a request that was given up may be asked again. */
void calibration_ask(const struct calibration *c, struct arena *a, struct rope *body);

/* Takes in the answer to the last request: its HTTP status and its whole body. */
enum calibration_result calibration_answer(struct calibration *c, int status, struct str body);

/* A text that was cut in two, canonical. */
struct calibration_half {
    struct str partial;
    struct str rest;
    bool is_cut_by_length; /* the rest ends where the tokens did */
};

/* Judges what came for `partial`: EXACT, ECHO or DIFFERS. Tokens may be counted differently
 * after a cut, so that of two texts that ended for lack of tokens one may be longer. */
enum calibration_result calibration_judge(const struct calibration_half *half, struct str came,
                                          bool came_is_cut_by_length);
