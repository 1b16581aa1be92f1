#include "cmd/top_rows.h"

#include <stdlib.h>

#include "cmd/admin_get.h"
#include "cmd/color.h"
#include "cmd/status_table.h"

double top_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* --- order --- */

/* The worst first. */
static const struct {
    const char *name;
    const char *color;
} states[] = {{"DOWN", COLOR_RED},      {"DEGRADED", COLOR_YELLOW}, {"LOADING", COLOR_CYAN},
              {"DRAINING", COLOR_CYAN}, {"DISABLED", COLOR_CYAN},   {"STOPPED", ""},
              {"HEALTHY", COLOR_GREEN}};
enum { STATES = sizeof(states) / sizeof(states[0]) };

/* STATES: none of them. */
static size_t find_state(struct str state)
{
    size_t i = 0;
    while (i < STATES && !str_eq(state, str_from(states[i].name))) {
        i++;
    }
    return i;
}

const char *top_state_color(struct str state)
{
    size_t i = find_state(state);
    return i < STATES ? states[i].color : "";
}

/* As the answer has it; the escaped one is for showing. */
static struct str raw_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? str_of(json_string_value(value), json_string_length(value))
                                 : STR("");
}

static double weigh(const json_t *backend, enum top_sort sort)
{
    switch (sort) {
    case TOP_WORST:
        return (double)STATES - (double)find_state(raw_text(backend, "state"));
    case TOP_NAME:
        return 0;
    case TOP_IN_FLIGHT:
        return top_number(backend, "in_flight");
    case TOP_TOKENS:
        return top_number(backend, "tokens_per_s");
    case TOP_FIRST_TOKEN:
        return top_number(backend, "first_token_p99_ms");
    }
    return 0;
}

