#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/dialect.h"
#include "llm/refusal.h"
#include "quotes.h"
#include "wire/json.h"

/* For the tests of requests to dialects that translate: one translation, and the page that
 * documents it. Whoever includes this defines MADE_DIALECT, MADE_MODEL and MADE_DOC before.
 * JSON is written with ' for ". */

#define HI "'messages':[{'role':'user','content':'Hi'}]"
#define TOOL "{'type':'function','function':{'name':'now','parameters':{}}}"

/* One translation; the arena is the test's. */
struct made {
    struct arena arena;
    enum err err;
    struct str body;
    struct bad_request bad;
};

static const struct chat_edit plain_edit = {.model = STR_INIT(MADE_MODEL), .stream = true};

static inline void make_with(struct made *m, const char *body, const struct chat_edit *ed)
{
    struct chat_request q = {.n = 1};
    struct rope out;
    size_t at = 0;
    arena_init(&m->arena);
    q.body = quotes(&m->arena, body);
    m->bad = (struct bad_request){.status = 0};
    assert_int_equal(json_check(q.body, &at), ERR_OK);
    struct str max = json_get(q.body, "max_completion_tokens");
    max = max.len > 0 ? max : json_get(q.body, "max_tokens");
    q.has_max_tokens = json_u64(max, UINT64_MAX, &q.max_tokens) == ERR_OK;
    rope_init(&out);
    m->err = MADE_DIALECT.build(&q, ed, &m->arena, &out, &m->bad);
    m->body = m->err == ERR_OK ? rope_join(&out, &m->arena) : STR_NONE;
    assert_true(m->err != ERR_OK || json_check(m->body, &at) == ERR_OK);
}

static inline void assert_text(struct str text, const char *expected)
{
    struct arena a;
    char *copy = mem_dup(text);
    arena_init(&a);
    char *wanted = mem_dup(quotes(&a, expected));
    assert_string_equal(copy, wanted);
    free(wanted);
    free(copy);
    arena_fini(&a);
}

static inline void assert_becomes(const char *body, const char *expected)
{
    struct made m;
    make_with(&m, body, &plain_edit);
    if (m.err != ERR_OK) {
        fail_msg("refused: %.*s for %s", STR_FMT(m.bad.message), body);
    }
    assert_text(m.body, expected);
    arena_fini(&m.arena);
}

static inline void assert_refused(const char *body, const char *param, const char *code)
{
    struct made m;
    make_with(&m, body, &plain_edit);
    if (m.err != ERR_UNSUPPORTED) {
        fail_msg("not refused: %s", body);
    }
    assert_int_equal(m.bad.status, 400);
    assert_string_equal(m.bad.type, "invalid_request_error");
    assert_text(m.bad.param, param);
    assert_string_equal(m.bad.code, code);
    assert_true(str_has(m.bad.message, m.bad.param));
    arena_fini(&m.arena);
}

/* The body of a request with one more field, or one message. */
static inline const char *with_field(char *room, size_t size, const char *field)
{
    assert_true((size_t)snprintf(room, size, "{'model':'m'," HI ",%s}", field) < size);
    return room;
}

static inline const char *with_message(char *room, size_t size, const char *message)
{
    assert_true((size_t)snprintf(room, size, "{'model':'m','messages':[%s]}", message) < size);
    return room;
}

/* --- the documentation --- */

static inline const char *word_of(enum field_handling handling)
{
    static const char *const words[] = {[FIELD_MAPPED] = "mapped",
                                        [FIELD_NEUTRAL] = "neutral",
                                        [FIELD_IGNORED] = "ignored",
                                        [FIELD_REFUSED] = "refused"};
    return words[handling];
}

static inline char *read_doc(void)
{
    FILE *file = fopen(MADE_DOC, "r");
    assert_non_null(file);
    char *text = mem_alloc(65536);
    assert_in_range(fread(text, 1, 65535, file), 1, 65534);
    (void)fclose(file);
    return text;
}

/* "| `name` | word |" within the section; true when it is there. */
static inline bool has_row(struct str section, const char *name, enum field_handling handling)
{
    char row[128];
    (void)snprintf(row, sizeof(row), "\n| `%s` | %s | ", name, word_of(handling));
    return str_has(section, str_from(row));
}

static inline size_t count_rows(struct str section)
{
    size_t count = 0;
    while (section.len > 0) {
        count += str_starts(str_cut(&section, '\n'), STR("| `")) ? 1 : 0;
    }
    return count;
}

static inline struct str section_of(const char *doc, const char *heading)
{
    const char *start = strstr(doc, heading);
    assert_non_null(start);
    const char *end = strstr(start + 1, "\n## ");
    assert_non_null(end);
    return str_of(start, (size_t)(end - start));
}
