#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "wire/agent_report.h"
#include "wire/dcgm_report.h"

/*
 * Reads the input as what an agent, a guard and a dcgm-exporter answer. Whatever it is, texts
 * lie in it or in the arena, and counts are bounded.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        volatile char ch = s.ptr[i];
        (void)ch;
    }
}

static void read_agent(struct str body, struct arena *a)
{
    static struct agent_report r;
    if (agent_report_read(body, a, &r) != ERR_OK) {
        return;
    }
    CHECK(r.count <= AGENT_GPUS_MAX);
    for (size_t i = 0; i < r.count; i++) {
        const struct agent_gpu *g = &r.gpu[i];
        CHECK(g->state.len > 0 && g->slice_count <= AGENT_SLICES_MAX);
        touch(g->uuid);
        touch(g->state);
        touch(g->advice);
        touch(g->reason);
        touch(g->why);
        for (size_t k = 0; k < g->slice_count; k++) {
            touch(g->slice[k]);
        }
    }
}

static void read_dcgm(struct str body)
{
    static struct dcgm_report r;
    if (dcgm_report_read(body, &r) != ERR_OK) {
        return;
    }
    CHECK(r.count > 0 && r.count <= DCGM_GPUS_MAX);
    for (size_t i = 0; i < r.count; i++) {
        CHECK(r.gpu[i].index.len > 0);
        touch(r.gpu[i].index);
        touch(r.gpu[i].uuid);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct guard_report g;
    char *copy = mem_alloc(size + 1);
    memcpy(copy, data, size);
    struct str body = str_of(copy, size);
    arena_init(&a);
    read_agent(body, &a);
    read_dcgm(body);
    if (guard_report_read(body, &a, &g) == ERR_OK) {
        touch(g.state);
        touch(g.reason);
    }
    arena_fini(&a);
    free(copy);
    return 0;
}
