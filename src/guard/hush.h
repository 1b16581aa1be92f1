#pragma once

#include <stddef.h>

#include "base/str.h"

/*
 * Secrets that the guard knows of, to be starred out of the backend's lines before they are
 * kept for GET /guard: servers print their arguments when they start. Pure.
 */

enum { HUSH_MAX = 16, HUSH_SHORTEST = 4 /* bytes; less would star out half a log */ };

/* Zeroed: none. Borrows the texts. */
struct hush {
    struct str secret[HUSH_MAX];
    size_t count;
};

void hush_add(struct hush *h, struct str secret);

/* The values of options of a command line that are called a key, a token, a password or a
 * secret:
 * "--api-key X", "--hf-token=X". */
void hush_add_words(struct hush *h, char *const *words, size_t count);

/* Stars out every secret in the line, in place. */
void hush_line(const struct hush *h, char *line, size_t len);
