#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe_child.h"
#include "cmd/agent_cmd.h"
#include "cmd/alert_cmd.h"
#include "cmd/check_cmd.h"
#include "cmd/demo.h"
#include "cmd/events_cmd.h"
#include "cmd/explain_cmd.h"
#include "cmd/guard_cmd.h"
#include "cmd/metrics_table.h"
#include "cmd/operator_cmd.h"
#include "cmd/options.h"
#include "cmd/serve.h"
#include "cmd/status_cmd.h"
#include "cmd/top_cmd.h"
#include "cmd/wait_healthy.h"

/* One row a command; the help text and the dispatch come from it. */
static const struct command *const commands[] = {
    &SERVE_COMMAND,        &CHECK_COMMAND, &STATUS_COMMAND, &TOP_COMMAND,     &EXPLAIN_COMMAND,
    &EVENTS_COMMAND,       &ALERT_COMMAND, &DRAIN_COMMAND,  &DISABLE_COMMAND, &ENABLE_COMMAND,
    &WAIT_HEALTHY_COMMAND, &AGENT_COMMAND, &GUARD_COMMAND,  &DEMO_COMMAND,
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *out)
{
    fprintf(out,
            "fallthrough keeps an LLM API answering when GPUs, processes or servers fail.\n"
            "\nusage: fallthrough COMMAND [OPTIONS]\n\n");
    options_list(commands, COMMAND_COUNT, out);
    fprintf(out, "\n'fallthrough COMMAND --help' explains one command.\n");
}

/* Whoever started us may have closed one of them. What is opened in its place would be written
 * to as if it were a terminal, and libuv aborts when it is to close it. */
static void open_standard_streams(void)
{
    int fd = STDIN_FILENO;
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

int main(int argc, char **argv)
{
    open_standard_streams();
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return CMD_FINE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("fallthrough " FALLTHROUGH_VERSION "\n");
        return CMD_FINE;
    }
    if (strcmp(name, PROBE_COMMAND) == 0) { /* the agent's own child, for nobody else */
        return probe_child_main(argc - 1, argv + 1);
    }
    if (strcmp(name, METRICS_TABLE_COMMAND) == 0) { /* for our own tools */
        return metrics_table_main();
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i]->name) == 0) {
            return commands[i]->run(argc - 1, argv + 1);
        }
    }
    if (name[0] != '\0') {
        fprintf(stderr, "fallthrough: unknown command '%s'\n\n", name);
    }
    print_usage(stderr);
    return CMD_USAGE;
}
