#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "lib/jansson_apart.h"
#include "wire/json.h"
#include "wire/json_edit.h"

/*
 * Checks the input by both paths, which must agree in verdict and place, and against jansson.
 * With a tape the verdict and every walk must be as without. What is accepted is walked and
 * compared with jansson's tree, value by value; every slice must lie inside the text. An object
 * is edited, and the result must be accepted again.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct str part, struct str whole)
{
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

/* Nothing but what jansson cannot hold may be accepted here and refused there; and nothing that
 * it accepts may be malformed here. */
static json_t *load(struct str text, enum err verdict)
{
    json_error_t error;
    json_t *tree = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (verdict == ERR_OK && !tree) {
        enum json_error_code code = json_error_code(&error);
        CHECK(code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
    }
    /* jansson loses a NUL that follows a number. */
    if (tree && !memchr(text.ptr, '\0', text.len)) {
        CHECK(verdict != ERR_SYNTAX && verdict != ERR_UTF8);
    }
    return tree;
}

static void compare_string(struct str value, const json_t *tree, struct arena *a)
{
    struct str text;
    CHECK(json_text(value, a, &text) == ERR_OK);
    CHECK(json_text_len(value) == text.len);
    if (tree) {
        CHECK(str_eq(text, str_of(json_string_value(tree), json_string_length(tree))));
    }
    struct str quoted = json_quote(a, text);
    struct str again;
    CHECK(json_text(quoted, a, &again) == ERR_OK);
    CHECK(str_eq(text, again));
}

static void compare_number(struct str value, const json_t *tree)
{
    uint64_t whole;
    double number;
    enum err e = json_u64(value, UINT64_MAX, &whole);
    enum err real = json_double(value, &number);
    CHECK(e == ERR_OK || e == ERR_RANGE || e == ERR_TYPE);
    CHECK(real == ERR_OK || real == ERR_RANGE);
    if (json_is_integer(tree)) {
        json_int_t want = json_integer_value(tree);
        CHECK(want < 0 ? e == ERR_RANGE : e == ERR_OK && whole == (uint64_t)want);
    } else if (json_is_real(tree)) {
        double want = json_real_value(tree);
        CHECK(real == ERR_OK && number >= want && number <= want);
    }
}

static void compare(struct str value, json_t *tree, struct arena *a);

/* `tree` is NULL where jansson has none; then only our own walk is exercised. */
static void compare_members(struct str value, json_t *tree, struct arena *a)
{
    struct json_iter it;
    const char *key;
    json_t *member;
    size_t index = 0;
    bool is_object = json_type_of(value) == JSON_OBJECT;
    json_iter_init(&it, value);
    for (; json_iter_next(&it); index++) {
        CHECK(lies_in(it.whole, value) && lies_in(it.value, it.whole));
        CHECK(!is_object || lies_in(it.key, it.whole));
        compare(it.value, is_object ? NULL : json_array_get(tree, index), a);
    }
    CHECK(!tree || is_object || index == json_array_size(tree));
    if (is_object && tree) {
        json_object_foreach(tree, key, member)
        {
            compare(json_get(value, key), member, a);
        }
    }
}

static void compare(struct str value, json_t *tree, struct arena *a)
{
    static const int types[] = {
        [JSON_NULL] = JANSSON_NULL,     [JSON_FALSE] = JANSSON_FALSE,
        [JSON_TRUE] = JANSSON_TRUE,     [JSON_NUMBER] = JSON_INTEGER,
        [JSON_STRING] = JANSSON_STRING, [JSON_ARRAY] = JANSSON_ARRAY,
        [JSON_OBJECT] = JANSSON_OBJECT,
    };
    enum json_type type = json_type_of(value);
    CHECK(value.len > 0);
    if (tree) {
        int theirs = (int)json_typeof(tree);
        CHECK(types[type] == (theirs == JSON_REAL ? JSON_INTEGER : theirs));
    }
    switch (type) {
    case JSON_STRING:
        compare_string(value, tree, a);
        break;
    case JSON_NUMBER:
        compare_number(value, tree);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        compare_members(value, tree, a);
        break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        CHECK(json_is_true(value) == (type == JSON_TRUE));
        break;
    }
}

static void edit(struct str object, struct arena *a)
{
    struct json_edit ed;
    struct rope rope;
    size_t at;
    json_edit_init(&ed, object, a);
    json_edit_remove(&ed, "a");
    json_edit_set(&ed, "b", STR("[2]"));
    json_edit_remove(&ed, "c");
    json_edit_set(&ed, "model", STR("\"m\""));
    rope_init(&rope);
    json_edit_done(&ed, &rope);
    struct str text = rope_join(&rope, a);
    enum err e = json_check(text, &at);
    /* Two members may have been added to as many as there may be. */
    CHECK(e == ERR_OK || (e == ERR_TOO_LARGE && object.len > JSON_MEMBERS_MAX));
    if (e == ERR_OK) {
        CHECK(json_get(text, "a").len == 0 && json_get(text, "c").len == 0);
        CHECK(str_eq(json_get(text, "b"), STR("[2]")));
        CHECK(str_eq(json_get(text, "model"), STR("\"m\"")));
    }
}

/* A slice of the same text, not only an equal one. */
static bool is_same(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || a.ptr == b.ptr);
}

