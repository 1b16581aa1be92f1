#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "guard/guard_settings.h"
#include "net/loop.h"

/*
 * The guard's HTTP side: GET /guard (JSON) and GET /health (of the guard itself). On loopback
 * it needs no token, but a Host that names loopback; elsewhere the token, and without it not
 * even the state is told. Belongs to the loop's thread.
 */

struct guard_serve;

struct guard_serve_conf {
    struct loop *loop;
    const struct guard_settings *settings;
    struct str (*tell)(void *owner, struct arena *a); /* the JSON */
    void *owner;
};

/* *why for people, when the address cannot be had. `name` gets the address listened on. */
NODISCARD enum err guard_serve_start(const struct guard_serve_conf *conf,
                                     struct guard_serve **out, const char **why);
void guard_serve_name(const struct guard_serve *s, char *name, size_t size);
void guard_serve_stop(struct guard_serve **s);
