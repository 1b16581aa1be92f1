#include "cmd/check_cmd.h"

#include "gate/settings.h"

struct check_options {
    const char *config;
};

static const struct option_row OPTIONS[] = {OPTION_CONFIG(struct check_options, config)};

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

static int check(const char *path)
{
    struct conf_errors errors;
    struct settings *s = NULL;
    conf_errors_init(&errors);
    enum err e = settings_load(str_from(path), &errors, &s);
    conf_errors_print(&errors, stderr);
    if (errors.error_count + errors.warning_count > 0) {
        print_count(path, &errors);
    }
    if (e == ERR_OK) {
        (void)printf("%s: ok (%zu backend%s, %zu model%s)\n", path, s->catalog.backend_count,
                     plural(s->catalog.backend_count), s->catalog.model_count,
                     plural(s->catalog.model_count));
    }
    settings_free(&s);
    conf_errors_fini(&errors);
    return e == ERR_OK ? CMD_FINE : CMD_BAD_CONFIG;
}

int cmd_check(int argc, char **argv)
{
    struct check_options o = {.config = NULL};
    int first = 0;
    int code = options_read(&CHECK_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return check(options_config(o.config));
}
