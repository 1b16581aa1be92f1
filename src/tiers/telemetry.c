#include "tiers/telemetry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* --- words --- */

static const char *const counsel_words[] = {[COUNSEL_NONE] = "none",
                                            [COUNSEL_SPARE] = "spare",
                                            [COUNSEL_CHECK] = "check",
                                            [COUNSEL_DRAIN] = "drain",
                                            [COUNSEL_CUT] = "cut"};

const char *counsel_name(enum counsel c)
{
    CHECK((unsigned)c <= COUNSEL_CUT);
    return counsel_words[c];
}

/* The agent's words for what it advises. */
static const struct {
    struct str word;
    enum counsel counsel;
} advices[] = {
    {STR_INIT("serve"), COUNSEL_NONE},      {STR_INIT("no_promote"), COUNSEL_SPARE},
    {STR_INIT("check_app"), COUNSEL_CHECK}, {STR_INIT("drain"), COUNSEL_DRAIN},
    {STR_INIT("cut"), COUNSEL_CUT},
};

/* What a state allows, and what it means where no advice is given. */
static const struct {
    const char *name;
    enum counsel least, usual, most;
} healths[GPU_HEALTHS] = {
    [GPUS_UNKNOWN] = {"unknown", COUNSEL_NONE, COUNSEL_NONE, COUNSEL_NONE},
    [GPUS_HEALTHY] = {"HEALTHY", COUNSEL_NONE, COUNSEL_NONE, COUNSEL_NONE},
    [GPUS_DEGRADED] = {"DEGRADED", COUNSEL_NONE, COUNSEL_SPARE, COUNSEL_DRAIN},
    [GPUS_DOWN] = {"DOWN", COUNSEL_DRAIN, COUNSEL_DRAIN, COUNSEL_CUT},
};

const char *gpu_health_name(enum gpu_health h)
{
    CHECK((unsigned)h < GPU_HEALTHS);
    return healths[h].name;
}

static const struct {
    const char *name;
    enum counsel counsel;
    bool is_starting;
} guard_words[GUARD_WORDS] = {
    [GUARD_SAYS_UNKNOWN] = {"unknown", COUNSEL_NONE, false},
    [GUARD_SAYS_READY] = {"READY", COUNSEL_NONE, false},
    [GUARD_SAYS_STARTING] = {"STARTING", COUNSEL_DRAIN, true},
    [GUARD_SAYS_LOADING] = {"LOADING", COUNSEL_DRAIN, true},
    [GUARD_SAYS_STOPPING] = {"STOPPING", COUNSEL_DRAIN, false},
    [GUARD_SAYS_RESTARTING] = {"RESTARTING", COUNSEL_DRAIN, false},
    [GUARD_SAYS_NEEDS_RESET] = {"NEEDS_RESET", COUNSEL_DRAIN, false},
    [GUARD_SAYS_GAVE_UP] = {"GAVE_UP", COUNSEL_DRAIN, false},
    [GUARD_SAYS_UNKILLABLE] = {"UNKILLABLE", COUNSEL_DRAIN, false},
};

const char *guard_word_name(enum guard_word w)
{
    CHECK((unsigned)w < GUARD_WORDS);
    return guard_words[w].name;
}

enum guard_word guard_word_find(struct str name)
{
    for (unsigned i = GUARD_SAYS_UNKNOWN + 1; i < GUARD_WORDS; i++) {
        if (str_eq(name, str_from(guard_words[i].name))) {
            return (enum guard_word)i;
        }
    }
    return GUARD_SAYS_UNKNOWN;
}

