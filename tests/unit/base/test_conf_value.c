#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/conf_mask.h"
#include "base/conf_value.h"
#include "conf_reading.h"

static void reads_durations(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        uint64_t ms;
    } CASES[] = {
        {"250ms", ERR_OK, 250},
        {"5s", ERR_OK, 5000},
        {"10m", ERR_OK, 600000},
        {"2h", ERR_OK, 7200000},
        {"0", ERR_OK, 0},
        {"0s", ERR_OK, 0},
        {"", ERR_SYNTAX, 0},
        {"5", ERR_SYNTAX, 0},
        {"s", ERR_SYNTAX, 0},
        {"-5s", ERR_SYNTAX, 0},
        {"1.5s", ERR_SYNTAX, 0},
        {"5 s", ERR_SYNTAX, 0},
        {"5S", ERR_SYNTAX, 0},
        {"5sec", ERR_SYNTAX, 0},
        {"5sms", ERR_SYNTAX, 0},
        {"30d", ERR_OK, 2592000000},
        {"d", ERR_SYNTAX, 0},
        {"1dd", ERR_SYNTAX, 0},
        {"5124095576030h", ERR_OK, 18446744073708000000U},
        {"5124095576031h", ERR_RANGE, 0},
        {"99999999999999999999s", ERR_RANGE, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t ms = 0;
        assert_int_equal(conf_duration(str_from(CASES[i].text), &ms), CASES[i].e);
        assert_int_equal(ms, CASES[i].ms);
    }
}

static void reads_sizes(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        uint64_t bytes;
    } CASES[] = {
        {"512", ERR_OK, 512},
        {"32k", ERR_OK, 32768},
        {"16m", ERR_OK, 16777216},
        {"1g", ERR_OK, 1073741824},
        {"1GiB", ERR_OK, 1073741824},
        {"3MiB", ERR_OK, 3145728},
        {"2KiB", ERR_OK, 2048},
        {"7B", ERR_OK, 7},
        {"1GB", ERR_SYNTAX, 0},
        {"1giB", ERR_SYNTAX, 0},
        {"0", ERR_OK, 0},
        {"", ERR_SYNTAX, 0},
        {"k", ERR_SYNTAX, 0},
        {"1K", ERR_SYNTAX, 0},
        {"1kb", ERR_SYNTAX, 0},
        {"1.5m", ERR_SYNTAX, 0},
        {"17179869184g", ERR_RANGE, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t bytes = 0;
        assert_int_equal(conf_size(str_from(CASES[i].text), &bytes), CASES[i].e);
        assert_int_equal(bytes, CASES[i].bytes);
    }
}

static void reads_percentages(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        uint64_t per_10k;
    } CASES[] = {
        {"20%", ERR_OK, 2000},
        {"100%", ERR_OK, 10000},
        {"0%", ERR_OK, 0},
        {"2.5%", ERR_OK, 250},
        {"0.25%", ERR_OK, 25},
        {"0.05%", ERR_OK, 5},
        {"150%", ERR_OK, 15000},
        {"", ERR_SYNTAX, 0},
        {"%", ERR_SYNTAX, 0},
        {"20", ERR_SYNTAX, 0},
        {"20 %", ERR_SYNTAX, 0},
        {"-5%", ERR_SYNTAX, 0},
        {"+5%", ERR_SYNTAX, 0},
        {".5%", ERR_SYNTAX, 0},
        {"5.%", ERR_SYNTAX, 0},
        {".%", ERR_SYNTAX, 0},
        {"5.-1%", ERR_SYNTAX, 0},
        {"1.234%", ERR_SYNTAX, 0},
        {"1.2.3%", ERR_SYNTAX, 0},
        {"20%%", ERR_SYNTAX, 0},
        {"20,5%", ERR_SYNTAX, 0},
        {"184467440737095514.99%", ERR_OK, 18446744073709551499U},
        {"184467440737095516%", ERR_RANGE, 0},
        {"99999999999999999999%", ERR_RANGE, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t per_10k = 0;
        assert_int_equal(conf_percent(str_from(CASES[i].text), &per_10k), CASES[i].e);
        assert_int_equal(per_10k, CASES[i].per_10k);
    }
}

static void reads_doubles(void **state)
{
    static const char *const BAD[] = {"",     "inf", "nan", "0x1p3", "1,5",
                                      "1.5x", ".",   "e5",  "- 1"};
    double value = 0;
    (void)state;
    assert_int_equal(conf_double(STR("0.75"), &value), ERR_OK);
    assert_true(value > 0.74 && value < 0.76);
    assert_int_equal(conf_double(STR("-1e1"), &value), ERR_OK);
    assert_true(value < -9.9 && value > -10.1);
    assert_int_equal(conf_double(STR("1e999"), &value), ERR_RANGE);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(conf_double(str_from(BAD[i]), &value), ERR_SYNTAX);
    }
}

