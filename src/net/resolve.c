#include "net/resolve.h"

#include <stdlib.h>
#include <string.h>

#include <netdb.h>
#include <uv.h>

#include "base/check.h"
#include "base/mem.h"

enum { OLD_MS = 30000, SUSPECT_MS = 1000 };

struct lookup {
    uv_getaddrinfo_t request;
    struct resolver *resolver; /* NULL: nobody waits any more */
};

socklen_t socket_address_len(const union socket_address *a)
{
    return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static bool parse_literal(const char *host, uint16_t port, union socket_address *out)
{
    return uv_ip4_addr(host, port, &out->v4) == 0 || uv_ip6_addr(host, port, &out->v6) == 0;
}

void resolver_init(struct resolver *r, struct loop *l, struct str host, uint16_t port,
                   void (*on_result)(struct resolver *r, enum err e))
{
    *r = (struct resolver){.loop = l, .host = mem_dup(host), .port = port};
    r->on_result = on_result;
    r->is_literal = parse_literal(r->host, port, &r->list.at[0]);
    r->list.count = r->is_literal ? 1 : 0;
}

void resolver_fini(struct resolver *r)
{
    if (r->lookup) {
        r->lookup->resolver = NULL;
        (void)uv_cancel((uv_req_t *)&r->lookup->request); /* too late: then it ends by itself */
        r->lookup = NULL;
    }
    free(r->host);
    r->host = NULL;
}

static bool copy_address(const struct addrinfo *from, uint16_t port, union socket_address *to)
{
    if (from->ai_family == AF_INET && from->ai_addrlen >= sizeof(to->v4)) {
        memcpy(&to->v4, from->ai_addr, sizeof(to->v4));
        to->v4.sin_port = htons(port);
        return true;
    }
    if (from->ai_family == AF_INET6 && from->ai_addrlen >= sizeof(to->v6)) {
        memcpy(&to->v6, from->ai_addr, sizeof(to->v6));
        to->v6.sin6_port = htons(port);
        return true;
    }
    return false;
}

/* The next of this family from *at on. */
static const struct addrinfo *next_of(const struct addrinfo *at, int family)
{
    while (at && at->ai_family != family) {
        at = at->ai_next;
    }
    return at;
}

/* One family may be a black hole as a whole: they take turns, the resolver's favourite first.
 */
static void take_addresses(struct resolver *r, const struct addrinfo *found)
{
    int families[2] = {found->ai_family, found->ai_family == AF_INET ? AF_INET6 : AF_INET};
    const struct addrinfo *at[2] = {next_of(found, families[0]), next_of(found, families[1])};
    struct address_list list = {.count = 0};
    for (size_t turn = 0; (at[0] || at[1]) && list.count < ADDRESS_MAX; turn ^= 1) {
        if (!at[turn]) {
            continue;
        }
        list.count += copy_address(at[turn], r->port, &list.at[list.count]) ? 1 : 0;
        at[turn] = next_of(at[turn]->ai_next, families[turn]);
    }
    if (list.count > 0) {
        r->list = list;
    }
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = request->data;
    struct resolver *r = lookup->resolver;
    if (r) {
        r->lookup = NULL;
        r->looked_up_ms = loop_now_ms(r->loop);
        if (status == 0 && found) {
            take_addresses(r, found);
        }
        r->on_result(r, r->list.count > 0 ? ERR_OK : ERR_DNS);
    }
    uv_freeaddrinfo(found);
    free(lookup);
}

static void begin_lookup(struct resolver *r)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = mem_alloc(sizeof(*lookup));
    lookup->resolver = r;
    lookup->request.data = lookup;
    r->is_suspect = false;
    int rc =
        uv_getaddrinfo(loop_uv(r->loop), &lookup->request, on_found, r->host, NULL, &hints);
    if (rc != 0) {
        free(lookup); /* not a name at all (too long, bad IDNA) */
        r->looked_up_ms = loop_now_ms(r->loop);
        if (r->list.count == 0) {
            r->on_result(r, ERR_DNS);
        }
        return;
    }
    r->lookup = lookup;
}

static bool is_due(const struct resolver *r)
{
    if (r->is_literal || r->lookup) {
        return false;
    }
    uint64_t age_ms = loop_now_ms(r->loop) - r->looked_up_ms;
    return r->list.count == 0 || age_ms >= OLD_MS || (r->is_suspect && age_ms >= SUSPECT_MS);
}

bool resolver_refresh(struct resolver *r)
{
    if (is_due(r)) {
        begin_lookup(r);
    }
    return r->list.count > 0;
}
