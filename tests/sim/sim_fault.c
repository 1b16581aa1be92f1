#include "sim_fault.h"

#include <stddef.h>

static const struct {
    const char *name;
    uint32_t weight;
    enum fault_place place;
} rows[SIM_FAULTS] = {
#define FAULT_ROW(word, how_often, where) \
    [SIM_##word] = {.name = #word, .weight = (how_often), .place = AT_##where},
    FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

const char *fault_name(enum fault f)
{
    return rows[f].name;
}

enum fault_place fault_place(enum fault f)
{
    return rows[f].place;
}

enum fault fault_draw(struct rand *r)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        sum += rows[i].weight;
    }
    uint32_t left = rand_below(r, sum);
    size_t at = 0;
    while (left >= rows[at].weight) {
        left -= rows[at].weight;
        at++;
    }
    return (enum fault)at;
}