static void writes_durations_and_sizes_as_they_are_read(void **state)
{
    char text[32];
    (void)state;
    conf_put_duration(90000, text, sizeof(text));
    assert_string_equal(text, "90s");
    conf_put_duration(3600000, text, sizeof(text));
    assert_string_equal(text, "1h");
    conf_put_duration(0, text, sizeof(text));
    assert_string_equal(text, "0ms");
    conf_put_size(1536, text, sizeof(text));
    assert_string_equal(text, "1536");
    conf_put_size(32768, text, sizeof(text));
    assert_string_equal(text, "32k");
    conf_put_percent(10000, text, sizeof(text));
    assert_string_equal(text, "100%");
    conf_put_percent(205, text, sizeof(text));
    assert_string_equal(text, "2.05%");
}

static void replaces_variables(void **state)
{
    static const struct {
        const char *text;
        const char *value; /* NULL: refused */
    } CASES[] = {
        {"v: plain", "plain"},
        {"v: ${CONF_A}", "one"},
        {"v: ${CONF_A}-${CONF_B}/${CONF_A}", "one-two/one"},
        {"v: \"${CONF_A} ${CONF_B}\"", "one two"},
        {"v: ${CONF_NONE:-default}", "default"},
        {"v: ${CONF_A:-default}", "one"},
        {"v: ${CONF_EMPTY:-default}", "default"},
        {"v: ${CONF_NONE:-}", ""},
        {"v: ${CONF_EMPTY}", ""},
        {"v: ${CONF_NONE:-http://h:80/[a], {b}", "http://h:80/[a], {b"},
        {"v: $$", "$"},
        {"v: $${CONF_A}", "${CONF_A}"},
        {"v: $$${CONF_A}", "$one"},
        {"v: a$b$", "a$b$"},
        {"v: '${CONF_A}'", "one"},
        {"v: ${CONF_NONE}", NULL},
        {"v: ${}", NULL},
        {"v: ${1A}", NULL},
        {"v: ${CONF A}", NULL},
        {"v: ${CONF_A-x}", NULL},
        {"v: ${CONF_A:x}", NULL},
        {"v: ${CONF_A", NULL},
        {"v: 'x ${'", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        struct str value = STR("");
        start(&r, str_from(CASES[i].text));
        assert_true(r.ok);
        bool ok = conf_text(&r.conf, conf_get(r.conf.root, STR("v")), &value);
        assert_int_equal(ok, CASES[i].value != NULL);
        assert_int_equal(r.errors.error_count, !ok);
        if (ok) {
            assert_string_equal(value.ptr, CASES[i].value);
        }
        end(&r);
    }
}

static void replaces_variables_between_braces_without_quotes(void **state)
{
    struct reading r;
    struct str value = STR("");
    (void)state;
    start(&r, STR("v: {a: ${CONF_A}, l: [${CONF_B}, ${CONF_NONE:-x: {y}], b: $${CONF_A}}\n"));
    assert_true(r.ok);
    const struct conf_node *v = conf_get(r.conf.root, STR("v"));
    assert_true(conf_text(&r.conf, conf_get(v, STR("a")), &value));
    assert_string_equal(value.ptr, "one");
    const struct conf_node *l = conf_get(v, STR("l"));
    assert_int_equal(l->count, 2);
    assert_true(conf_text(&r.conf, l->items[1].value, &value));
    assert_string_equal(value.ptr, "x: {y");
    assert_true(conf_text(&r.conf, conf_get(v, STR("b")), &value));
    assert_string_equal(value.ptr, "${CONF_A}");
    end(&r);
}

static void points_at_the_variable_that_is_not_set(void **state)
{
    struct reading r;
    struct str value = STR("");
    (void)state;
    start(&r, STR("v: {a: http://${CONF_A}:${CONF_NONE}/}\n"));
    assert_false(
        conf_text(&r.conf, conf_get(conf_get(r.conf.root, STR("v")), STR("a")), &value));
    assert_string_equal(tell(&r),
                        "f.yaml:1:25: error: environment variable 'CONF_NONE' is not set\n"
                        "  v: {a: http://${CONF_A}:${CONF_NONE}/}\n"
                        "                          ^\n");
    end(&r);
}

static void masks_nothing_but_what_is_in_variables(void **state)
{
    struct str text = STR("a: {b: ${X:-[1, 2]#}, c: '{}'} # ${ no end");
    char *masked = NULL;
    size_t len = 0;
    struct arena a;
    (void)state;
    arena_init(&a);
    conf_mask(text, &masked, &len);
    assert_int_equal(len, text.len + 3 * 7); /* { : [ , ] # } */
    assert_true(str_eq(conf_unmask(&a, str_of(masked, len)), text));
    free(masked);
    arena_fini(&a);
}

/* Writes `len` bytes to a new file whose name goes to `path`. */
static void write_file(char *path, const char *content, size_t len)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), (ssize_t)len);
    (void)close(fd);
}

static bool read_secret(const char *path, struct str *out, struct reading *r)
{
    char text[128];
    int used = snprintf(text, sizeof(text), "v: {file: %s}", path);
    start(r, str_of(text, (size_t)used));
    return conf_secret(&r->conf, conf_get(r->conf.root, STR("v")), out);
}

