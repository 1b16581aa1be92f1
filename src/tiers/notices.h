#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Which conversations were told lately that another model answers them: a table of fixed size,
 * so that one that is very old, or pushed out by many others, is told again. Lock-free; time is
 * an argument. Any thread may call it.
 */

enum { NOTICES_WINDOW_MS = 600 * 1000 };

struct notices;

struct notices *notices_new(void);
void notices_free(struct notices **n);

/* True for the first to ask within the window; `subject` is a hash of the conversation and of
 * what it is told. */
bool notices_claim(struct notices *n, uint64_t subject, uint64_t now_ms);
