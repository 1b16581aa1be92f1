#include "tiers/operator_word.h"

#include "base/check.h"

static const struct {
    const char *command, *name, *state, *deed;
} rows[OPERATOR_WORDS] = {
    [OPERATOR_NONE] = {"enable", NULL, NULL, "enabled"},
    [OPERATOR_DRAINING] = {"drain", "draining", "DRAINING", "drained"},
    [OPERATOR_DISABLED] = {"disable", "disabled", "DISABLED", "disabled"},
};

const char *operator_word_name(enum operator_word w)
{
    CHECK((unsigned)w < OPERATOR_WORDS);
    return rows[w].name;
}

const char *operator_word_state(enum operator_word w)
{
    CHECK((unsigned)w < OPERATOR_WORDS);
    return rows[w].state;
}

const char *operator_word_deed(enum operator_word w)
{
    CHECK((unsigned)w < OPERATOR_WORDS);
    return rows[w].deed;
}

bool operator_word_find(struct str command, enum operator_word *out)
{
    for (unsigned i = 0; i < OPERATOR_WORDS; i++) {
        if (str_eq(command, str_from(rows[i].command))) {
            *out = (enum operator_word)i;
            return true;
        }
    }
    return false;
}
