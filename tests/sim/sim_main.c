#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rand.h"
#include "sim_episode.h"
#include "sim_memory.h"
#include "sim_setup.h"

/*
 * sim [--seed S|random] [--exchanges N] [--failures N] [--echo PERCENT] [--only EXCHANGE] [-v]
 *
 * The real gateway (gate, llm, tiers, wire, base, and net down to its sockets) on scripted
 * clients and backends, a virtual clock and an order of events drawn from the seed. In each
 * exchange something goes wrong, most often at a random byte; each ends with a whole answer or
 * an honest error, or the run fails.
 *
 *     clients    sim_plan (what is asked, and what the model says to it), sim_client
 *     kernel     sim_loop (clock, turns), sim_conn (sockets), sim_memory (allocator)
 *     backends   sim_server, sim_fault, sim_reply (HTTP), sim_speech and sim_events (bodies),
 *                sim_tokens
 *     judges     sim_record; sim_request and sim_manners: what backends were asked;
 *                sim_reading and sim_oracle: what the client got
 *
 * Some backends repeat a half answer before they go on with it, as old servers do, and the
 * gateway has measured that. --echo lets so many percent do so unmeasured: texts are doubled.
 *
 * Exit 0 when everything held, 1 when not. Each failure is printed with the command that
 * replays it, with -v to see all that happens.
 */

enum { EPISODES_A_SETTING = 16, COMMAND_MAX = 512 };

static const uint64_t default_seed = 1;

struct options {
    const char *program;
    uint64_t seed;
    uint64_t exchanges;
    uint64_t failures; /* stops after so many */
    uint64_t echo_percent;
    bool knows_echo;
    bool has_only;
    uint64_t only;
    bool is_loud;
};

/* For whoever dies in the middle; the one thing that a signal handler may look at. */
static char replay[COMMAND_MAX];

static void say_replay(void)
{
    ssize_t ignored = write(STDERR_FILENO, replay, strlen(replay));
    (void)ignored;
}

static void on_death(int number)
{
    say_replay();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* Of the sanitizers' run time, where there is one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void set_replay(const struct options *o, uint64_t exchange)
{
    (void)snprintf(replay, sizeof(replay),
                   "replay: %s --seed %" PRIu64 " --only %" PRIu64 " -v\n", o->program, o->seed,
                   exchange);
}

static void watch_death(void)
{
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(say_replay);
        return;
    }
    (void)signal(SIGABRT, on_death);
    (void)signal(SIGSEGV, on_death);
    (void)signal(SIGBUS, on_death);
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- running --- */

static bool run_episode(const struct options *o, uint64_t number, const struct setup *setup,
                        struct episode_result *sum)
{
    sum->failure[0] = '\0';
    set_replay(o, number * EPISODE_EXCHANGES);
    episode_run(o->seed, number, setup, o->is_loud, sum);
    if (sum->failure[0] == '\0') {
        return true;
    }
    set_replay(o, sum->failed);
    printf("FAILED exchange %" PRIu64 ": %s\n       %s", sum->failed, sum->failure, replay);
    (void)fflush(stdout);
    return false;
}

static void show_sum(const struct options *o, const struct episode_result *sum, double took_s)
{
    printf("seed %" PRIu64 ": %" PRIu64 " whole (%" PRIu64 " resumed), %" PRIu64
           " errors, %" PRIu64 " broken off, %" PRIu64 " clients left, %" PRIu64
           " cut; %" PRIu64 " asks in %.1f s\n",
           o->seed, sum->whole, sum->resumed, sum->errors, sum->broken, sum->left, sum->cut,
           sum->asks, took_s);
    if (o->is_loud) {
        return;
    }
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        printf("%s %s %" PRIu64, i > 0 ? "," : "faults:", fault_name((enum fault)i),
               sum->faults[i]);
    }
    printf("\n");
}

static int run_all(const struct options *o)
{
    struct episode_result sum = {.whole = 0};
    struct setup setup = {.settings = NULL};
    uint64_t loaded = UINT64_MAX;
    uint64_t first = o->has_only ? o->only / EPISODE_EXCHANGES : 0;
    uint64_t count =
        o->has_only ? 1 : (o->exchanges + EPISODE_EXCHANGES - 1) / EPISODE_EXCHANGES;
    uint64_t failures = 0;
    double began_s = now_s();
    for (uint64_t i = first; i < first + count && failures < o->failures; i++) {
        if (i / EPISODES_A_SETTING != loaded) {
            loaded = i / EPISODES_A_SETTING;
            setup_unload(&setup);
            setup_load(&setup, o->seed, loaded, o->is_loud);
            setup.echo_percent = (uint32_t)o->echo_percent;
            setup.knows_echo = o->knows_echo;
        }
        failures += run_episode(o, i, &setup, &sum) ? 0 : 1;
    }
    setup_unload(&setup);
    show_sum(o, &sum, now_s() - began_s);
    return failures > 0 ? 1 : 0;
}

/* --- options --- */

static bool read_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = text ? strtoull(text, &end, 10) : 0;
    return text && end != text && *end == '\0';
}

static bool read_seed(const char *text, uint64_t *out)
{
    if (text && strcmp(text, "random") == 0) {
        struct rand r;
        rand_seed(&r);
        *out = r.state >> 16; /* shorter to write down */
        return true;
    }
    return read_number(text, out);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "-v") == 0) {
            o->is_loud = true;
            continue;
        }
        bool is_fine = false;
        if (strcmp(argv[i], "--seed") == 0) {
            is_fine = read_seed(value, &o->seed);
        } else if (strcmp(argv[i], "--exchanges") == 0) {
            is_fine = read_number(value, &o->exchanges);
        } else if (strcmp(argv[i], "--failures") == 0) {
            is_fine = read_number(value, &o->failures);
        } else if (strcmp(argv[i], "--echo") == 0) {
            is_fine = read_number(value, &o->echo_percent);
            o->knows_echo = false;
        } else if (strcmp(argv[i], "--only") == 0) {
            is_fine = read_number(value, &o->only);
            o->has_only = true;
        }
        if (!is_fine) {
            return false;
        }
        i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {.program = argv[0],
                        .seed = default_seed,
                        .exchanges = 2000,
                        .failures = 10,
                        .echo_percent = 20,
                        .knows_echo = true};
    sim_memory_start();
    if (!read_options(argc, argv, &o)) {
        (void)fprintf(
            stderr,
            "usage: sim [--seed S|random] [--exchanges N] [--failures N] [--echo PERCENT] "
            "[--only EXCHANGE] [-v]\n");
        return 2;
    }
    if (log_open(STR("stderr"), o.is_loud ? LOG_DEBUG : LOG_OFF, LOG_LOGFMT) != ERR_OK) {
        return 1;
    }
    printf("sim: seed %" PRIu64 "\n", o.seed);
    (void)fflush(stdout);
    watch_death();
    return run_all(&o);
}
