#include "cmd/status_table.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/admin_get.h"
#include "cmd/color.h"

enum column {
    COLUMN_MODEL,
    COLUMN_TIER,
    COLUMN_BACKEND,
    COLUMN_STATE,
    COLUMN_WHY,
    COLUMN_SINCE,
    COLUMN_BREAKER,
    COLUMN_RESUME,
    COLUMN_VITALS,
    COLUMN_ENGINE,
    COLUMN_IN_FLIGHT,
    COLUMN_TOKENS,
    COLUMN_FIRST_TOKEN,
    COLUMN_COUNT
};

static const struct {
    const char *title;
    bool is_number; /* to the right */
} columns[COLUMN_COUNT] = {
    [COLUMN_MODEL] = {"MODEL", false},
    [COLUMN_TIER] = {"TIER", true},
    [COLUMN_BACKEND] = {"BACKEND", false},
    [COLUMN_STATE] = {"STATE", false},
    [COLUMN_WHY] = {"WHY", false},
    [COLUMN_SINCE] = {"SINCE", false},
    [COLUMN_BREAKER] = {"BREAKER", false},
    [COLUMN_RESUME] = {"RESUME", false},
    [COLUMN_VITALS] = {"VITALS", false},
    [COLUMN_ENGINE] = {"ENGINE", false},
    [COLUMN_IN_FLIGHT] = {"IN-FLIGHT", true},
    [COLUMN_TOKENS] = {"TOK/S", true},
    [COLUMN_FIRST_TOKEN] = {"FIRST-TOKEN p50/p99", true},
};

struct row {
    struct str cell[COLUMN_COUNT];
};

/* The rows, until all widths are known. */
struct table {
    struct arena arena;
    struct row *rows;
    size_t count;
    size_t width[COLUMN_COUNT];
};

/* --- cells --- */

void status_table_duration(double seconds, char *out, size_t size)
{
    unsigned long whole = seconds > 0 && seconds < 1e9 ? (unsigned long)seconds : 0;
    if (seconds >= 0 && seconds < 1) {
        (void)snprintf(out, size, "%dms", (int)(seconds * 1000));
    } else if (whole < 60) {
        (void)snprintf(out, size, "%lus", whole);
    } else if (whole < 3600) {
        (void)snprintf(out, size, "%lum%02lus", whole / 60, whole % 60);
    } else if (whole < 86400) {
        (void)snprintf(out, size, "%luh%02lum", whole / 3600, whole % 3600 / 60);
    } else {
        (void)snprintf(out, size, "%lud%02luh", whole / 86400, whole % 86400 / 3600);
    }
}

static struct str text_cell(const json_t *object, const char *key, struct arena *a)
{
    struct str text = admin_text(object, key, a);
    return text.len > 0 ? text : STR("-");
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static struct str number_cell(const json_t *object, const char *key, int decimals,
                              struct arena *a)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) {
        return STR("-");
    }
    return arena_printf(a, "%.*f", decimals, json_number_value(value));
}

static struct str since_cell(const json_t *backend, struct arena *a)
{
    char text[32];
    if (!json_is_number(json_object_get(backend, "for_s"))) {
        return STR("-");
    }
    status_table_duration(number(backend, "for_s"), text, sizeof(text));
    return arena_printf(a, "%s ago", text);
}

static struct str why_cell(const json_t *backend, struct arena *a)
{
    char held[32];
    struct str why = text_cell(backend, "why", a);
    double held_s = number(backend, "held_for_s");
    if (held_s <= 0) {
        return why;
    }
    status_table_duration(held_s, held, sizeof(held));
    return arena_printf(a, "%.*s; held for %s", STR_FMT(why), held);
}

/* "closed", "open, 4s": until the next trial; "ramp 25%, 12s": until all of its requests. */
static struct str breaker_cell(const json_t *place, struct arena *a)
{
    char until[32];
    struct str word = text_cell(place, "breaker", a);
    struct str status = text_cell(place, "status", a);
    const json_t *until_s = json_object_get(place, "until_s");
    if (str_eq(status, STR("ramp"))) {
        word = arena_printf(a, "ramp %.0f%%", number(place, "share"));
    } else if (str_eq(status, STR("dwell"))) {
        word = status;
    }
    bool is_its_time = json_is_number(until_s) && !str_eq(status, STR("held"));
    if (!is_its_time) {
        return word;
    }
    status_table_duration(json_number_value(until_s), until, sizeof(until));
    return arena_printf(a, "%.*s, %s", STR_FMT(word), until);
}

