#include "cmd/top_frame.h"

#include "cmd/admin_get.h"
#include "cmd/color.h"
#include "cmd/status_table.h"
#include "cmd/top_rows.h"

/* From how many rows on there is what, and how much of it. */
enum {
    ROWS_HELP = 5,
    ROWS_SUMMARY = 6,
    ROWS_MODELS = 14,
    ROWS_EVENTS = 18,
    MODELS_SHARE = 6, /* one row in so many */
    EVENTS_SHARE = 8
};

const char *top_sort_name(enum top_sort s)
{
    static const char *const names[TOP_SORTS] = {"worst", "name", "in flight", "tokens",
                                                 "first token"};
    return names[s];
}

/* A frame that is being filled, from above. */
struct making {
    const json_t *status;
    const json_t *events;
    struct top_view *v;
    struct arena *a;
    struct top_frame frame;
    size_t at; /* the next line */
    struct line line;
};

static struct line *begin_line(struct making *m)
{
    line_begin(&m->line, m->v->columns, m->v->is_utf8, m->v->in_color);
    return &m->line;
}

static void end_line(struct making *m)
{
    if (m->at < m->frame.count) {
        m->frame.lines[m->at++] = (struct top_line){
            .text = arena_dup(m->a, buf_str(&m->line.out)), .width = m->line.width};
    }
    line_fini(&m->line);
}

static size_t rows_left(const struct making *m)
{
    return m->frame.count - m->at;
}

/* --- the first lines --- */

static struct str liveness(const struct making *m, const char **color)
{
    char since[32];
    *color = COLOR_YELLOW;
    if (m->v->problem.len > 0) {
        *color = COLOR_RED;
        status_table_duration(m->v->problem_since_s, since, sizeof(since));
        return arena_printf(m->a, "no answer since %.*s (%s)", STR_FMT(m->v->clock), since);
    }
    if (m->v->is_paused) {
        return arena_printf(m->a, "paused at %.*s", STR_FMT(m->v->clock));
    }
    *color = "";
    return m->v->clock;
}

static struct str title(const struct making *m)
{
    char uptime[32];
    double connections = top_number(m->status, "connections");
    status_table_duration(top_number(m->status, "uptime_s"), uptime, sizeof(uptime));
    return arena_printf(m->a, "fallthrough %.*s at %.*s, up %s, %.0f connection%s%s",
                        STR_FMT(admin_text(m->status, "version", m->a)), STR_FMT(m->v->gateway),
                        uptime, connections, connections > 0.5 && connections < 1.5 ? "" : "s",
                        json_is_true(json_object_get(m->status, "draining")) ? ", draining"
                                                                             : "");
}

/* How it lives stands on the right, and keeps its place. */
static void put_title(struct making *m)
{
    const char *color = "";
    struct line *l = begin_line(m);
    struct str right = liveness(m, &color);
    size_t width = cells_width(right, m->v->is_utf8);
    size_t left = width + 1 < m->v->columns ? m->v->columns - width - 1 : 0;
    if (left > 0) {
        line_cell(l, &(struct cell){.text = title(m), .width = left});
        line_put(l, STR(" "), "");
    }
    line_put(l, right, color);
    end_line(m);
}

static double sum(const json_t *status, const char *key)
{
    size_t i;
    json_t *backend;
    double all = 0;
    json_array_foreach(json_object_get(status, "backends"), i, backend)
    {
        all += top_number(backend, key);
    }
    return all;
}

static void put_summary(struct making *m)
{
    struct line *l = begin_line(m);
    top_count_states(l, m->status, m->a);
    line_put(l,
             arena_printf(m->a, "; %.0f in flight, %.1f tokens/s", sum(m->status, "in_flight"),
                          sum(m->status, "tokens_per_s")),
             "");
    end_line(m);
}

/* --- models --- */

static void put_more(struct making *m, size_t count, const char *what)
{
    struct line *l = begin_line(m);
    line_put(l, arena_printf(m->a, "%zu more %s%s", count, what, count == 1 ? "" : "s"),
             COLOR_CYAN);
    end_line(m);
}

static void put_models(struct making *m, size_t most)
{
    struct top_items all = top_models(m->status, m->a);
    size_t shown = all.count <= most ? all.count : most - 1;
    if (all.count == 0) {
        return;
    }
    top_model_titles(begin_line(m));
    end_line(m);
    for (size_t i = 0; i < shown; i++) {
        top_model_row(begin_line(m), all.at[i].object, m->a);
        end_line(m);
    }
    if (shown < all.count) {
        put_more(m, all.count - shown, "model");
    }
}

/* --- backends --- */

static void put_position(struct making *m, size_t above, size_t below)
{
    struct line *l = begin_line(m);
    line_put(l, arena_printf(m->a, "%zu more below", below), COLOR_CYAN);
    if (above > 0) {
        line_put(l, arena_printf(m->a, ", %zu above", above), COLOR_CYAN);
    }
    end_line(m);
}

