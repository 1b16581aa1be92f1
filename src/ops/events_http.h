#pragma once

#include "net/http_server.h"
#include "ops/chronicle.h"

/*
 * GET /events: what happened, as JSON, or live as server-sent events where the client accepts
 * text/event-stream (or asks for `stream=true`). The query is a filter (ops/event_filter).
 *
 *     {"events":[…], "last":7, "from":"history"|"memory", "lost":0, "open_incidents":0}
 *
 * `last` is the number of the newest event there was, whatever the filter: a live reader who
 * names it misses nothing.
 *
 * A live reader that names the last event that it has (Last-Event-ID, or `after=`) gets all
 * since, `since=` begins there; else what is new. A reader who is slower than events come gets
 * the rest from the history. On the control thread's loop.
 */

enum { LIVE_READERS_MAX = 64 };

struct events_http;

struct events_http *events_http_start(struct loop *l, struct chronicle *c);
/* Cuts who is being answered: after the chronicle has ended, before the server is freed. */
void events_http_stop(struct events_http **h);

/* NULL when it answers, now or later; else what is wrong with the request, in words. */
const char *events_http_serve(struct events_http *h, struct http_conn *c);
