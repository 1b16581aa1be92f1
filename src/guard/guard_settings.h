#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "guard/plan.h"
#include "wire/url.h"

/*
 * The guard's configuration: a file of its own (docs/guard.md), and what the command line says
 * instead. Read once; then nobody changes it.
 */

/* Words of a command: ends with NULL. */
struct words {
    char **word;
    size_t count;
};

enum guard_hook { HOOK_DOWN, HOOK_NEEDS_RESET, HOOK_GAVE_UP, HOOK_COUNT };

struct guard_settings {
    struct words command;
    struct words *on_oom; /* what each step adds to the command, the earlier ones kept */
    size_t on_oom_count;
    struct words hook[HOOK_COUNT]; /* empty: none */

    struct str type;    /* "vllm", "llamacpp", "ollama", "openai" */
    struct str origin;  /* as written; for people */
    struct url url;     /* of the API: its path is the prefix of /v1/… */
    struct url health;  /* answers 200 when well */
    struct str model;   /* empty: the first that the server lists */
    struct str api_key; /* empty: none */
    bool wants_token;   /* READY only after one */

    bool has_listen;
    struct address listen;
    struct str token; /* for GET /guard; empty: loopback only */

    uint32_t interval_ms;
    uint32_t health_ms; /* an answer may take */
    uint32_t hang_ms;
    uint32_t probe_ms;
    struct plan_policy plan;

    bool has_agent;
    struct url agent;
    struct str agent_token;
    struct str *gpus; /* UUIDs; none: all */
    size_t gpu_count;
    uint64_t gpu_wait_ms;  /* for memory of ours to come back */
    uint64_t needs_memory; /* bytes that some GPU must have free before a start; 0: any */

    int parent_fd; /* a socket to who has started us (guard/parent); -1: none */

    struct str cgroup; /* auto, off or a path */
    enum log_level log_level;
    enum log_format log_format;

    struct arena arena; /* private: all texts */
};

/* The command line's words, each NULL where it says nothing. */
struct guard_overrides {
    const char *url;
    const char *health;
    const char *type;
    const char *model;
    const char *listen;
    const char *agent;
    const char *start_timeout;
    const char *hang_after;
    const char *cgroup;
    const char *parent;
    char **command; /* ends with NULL */
};

enum { GUARD_WHY_MAX = 256 };

/* `path` NULL: no file. ERR_SYNTAX: `errors` tells what is wrong with the file. ERR_RANGE:
 * `why` tells what is wrong with the command line, or missing. The overrides must outlive *out.
 */
NODISCARD enum err guard_settings_load(const char *path, const struct guard_overrides *o,
                                       struct conf_errors *errors, struct guard_settings **out,
                                       char why[GUARD_WHY_MAX]);
void guard_settings_free(struct guard_settings **s);