static void reads_secrets_from_files(void **state)
{
    static const struct {
        const char *content;
        const char *value;
    } CASES[] = {{"s3cret\n", "s3cret"},
                 {"s3cret\r\n", "s3cret"},
                 {"s3cret", "s3cret"},
                 {"a\n\n", "a\n"},
                 {"", ""},
                 {"${CONF_A}\n", "${CONF_A}"}};
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char path[] = "/tmp/test_conf_XXXXXX";
        struct reading r;
        struct str value = STR("");
        write_file(path, CASES[i].content, strlen(CASES[i].content));
        assert_true(read_secret(path, &value, &r));
        assert_string_equal(value.ptr, CASES[i].value);
        end(&r);
        (void)unlink(path);
    }
}

static void bounds_the_size_of_a_secret(void **state)
{
    size_t len = CONF_SECRET_MAX + 1;
    char *content = malloc(len);
    (void)state;
    memset(content, 'x', len);
    for (size_t more = 0; more < 2; more++) {
        char path[] = "/tmp/test_conf_XXXXXX";
        struct reading r;
        struct str value = STR("");
        write_file(path, content, len - 1 + more);
        assert_int_equal(read_secret(path, &value, &r), more == 0);
        assert_int_equal(value.len, more == 0 ? len - 1 : 0);
        if (more > 0) {
            assert_has(tell(&r), "larger than 64 KiB");
        }
        end(&r);
        (void)unlink(path);
    }
    free(content);
}

static void refuses_other_forms_of_secrets(void **state)
{
    static const char *const CASES[] = {"v: {path: x}",
                                        "v: {file: x, more: y}",
                                        "v: {}",
                                        "v: {file: /nonexistent}",
                                        "v: {file: }",
                                        "v: [x]",
                                        "v:"};
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        struct str value = STR("");
        start(&r, str_from(CASES[i]));
        assert_false(conf_secret(&r.conf, conf_get(r.conf.root, STR("v")), &value));
        assert_int_equal(r.errors.error_count, 1);
        end(&r);
    }
}

static void takes_paths_from_the_directory_of_the_file(void **state)
{
    struct conf_errors errors;
    struct conf c;
    (void)state;
    conf_errors_init(&errors);
    assert_true(conf_parse(&c, STR("/etc/ft/f.yaml"), STR("a: b"), &errors));
    assert_string_equal(conf_path(&c, STR("k.pem")).ptr, "/etc/ft/k.pem");
    assert_string_equal(conf_path(&c, STR("/k.pem")).ptr, "/k.pem");
    conf_close(&c);
    assert_true(conf_parse(&c, STR("f.yaml"), STR("a: b"), &errors));
    assert_string_equal(conf_path(&c, STR("k.pem")).ptr, "k.pem");
    conf_close(&c);
    conf_errors_fini(&errors);
}

static void finds_what_was_meant(void **state)
{
    static const struct {
        const char *word;
        const char *candidate;
        bool is_near;
    } CASES[] = {
        {"ulr", "url", true},         {"URL", "url", true},
        {"tpye", "type", true},       {"tiesr", "tiers", true},
        {"tier", "tiers", true},      {"timeoutt", "timeout", true},
        {"xx", "on", false},          {"cat", "url", false},
        {"", "url", false},           {"backend", "backends", true},
        {"helth_", "health", true},   {"halo", "health", false},
        {"api-key", "api_key", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint32_t best = UINT32_MAX;
        assert_int_equal(
            conf_is_nearer(str_from(CASES[i].word), str_from(CASES[i].candidate), &best),
            CASES[i].is_near);
    }
    uint32_t best = UINT32_MAX;
    assert_true(conf_is_nearer(STR("gpu12"), STR("gpu33"), &best));
    assert_true(conf_is_nearer(STR("gpu12"), STR("gpu1"), &best));
    assert_false(conf_is_nearer(STR("gpu12"), STR("gpu2"), &best));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(reads_percentages),
        cmocka_unit_test(reads_doubles),
        cmocka_unit_test(writes_durations_and_sizes_as_they_are_read),
        cmocka_unit_test(replaces_variables),
        cmocka_unit_test(replaces_variables_between_braces_without_quotes),
        cmocka_unit_test(points_at_the_variable_that_is_not_set),
        cmocka_unit_test(masks_nothing_but_what_is_in_variables),
        cmocka_unit_test(reads_secrets_from_files),
        cmocka_unit_test(bounds_the_size_of_a_secret),
        cmocka_unit_test(refuses_other_forms_of_secrets),
        cmocka_unit_test(takes_paths_from_the_directory_of_the_file),
        cmocka_unit_test(finds_what_was_meant),
    };
    setenv("CONF_A", "one", 1);
    setenv("CONF_B", "two", 1);
    setenv("CONF_EMPTY", "", 1);
    unsetenv("CONF_NONE");
    return cmocka_run_group_tests_name("base/conf_value", tests, NULL, NULL);
}
