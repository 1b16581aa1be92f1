#pragma once

#include "base/str.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "ops/chronicle.h"
#include "ops/orders.h"
#include "ops/status.h"

/*
 * The admin port, served by the control thread: GET / (ops/page), GET /status (`trend=1` with
 * the last hour), GET /explain?model=NAME, GET /metrics (Prometheus), GET /events
 * (ops/events_http), GET /health, and the operator's word by POST /backends/NAME/…
 * (ops/orders). With a token every request but those for the page itself must carry it
 * (Authorization: Bearer). Without one the port is bound to loopback, and a Host that is not a
 * loopback name is refused, so that no web page can reach it by DNS rebinding.
 */

struct admin_api_conf {
    struct loop *loop;
    int fd;           /* bound and listening; borrowed */
    struct str token; /* empty: none; must outlive the server */
    struct http_limits limits;
    struct chronicle *chronicle; /* borrowed; may end before this is stopped */
    order_fn *order;             /* carries out the operator's word, on this loop */
    void *order_arg;
    struct status_source source; /* rates and watch are kept by the admin API itself */
};

struct admin_api;
struct admin_api *admin_api_start(const struct admin_api_conf *conf);
void admin_api_stop(struct admin_api **api);