static void put_backends(struct making *m, size_t rows)
{
    struct top_view *v = m->v;
    struct top_items all = top_backends(m->status, v->sort, m->a);
    if (rows == 0) {
        return;
    }
    top_backend_titles(begin_line(m));
    end_line(m);
    rows--;
    bool fits = all.count <= rows;
    v->page = fits || rows < 2 ? rows : rows - 1; /* the last one tells of the others */
    size_t most = all.count > v->page ? all.count - v->page : 0;
    v->scroll = v->scroll < most ? v->scroll : most;
    size_t end = v->scroll + v->page < all.count ? v->scroll + v->page : all.count;
    for (size_t i = v->scroll; i < end; i++) {
        top_backend_row(begin_line(m), all.at[i].object, m->a);
        end_line(m);
    }
    if (!fits && rows >= 2) {
        put_position(m, v->scroll, all.count - end);
    }
}

/* --- the last lines --- */

static void move_to(struct making *m, size_t row)
{
    while (m->at < row) {
        (void)begin_line(m);
        end_line(m);
    }
}

/* The newest at the bottom. */
static void put_events(struct making *m, size_t rows)
{
    const json_t *events = json_object_get(m->events, "events");
    size_t count = json_array_size(events);
    size_t shown = count < rows ? count : rows;
    move_to(m, m->at + rows - shown);
    for (size_t i = count - shown; i < count; i++) {
        top_event_row(begin_line(m), json_array_get(events, i), m->a);
        end_line(m);
    }
}

static void put_help(struct making *m)
{
    struct line *l = begin_line(m);
    if (m->v->problem.len > 0) {
        line_cell(l, &(struct cell){
                         .text = m->v->problem, .color = COLOR_RED, .width = m->v->columns});
    } else {
        line_put(l,
                 arena_printf(m->a, "q quit  p %s  s sort: %s  j/k scroll",
                              m->v->is_paused ? "go on" : "pause", top_sort_name(m->v->sort)),
                 "");
    }
    end_line(m);
}

struct top_frame top_frame_make(const json_t *status, const json_t *events, struct top_view *v,
                                struct arena *a)
{
    struct making m = {.status = status, .events = events, .v = v, .a = a};
    size_t rows = v->rows;
    size_t help = rows >= ROWS_HELP ? 1 : 0;
    size_t told = rows >= ROWS_EVENTS ? rows / EVENTS_SHARE : 0;
    m.frame.count = rows;
    m.frame.lines = arena_zalloc(a, sizeof(m.frame.lines[0]) * (rows + 1));
    if (rows == 0 || v->columns == 0) {
        return m.frame;
    }
    put_title(&m);
    if (rows >= ROWS_SUMMARY) {
        put_summary(&m);
    }
    if (rows >= ROWS_MODELS) {
        put_models(&m, rows / MODELS_SHARE);
    }
    put_backends(&m, rows_left(&m) - help - told);
    move_to(&m, rows - help - told);
    put_events(&m, told);
    move_to(&m, rows - help);
    if (help > 0) {
        put_help(&m);
    }
    return m.frame;
}

/* --- keys --- */

enum step {
    STEP_NONE,
    STEP_UP,
    STEP_DOWN,
    STEP_PAGE_UP,
    STEP_PAGE_DOWN,
    STEP_FIRST,
    STEP_LAST
};

/* What terminals send for keys without a character, and characters that do the same. */
static const struct {
    const char *sent;
    enum step step;
} steps[] = {{"\033[A", STEP_UP},
             {"\033OA", STEP_UP},
             {"k", STEP_UP},
             {"\033[B", STEP_DOWN},
             {"\033OB", STEP_DOWN},
             {"j", STEP_DOWN},
             {"\033[5~", STEP_PAGE_UP},
             {"\033[6~", STEP_PAGE_DOWN},
             {" ", STEP_PAGE_DOWN},
             {"\033[H", STEP_FIRST},
             {"\033OH", STEP_FIRST},
             {"g", STEP_FIRST},
             {"\033[F", STEP_LAST},
             {"\033OF", STEP_LAST},
             {"\033[1~", STEP_FIRST},
             {"\033[4~", STEP_LAST},
             {"G", STEP_LAST}};

static enum step take_step(struct str *typed)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct str sent = str_from(steps[i].sent);
        if (str_starts(*typed, sent)) {
            *typed = str_from_at(*typed, sent.len);
            return steps[i].step;
        }
    }
    return STEP_NONE;
}

static void scroll(struct top_view *v, enum step step)
{
    size_t page = v->page > 0 ? v->page : 1;
    switch (step) {
    case STEP_NONE:
        break;
    case STEP_UP:
        v->scroll -= v->scroll > 0 ? 1 : 0;
        break;
    case STEP_DOWN:
        v->scroll++; /* the next frame knows the end */
        break;
    case STEP_PAGE_UP:
        v->scroll -= v->scroll < page ? v->scroll : page;
        break;
    case STEP_PAGE_DOWN:
        v->scroll += page;
        break;
    case STEP_FIRST:
        v->scroll = 0;
        break;
    case STEP_LAST:
        v->scroll = SIZE_MAX / 2;
        break;
    }
}

bool top_view_keys(struct top_view *v, struct str typed)
{
    while (typed.len > 0) {
        enum step step = take_step(&typed);
        scroll(v, step);
        if (step != STEP_NONE) {
            continue;
        }
        char key = typed.ptr[0];
        typed = str_from_at(typed, 1);
        if (key == 'q' || key == 'Q') {
            return false;
        }
        v->is_paused = key == 'p' ? !v->is_paused : v->is_paused;
        if (key == 's') {
            v->sort = (enum top_sort)((v->sort + 1) % TOP_SORTS);
            v->scroll = 0;
        }
    }
    return true;
}
