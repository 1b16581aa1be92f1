#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Commands and their options as tables: from the same rows come parsing, --help, main's list of
 * commands and the man pages.
 */

enum exit_code { /* contract */
                 CMD_FINE = 0,
                 CMD_FAILED = 1,
                 CMD_USAGE = 2,
                 CMD_UNREACHABLE = 69,
                 CMD_BAD_CONFIG = 78
};

struct option_row {
    const char *name;  /* long, without dashes */
    char letter;       /* short; '\0': none */
    const char *value; /* "FILE": takes one, into a const char *; NULL: a switch, into a bool */
    uint32_t offset;   /* of that field in the command's own struct */
    const char *help;
};

/* Options that many commands have. */
#define OPTION_CONFIG(type, field)                                                         \
    {                                                                                      \
        .name = "config", .letter = 'c', .value = "FILE", .offset = offsetof(type, field), \
        .help = "configuration file (default: ./fallthrough.yaml, then "                   \
                "/etc/fallthrough/fallthrough.yaml)"                                       \
    }
#define OPTION_ADMIN(type, field)                                            \
    {                                                                        \
        .name = "admin", .value = "URL", .offset = offsetof(type, field),    \
        .help = "admin port of the gateway (default: http://127.0.0.1:8401)" \
    }
#define OPTION_JSON(type, field)                                              \
    {                                                                         \
        .name = "json", .offset = offsetof(type, field), .help = "print JSON" \
    }

struct command {
    const char *name;
    const char *operands; /* "MODEL"; NULL: none */
    int operands_min;
    int operands_max; /* -1: any number */
    const char *summary;
    const struct option_row *options; /* --help and --version are everybody's and not listed */
    size_t option_count;
    int (*run)(int argc,
               char **argv); /* argv[0] is the command's name; returns the exit code */
};

/* What options_read answers when the command is to go on; anything else is its exit code. */
enum { OPTIONS_GO_ON = -1 };

/*
 * OPTIONS_GO_ON; or CMD_FINE when --help or --version was printed, CMD_USAGE when what is wrong
 * was. Reads argv[1] onwards into `into`, whose fields keep their defaults where no option is
 * given. Options end at the first operand or after "--"; *first is the index of the first
 * operand (argc: none).
 */
int options_read(const struct command *c, int argc, char **argv, void *into, int *first);

void options_help(const struct command *c, FILE *out);

/* "check      reads the configuration …", a line for each command. */
void options_list(const struct command *const *commands, size_t count, FILE *out);

/* `given`, or the default configuration file: the first that exists, else the first. */
const char *options_config(const char *given);
