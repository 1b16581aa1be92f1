#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"

/*
 * What a scalar of a configuration file says. The pure ones take its text; the others take the
 * node, and note what is wrong with it where it stands.
 */

/* 250ms, 5s, 10m, 2h, 30d, or 0. ERR_SYNTAX, ERR_RANGE. */
NODISCARD enum err conf_duration(struct str text, uint64_t *ms);

/* Bytes: 512, 32k, 16m, 1g, also 32KiB, 16MiB, 1GiB (powers of 1,024). ERR_SYNTAX, ERR_RANGE.
 */
NODISCARD enum err conf_size(struct str text, uint64_t *bytes);

/* Decimal, with a sign, point and exponent if need be; finite. ERR_SYNTAX, ERR_RANGE. */
NODISCARD enum err conf_double(struct str text, double *value);

/* In hundredths of a percent: 20%, 2.5%, 0.25%. ERR_SYNTAX, ERR_RANGE. */
NODISCARD enum err conf_percent(struct str text, uint64_t *per_10k);

/* As they would be written; for messages. `size` >= 32. */
void conf_put_duration(uint64_t ms, char *out, size_t size);
void conf_put_size(uint64_t bytes, char *out, size_t size);
void conf_put_percent(uint64_t per_10k, char *out, size_t size);

/*
 * The text with ${NAME} and ${NAME:-default} replaced from the environment and $$ by $; a $
 * before anything else stands for itself. The default also counts when NAME is set but empty.
 * It lives in c->texts. False: not a single value, or a mistake in it.
 */
NODISCARD bool conf_text(struct conf *c, const struct conf_node *n, struct str *out);

/* As conf_text, or the content of {file: PATH} without the line end at its end. */
NODISCARD bool conf_secret(struct conf *c, const struct conf_node *n, struct str *out);

/* A path: relative ones start from the directory of the configuration file. */
struct str conf_path(struct conf *c, struct str path);

/* How the value is named in messages: as it stands in the file, cut where it is long. */
struct str conf_quote(struct conf *c, const struct conf_node *n);

/* True when `candidate` could be what was meant by `word` (an edit distance of up to 2, case
 * ignored) and is nearer than *best was, which starts as UINT32_MAX. */
bool conf_is_nearer(struct str word, struct str candidate, uint32_t *best);
