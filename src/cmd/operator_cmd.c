#include "cmd/operator_cmd.h"

#include <time.h>

#include "base/clock.h"
#include "base/conf_value.h"
#include "cmd/admin_get.h"
#include "cmd/operands.h"
#include "cmd/progress.h"

/* Whoever picked the backend just before the word has begun when it was looked at twice. */
enum { LOOK_MS = 250, LOOKS_EMPTY = 2, WAIT_DEFAULT_MS = 600000 };

struct operator_options {
    bool wait;
    bool json;
    const char *timeout;
    const char *admin;
};

static const struct option_row OPTIONS[] = {
    {.name = "wait",
     .offset = offsetof(struct operator_options, wait),
     .help = "wait until no answer runs there any more"},
    {.name = "timeout",
     .value = "TIME",
     .offset = offsetof(struct operator_options, timeout),
     .help = "how long to wait, as in 90s or 10m (default: 10m)"},
    OPTION_JSON(struct operator_options, json),
    OPTION_ADMIN(struct operator_options, admin)};

enum { WAITING = 2 /* options that only drain and disable have */ };

const struct command DRAIN_COMMAND = {
    .name = "drain",
    .operands = "BACKEND…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Gives a backend nothing new; what runs there may end there.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_drain,
};

const struct command DISABLE_COMMAND = {
    .name = "disable",
    .operands = "BACKEND…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Gives a backend nothing new, and takes away at once what runs there.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_disable,
};

const struct command ENABLE_COMMAND = {
    .name = "enable",
    .operands = "BACKEND…",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Takes drain and disable back.",
    .options = OPTIONS + WAITING,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]) - WAITING,
    .run = cmd_enable,
};

/* A word that is being given. */
struct giving {
    const struct command *command;
    const struct operator_options *o;
    char **names;
    size_t count;
    json_t *answers; /* one for each name that took it */
    uint32_t wait_ms;
    struct arena arena;
};

/* --- giving it --- */

static int give_one(struct giving *g, const char *name)
{
    struct fetched got;
    json_t *answer = NULL;
    struct str target = arena_printf(&g->arena, "/backends/%.*s/%s",
                                     STR_FMT(admin_encode(name, &g->arena)), g->command->name);
    int code = admin_post(g->command->name, g->o->admin, target, &got, &answer);
    if (code == CMD_FINE) {
        (void)json_array_append(g->answers, answer);
    }
    json_decref(answer);
    fetched_fini(&got);
    return code;
}

/* A name that is none does not keep the word from the others; a gateway that is away does. */
static int give_all(struct giving *g)
{
    int worst = CMD_FINE;
    for (size_t i = 0; i < g->count && worst != CMD_UNREACHABLE && worst != CMD_USAGE; i++) {
        int code = give_one(g, g->names[i]);
        worst = code != CMD_FINE ? code : worst;
    }
    return worst;
}

/* --- waiting --- */

static json_t *find_named(const json_t *objects, const json_t *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(objects, i, one)
    {
        if (json_equal(json_object_get(one, "name"), name)) {
            return one;
        }
    }
    return NULL;
}

/* What is left to wait for. */
struct left {
    json_int_t in_flight;
    size_t backends;
    struct str taken_back; /* a backend that somebody has enabled meanwhile, or that is gone */
};

/* Takes in how the backends stand now. */
static struct left look_at(struct giving *g, const json_t *status)
{
    size_t i;
    json_t *answer;
    struct left left = {.in_flight = 0};
    json_array_foreach(g->answers, i, answer)
    {
        json_t *now =
            find_named(json_object_get(status, "backends"), json_object_get(answer, "name"));
        if (!json_is_string(json_object_get(now, "operator"))) {
            left.taken_back = admin_text(answer, "name", &g->arena);
            continue;
        }
        json_int_t in_flight = json_integer_value(json_object_get(now, "in_flight"));
        left.in_flight += in_flight;
        left.backends += in_flight > 0 ? 1 : 0;
        (void)json_object_set(answer, "state", json_object_get(now, "state"));
        (void)json_object_set(answer, "operator", json_object_get(now, "operator"));
        (void)json_object_set(answer, "in_flight", json_object_get(now, "in_flight"));
    }
    return left;
}