static void compare_tape(struct str value, const struct json_tape *tape)
{
    struct json_iter plain;
    struct json_iter taped;
    json_iter_init(&plain, value);
    json_iter_init_on(&taped, tape, value);
    while (json_iter_next(&plain)) {
        CHECK(json_iter_next(&taped));
        CHECK(is_same(plain.key, taped.key) && is_same(plain.value, taped.value));
        CHECK(is_same(plain.whole, taped.whole));
        CHECK(plain.key_has_escape == taped.key_has_escape);
        bool has_backslash =
            plain.key.len > 0 && memchr(plain.key.ptr, '\\', plain.key.len) != NULL;
        CHECK(plain.key_has_escape == has_backslash);
        compare_tape(plain.value, tape);
    }
    CHECK(!json_iter_next(&taped) && !json_iter_next(&taped));
}

static void compare_picks(struct str value, const struct json_tape *tape)
{
    static const struct str names[] = {STR_INIT("a"), STR_INIT("model"), STR_INIT("")};
    struct str plain[3];
    struct str taped[3];
    struct json_iter it;
    json_pick(NULL, value, names, 3, plain);
    json_pick(tape, value, names, 3, taped);
    for (size_t i = 0; i < 3; i++) {
        CHECK(is_same(plain[i], taped[i]));
        CHECK(is_same(plain[i], json_get(value, names[i].ptr)));
    }
    json_iter_init_on(&it, tape, value);
    while (json_iter_next(&it)) {
        compare_picks(it.value, tape);
    }
}

static void check_tape(struct str text, enum err want, size_t want_at)
{
    struct json_tape tape;
    size_t at = SIZE_MAX;
    CHECK(json_check_tape(text, &tape, &at) == want && at == want_at);
    CHECK((tape.count > 0) == (want == ERR_OK) && tape.count <= JSON_TAPE_MAX);
    if (want == ERR_OK) {
        CHECK(is_same(json_tape_root(&tape), json_value(text)));
        compare_tape(json_value(text), &tape);
        compare_picks(json_value(text), &tape);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    size_t at = SIZE_MAX;
    size_t portable_at = SIZE_MAX;
    enum err e = json_check(text, &at);
    CHECK(e == json_check_portable(text, &portable_at));
    CHECK(at == portable_at);
    CHECK(e == ERR_OK ? at == SIZE_MAX : at <= size);
    check_tape(text, e, at);
    json_t *tree = load(text, e);
    if (e == ERR_OK) {
        struct arena a;
        struct str value = json_value(text);
        arena_init(&a);
        compare(value, tree, &a);
        if (json_type_of(value) == JSON_OBJECT) {
            edit(value, &a);
        }
        arena_fini(&a);
    }
    json_decref(tree);
    return 0;
}
