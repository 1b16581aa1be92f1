#include "cmd/explain_cmd.h"

#include "cmd/admin_get.h"
#include "cmd/operands.h"
#include "cmd/status_table.h"

struct explain_options {
    bool json;
    const char *admin;
    const char *tokens; /* NULL: none */
    const char *needs;  /* likewise */
};

static const struct option_row OPTIONS[] = {
    OPTION_JSON(struct explain_options, json),
    OPTION_ADMIN(struct explain_options, admin),
    {.name = "tokens",
     .value = "N",
     .offset = offsetof(struct explain_options, tokens),
     .help = "of a request that needs room for so many"},
    {.name = "needs",
     .value = "LIST",
     .offset = offsetof(struct explain_options, needs),
     .help = "and any of tools,vision,json_schema,logprobs"}};

const struct command EXPLAIN_COMMAND = {
    .name = "explain",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Tells which backend the next request would get and why not the others.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_explain,
};

/* "/explain?model=NAME&tokens=N&needs=LIST", the values percent-encoded. */
static struct str make_target(const char *model, const struct explain_options *o,
                              struct arena *a)
{
    struct str target = arena_printf(a, "/explain?model=%.*s", STR_FMT(admin_encode(model, a)));
    if (o->tokens) {
        target = arena_printf(a, "%.*s&tokens=%.*s", STR_FMT(target),
                              STR_FMT(admin_encode(o->tokens, a)));
    }
    if (o->needs) {
        target = arena_printf(a, "%.*s&needs=%.*s", STR_FMT(target),
                              STR_FMT(admin_encode(o->needs, a)));
    }
    return target;
}

static void print_next(const json_t *explained, struct arena *a)
{
    struct str model = admin_text(explained, "model", a);
    struct str asked = admin_text(explained, "asked", a);
    const char *separator = "";
    size_t i;
    json_t *backend;
    (void)fputs("next: ", stdout);
    json_array_foreach(json_object_get(explained, "backends"), i, backend)
    {
        if (str_eq(admin_text(backend, "verdict", a), STR("next"))) {
            (void)printf("%s%.*s", separator, STR_FMT(admin_text(backend, "name", a)));
            separator = " or ";
        }
    }
    if (json_is_true(json_object_get(explained, "waits"))) {
        (void)printf("none at once, all slots are taken: it waits (%lld before it)",
                     json_integer_value(json_object_get(explained, "waiting")));
    } else if (separator[0] == '\0') {
        (void)fputs("none, no backend can serve this model now", stdout);
        (void)fputs(json_is_true(json_object_get(explained, "panic"))
                        ? "; the least bad is tried about once a second"
                        : "",
                    stdout);
    }
    if (!str_eq(model, asked)) {
        (void)printf(" (model %.*s)", STR_FMT(model));
    }
    (void)putchar('\n');
}

static void print_other(const json_t *backend, struct arena *a)
{
    char until[32];
    const json_t *until_s = json_object_get(backend, "until_s");
    (void)printf("not %.*s (tier %lld): %.*s", STR_FMT(admin_text(backend, "name", a)),
                 json_integer_value(json_object_get(backend, "tier")),
                 STR_FMT(admin_text(backend, "why", a)));
    if (json_is_number(until_s)) {
        status_table_duration(json_number_value(until_s), until, sizeof(until));
        (void)printf("; for another %s", until);
    }
    (void)putchar('\n');
}

/* "12s" of a number of seconds, "?" where it is none. */
static struct str duration(const json_t *seconds, struct arena *a)
{
    char out[32] = "?";
    if (json_is_number(seconds)) {
        status_table_duration(json_number_value(seconds), out, sizeof(out));
    }
    return arena_dup(a, str_from(out));
}

static void print_verdict(const json_t *verdict, struct arena *a)
{
    const json_t *status = json_object_get(verdict, "status");
    json_int_t times = json_integer_value(json_object_get(verdict, "times"));
    (void)printf("  %.*s ago: %.*s", STR_FMT(duration(json_object_get(verdict, "ago_s"), a)),
                 STR_FMT(admin_text(verdict, "verdict", a)));
    if (json_is_integer(status)) {
        (void)printf(" (%lld)", json_integer_value(status));
    }
    (void)printf(" with %.*s, %.*s", STR_FMT(admin_text(verdict, "model", a)),
                 STR_FMT(admin_text(verdict, "then", a)));
    if (json_is_true(json_object_get(verdict, "trial"))) {
        (void)fputs(", a trial", stdout);
    }
    if (times > 1) {
        (void)printf(", %lld times", times);
    }
    (void)putchar('\n');
}

/* How the backend is judged, since when, and what it did last. A gateway that is older than
 * this command does not say. */
static void print_judgement(const json_t *backend, struct arena *a)
{
    const json_t *held_s = json_object_get(backend, "held_for_s");
    size_t i;
    json_t *verdict;
    if (!json_is_string(json_object_get(backend, "state"))) {
        return;
    }
    (void)printf("%.*s: %.*s (%.*s) for %.*s; breaker %.*s, %lld%% of its requests",
                 STR_FMT(admin_text(backend, "name", a)),
                 STR_FMT(admin_text(backend, "state", a)),
                 STR_FMT(admin_text(backend, "reason", a)),
                 STR_FMT(duration(json_object_get(backend, "for_s"), a)),
                 STR_FMT(admin_text(backend, "breaker", a)),
                 json_integer_value(json_object_get(backend, "share")));
    if (json_number_value(held_s) > 0) {
        (void)printf("; held for %.*s", STR_FMT(duration(held_s, a)));
    }
    (void)putchar('\n');
    json_array_foreach(json_object_get(backend, "verdicts"), i, verdict)
    {
        print_verdict(verdict, a);
    }
}

static void print(const json_t *explained)
{
    struct arena a;
    size_t i;
    json_t *backend;
    arena_init(&a);
    print_next(explained, &a);
    json_array_foreach(json_object_get(explained, "backends"), i, backend)
    {
        if (!str_eq(admin_text(backend, "verdict", &a), STR("next"))) {
            print_other(backend, &a);
        }
    }
    json_array_foreach(json_object_get(explained, "backends"), i, backend)
    {
        print_judgement(backend, &a);
    }
    arena_fini(&a);
}

static int explain(const char *model, const struct explain_options *o)
{
    struct fetched got;
    struct arena a;
    json_t *explained = NULL;
    arena_init(&a);
    int code = admin_get("explain", o->admin, make_target(model, o, &a), &got, &explained);
    if (code == CMD_FINE && o->json) {
        admin_print_body(&got);
    } else if (code == CMD_FINE) {
        print(explained);
    }
    json_decref(explained);
    fetched_fini(&got);
    arena_fini(&a);
    return code;
}

int cmd_explain(int argc, char **argv)
{
    struct explain_options o = {.json = false};
    int first = 0;
    operands_last(&EXPLAIN_COMMAND, argc, argv);
    int code = options_read(&EXPLAIN_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return explain(argv[first], &o);
}
