#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tiers/event.h"

/*
 * The way of events from whoever makes them to the one who keeps them: bounded, never waits.
 * One short lock around a copy; traffic that goes well puts nothing in. Changes and what is
 * only counted (event_flow) have room of their own, so that no storm of the one pushes out the
 * other; what finds no room is lost and counted.
 *
 * Equal events of EVENT_COUNT: the first goes through at once; those within JOURNAL_WINDOW_MS
 * of it follow as one, with their number, when that time is over.
 */

enum { JOURNAL_ROOM = 256, JOURNAL_WINDOWS = 64, JOURNAL_WINDOW_MS = 700 };

struct journal;

struct journal *journal_new(void);
void journal_free(struct journal **j);

/* Who is told that there is something to take; set before other threads start. It is called by
 * the thread that put the event, without the lock. NULL: nobody. */
void journal_set_reader(struct journal *j, void (*wake)(void *arg), void *arg);

/* Any thread. The event's times are set by the caller. */
void journal_put(struct journal *j, const struct event *e);

/* The oldest ones, at most `room`; how many. One thread. */
size_t journal_take(struct journal *j, struct event *out, size_t room, uint64_t now_ms);

/* When equal ones that are held back are due; UINT64_MAX: there are none. */
uint64_t journal_due_ms(struct journal *j);

/* Lost since the start. Any thread. */
uint64_t journal_lost(struct journal *j);