static int by_weight(const void *a, const void *b)
{
    const struct top_item *x = a;
    const struct top_item *y = b;
    if (x->weight != y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return x->place < y->place ? -1 : 1;
}

static int by_name(const void *a, const void *b)
{
    const struct top_item *x = a;
    const struct top_item *y = b;
    struct str left = raw_text(x->object, "name");
    struct str right = raw_text(y->object, "name");
    size_t len = left.len < right.len ? left.len : right.len;
    int order = len > 0 ? memcmp(left.ptr, right.ptr, len) : 0;
    if (order != 0 || left.len != right.len) {
        return order != 0 ? order : (left.len < right.len ? -1 : 1);
    }
    return x->place < y->place ? -1 : 1;
}

static struct top_items items_of(const json_t *array, struct arena *a)
{
    struct top_items all = {.count = json_array_size(array)};
    all.at = arena_zalloc(a, sizeof(all.at[0]) * (all.count + 1));
    for (size_t i = 0; i < all.count; i++) {
        all.at[i] = (struct top_item){.object = json_array_get(array, i), .place = i};
    }
    return all;
}

struct top_items top_backends(const json_t *status, enum top_sort sort, struct arena *a)
{
    struct top_items all = items_of(json_object_get(status, "backends"), a);
    for (size_t i = 0; i < all.count; i++) {
        all.at[i].weight = weigh(all.at[i].object, sort);
    }
    qsort(all.at, all.count, sizeof(all.at[0]), sort == TOP_NAME ? by_name : by_weight);
    return all;
}

/* --- models --- */

static bool is_serving(const json_t *member)
{
    struct str status = raw_text(member, "status");
    return str_eq(status, STR("usable")) || str_eq(status, STR("full"));
}

/* "gpu1, gpu2": those of the tier that serve. */
static struct str names_serving(const json_t *tier, struct arena *a)
{
    size_t i;
    json_t *member;
    struct str names = STR("");
    json_array_foreach(json_object_get(tier, "backends"), i, member)
    {
        if (is_serving(member)) {
            names = arena_printf(a, "%.*s%s%.*s", STR_FMT(names), names.len > 0 ? ", " : "",
                                 STR_FMT(admin_text(member, "name", a)));
        }
    }
    return names;
}

/* The first tier that serves, from 1; 0: none does. */
static size_t find_tier(const json_t *model, struct str *names, struct arena *a)
{
    size_t i;
    json_t *tier;
    json_array_foreach(json_object_get(model, "tiers"), i, tier)
    {
        *names = names_serving(tier, a);
        if (names->len > 0) {
            return i + 1;
        }
    }
    return 0;
}

struct top_items top_models(const json_t *status, struct arena *a)
{
    struct top_items all = items_of(json_object_get(status, "models"), a);
    for (size_t i = 0; i < all.count; i++) {
        struct str names;
        bool is_out = json_is_false(json_object_get(all.at[i].object, "can_serve"));
        size_t tier = find_tier(all.at[i].object, &names, a);
        all.at[i].weight = is_out ? 1e9 : tier == 0 ? 1e6 : (double)tier;
    }
    qsort(all.at, all.count, sizeof(all.at[0]), by_weight);
    return all;
}

enum { WIDE = 100, USUAL = 60 };

static size_t name_width(const struct line *l)
{
    return l->columns >= WIDE ? 28 : l->columns >= USUAL ? 16 : 12;
}

void top_model_titles(struct line *l)
{
    line_cell(
        l, &(struct cell){.text = STR("MODEL"), .color = COLOR_BOLD, .width = name_width(l)});
    line_put(l, STR("  SERVED BY"), COLOR_BOLD);
}

void top_model_row(struct line *l, const json_t *model, struct arena *a)
{
    struct str names = STR("");
    size_t tier = find_tier(model, &names, a);
    bool is_out = json_is_false(json_object_get(model, "can_serve"));
    double waiting = top_number(model, "waiting");
    line_cell(l, &(struct cell){.text = admin_text(model, "name", a), .width = name_width(l)});
    line_put(l, STR("  "), "");
    if (waiting > 0) {
        line_put(l, arena_printf(a, "%.0f of %.0f wait; ", waiting, top_number(model, "queue")),
                 COLOR_YELLOW);
    }
    if (is_out) {
        line_put(l, STR("nobody"), COLOR_RED);
    } else if (tier == 0) {
        line_put(l, STR("those held back only"), COLOR_YELLOW);
    } else {
        line_put(l, arena_printf(a, "tier %zu: ", tier), tier > 1 ? COLOR_YELLOW : "");
        line_cell(l, &(struct cell){.text = names, .width = l->columns - l->width});
    }
}

/* --- backends --- */

enum column {
    COLUMN_NAME,
    COLUMN_STATE,
    COLUMN_SINCE,
    COLUMN_IN_FLIGHT,
    COLUMN_TOKENS,
    COLUMN_P50,
    COLUMN_P99,
    COLUMN_WHY,
    COLUMN_COUNT
};

static const struct {
    const char *title;
    size_t width; /* 0: what the window has room for */
    size_t from;  /* it is there in windows of so many columns */
    bool is_number;
} columns[COLUMN_COUNT] = {
    [COLUMN_NAME] = {"BACKEND", 0, 0, false}, [COLUMN_STATE] = {"STATE", 8, 0, false},
    [COLUMN_SINCE] = {"SINCE", 6, 38, true},  [COLUMN_IN_FLIGHT] = {"FLIGHT", 7, 30, true},
    [COLUMN_TOKENS] = {"TOK/S", 7, 52, true}, [COLUMN_P50] = {"p50ms", 6, USUAL, true},
    [COLUMN_P99] = {"p99ms", 6, USUAL, true}, [COLUMN_WHY] = {"WHY", 0, 70, false},
};

static struct str number_text(const json_t *backend, const char *key, int decimals,
                              struct arena *a)
{
    const json_t *value = json_object_get(backend, key);
    double number = json_number_value(value);
    if (!json_is_number(value) || number < 0 || number > 1e15) {
        return STR("-");
    }
    return arena_printf(a, "%.*f", number < 10000 ? decimals : 0, number);
}

/* Nothing has been measured while it is 0. */
static struct str latency_text(const json_t *backend, const char *key, struct arena *a)
{
    return top_number(backend, key) > 0 ? number_text(backend, key, 0, a) : STR("-");
}

static struct str since_text(const json_t *backend, struct arena *a)
{
    char out[32];
    if (!json_is_number(json_object_get(backend, "for_s"))) {
        return STR("-");
    }
    status_table_duration(top_number(backend, "for_s"), out, sizeof(out));
    return arena_dup(a, str_from(out));
}

static struct str in_flight_text(const json_t *backend, struct arena *a)
{
    struct str now = number_text(backend, "in_flight", 0, a);
    if (!json_is_number(json_object_get(backend, "max_concurrent"))) {
        return now;
    }
    return arena_printf(a, "%.*s/%.*s", STR_FMT(now),
                        STR_FMT(number_text(backend, "max_concurrent", 0, a)));
}

/* A sentence where it has room, else a word. */
static struct str cell_text(const json_t *backend, enum column c, size_t room, struct arena *a)
{
    enum { SENTENCE = 30 };
    switch (c) {
    case COLUMN_NAME:
        return admin_text(backend, "name", a);
    case COLUMN_STATE:
        return admin_text(backend, "state", a);
    case COLUMN_SINCE:
        return since_text(backend, a);
    case COLUMN_IN_FLIGHT:
        return in_flight_text(backend, a);
    case COLUMN_TOKENS:
        return number_text(backend, "tokens_per_s", 1, a);
    case COLUMN_P50:
        return latency_text(backend, "first_token_p50_ms", a);
    case COLUMN_P99:
        return latency_text(backend, "first_token_p99_ms", a);
    case COLUMN_WHY:
        return admin_text(backend, room >= SENTENCE ? "why" : "reason", a);
    case COLUMN_COUNT:
        break;
    }
    return STR("");
}

/* The name has so much, what comes last all that is left. */
static size_t width_of(const struct line *l, enum column c)
{
    if (c == COLUMN_NAME) {
        return name_width(l);
    }
    return columns[c].width > 0 ? columns[c].width : l->columns - l->width;
}

/* Moves to where the column begins. False: it is not there in such a window. */
static bool begin_column(struct line *l, enum column c)
{
    size_t gap = c == COLUMN_NAME ? 0 : c == COLUMN_WHY ? 2 : 1;
    if (l->columns < columns[c].from || l->width + gap >= l->columns) {
        return false;
    }
    line_move(l, l->width + gap);
    return true;
}

void top_backend_titles(struct line *l)
{
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        if (begin_column(l, (enum column)i)) {
            line_cell(l, &(struct cell){.text = str_from(columns[i].title),
                                        .color = COLOR_BOLD,
                                        .width = width_of(l, (enum column)i),
                                        .is_number = columns[i].is_number});
        }
    }
}

