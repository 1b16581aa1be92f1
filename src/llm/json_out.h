#pragma once

#include <stddef.h>

#include "base/mem.h"
#include "base/str.h"

/*
 * Writes JSON text from slices into one piece of an arena. Commas are set where they are due;
 * values are given as JSON text and copied as they are, so that numbers keep every digit.
 * Nesting is the writer's care. Pure.
 *
 *     json_out_init(&o, arena, 256);
 *     json_out_open(&o, '{');
 *     json_out_member(&o, "stream", STR("true"));
 *     json_out_close(&o, '}');
 */

struct json_out {
    struct arena *arena; /* borrowed */
    /* private: */
    char *data;
    size_t len;
    size_t cap;
};

/* `expected` is the likely size: within it nothing is copied twice. */
void json_out_init(struct json_out *o, struct arena *a, size_t expected);

/* Text as it is, no comma. */
void json_out_raw(struct json_out *o, struct str text);

/* '{' or '[' with the comma before it where one is due, and its end. */
void json_out_open(struct json_out *o, char bracket);
void json_out_close(struct json_out *o, char bracket);

/* A key (plain ASCII) with its colon; the value is written next. */
void json_out_key(struct json_out *o, const char *key);

void json_out_member(struct json_out *o, const char *key, struct str value);
void json_out_element(struct json_out *o, struct str value);

/* A finite number as JSON text: with as few digits as bring the same number back. */
struct str json_out_number(struct arena *a, double number);

/* What was written so far; until the next write, then as long as the arena. */
struct str json_out_str(const struct json_out *o);