static int look(struct giving *g, struct left *left)
{
    struct fetched got;
    json_t *status = NULL;
    int code = admin_get(g->command->name, g->o->admin, STR("/status"), &got, &status);
    if (code == CMD_FINE) {
        *left = look_at(g, status);
    }
    json_decref(status);
    fetched_fini(&got);
    return code;
}

static void tell(struct giving *g, struct progress *p, const struct left *left)
{
    char took[32];
    progress_took(p, took, sizeof(took));
    progress_tell(p, arena_printf(&g->arena, "%s: %lld in flight at %zu backend%s, %s so far",
                                  g->command->name, left->in_flight, left->backends,
                                  left->backends == 1 ? "" : "s", took));
}

static int give_up(const struct giving *g, struct progress *p, const struct left *left)
{
    progress_clear(p);
    if (left->taken_back.len > 0) {
        (void)fprintf(stderr, "fallthrough %s: %.*s was enabled meanwhile\n", g->command->name,
                      STR_FMT(left->taken_back));
    } else {
        (void)fprintf(stderr, "fallthrough %s: %lld still in flight\n", g->command->name,
                      left->in_flight);
    }
    return CMD_FAILED;
}

static int wait_for_end(struct giving *g)
{
    struct progress p;
    struct left left = {.in_flight = 0};
    unsigned empty = 0;
    progress_begin(&p);
    uint64_t due_ms = clock_mono_ms() + g->wait_ms;
    for (;;) {
        int code = look(g, &left);
        empty = left.in_flight == 0 ? empty + 1 : 0;
        if (code != CMD_FINE || left.taken_back.len > 0) {
            progress_clear(&p);
            return code != CMD_FINE ? code : give_up(g, &p, &left);
        }
        if (empty >= LOOKS_EMPTY) {
            progress_clear(&p);
            return CMD_FINE;
        }
        if (clock_mono_ms() >= due_ms) {
            return give_up(g, &p, &left);
        }
        tell(g, &p, &left);
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
}

/* --- telling --- */

static void print_answer(const json_t *answer, struct arena *a)
{
    json_int_t in_flight = json_integer_value(json_object_get(answer, "in_flight"));
    bool is_news = json_is_true(json_object_get(answer, "changed"));
    (void)printf("%.*s: %.*s%s", STR_FMT(admin_text(answer, "name", a)),
                 STR_FMT(admin_text(answer, "state", a)), is_news ? "" : ", as it was already");
    if (json_is_string(json_object_get(answer, "operator"))) {
        (void)printf(", %lld in flight", in_flight);
    }
    (void)putchar('\n');
}

static void print_answers(struct giving *g)
{
    size_t i;
    json_t *answer;
    if (g->o->json) {
        json_t *all = json_pack("{s:O}", "backends", g->answers);
        (void)json_dumpf(all, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(all);
        return;
    }
    json_array_foreach(g->answers, i, answer)
    {
        print_answer(answer, &g->arena);
    }
}

/* --- the commands --- */

static int give(struct giving *g)
{
    uint64_t wait_ms = WAIT_DEFAULT_MS;
    if (g->o->timeout &&
        (conf_duration(str_from(g->o->timeout), &wait_ms) != ERR_OK || wait_ms > UINT32_MAX)) {
        (void)fprintf(stderr, "fallthrough %s: --timeout takes a time such as 90s or 10m\n",
                      g->command->name);
        return CMD_USAGE;
    }
    g->wait_ms = (uint32_t)wait_ms;
    int code = give_all(g);
    if (code == CMD_FINE && g->o->wait) {
        code = wait_for_end(g);
    }
    if (json_array_size(g->answers) > 0) {
        print_answers(g);
    }
    return code;
}

static int command(const struct command *c, int argc, char **argv)
{
    struct operator_options o = {.wait = false};
    int first = 0;
    operands_last(c, argc, argv);
    int code = options_read(c, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    struct giving g = {.command = c,
                       .o = &o,
                       .names = argv + first,
                       .count = (size_t)(argc - first),
                       .answers = json_array()};
    arena_init(&g.arena);
    code = give(&g);
    arena_fini(&g.arena);
    json_decref(g.answers);
    return code;
}

int cmd_drain(int argc, char **argv)
{
    return command(&DRAIN_COMMAND, argc, argv);
}

int cmd_enable(int argc, char **argv)
{
    return command(&ENABLE_COMMAND, argc, argv);
}

int cmd_disable(int argc, char **argv)
{
    return command(&DISABLE_COMMAND, argc, argv);
}