/* Into room of `size`: cut, and nothing in it that a terminal or a log could take amiss. */
static void put_text(char *room, size_t size, struct str text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    for (size_t i = 0; i < len; i++) {
        room[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
    }
    room[len] = '\0';
}

/* --- what they mean --- */

static enum gpu_health find_health(struct str state)
{
    for (unsigned i = GPUS_HEALTHY; i < GPU_HEALTHS; i++) {
        if (str_eq(state, str_from(healths[i].name))) {
            return (enum gpu_health)i;
        }
    }
    return GPUS_UNKNOWN;
}

static enum counsel find_counsel(struct str advice, enum gpu_health h)
{
    enum counsel c = healths[h].usual;
    for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
        c = str_eq(advice, advices[i].word) ? advices[i].counsel : c;
    }
    c = c > healths[h].least ? c : healths[h].least;
    return c < healths[h].most ? c : healths[h].most;
}

bool gpu_news_take(struct gpu_news *n, const struct gpu_line *line)
{
    enum gpu_health health = find_health(line->state);
    enum counsel counsel = find_counsel(line->advice, health);
    bool is_worse = counsel > n->counsel || (counsel == n->counsel && health > n->health);
    if (health != GPUS_UNKNOWN && is_worse) {
        n->health = health > n->health ? health : n->health;
        n->counsel = counsel;
        put_text(n->reason, sizeof(n->reason), line->reason);
        put_text(n->why, sizeof(n->why), line->why);
    } else if (health > n->health) {
        n->health = health;
    }
    return health != GPUS_UNKNOWN;
}

void guard_news_set(struct guard_news *n, enum guard_word word, struct str why)
{
    n->word = word;
    put_text(n->why, sizeof(n->why), why);
}

struct advice telemetry_advice(const struct gpu_news *gpu, const struct guard_news *guard)
{
    enum counsel of_guard = guard_words[guard->word].counsel;
    return (struct advice){.counsel = gpu->counsel > of_guard ? gpu->counsel : of_guard,
                           .is_starting = guard_words[guard->word].is_starting};
}

/* --- the book --- */

struct page {
    pthread_mutex_t lock;
    struct telemetry_view view; /* under lock */
};

struct telemetry {
    size_t count;
    struct page *pages; /* one a backend */
};

struct telemetry *telemetry_new(const struct catalog *c)
{
    struct telemetry *t = mem_alloc(sizeof(*t));
    t->count = c->backend_count;
    t->pages = mem_alloc(sizeof(t->pages[0]) * (t->count + 1));
    for (size_t i = 0; i < t->count; i++) {
        CHECK(pthread_mutex_init(&t->pages[i].lock, NULL) == 0);
    }
    return t;
}

void telemetry_free(struct telemetry **t)
{
    struct telemetry *gone = *t;
    *t = NULL;
    for (size_t i = 0; i < gone->count; i++) {
        CHECK(pthread_mutex_destroy(&gone->pages[i].lock) == 0);
    }
    free(gone->pages);
    free(gone);
}

static struct page *open_page(const struct telemetry *t, uint32_t backend)
{
    CHECK(backend < t->count);
    CHECK(pthread_mutex_lock(&t->pages[backend].lock) == 0);
    return &t->pages[backend];
}

static void close_page(struct page *p)
{
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

void telemetry_read(const struct telemetry *t, uint32_t backend, struct telemetry_view *out)
{
    struct page *p = open_page(t, backend);
    *out = p->view;
    close_page(p);
}

bool telemetry_set_gpu(struct telemetry *t, uint32_t backend, const struct gpu_news *n,
                       uint64_t now_ms)
{
    struct page *p = open_page(t, backend);
    struct gpu_news *was = &p->view.gpu;
    bool is_news = was->health != n->health || was->counsel != n->counsel ||
                   strcmp(was->reason, n->reason) != 0;
    *was = *n;
    p->view.gpu_since_ms = is_news ? now_ms : p->view.gpu_since_ms;
    close_page(p);
    return is_news;
}

bool telemetry_set_guard(struct telemetry *t, uint32_t backend, const struct guard_news *n,
                         uint64_t now_ms)
{
    struct page *p = open_page(t, backend);
    bool is_news = p->view.guard.word != n->word;
    p->view.guard = *n;
    p->view.guard_since_ms = is_news ? now_ms : p->view.guard_since_ms;
    close_page(p);
    return is_news;
}
