#include "wire/http_entry.h"

#include "base/mem.h"
#include "wire/url.h"

bool http_bearer(const struct http_request *q, struct str *out)
{
    struct str value = http_find(q->header, q->header_count, "authorization");
    if (!str_starts_nocase(value, STR("bearer "))) {
        return false;
    }
    *out = str_trim(str_from_at(value, sizeof("bearer ") - 1));
    return true;
}

bool http_has_token(const struct http_request *q, struct str token)
{
    struct str bearer;
    return http_bearer(q, &bearer) && str_eq_secret(bearer, token);
}

bool http_names_loopback(const struct http_request *q)
{
    struct address host;
    const char *why;
    struct str value = http_find(q->header, q->header_count, "host");
    if (value.len == 0) {
        return q->minor == 0;
    }
    struct arena a;
    arena_init(&a);
    bool has_port = str_has(value, STR(":")) && value.ptr[value.len - 1] != ']';
    struct str full = has_port ? value : arena_printf(&a, "%.*s:80", STR_FMT(value));
    bool is_fine = address_parse(full, &host, &why) == ERR_OK && address_is_loopback(&host);
    arena_fini(&a);
    return is_fine;
}
