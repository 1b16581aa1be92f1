#include "cmd/check_cmd.h"

#include <jansson.h>

#include "gate/settings.h"

struct check_options {
    bool json;
    const char *config;
};

static const struct option_row OPTIONS[] = {OPTION_JSON(struct check_options, json),
                                            OPTION_CONFIG(struct check_options, config)};

const struct command CHECK_COMMAND = {
    .name = "check",
    .summary = "Reads the configuration file and prints every mistake in it.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_check,
};

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void print_count(const char *path, const struct conf_errors *e)
{
    (void)fprintf(stderr, "%s: %zu error%s, %zu warning%s\n", path, e->error_count,
                  plural(e->error_count), e->warning_count, plural(e->warning_count));
}

/* `s` NULL: it cannot be used. */
static void print_text(const char *path, const struct conf_errors *e, const struct settings *s)
{
    conf_errors_print(e, stderr);
    if (e->error_count + e->warning_count > 0) {
        print_count(path, e);
    }
    if (s) {
        (void)printf("%s: ok (%zu backend%s, %zu model%s)\n", path, s->catalog.backend_count,
                     plural(s->catalog.backend_count), s->catalog.model_count,
                     plural(s->catalog.model_count));
    }
}

/* --- for machines --- */

static json_t *text(struct str s)
{
    json_t *value = json_stringn(s.ptr, s.len);
    return value ? value : json_string("?"); /* not UTF-8, as the file may be */
}

static json_t *place(uint32_t number)
{
    return number > 0 ? json_integer(number) : json_null();
}

static json_t *mistakes(const struct conf_errors *e)
{
    struct conf_mistake m;
    json_t *all = json_array();
    for (size_t i = 0; conf_errors_at(e, i, &m); i++) {
        json_t *one = json_object();
        (void)json_object_set_new(one, "line", place(m.at.line));
        (void)json_object_set_new(one, "column", place(m.at.column));
        (void)json_object_set_new(one, "severity",
                                  json_string(m.is_warning ? "warning" : "error"));
        (void)json_object_set_new(one, "message", text(m.message));
        (void)json_array_append_new(all, one);
    }
    return all;
}

static void print_json(const char *path, const struct conf_errors *e, const struct settings *s)
{
    json_t *o = json_object();
    (void)json_object_set_new(o, "file", text(str_from(path)));
    (void)json_object_set_new(o, "ok", json_boolean(s != NULL));
    (void)json_object_set_new(o, "errors", json_integer((json_int_t)e->error_count));
    (void)json_object_set_new(o, "warnings", json_integer((json_int_t)e->warning_count));
    (void)json_object_set_new(o, "mistakes", mistakes(e));
    (void)json_dumpf(o, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(o);
}

static int check(const char *path, bool json)
{
    struct conf_errors errors;
    struct settings *s = NULL;
    conf_errors_init(&errors);
    enum err e = settings_load(str_from(path), &errors, &s);
    if (json) {
        print_json(path, &errors, e == ERR_OK ? s : NULL);
    } else {
        print_text(path, &errors, e == ERR_OK ? s : NULL);
    }
    settings_free(&s);
    conf_errors_fini(&errors);
    return e == ERR_OK ? CMD_FINE : CMD_BAD_CONFIG;
}

int cmd_check(int argc, char **argv)
{
    struct check_options o = {.json = false};
    int first = 0;
    int code = options_read(&CHECK_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return check(options_config(o.config), o.json);
}
