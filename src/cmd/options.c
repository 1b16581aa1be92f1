#include "cmd/options.h"

#include <string.h>
#include <unistd.h>

static const struct option_row COMMON[] = {
    {.name = "help", .letter = 'h', .help = "print this and exit"},
    {.name = "version", .help = "print the version and exit"},
};
enum { COMMON_COUNT = 2, HELP_COLUMN = 24 };

/* The words still to be read. */
struct reader {
    const struct command *command;
    int argc;
    char **argv;
    int at;
    void *into;
};

static void put_option(const struct option_row *row, FILE *out)
{
    char left[64];
    char letter[8] = "    ";
    if (row->letter != '\0') {
        (void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    }
    (void)snprintf(left, sizeof(left), "  %s--%s%s%s", letter, row->name, row->value ? " " : "",
                   row->value ? row->value : "");
    (void)fprintf(out, "%-*s %s\n", HELP_COLUMN, left, row->help);
}

static void put_usage(const struct command *c, FILE *out)
{
    (void)fprintf(out, "usage: fallthrough %s", c->name);
    for (size_t i = 0; i < c->option_count; i++) {
        const struct option_row *row = &c->options[i];
        const char *value = row->value ? row->value : "";
        const char *gap = row->value ? " " : "";
        if (row->letter != '\0') {
            (void)fprintf(out, " [-%c%s%s]", row->letter, gap, value);
        } else {
            (void)fprintf(out, " [--%s%s%s]", row->name, gap, value);
        }
    }
    (void)fprintf(out, "%s%s\n", c->operands ? " " : "", c->operands ? c->operands : "");
}

void options_help(const struct command *c, FILE *out)
{
    put_usage(c, out);
    (void)fprintf(out, "\n%s\n\n", c->summary);
    for (size_t i = 0; i < c->option_count; i++) {
        put_option(&c->options[i], out);
    }
    for (size_t i = 0; i < COMMON_COUNT; i++) {
        put_option(&COMMON[i], out);
    }
}

void options_list(const struct command *const *commands, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "  %-14s %s\n", commands[i]->name, commands[i]->summary);
    }
}

static int refuse(const struct command *c, const char *why, const char *what)
{
    (void)fprintf(stderr, "fallthrough %s: %s '%s'; see fallthrough %s --help\n", c->name, why,
                  what, c->name);
    return CMD_USAGE;
}

/* True when `word` is --name or --name=value of this row; *value is what follows "=", or NULL.
 */
static bool is_long(const struct option_row *row, const char *word, const char **value)
{
    size_t len = strlen(row->name);
    if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, row->name, len) != 0) {
        return false;
    }
    const char *rest = word + 2 + len;
    *value = *rest == '=' ? rest + 1 : NULL;
    return *rest == '\0' || *rest == '=';
}

/* True when `word` is -c or -cVALUE of this row. */
static bool is_short(const struct option_row *row, const char *word, const char **value)
{
    if (row->letter == '\0' || word[0] != '-' || word[1] != row->letter) {
        return false;
    }
    *value = word[2] != '\0' ? word + 2 : NULL;
    return true;
}

static const struct option_row *find_row(const struct option_row *rows, size_t count,
                                         const char *word, const char **value)
{
    for (size_t i = 0; i < count; i++) {
        if (is_long(&rows[i], word, value) || is_short(&rows[i], word, value)) {
            return &rows[i];
        }
    }
    return NULL;
}

/* Reads one of the command's own options at r->at. */
static int read_own(struct reader *r, const struct option_row *row, const char *value)
{
    char *field = (char *)r->into + row->offset;
    const char *word = r->argv[r->at];
    if (!row->value) {
        bool yes = true;
        memcpy(field, &yes, sizeof(yes));
        return value ? refuse(r->command, "no value belongs to", word) : OPTIONS_GO_ON;
    }
    if (!value && r->at + 1 < r->argc) {
        r->at++;
        value = r->argv[r->at];
    }
    if (!value || *value == '\0') {
        return refuse(r->command, "a value is missing after", word);
    }
    memcpy(field, &value, sizeof(value));
    return OPTIONS_GO_ON;
}

static int read_option(struct reader *r)
{
    const char *value = NULL;
    const char *word = r->argv[r->at];
    const struct command *c = r->command;
    const struct option_row *row = find_row(c->options, c->option_count, word, &value);
    if (row) {
        return read_own(r, row, value);
    }
    row = find_row(COMMON, COMMON_COUNT, word, &value);
    if (!row || value) {
        return refuse(c, "unknown option", word);
    }
    if (row == &COMMON[0]) {
        options_help(c, stdout);
    } else {
        (void)puts("fallthrough " FALLTHROUGH_VERSION);
    }
    return CMD_FINE;
}

static int check_operands(const struct reader *r)
{
    const struct command *c = r->command;
    int count = r->argc - r->at;
    if (count < c->operands_min) {
        return refuse(c, "missing operand", c->operands);
    }
    if (c->operands_max >= 0 && count > c->operands_max) {
        return refuse(c, "unexpected operand", r->argv[r->at + c->operands_max]);
    }
    return OPTIONS_GO_ON;
}

int options_read(const struct command *c, int argc, char **argv, void *into, int *first)
{
    struct reader r = {.command = c, .argc = argc, .argv = argv, .at = 1, .into = into};
    while (r.at < argc && argv[r.at][0] == '-' && argv[r.at][1] != '\0') {
        if (strcmp(argv[r.at], "--") == 0) {
            r.at++;
            break;
        }
        int next = read_option(&r);
        if (next != OPTIONS_GO_ON) {
            return next;
        }
        r.at++;
    }
    *first = r.at;
    return check_operands(&r);
}

const char *options_config(const char *given)
{
    static const char LOCAL[] = "fallthrough.yaml";
    static const char SYSTEM[] = "/etc/fallthrough/fallthrough.yaml";
    if (given) {
        return given;
    }
    return access(LOCAL, F_OK) != 0 && access(SYSTEM, F_OK) == 0 ? SYSTEM : LOCAL;
}