/* Nothing has been measured while both are 0. */
static struct str first_token_cell(const json_t *backend, struct arena *a)
{
    double p50 = number(backend, "first_token_p50_ms");
    double p99 = number(backend, "first_token_p99_ms");
    if (p50 <= 0 && p99 <= 0) {
        return STR("-");
    }
    return arena_printf(a, "%.0f/%.0f ms", p50, p99);
}

/* "8+3 45%": requests that run and wait in its engine, and how full its memory is. */
static struct str engine_cell(const json_t *backend, struct arena *a)
{
    const json_t *engine = json_object_get(backend, "engine");
    const json_t *kv = json_object_get(engine, "kv");
    if (!json_is_object(engine)) {
        return STR("-");
    }
    struct str requests =
        arena_printf(a, "%.0f+%.0f", number(engine, "running"), number(engine, "waiting"));
    return json_is_number(kv)
               ? arena_printf(a, "%.*s %.0f%%", STR_FMT(requests), json_number_value(kv) * 100)
               : requests;
}

/* "3", or "3/4" where so many are the limit. */
static struct str in_flight_cell(const json_t *backend, struct arena *a)
{
    struct str now = number_cell(backend, "in_flight", 0, a);
    if (!json_is_number(json_object_get(backend, "max_concurrent"))) {
        return now;
    }
    return arena_printf(a, "%.*s/%.0f", STR_FMT(now), number(backend, "max_concurrent"));
}

/* --- rows --- */

static void add_row(struct table *t, const struct row *row)
{
    t->rows = mem_resize(t->rows, sizeof(*row) * (t->count + 1));
    t->rows[t->count++] = *row;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        size_t width = utf8_count(row->cell[i]);
        t->width[i] = width > t->width[i] ? width : t->width[i];
    }
}

static void add_titles(struct table *t)
{
    struct row titles;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        titles.cell[i] = str_from(columns[i].title);
    }
    add_row(t, &titles);
}

/* `place`: where the backend stands, with its name and what it can do there. */
static void add_backend(struct table *t, struct str model, struct str tier, const json_t *place,
                        const json_t *backend)
{
    struct arena *a = &t->arena;
    struct row row = {{
        [COLUMN_MODEL] = model,
        [COLUMN_TIER] = tier,
        [COLUMN_BACKEND] = text_cell(place, "name", a),
        [COLUMN_STATE] = text_cell(backend, "state", a),
        [COLUMN_WHY] = why_cell(backend, a),
        [COLUMN_SINCE] = since_cell(backend, a),
        [COLUMN_BREAKER] = breaker_cell(place, a),
        [COLUMN_RESUME] = text_cell(place, "resume", a),
        [COLUMN_VITALS] = text_cell(backend, "vitals", a),
        [COLUMN_ENGINE] = engine_cell(backend, a),
        [COLUMN_IN_FLIGHT] = in_flight_cell(backend, a),
        [COLUMN_TOKENS] = number_cell(backend, "tokens_per_s", 1, a),
        [COLUMN_FIRST_TOKEN] = first_token_cell(backend, a),
    }};
    add_row(t, &row);
}

static const json_t *find_backend(const json_t *status, const json_t *name)
{
    size_t i;
    json_t *backend;
    json_array_foreach(json_object_get(status, "backends"), i, backend)
    {
        if (name && json_equal(json_object_get(backend, "name"), name)) {
            return backend;
        }
    }
    return NULL;
}

static void add_tier(struct table *t, const json_t *status, struct str model,
                     const json_t *tier)
{
    size_t i;
    json_t *member;
    struct str tier_text = number_cell(tier, "tier", 0, &t->arena);
    json_array_foreach(json_object_get(tier, "backends"), i, member)
    {
        add_backend(t, model, tier_text, member,
                    find_backend(status, json_object_get(member, "name")));
    }
}

static void add_models(struct table *t, const json_t *status)
{
    size_t i;
    size_t j;
    json_t *model;
    json_t *tier;
    json_array_foreach(json_object_get(status, "models"), i, model)
    {
        struct str name = text_cell(model, "name", &t->arena);
        json_array_foreach(json_object_get(model, "tiers"), j, tier)
        {
            add_tier(t, status, name, tier);
        }
    }
}

