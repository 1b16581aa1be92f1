#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * The URLs that configuration may name: http://host[:port][/path], https://…, and listen
 * addresses host:port, [v6]:port, unix:/path. No user info, query or fragment. Pure; slices of
 * the input.
 */

struct url {
    bool tls;        /* https */
    struct str host; /* without brackets */
    bool is_ipv6;    /* host is an IPv6 literal: Host needs the brackets */
    uint16_t port;   /* 80 or 443 when the URL names none */
    bool has_port;
    struct str path; /* without a slash at the end: "" or "/prefix" */
};

/* ERR_SYNTAX, ERR_RANGE (port 0 or over 65535), ERR_UNSUPPORTED (scheme), *why names the part.
 */
NODISCARD enum err url_parse(struct str text, struct url *out, const char **why);

struct address {
    bool is_unix;
    struct str host; /* empty: all addresses */
    bool is_ipv6;
    uint16_t port; /* 0: the kernel chooses (tests) */
    struct str path;
};

NODISCARD enum err address_parse(struct str text, struct address *out, const char **why);

/* True when only this machine can reach it: 127.0.0.0/8, ::1, localhost, unix. */
bool address_is_loopback(const struct address *a);

/* Percent-decoded copy in the arena (RFC 3986 2.1). What is no valid escape stays as it is; `+`
 * stands for a space only in queries (`is_query`). */
struct str url_decode(struct str s, bool is_query, struct arena *a);
