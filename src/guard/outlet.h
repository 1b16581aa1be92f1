#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "guard/log_ring.h"
#include "net/loop.h"

/*
 * One stream of the backend's output (standard output or error): read from a pipe, passed on
 * unchanged to our own, and cut into lines for whoever wants to know. A reader of ours that is
 * stuck never stops the backend: what does not fit into OUTLET_QUEUE is dropped and counted.
 */

enum { OUTLET_QUEUE = 1024 * 1024 };

struct outlet;

struct outlet_conf {
    struct loop *loop;
    int to_fd; /* ours; borrowed */
    void (*on_line)(void *owner, struct str line);
    void *owner;
};

struct outlet *outlet_new(const struct outlet_conf *conf);

/* A new pipe; *fd is its end for the child, the caller's to close. False: no descriptors. */
bool outlet_open(struct outlet *o, int *fd);

/* Reads what is there still and closes the pipe: the child is gone. */
void outlet_close(struct outlet *o);

/* Passes on what waits; to be called every turn. */
void outlet_flush(struct outlet *o);

uint64_t outlet_bytes(const struct outlet *o);   /* read in all */
uint64_t outlet_dropped(const struct outlet *o); /* of them, not passed on */
void outlet_free(struct outlet **o);
