#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/conf.h"

/* What the tests of base/conf share; cmocka.h comes before it. */

/* One document being read, and what was said about it. */
struct reading {
    struct conf conf;
    struct conf_errors errors;
    bool ok;
    char *said;
    size_t said_len;
};

static inline void start(struct reading *r, struct str text)
{
    conf_errors_init(&r->errors);
    r->said = NULL;
    r->ok = conf_parse(&r->conf, STR("f.yaml"), text, &r->errors);
}

static inline const char *tell(struct reading *r)
{
    free(r->said);
    FILE *out = open_memstream(&r->said, &r->said_len);
    conf_errors_print(&r->errors, out);
    (void)fclose(out);
    return r->said;
}

static inline void end(struct reading *r)
{
    conf_close(&r->conf);
    conf_errors_fini(&r->errors);
    free(r->said);
}

static inline void assert_has(const char *text, const char *piece)
{
    if (!strstr(text, piece)) {
        print_error("'%s' is not in:\n%s\n", piece, text);
        fail();
    }
}
