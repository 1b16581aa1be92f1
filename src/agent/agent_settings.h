#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/gpu_judge.h"
#include "base/conf.h"
#include "base/log.h"
#include "wire/url.h"

/* The agent's configuration, read once at start (docs/agent.md). Without a file: all defaults.
 */

struct agent_settings {
    struct address listen;
    struct str token; /* empty: none */
    struct str tls_cert;
    struct str tls_key;
    uint32_t interval_ms;
    struct str nvml_library;
    struct str kmsg; /* "off": not read */
    struct str sysfs_root;
    struct str proc_root;
    struct str state; /* "off": not kept */
    uint32_t start_after_ms;
    uint32_t abandon_after_ms;
    uint32_t retry_ms;
    struct gpu_policy policy;
    uint32_t log_level; /* enum log_level */
    uint32_t log_format;
    struct str log_file;

    /* private: */
    struct arena arena;
    const struct conf_node *listen_node;
};

/* As the defaults say. agent_settings_free in any case. */
struct agent_settings *agent_settings_new(void);
void agent_settings_free(struct agent_settings **s);

/* Reads the file over the defaults. ERR_SYNTAX: `errors` says what is wrong. */
NODISCARD enum err agent_settings_load(struct agent_settings *s, struct str path,
                                       struct conf_errors *errors);

/* The root's table and those in it, for documentation and its test. */
const struct conf_table *const *agent_settings_tables(size_t *count);
