#pragma once

#include "tiers/alert.h"
#include "tiers/catalog.h"

/*
 * The sentences in an alert. Pure.
 */

/* What has happened to whom, as a line with its time of the day (UTC). */
void alert_words_event(const struct event *e, char out[ALERT_LINE]);

/* An alert as one line of a digest. */
void alert_words_line(const struct alert *a, char out[ALERT_LINE]);

/* One more line, in the place of the oldest where there is no room. */
void alert_words_add(struct alert *a, const char *line);

/* What the gateway does about it: of an alert with its moment, subject, from and to. */
struct alert_deed {
    const struct model *model;    /* the one concerned most; NULL: none has the backend */
    const struct backend *probed; /* the subject, where it is asked until it is well; or NULL */
    const struct backend *rising; /* being started by ourselves, or NULL */
    bool has_moved;               /* traffic goes elsewhere than before */
};
void alert_words_action(const struct alert_deed *d, struct alert *a);
