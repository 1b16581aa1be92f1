#include "guard/hooks.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "guard/process.h"

enum { VARIABLES = 4 };

static const char *name_of(enum guard_hook hook)
{
    switch (hook) {
    case HOOK_DOWN:
        return "down";
    case HOOK_NEEDS_RESET:
        return "needs_reset";
    case HOOK_GAVE_UP:
        return "gave_up";
    case HOOK_COUNT:
        break;
    }
    BUG("no such hook");
}

static char *variable(struct arena *a, const char *name, const char *value)
{
    struct str text = arena_printf(a, "FALLTHROUGH_%s=%s", name, value);
    char *out = arena_alloc(a, text.len + 1);
    memcpy(out, text.ptr, text.len + 1);
    return out;
}

void hooks_start(struct hooks *h, const struct guard_settings *s, const struct hook_news *news,
                 uint64_t now_ms)
{
    const struct words *command = &s->hook[news->hook];
    struct arena a;
    int why = 0;
    pid_t pid = -1;
    if (command->count == 0 || h->count == HOOKS_AT_ONCE) {
        return;
    }
    arena_init(&a);
    char *env[VARIABLES + 1] = {
        variable(&a, "EVENT", name_of(news->hook)),
        variable(&a, "REASON", news->reason),
        variable(&a, "CAUSE", news->cause),
        variable(&a, "BACKEND", arena_dup(&a, s->origin).ptr),
        NULL,
    };
    struct process_conf conf = {.argv = command->word,
                                .env = env,
                                .cgroup_fd = -1,
                                .out_fd = STDERR_FILENO,
                                .err_fd = STDERR_FILENO};
    if (process_start(&conf, &pid, &why) == ERR_OK) {
        h->run[h->count++] =
            (struct hook_run){.pid = pid, .due_ms = now_ms + HOOK_LIMIT_MS, .hook = news->hook};
    } else {
        log_error("a hook cannot be run", LOG_TEXT("hook", name_of(news->hook)),
                  LOG_TEXT("command", command->word[0]), LOG_TEXT("reason", strerror(why)));
    }
    arena_fini(&a);
}

bool hooks_on_exit(struct hooks *h, pid_t pid, int wait_status)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->run[i].pid == pid) {
            bool is_fine = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
            LOG_AT(is_fine ? LOG_INFO : LOG_WARN, "a hook has ended",
                   LOG_TEXT("hook", name_of(h->run[i].hook)),
                   LOG_NUM("wait_status", wait_status), LOG_DONE);
            h->run[i] = h->run[--h->count];
            return true;
        }
    }
    return false;
}

void hooks_on_tick(struct hooks *h, uint64_t now_ms)
{
    for (size_t i = 0; i < h->count; i++) {
        if (now_ms >= h->run[i].due_ms) {
            (void)kill(-h->run[i].pid, SIGKILL);
            (void)kill(h->run[i].pid, SIGKILL);
        }
    }
}

size_t hooks_pids(const struct hooks *h, pid_t *out)
{
    for (size_t i = 0; i < h->count; i++) {
        out[i] = h->run[i].pid;
    }
    return h->count;
}
