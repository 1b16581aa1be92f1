#include "wire/guard_line.h"

#include <stdio.h>
#include <string.h>

static const char *const STATES[GUARD_STATES] = {
    [GUARD_STARTING] = "STARTING",     [GUARD_LOADING] = "LOADING",
    [GUARD_READY] = "READY",           [GUARD_STOPPING] = "STOPPING",
    [GUARD_RESTARTING] = "RESTARTING", [GUARD_NEEDS_RESET] = "NEEDS_RESET",
    [GUARD_GAVE_UP] = "GAVE_UP",       [GUARD_UNKILLABLE] = "UNKILLABLE",
    [GUARD_ENDED] = "ENDED",
};

static const char *const TURNS[] = {
    [GUARD_TURN_NONE] = "none", [GUARD_TURN_WANTED] = "wanted", [GUARD_TURN_HELD] = "held"};

enum { TURN_COUNT = sizeof(TURNS) / sizeof(TURNS[0]) };

const char *guard_state_name(enum guard_state s)
{
    return STATES[s];
}

static bool find(const char *const *names, unsigned count, struct str name, unsigned *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (str_eq(name, str_from(names[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool guard_state_find(struct str name, enum guard_state *out)
{
    unsigned i = 0;
    bool is_found = find(STATES, GUARD_STATES, name, &i);
    *out = (enum guard_state)i;
    return is_found;
}

size_t guard_line_write(const struct guard_line *line, char out[GUARD_LINE_MAX])
{
    int len =
        snprintf(out, GUARD_LINE_MAX, "%s %s %u %u %s", guard_state_name(line->state),
                 TURNS[line->turn], (unsigned)line->restarts, (unsigned)line->pid, line->why);
    return len > 0 && len < GUARD_LINE_MAX ? (size_t)len : 0;
}

static void take_why(struct str text, char why[GUARD_LINE_WHY])
{
    size_t len = text.len < GUARD_LINE_WHY - 1 ? text.len : GUARD_LINE_WHY - 1;
    for (size_t i = 0; i < len; i++) {
        why[i] = text.ptr[i] < ' ' || text.ptr[i] > '~' ? '?' : text.ptr[i];
    }
    why[len] = '\0';
}

enum err guard_line_read(struct str packet, struct guard_line *out)
{
    unsigned turn = 0;
    uint64_t restarts = 0;
    uint64_t pid = 0;
    struct str rest = packet;
    *out = (struct guard_line){.state = GUARD_STARTING};
    if (!guard_state_find(str_cut(&rest, ' '), &out->state) ||
        !find(TURNS, TURN_COUNT, str_cut(&rest, ' '), &turn) ||
        str_to_u64(str_cut(&rest, ' '), UINT32_MAX, &restarts) != ERR_OK ||
        str_to_u64(str_cut(&rest, ' '), INT32_MAX, &pid) != ERR_OK) {
        return ERR_SYNTAX;
    }
    out->turn = (enum guard_turn)turn;
    out->restarts = (uint32_t)restarts;
    out->pid = (uint32_t)pid;
    take_why(rest, out->why);
    return ERR_OK;
}
