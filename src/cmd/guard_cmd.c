#include "cmd/guard_cmd.h"

#include <stdio.h>

#include "base/log.h"
#include "guard/guard_settings.h"
#include "guard/keeper.h"

struct guard_options {
    const char *config;
    struct guard_overrides o;
};

#define TEXT(field, key, shown, text)                                                       \
    {                                                                                       \
        .name = (key), .value = (shown), .offset = offsetof(struct guard_options, o.field), \
        .help = (text)                                                                      \
    }

static const struct option_row OPTIONS[] = {
    {.name = "config",
     .letter = 'c',
     .value = "FILE",
     .offset = offsetof(struct guard_options, config),
     .help = "configuration of the guard (default: none)"},
    TEXT(health, "health", "URL", "answers 200 when the backend is well"),
    TEXT(url, "url", "URL", "of its API (default: that of --health)"),
    TEXT(type, "type", "TYPE", "vllm, llamacpp, ollama or openai (default: vllm)"),
    TEXT(model, "model", "NAME", "asked for one token (default: the first listed)"),
    TEXT(listen, "listen", "ADDRESS", "for GET /guard; off (default: 127.0.0.1:8403)"),
    TEXT(agent, "agent", "URL", "GPU agent of this machine"),
    TEXT(start_timeout, "start-timeout", "TIME", "from a start to the first token (15m)"),
    TEXT(hang_after, "hang-after", "TIME", "work without a token; 0: not looked for (60s)"),
    TEXT(parent, "parent", "FD", "socket to the gateway that starts it (default: none)"),
    TEXT(cgroup, "cgroup", "PATH", "auto, off, or a cgroup v2 folder that is ours"),
};

const struct command GUARD_COMMAND = {
    .name = "guard",
    .operands = "[-- COMMAND...]",
    .operands_min = 0,
    .operands_max = -1,
    .summary = "Runs COMMAND, a backend, and restarts it when it dies or hangs.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_guard,
};

static int keep(const struct guard_settings *s)
{
    const char *why = "";
    if (log_open(STR("stderr"), s->log_level, s->log_format) != ERR_OK) {
        return CMD_FAILED;
    }
    switch (keeper_run(s, &why)) {
    case KEEPER_STOPPED:
        return CMD_FINE;
    case KEEPER_FAILED:
        return CMD_FAILED;
    case KEEPER_NO_COMMAND:
        return CMD_BAD_CONFIG;
    case KEEPER_NO_START:
        break;
    }
    (void)fprintf(stderr, "fallthrough guard: it cannot begin: %s\n", why);
    return CMD_FAILED;
}

int cmd_guard(int argc, char **argv)
{
    struct guard_options o = {.config = NULL};
    struct conf_errors errors;
    struct guard_settings *settings = NULL;
    char why[GUARD_WHY_MAX] = "";
    int first = 0;
    int code = options_read(&GUARD_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    o.o.command = argv + first;
    conf_errors_init(&errors);
    enum err e = guard_settings_load(o.config, &o.o, &errors, &settings, why);
    conf_errors_print(&errors, stderr);
    conf_errors_fini(&errors);
    if (e != ERR_OK) {
        if (why[0] != '\0') {
            (void)fprintf(stderr, "fallthrough guard: %s\n", why);
        }
        return e == ERR_SYNTAX || o.config ? CMD_BAD_CONFIG : CMD_USAGE;
    }
    code = keep(settings);
    guard_settings_free(&settings);
    return code;
}
