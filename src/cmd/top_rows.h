#pragma once

#include "cmd/cells.h"
#include "cmd/top_frame.h"

/*
 * The rows of top_frame.h, and in which order: models that nobody can serve first, then those
 * that a later tier serves; backends as the view sorts them. Pure but for the locale. For
 * top_frame.c only.
 */

/* An object and where it stood in the answer. */
struct top_item {
    const json_t *object;
    size_t place;
    double weight; /* the larger comes first */
};

struct top_items {
    struct top_item *at;
    size_t count;
};

struct top_items top_backends(const json_t *status, enum top_sort sort, struct arena *a);
struct top_items top_models(const json_t *status, struct arena *a);

/* Each fills a line that has just begun. */
void top_model_titles(struct line *l);
void top_model_row(struct line *l, const json_t *model, struct arena *a);
void top_backend_titles(struct line *l);
void top_backend_row(struct line *l, const json_t *backend, struct arena *a);
void top_event_row(struct line *l, const json_t *event, struct arena *a);

/* "5 backends: 1 DOWN, 4 HEALTHY", with the colors of the states. */
void top_count_states(struct line *l, const json_t *status, struct arena *a);

/* The color of a state; "": none. */
const char *top_state_color(struct str state);

/* 0 where it is no number. */
double top_number(const json_t *object, const char *key);
