#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * Configuration files: YAML read into a tree whose every node knows its line and column, and
 * the mistakes found in it, all of them, as a compiler would print them:
 *
 *     fallthrough.yaml:3:12: error: unknown key 'ulr'; did you mean 'url'?
 *       gpu1: {type: vllm, ulr: http://gpu1:8000}
 *                          ^
 *
 * Secrets are blotted out in the source lines shown. What the values mean is read by
 * base/conf_rows; what a scalar says by base/conf_value. Not thread-safe.
 */

enum {
    CONF_FILE_MAX = 1024 * 1024, /* bytes of a configuration file */
    CONF_SECRET_MAX = 64 * 1024, /* bytes of a {file: PATH} */
    CONF_DEPTH_MAX = 32,         /* maps and lists within each other */
    CONF_NODES_MAX = 100 * 1000, /* nodes, those behind aliases counted at each use */
    CONF_ERRORS_MAX = 100        /* kept; the rest is only counted */
};

/* --- mistakes --- */

struct conf_mark {
    uint32_t line;   /* from 1; 0: the file as a whole */
    uint32_t column; /* from 1, in characters */
};

/* Outlives the file that it is about. */
struct conf_errors {
    size_t error_count; /* those not kept too */
    size_t warning_count;

    /* private: */
    struct arena arena;
    struct conf_error *first; /* by position */
    size_t kept;
    struct str path;
    char *shown;       /* the source as it may be shown; blotted bytes are '*' or NUL */
    uint32_t *line_at; /* where each of its lines starts, and its length after the last */
    uint32_t line_count;
};

void conf_errors_init(struct conf_errors *e);
void conf_errors_fini(struct conf_errors *e);

/* Prints them by position, each with its source line and a caret where it has a position. */
void conf_errors_print(const struct conf_errors *e, FILE *out);

/* One of those that are kept. */
struct conf_mistake {
    struct conf_mark at; /* line 0: the file as a whole */
    bool is_warning;
    struct str message; /* as long as the errors */
};

/* The one at this place, from 0, by position. False: there are no more. */
bool conf_errors_at(const struct conf_errors *e, size_t place, struct conf_mistake *out);

/* --- the tree --- */

enum conf_kind { CONF_SCALAR, CONF_LIST, CONF_MAP };

struct conf_item;

struct conf_node {
    enum conf_kind kind;
    bool is_plain; /* a scalar without quotes */
    struct conf_mark start;
    struct conf_mark end;          /* just past it */
    struct str text;               /* of a scalar; ${…} not yet replaced (conf_text) */
    const struct conf_item *items; /* of a list or map, as in the file */
    size_t count;
};

struct conf_item {
    struct str key;        /* of a map; unique in it */
    struct conf_mark mark; /* of the key, or of the list's item */
    const struct conf_node *value;
};

/* An open file. Nodes live until conf_close, values as long as `texts`. */
struct conf {
    struct conf_errors *errors; /* borrowed */
    struct str path;
    const struct conf_node *root; /* a map */
    struct arena *texts;          /* borrowed: takes the values read; at first the file's own */
    bool is_quiet; /* mistakes are not noted: a map is read once more that was judged before */

    /* private: */
    struct arena arena;
    char *source;
    size_t source_len;
    char *masked; /* see conf_mask.h */
    size_t masked_len;
};

/*
 * Reads the file. False: it could not be read or is not YAML, and `errors` says why. After true
 * duplicate keys and the like may be in `errors` already, and reading goes on to find more.
 * conf_close must be called in either case.
 */
NODISCARD bool conf_open(struct conf *c, struct str path, struct conf_errors *errors);

/* As conf_open, with the content given; `path` is what mistakes call it. */
NODISCARD bool conf_parse(struct conf *c, struct str path, struct str content,
                          struct conf_errors *errors);

/* Overwrites the source, which may hold secrets. `errors` stays. */
void conf_close(struct conf *c);

/* The value of `key`, or NULL. */
const struct conf_node *conf_get(const struct conf_node *map, struct str key);

/* "a list", "a mapping", "nothing", "a string"; for messages. */
const char *conf_kind_name(const struct conf_node *n);

/* True for an absent value: `key:`, `~` or `null` without quotes. */
bool conf_is_null(const struct conf_node *n);

/* Note a mistake or a warning there. Never put a secret into the message. */
void conf_error(struct conf *c, struct conf_mark at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warning(struct conf *c, struct conf_mark at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Blots out the node's source text wherever mistakes show it, unless it is just ${NAME}. */
void conf_hide(struct conf *c, const struct conf_node *n);

/* The place of `piece` in the source text of n, or where n starts. */
struct conf_mark conf_find(const struct conf *c, const struct conf_node *n, struct str piece);

/* Reads a whole file of at most `max` bytes. *content is malloc'ed. ERR_TOO_LARGE,
 * ERR_NOT_FOUND, ERR_IO. */
NODISCARD enum err conf_read_file(const char *path, size_t max, char **content, size_t *len);
