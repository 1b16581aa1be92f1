#pragma once

#include <jansson.h>

#include "base/str.h"
#include "cmd/fetch.h"

/*
 * What the commands ask the admin port of a running gateway. The token of
 * FALLTHROUGH_ADMIN_TOKEN goes along where there is one.
 */

/*
 * GET target (percent-encoded) at `admin` (NULL: the default). CMD_FINE: a 200 with a JSON
 * object, *json is new (json_decref) and out->body its text. Otherwise *json is NULL, standard
 * error says why, and the exit code is returned: CMD_UNREACHABLE, CMD_USAGE for a URL that is
 * none, CMD_FAILED. fetched_fini in any case.
 */
int admin_get(const char *command, const char *admin, struct str target, struct fetched *out,
              json_t **json);

/* The same for a POST without a body that changes something. `out` tells a refusal, too: its
 * `status`, and what the server said. */
int admin_post(const char *command, const char *admin, struct str target, struct fetched *out,
               json_t **json);

/* For what is asked again and again (fetch_open): the conf for a GET at `admin`. False: the URL
 * is none, which standard error was told. What it points to lives as long as `admin` and
 * `target`. */
bool admin_conf(const char *command, const char *admin, struct str target,
                struct fetch_conf *conf);

/* "http://127.0.0.1:8401", as the conf asks it. Lives as long as the arena. */
struct str admin_origin(const struct fetch_conf *conf, struct arena *a);

/*
 * The same for a stream: each piece of a 200 goes to on_piece, until that answers false or the
 * stream ends. CMD_FINE when it has ended; CMD_UNREACHABLE, without a word, where it could not
 * be begun; else standard error says why.
 */
int admin_stream(const char *command, const char *admin, struct str target,
                 bool (*on_piece)(void *owner, struct str piece), void *owner);

/* A member of an object: its text escaped for a terminal, "" where it is no string. Lives as
 * long as the arena. */
struct str admin_text(const json_t *object, const char *key, struct arena *a);

/* Percent-encoded, for a target. Lives as long as the arena. */
struct str admin_encode(const char *text, struct arena *a);

/* Prints out->body as it came, with a line end. */
void admin_print_body(const struct fetched *out);