void top_backend_row(struct line *l, const json_t *backend, struct arena *a)
{
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        if (!begin_column(l, (enum column)i)) {
            continue;
        }
        size_t width = width_of(l, (enum column)i);
        struct str text = cell_text(backend, (enum column)i, width, a);
        line_cell(l, &(struct cell){.text = text,
                                    .color = i == COLUMN_STATE ? top_state_color(text) : NULL,
                                    .width = width,
                                    .is_number = columns[i].is_number});
    }
}

/* --- the rest --- */

void top_count_states(struct line *l, const json_t *status, struct arena *a)
{
    struct top_items all = items_of(json_object_get(status, "backends"), a);
    size_t counts[STATES + 1] = {0};
    const char *gap = ": ";
    for (size_t i = 0; i < all.count; i++) {
        counts[find_state(raw_text(all.at[i].object, "state"))]++;
    }
    line_put(l, arena_printf(a, "%zu backend%s", all.count, all.count == 1 ? "" : "s"), "");
    for (size_t i = 0; i < STATES; i++) {
        if (counts[i] > 0) {
            line_put(l, str_from(gap), "");
            line_put(l, arena_printf(a, "%zu %s", counts[i], states[i].name), states[i].color);
            gap = ", ";
        }
    }
}

static const char *severity_color(struct str severity)
{
    if (str_eq(severity, STR("error"))) {
        return COLOR_RED;
    }
    return str_eq(severity, STR("warning")) ? COLOR_YELLOW : "";
}

/* "05:24:02" of "2026-11-21T05:24:02.391Z". */
static struct str time_of(struct str at)
{
    enum { FROM = 11, LENGTH = 8 };
    return at.len >= FROM + LENGTH ? str_of(at.ptr + FROM, LENGTH) : at;
}

void top_event_row(struct line *l, const json_t *event, struct arena *a)
{
    double times = top_number(event, "times");
    line_put(l, time_of(admin_text(event, "at", a)), "");
    line_put(l, STR(" "), "");
    line_cell(l, &(struct cell){.text = admin_text(event, "kind", a),
                                .color = severity_color(raw_text(event, "severity")),
                                .width = l->columns < USUAL ? 8 : 11});
    line_put(l, STR(" "), "");
    struct str text = admin_text(event, "text", a);
    if (times > 1) {
        text = arena_printf(a, "%.*s (%.0f times)", STR_FMT(text), times);
    }
    line_cell(l, &(struct cell){.text = text, .width = l->columns - l->width});
}
