#include "tiers/incidents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tiers/signs.h"

struct subject {
    struct str name;     /* the catalog's */
    bool is_backend;     /* else a model */
    uint64_t incident;   /* 0: none is open */
    uint64_t opened_ms;  /* of the open one, as all below but the signs */
    uint64_t changed_ms; /* the last bad or new thing */
    uint64_t changed_wall_ms;
    uint64_t events;
    char cause[EVENT_CAUSE]; /* how it began */
    struct signs signs;      /* of a backend */
};

struct incidents {
    const struct catalog *catalog; /* borrowed */
    uint32_t settle_ms;
    uint64_t last;            /* number given out */
    struct subject *subjects; /* the backends, then the models */
    size_t count;
};

struct incidents *incidents_new(const struct catalog *c, uint32_t settle_ms)
{
    struct incidents *i = mem_alloc(sizeof(*i));
    i->catalog = c;
    i->settle_ms = settle_ms;
    i->count = c->backend_count + c->model_count;
    i->subjects = mem_alloc(sizeof(i->subjects[0]) * (i->count + 1));
    for (size_t k = 0; k < i->count; k++) {
        bool is_backend = k < c->backend_count;
        i->subjects[k].is_backend = is_backend;
        i->subjects[k].name =
            is_backend ? c->backends[k].name : c->models[k - c->backend_count].name;
    }
    return i;
}

void incidents_free(struct incidents **i)
{
    struct incidents *gone = *i;
    *i = NULL;
    if (gone) {
        free(gone->subjects);
        free(gone);
    }
}

/* Names in events are cut as event_put cuts them. */
static bool is_named(struct str name, const char *in_event)
{
    char cut[EVENT_NAME];
    if (in_event[0] == '\0') {
        return false;
    }
    EVENT_PUT(cut, name);
    return strcmp(cut, in_event) == 0;
}

static struct subject *find(const struct incidents *i, bool is_backend, const char *name)
{
    for (size_t k = 0; k < i->count; k++) {
        struct subject *s = &i->subjects[k];
        if (s->is_backend == is_backend && is_named(s->name, name)) {
            return s;
        }
    }
    return NULL;
}

static void consider(const struct incidents *i, const struct tier *t, struct subject **oldest)
{
    for (size_t k = 0; k < t->member_count; k++) {
        struct subject *s = &i->subjects[t->members[k].backend->index];
        if (s->incident != 0 && (!*oldest || s->incident < (*oldest)->incident)) {
            *oldest = s;
        }
    }
}

/* Of the model's backends the one with the oldest open incident; NULL: none has any. */
static struct subject *find_cause(const struct incidents *i, const struct subject *model)
{
    size_t index = (size_t)(model - i->subjects) - i->catalog->backend_count;
    const struct model *m = &i->catalog->models[index];
    struct subject *oldest = NULL;
    for (size_t t = 0; t < m->tier_count; t++) {
        consider(i, &m->tiers[t], &oldest);
    }
    return oldest;
}

static struct subject *of_model(const struct incidents *i, const struct event *e)
{
    struct subject *model = find(i, false, e->model);
    struct subject *cause = model && model->incident == 0 ? find_cause(i, model) : NULL;
    return cause ? cause : model;
}

/* Whose story it is; NULL: nobody's. */
static struct subject *subject_of(const struct incidents *i, const struct event *e)
{
    struct subject *backend = find(i, true, e->backend);
    if (!backend) {
        return of_model(i, e);
    }
    if (backend->incident == 0 && e->severity == SEVERITY_INFO) {
        struct subject *model = of_model(i, e);
        return model && model->incident != 0 ? model : backend;
    }
    return backend;
}

static void open_incident(struct incidents *i, struct subject *s, const struct event *e)
{
    s->incident = ++i->last;
    s->opened_ms = e->mono_ms;
    s->events = 0;
    EVENT_PUT(s->cause, str_from(e->cause[0] != '\0' ? e->cause : e->word));
}

void incidents_take(struct incidents *i, struct event *e)
{
    struct subject *s = subject_of(i, e);
    bool is_bad = e->severity != SEVERITY_INFO;
    if (!s) {
        return;
    }
    bool is_change = (s->is_backend && signs_take(&s->signs, e)) || is_bad;
    if (is_bad && s->incident == 0) {
        open_incident(i, s, e);
    }
    if (s->incident == 0) {
        return;
    }
    e->incident = s->incident;
    s->events += e->times;
    if (is_change) {
        s->changed_ms = e->mono_ms;
        s->changed_wall_ms = e->wall_ms;
    }
}

static bool is_waiting(const struct subject *s)
{
    return s->incident != 0 && signs_are_good(&s->signs);
}

static void end_incident(struct subject *s, struct event *out)
{
    char since[25];
    clock_format(s->changed_wall_ms, since);
    EVENT_PUT(s->is_backend ? out->backend : out->model, s->name);
    EVENT_PUT(out->word, str_from(since));
    EVENT_PUT(out->cause, str_from(s->cause));
    out->incident = s->incident;
    out->numbers[0] = (int64_t)(s->changed_ms - s->opened_ms);
    out->numbers[1] = (int64_t)s->events;
    s->incident = 0;
}

bool incidents_close(struct incidents *i, uint64_t wall_ms, uint64_t now_ms, struct event *out)
{
    for (size_t k = 0; k < i->count; k++) {
        struct subject *s = &i->subjects[k];
        if (is_waiting(s) && now_ms >= s->changed_ms + i->settle_ms) {
            *out = event_of(EVENT_KIND_closed, wall_ms, now_ms);
            end_incident(s, out);
            return true;
        }
    }
    return false;
}

uint64_t incidents_due_ms(const struct incidents *i)
{
    uint64_t due_ms = UINT64_MAX;
    for (size_t k = 0; k < i->count; k++) {
        const struct subject *s = &i->subjects[k];
        if (is_waiting(s) && s->changed_ms + i->settle_ms < due_ms) {
            due_ms = s->changed_ms + i->settle_ms;
        }
    }
    return due_ms;
}

uint32_t incidents_open(const struct incidents *i)
{
    uint32_t open = 0;
    for (size_t k = 0; k < i->count; k++) {
        open += i->subjects[k].incident != 0 ? 1 : 0;
    }
    return open;
}
