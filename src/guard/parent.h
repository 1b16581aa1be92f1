#pragma once

#include <stdbool.h>

#include "net/loop.h"
#include "wire/guard_line.h"

/*
 * Who has started this guard, over a socket that was inherited (SOCK_SEQPACKET, packets of
 * wire/guard_line.h). It is told of every change; it says when a start may be made; and when it
 * is gone, however it ended, the guard stops its backend and leaves. Belongs to the loop's
 * thread.
 */

struct parent;

/* `notify` only records: it is called when parent_is_gone or parent_turn may say something
 * new. NULL when fd is no such socket. */
struct parent *parent_open(struct loop *l, int fd, void (*notify)(void *owner), void *owner);
void parent_close(struct parent **p); /* NULL is fine */

bool parent_is_gone(const struct parent *p);

/* The turn: asked for, given by the parent, and given back. */
enum guard_turn parent_turn(const struct parent *p);
void parent_want_turn(struct parent *p);
void parent_end_turn(struct parent *p);

/* Tells it, unless the last told was the same. `turn` is filled in. */
void parent_tell(struct parent *p, struct guard_line line);
