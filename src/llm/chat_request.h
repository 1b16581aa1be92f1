#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * What the gateway must know of a POST /v1/chat/completions body (OpenAI's API reference). The
 * body is judged here, before any backend sees it, because some backends answer 500 to bad
 * JSON. Pure.
 */

enum { CHAT_CHOICES_MAX = 128 }; /* `n` at most */

/* An error for the client, in neutral form; the dialect gives it its shape. */
struct bad_request {
    int status;
    const char *type; /* "invalid_request_error" */
    const char *code; /* "invalid_json"; NULL for null */
    struct str message;
    struct str param; /* empty for null */
};

/* Top-level members as they stand in the body (slices of it, also when null; empty when
 * absent), so that they can be replaced without looking for them again. */
struct chat_members {
    struct str model;
    struct str stream;
    struct str stream_options;
    struct str max_tokens;
    struct str max_completion_tokens;
    struct str temperature;
    struct str messages;
};

/* What it asks for and not every backend can. What is written in a way that no backend takes
 * need not be found: the backend says so. */
struct chat_wants {
    bool tools;       /* tools or functions, not empty */
    bool vision;      /* some message has an image */
    bool json_schema; /* response_format is of that type */
    bool logprobs;
};

struct chat_request {
    struct str body;  /* checked JSON object, without white space around it */
    struct str model; /* unescaped */
    bool stream;
    bool include_usage;     /* stream_options.include_usage */
    bool has_max_tokens;    /* max_tokens or max_completion_tokens */
    bool max_is_completion; /* the field's name was max_completion_tokens (it wins when both are
                               there) */
    uint64_t max_tokens;
    bool has_temperature;
    double temperature;
    uint32_t n;            /* choices asked for, 1 … 128 */
    uint64_t prompt_bytes; /* of `messages` as JSON, for estimates */
    uint64_t text_bytes;   /* the same with the tools' and without the images' */
    struct chat_wants wants;
    struct chat_members raw;
};

/*
 * Reads and judges. ERR_OK, or another code with *bad filled: 400 invalid_json (message with
 * the byte offset), 400 for a missing or mistyped field that we rely on (param names it): model
 * string, messages non-empty array of objects, stream boolean, stream_options object (its
 * include_usage boolean), max_tokens and max_completion_tokens whole numbers >= 1, temperature
 * number, n 1 … 128. null counts as absent. Results live as long as body and arena.
 */
NODISCARD enum err chat_request_read(struct str body, struct arena *a, struct chat_request *out,
                                     struct bad_request *bad);

/* The lower one of max_tokens and max_completion_tokens; UINT64_MAX when neither is given. */
uint64_t chat_request_limit(const struct chat_request *q);

/* The messages up to the end of the first one of the user's, at most so many bytes: what all
 * requests of a conversation have in common, and what conversations with the same long
 * instructions do. */
struct str chat_request_beginning(const struct chat_request *q, size_t most);