static bool tier_has(const json_t *tier, const json_t *name)
{
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(tier, "backends"), i, member)
    {
        if (json_equal(json_object_get(member, "name"), name)) {
            return true;
        }
    }
    return false;
}

static bool is_used(const json_t *status, const json_t *name)
{
    size_t i;
    size_t j;
    json_t *model;
    json_t *tier;
    json_array_foreach(json_object_get(status, "models"), i, model)
    {
        json_array_foreach(json_object_get(model, "tiers"), j, tier)
        {
            if (tier_has(tier, name)) {
                return true;
            }
        }
    }
    return false;
}

static void add_unused(struct table *t, const json_t *status)
{
    size_t i;
    json_t *backend;
    json_array_foreach(json_object_get(status, "backends"), i, backend)
    {
        const json_t *name = json_object_get(backend, "name");
        if (name && !is_used(status, name)) {
            add_backend(t, STR("-"), STR("-"), backend, backend);
        }
    }
}

/* --- printing --- */

static const char *color_of(struct str state)
{
    if (str_eq(state, STR("HEALTHY"))) {
        return COLOR_GREEN;
    }
    if (str_eq(state, STR("DEGRADED"))) {
        return COLOR_YELLOW;
    }
    if (str_eq(state, STR("DRAINING")) || str_eq(state, STR("DISABLED"))) {
        return COLOR_CYAN;
    }
    return str_eq(state, STR("DOWN")) ? COLOR_RED : "";
}

static void put_cell(const struct table *t, size_t column, struct str cell, const char *color,
                     FILE *out)
{
    int padding = (int)(t->width[column] - utf8_count(cell));
    bool is_right = columns[column].is_number;
    bool is_last = column + 1 == COLUMN_COUNT;
    (void)fprintf(out, "%*s%s%.*s%s%*s%s", is_right ? padding : 0, "", color, STR_FMT(cell),
                  color[0] != '\0' ? COLOR_OFF : "", is_right || is_last ? 0 : padding, "",
                  is_last ? "\n" : "  ");
}

static void put_rows(const struct table *t, FILE *out, bool in_color)
{
    for (size_t i = 0; i < t->count; i++) {
        for (size_t column = 0; column < COLUMN_COUNT; column++) {
            struct str cell = t->rows[i].cell[column];
            bool colored = in_color && column == COLUMN_STATE;
            put_cell(t, column, cell, colored ? color_of(cell) : "", out);
        }
    }
}

static void put_summary(struct table *t, const json_t *status, FILE *out)
{
    char uptime[32];
    double connections = number(status, "connections");
    status_table_duration(number(status, "uptime_s"), uptime, sizeof(uptime));
    (void)fprintf(out, "fallthrough %.*s, up %s, %.0f connection%s%s\n\n",
                  STR_FMT(text_cell(status, "version", &t->arena)), uptime, connections,
                  connections > 0.5 && connections < 1.5 ? "" : "s",
                  json_is_true(json_object_get(status, "draining")) ? ", draining" : "");
}

static void put_warnings(struct table *t, const json_t *status, FILE *out)
{
    size_t i;
    json_t *model;
    json_array_foreach(json_object_get(status, "models"), i, model)
    {
        if (json_is_false(json_object_get(model, "can_serve"))) {
            (void)fprintf(out, "\nno backend can serve %.*s now\n",
                          STR_FMT(text_cell(model, "name", &t->arena)));
        }
        if (number(model, "waiting") > 0) {
            (void)fprintf(out, "\n%.0f of at most %.0f requests wait for a slot of %.*s\n",
                          number(model, "waiting"), number(model, "queue"),
                          STR_FMT(text_cell(model, "name", &t->arena)));
        }
    }
}

void status_table_print(const json_t *status, FILE *out, bool in_color)
{
    struct table t = {.rows = NULL};
    arena_init(&t.arena);
    add_titles(&t);
    add_models(&t, status);
    add_unused(&t, status);
    put_summary(&t, status, out);
    put_rows(&t, out, in_color);
    put_warnings(&t, status, out);
    free(t.rows);
    arena_fini(&t.arena);
}
