#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"

/*
 * The addresses of one host. A literal has its own for ever; a name is looked up in libuv's
 * thread pool, one lookup at a time, again when the addresses are old or suspect. A failed
 * lookup leaves the old addresses in place.
 */

enum { ADDRESS_MAX = 16 };

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct address_list {
    size_t count;
    union socket_address
        at[ADDRESS_MAX]; /* families alternate, the resolver's order otherwise */
};

socklen_t socket_address_len(const union socket_address *a);

struct resolver {
    struct loop *loop; /* borrowed */
    char *host;
    uint16_t port;
    bool is_literal;
    bool is_suspect;          /* a connect has failed: look again */
    uint64_t looked_up_ms;    /* when the last lookup ended */
    struct address_list list; /* empty: not known yet */
    struct lookup *lookup;    /* under way, or NULL */
    void (*on_result)(struct resolver *r,
                      enum err e); /* ERR_OK, ERR_DNS; record and ready only */
};

void resolver_init(struct resolver *r, struct loop *l, struct str host, uint16_t port,
                   void (*on_result)(struct resolver *r, enum err e));
/* A lookup under way goes on by itself and is forgotten. */
void resolver_fini(struct resolver *r);

/* Looks up if that is due: nothing known, old (30 s), or suspect (not more often than each
 * second). True when there are addresses to go on with; else on_result will come. */
bool resolver_refresh(struct resolver *r);
