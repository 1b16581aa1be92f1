#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "wire/json_edit.h"

/*
 * What we say to clients in our own words: error bodies in the shape of the path's dialect, and
 * the marks on answers (_backend, _degraded, _notice). Pure.
 */

enum client_dialect { CLIENT_OPENAI, CLIENT_ANTHROPIC, CLIENT_OLLAMA };

/* /v1/messages… speaks Anthropic, /api/… Ollama, everything else OpenAI. */
enum client_dialect client_dialect_of(struct str path);

struct client_error {
    int status;
    const char *type;
    const char *code; /* NULL for null */
    struct str message;
    struct str param;       /* empty for null */
    uint32_t retry_after_s; /* 0: none; else also "retry_after" in the body (OpenAI shape) */
    struct str request_id;  /* for the Anthropic shape; may be empty */
};

/* OpenAI: {"error":{"message","type","param","code"}[,"retry_after":N]}. Anthropic:
 * {"type":"error","error":{"type","message"},"request_id"} with the type its SDK expects for
 * the status. Ollama: {"error":"message"}. */
struct str client_error_body(enum client_dialect d, const struct client_error *e,
                             struct arena *a);

/* The contract's answer when nobody can serve: 503, all_backends_unavailable. */
struct client_error client_error_all_down(uint32_t retry_after_s);
bool client_error_is_all_down(const struct client_error *e);

struct annotation {
    struct str backend; /* empty: no body annotation at all */
    bool degraded;
    struct str notice; /* empty: none */
    bool resumed;      /* the answer was continued by another backend than began it */
};

/* The JSON object (checked text) with `_backend`, `_degraded`, `_notice` added at its end: its
 * pieces are added to *out, which the caller has begun. */
void annotate(struct str object, const struct annotation *an, struct arena *a,
              struct rope *out);
