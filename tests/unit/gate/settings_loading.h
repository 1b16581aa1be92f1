#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate/settings.h"

/* What the tests of gate/settings share; cmocka.h comes before it. */

static const char SMALL[] = "backends: {a: {type: vllm, url: http://h:1}}\n"
                            "models: {m: {tiers: [a]}}\n";

/* One file being loaded, and what was said about it. */
struct loading {
    struct conf_errors errors;
    struct settings *s;
    enum err e;
    char path[32];
    char *said;
    size_t said_len;
};

static inline void load(struct loading *l, const char *text)
{
    static const char NAME[] = "/tmp/test_settings_XXXXXX";
    memcpy(l->path, NAME, sizeof(NAME));
    int fd = mkstemp(l->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    conf_errors_init(&l->errors);
    l->e = settings_load(str_from(l->path), &l->errors, &l->s);
    assert_int_equal(l->e == ERR_OK, l->s != NULL);
    assert_int_equal(l->e == ERR_OK, l->errors.error_count == 0);
    FILE *out = open_memstream(&l->said, &l->said_len);
    conf_errors_print(&l->errors, out);
    (void)fclose(out);
    (void)unlink(l->path);
}

static inline void unload(struct loading *l)
{
    settings_free(&l->s);
    assert_null(l->s);
    conf_errors_fini(&l->errors);
    free(l->said);
}

static inline void load_well(struct loading *l, const char *text)
{
    load(l, text);
    if (l->e != ERR_OK) {
        print_error("%s", l->said);
        fail();
    }
}
