#include "cmd/operands.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* True when the word is an option whose value is the next word. */
static bool takes_next(const struct command *c, const char *word)
{
    for (size_t i = 0; i < c->option_count; i++) {
        const struct option_row *row = &c->options[i];
        bool is_long = strncmp(word, "--", 2) == 0 && strcmp(word + 2, row->name) == 0;
        bool is_short =
            row->letter != '\0' && word[0] == '-' && word[1] == row->letter && word[2] == '\0';
        if (row->value && (is_long || is_short)) {
            return true;
        }
    }
    return false;
}

void operands_last(const struct command *c, int argc, char **argv)
{
    char **operands = mem_alloc(sizeof(char *) * ((size_t)argc + 1));
    int count = 0;
    int kept = 1;
    int at = 1;
    while (at < argc && strcmp(argv[at], "--") != 0) {
        char *word = argv[at++];
        if (word[0] != '-' || word[1] == '\0') {
            operands[count++] = word;
            continue;
        }
        argv[kept++] = word;
        if (takes_next(c, word) && at < argc) {
            argv[kept++] = argv[at++];
        }
    }
    if (at < argc) {
        /* The "--" stays before the operands: those behind it may begin with a dash. */
        char *end = argv[at++];
        while (at < argc) {
            operands[count++] = argv[at++];
        }
        argv[kept++] = end;
    }
    memcpy(argv + kept, operands, sizeof(char *) * (size_t)count);
    free(operands);
}
