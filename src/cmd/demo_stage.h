#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "cmd/demo_process.h"
#include "wire/url.h"

/*
 * What the demo plays on: a temporary folder, two llama.cpp servers and a gateway with both as
 * its tiers, all on loopback, on ports that the kernel chose. SIGINT, SIGTERM and SIGHUP are
 * held back and only make stop_fd readable, so that everything is put away in order.
 */

#define DEMO_MODEL "smollm2"

struct demo_stage {
    int stop_fd;
    struct demo_process first, standby, gateway;
    struct url api;   /* of the gateway */
    struct url admin; /* of the gateway */

    /* private: */
    struct str folder; /* empty: not made yet */
    struct arena arena;
};

/* Sets everything up and says what it does. False: standard error says why it could not, or a
 * signal came. demo_stage_close in any case. */
bool demo_stage_open(struct demo_stage *s);

/* Stops what runs and removes the folder. */
void demo_stage_close(struct demo_stage *s);

/* Waits; false when a signal says to stop. */
bool demo_stage_pause(const struct demo_stage *s, uint32_t ms);
