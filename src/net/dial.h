#pragma once

#include <openssl/ssl.h>

#include "base/list.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/upstream.h"

/*
 * What dials of one upstream share. The dials themselves are declared in upstream.h.
 */

struct dialer {
    struct loop *loop; /* borrowed */
    SSL_CTX *tls;      /* borrowed; NULL: plain */
    struct resolver names;
    struct list dials; /* under way */
};

void dialer_init(struct dialer *d, struct loop *l, const struct upstream_conf *conf);
void dialer_fini(struct dialer *d); /* dials must be over */

struct dialer *upstream_dialer(struct upstream *u);
