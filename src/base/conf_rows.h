#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/conf.h"

/*
 * Options as rows: each names a key, what its value must be and the field of a plain struct
 * that takes it. A room writes its tables; one function reads any of them and notes every
 * mistake: unknown keys (with what may have been meant), wrong types, values out of range,
 * missing keys. Fields without a key in the file keep what they hold, so defaults are set
 * before.
 */

enum conf_type {
    CONF_BOOL,     /* bool */
    CONF_INTEGER,  /* unsigned integer of any width */
    CONF_DOUBLE,   /* double */
    CONF_STRING,   /* struct str; min and max bound its length */
    CONF_PATH,     /* struct str; relative to the directory of the file */
    CONF_DURATION, /* unsigned integer, in milliseconds */
    CONF_SIZE,     /* unsigned integer, in bytes */
    CONF_PERCENT,  /* unsigned integer, in hundredths of a percent */
    CONF_WORD,     /* an enum; the word's place in `words` */
    CONF_TABLE,    /* a mapping; the struct that `table` describes */
    CONF_READ,     /* anything: `read` says */
    CONF_LATER     /* in the contract, but not in this version */
};

enum { CONF_REQUIRED = 1, CONF_SECRET = 2 }; /* CONF_SECRET: {file: PATH} too, never shown */

struct conf_table;

struct conf_row {
    const char *name;
    enum conf_type type;
    unsigned flags;
    uint32_t offset; /* of the field */
    uint32_t width;
    uint64_t min; /* with max 0: no bounds */
    uint64_t max;
    const char *const *words; /* ends with NULL */
    const struct conf_table *table;
    void (*read)(struct conf *c, const struct conf_node *n, void *into); /* the whole struct */
    const char *fallback; /* the default, for people; NULL: none */
    const char *help;
};

struct conf_table {
    const char *what; /* "a backend" */
    const struct conf_row *rows;
    size_t count; /* <= 64 */
};

#define CONF_FIELD(type, field) \
    .offset = (uint32_t)offsetof(type, field), .width = (uint32_t)sizeof(((type *)0)->field)

#define CONF_ROWS(array) .rows = (array), .count = sizeof(array) / sizeof((array)[0])

/*
 * Reads map n into `into`; strings go to c->texts. Returns which rows were given (bit i
 * for row i), their values good or not.
 */
uint64_t conf_read_map(struct conf *c, const struct conf_node *n, const struct conf_table *t,
                       void *into);

/* A single value as the row says (all types but TABLE, READ and LATER). False: a mistake was
 * noted. */
bool conf_read_value(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                     void *into);
