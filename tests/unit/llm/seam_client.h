#pragma once

#include "llm/assembly.h"
#include "llm/seam.h"
#include "seam_servers.h"

/*
 * For the tests of the seam: a client that checks that it sees one well-formed stream, whatever
 * came together to it, and the attempts that it is made of. Each test program has one of each.
 */

struct client {
    struct arena *arena;
    char text[4096];
    size_t len;
    char names[256]; /* of the first chunk */
    int chunks;
    int roles;
    int finishes;
    int usages;
    uint64_t prompt;
    uint64_t completion;
    uint64_t total;
    struct assembly *assembly;
};

static inline struct str names_of(struct arena *a, struct str chunk)
{
    struct str id = json_get(chunk, "id");
    struct str created = json_get(chunk, "created");
    struct str model = json_get(chunk, "model");
    struct str print = json_get(chunk, "system_fingerprint");
    return arena_printf(a, "%.*s %.*s %.*s %.*s", STR_FMT(id), STR_FMT(created), STR_FMT(model),
                        STR_FMT(print));
}

static inline void client_take_usage(struct client *c, struct str usage)
{
    c->usages++;
    assert_int_equal(json_u64(json_get(usage, "prompt_tokens"), UINT64_MAX, &c->prompt), 0);
    assert_int_equal(json_u64(json_get(usage, "completion_tokens"), UINT64_MAX, &c->completion),
                     0);
    assert_int_equal(json_u64(json_get(usage, "total_tokens"), UINT64_MAX, &c->total), 0);
}

static inline void client_take_chunk(struct client *c, struct str chunk)
{
    size_t at;
    if (chunk.len == 0) {
        return;
    }
    if (json_check(chunk, &at) != ERR_OK) {
        fail_msg("no JSON at %zu: %.*s", at, STR_FMT(chunk));
    }
    struct str names = names_of(c->arena, chunk);
    if (c->chunks++ == 0) {
        (void)snprintf(c->names, sizeof(c->names), "%s", names.ptr);
    }
    assert_string_equal(names.ptr, c->names);
    assert_int_equal(assembly_add(c->assembly, chunk), ERR_OK);
    struct str choice = json_path(chunk, "choices", "0", NULL);
    struct str text;
    if (json_type_of(json_get(chunk, "usage")) == JSON_OBJECT) {
        client_take_usage(c, json_get(chunk, "usage"));
    }
    c->roles += json_path(choice, "delta", "role", NULL).len > 0;
    c->finishes += json_type_of(json_get(choice, "finish_reason")) == JSON_STRING;
    if (json_text(json_path(choice, "delta", "content", NULL), c->arena, &text) == ERR_OK) {
        assert_true(c->len + text.len < sizeof(c->text));
        assert_true(text.len == 0 || c->finishes == 0 ||
                    json_type_of(json_get(choice, "finish_reason")) == JSON_STRING);
        memcpy(c->text + c->len, text.ptr, text.len);
        c->len += text.len;
    }
}

static inline void client_take(struct client *c, const struct reply_event *ev)
{
    client_take_chunk(c, ev->tool_chunk);
    client_take_chunk(c, ev->chunk);
    client_take_chunk(c, ev->usage_chunk);
}

/* --- the attempts --- */

static struct arena arena;
static struct transcript t;
static struct client client;
static struct reply reply;
static struct seam seam;
static struct reply_event ev;
static struct chat_request request;

static inline void ask(const char *members)
{
    struct bad_request bad;
    struct str body = arena_printf(&arena,
                                   "{'model':'m','messages':[{'role':'user','content':'Hi'}],"
                                   "'stream':true,'stream_options':{'include_usage':true}%s}",
                                   members);
    assert_int_equal(chat_request_read(quotes(&arena, body.ptr), &arena, &request, &bad),
                     ERR_OK);
}

static inline void restart_client(void)
{
    assembly_free(&client.assembly);
    transcript_fini(&t);
    client = (struct client){.arena = &arena, .assembly = assembly_new()};
}

static inline int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    arena_init(&reply.scratch);
    transcript_init(&t, 4096);
    restart_client();
    ask("");
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    assembly_free(&client.assembly);
    transcript_fini(&t);
    reply_fini(&reply);
    arena_fini(&arena);
    return 0;
}

static inline void begin_attempt(const struct dialect *d)
{
    reply_fini(&reply);
    reply_init(&reply, d, &request, &arena, STR("made"));
    reply.created = 9;
}

/* The first attempt: no seam. */
static inline void first(struct str payload)
{
    if (payload.len > 0) {
        assert_int_equal(reply_read_event(&reply, payload, &ev), ERR_OK);
        client_take(&client, &ev);
        transcript_add(&t, &ev);
    }
}

/* A later one: through the seam. */
static inline enum err later(struct str payload)
{
    if (payload.len == 0) {
        return ERR_OK;
    }
    assert_int_equal(reply_read_event(&reply, payload, &ev), ERR_OK);
    enum err e = seam_event(&seam, &reply.scratch, &ev);
    if (e == ERR_OK) {
        client_take(&client, &ev);
        transcript_add(&t, &ev);
    }
    return e;
}

static inline void begin_seam(const struct dialect *d, enum seam_mode mode)
{
    begin_attempt(d);
    seam_init(&seam, &t, mode, &request, &arena);
}

static inline enum err later_text(const char *payload)
{
    return later(quotes(&arena, payload));
}
