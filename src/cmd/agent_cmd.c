#include "cmd/agent_cmd.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/log.h"

struct agent_options {
    const char *config;
    bool once;
};

static const struct option_row OPTIONS[] = {
    {.name = "config",
     .letter = 'c',
     .value = "FILE",
     .offset = offsetof(struct agent_options, config),
     .help = "configuration file (default: ./agent.yaml, then /etc/fallthrough/agent.yaml, "
             "then none)"},
    {.name = "once",
     .offset = offsetof(struct agent_options, once),
     .help = "print one reading as JSON and exit: 1 when a GPU is DOWN or does not answer"},
};

const struct command AGENT_COMMAND = {
    .name = "agent",
    .summary = "Reads the health of this machine's GPUs and serves it over HTTP.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_agent,
};

/* The file that was named, or the first of the usual ones that is there, or NULL. */
static const char *find_config(const char *given)
{
    static const char *const usual[] = {"agent.yaml", "/etc/fallthrough/agent.yaml"};
    for (size_t i = 0; !given && i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (access(usual[i], F_OK) == 0) {
            given = usual[i];
        }
    }
    return given;
}

static bool load(struct agent_settings *s, const char *path)
{
    struct conf_errors errors;
    if (!path) {
        return true;
    }
    conf_errors_init(&errors);
    enum err e = agent_settings_load(s, str_from(path), &errors);
    conf_errors_print(&errors, stderr);
    conf_errors_fini(&errors);
    return e == ERR_OK;
}

static int run(struct agent_settings *s, bool once)
{
    /* What a single look has to say goes to standard output; its log would only be in the way.
     */
    uint32_t level = once && s->log_level < LOG_WARN ? LOG_WARN : s->log_level;
    if (log_open(s->log_file, (enum log_level)level, (enum log_format)s->log_format) !=
        ERR_OK) {
        (void)fprintf(stderr, "fallthrough agent: cannot open the log file %.*s\n",
                      STR_FMT(s->log_file));
        return CMD_BAD_CONFIG;
    }
    (void)signal(SIGPIPE, SIG_IGN);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    (void)prctl(PR_SET_DUMPABLE, 0); /* the token must not end up in a core file */
#endif
    enum agent_end end = once ? agent_once(s, stdout) : agent_serve(s);
    return end == AGENT_FINE ? CMD_FINE : CMD_FAILED;
}

int cmd_agent(int argc, char **argv)
{
    struct agent_options o = {.config = NULL, .once = false};
    int first = 0;
    int code = options_read(&AGENT_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    struct agent_settings *s = agent_settings_new();
    code = load(s, find_config(o.config)) ? run(s, o.once) : CMD_BAD_CONFIG;
    agent_settings_free(&s);
    return code;
}
