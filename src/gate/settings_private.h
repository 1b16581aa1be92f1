#pragma once

#include <stdbool.h>

#include "base/conf.h"
#include "base/conf_rows.h"
#include "gate/settings.h"

/*
 * What the parts of gate/settings share: a configuration being read. The file is read in two
 * passes: the root's own values, then backends and models, which need the file's general
 * policies first wherever those stand.
 */

enum {
    BACKENDS_MAX = 1024,
    MODELS_MAX = 1024,
    TIERS_MAX = 64,     /* of a model */
    MEMBERS_MAX = 64,   /* of a tier */
    ALIASES_MAX = 1024, /* of a model */
    LISTEN_MAX = 64,
    KEYS_MAX = 4096,
    HEADERS_MAX = 64, /* of a backend */
    NAME_MAX_BYTES = 64
};

/* The file's `retry`: what backends take over, and what models do. */
struct retry_draft {
    struct retry_policy policy; /* first: a backend's own `retry` is this alone */
    struct retry_budget_policy budget;
};

/* The file's `last_resort`: what models take over, and the size of the one cache. */
struct last_resort_draft {
    struct last_resort_policy policy; /* first: a model's own is this alone */
    size_t cache_bytes;
};

/* A tier's member and whose it is, until all servings are known. */
struct member_ref {
    struct tier_member *member;
    const struct model *model;
};

struct draft {
    struct settings s; /* first: the tables of simple values write into it */
    struct conf *conf; /* borrowed */
    const struct conf_node *listen, *admin, *keys; /* as in the file; NULL: absent */
    const struct conf_node *backends, *models;
    const struct conf_node *health, *deadlines, *retry, *breaker;
    struct degrade_policy degrade[BACKEND_TYPES];
    struct retry_budget_policy retry_budget; /* the file's, for each model */
    struct hedge_policy hedge;               /* the same */
    struct last_resort_draft last_resort;    /* the same, and the cache's size */
    bool may_panic;                          /* the same */
    struct backend *backend_array;           /* the catalog's, while it is filled */
    bool *is_used;                           /* by index: some tier has the backend */
    struct member_ref *members;              /* owned */
    size_t member_count;
    size_t member_room;
};

extern const struct conf_table HEALTH_TABLE;
extern const struct conf_table DEADLINES_TABLE;
extern const struct conf_table BREAKER_TABLE;
extern const struct conf_table RETRY_TABLE;         /* into a retry_draft */
extern const struct conf_table BACKEND_RETRY_TABLE; /* into a retry_policy */
extern const struct conf_table MODEL_RETRY_TABLE;   /* into a retry_draft */
extern const struct conf_table BUDGET_TABLE;
extern const struct conf_table HEDGE_TABLE;
extern const struct conf_table LAST_RESORT_TABLE;       /* into a last_resort_draft */
extern const struct conf_table MODEL_LAST_RESORT_TABLE; /* into a last_resort_policy */
extern const struct conf_table DEGRADE_TABLE;
extern const struct conf_table STREAMS_TABLE;
extern const struct conf_table LOAD_TABLE;
extern const struct conf_table QUEUE_TABLE;
extern const struct conf_table BACKEND_TABLE;
extern const struct conf_table BACKEND_TLS_TABLE;
extern const struct conf_table CAPABILITIES_TABLE;
extern const struct conf_table AGENT_TABLE;
extern const struct conf_table DCGM_TABLE;
extern const struct conf_table GUARD_TABLE;
extern const struct conf_table MANAGED_TABLE; /* into a managed_policy, as the next three */
extern const struct conf_table MANAGED_STOP_TABLE;
extern const struct conf_table MANAGED_BACKOFF_TABLE;
extern const struct conf_table MANAGED_GIVE_UP_TABLE;
extern const struct conf_table MODEL_TABLE;
extern const struct conf_table KEY_TABLE;
extern const struct conf_table HISTORY_TABLE;
extern const struct conf_table TRACES_TABLE; /* into what settings_traces.c has */
extern const struct conf_table ACCESS_TABLE; /* into an access_policy */
extern const struct conf_table ALERTS_TABLE;
extern const struct conf_table EMAIL_TABLE; /* into an alert_channel, as the next */
extern const struct conf_table WEBHOOK_TABLE;
extern const struct conf_table ALERT_RATE_TABLE;
extern const struct conf_table QUIET_HOURS_TABLE;

/* All tables with the root's first, for documentation and its test. */
const struct conf_table *const *settings_tables(size_t *count);

/* The built-in policies, of a type where they differ by type. */
void policy_set_streams(struct stream_policy *out);
void policy_set_defaults(enum backend_type type, struct backend *b);
void policy_set_degrade(struct degrade_policy by_type[BACKEND_TYPES]);
void policy_set_retry_budget(struct retry_budget_policy *b);
void policy_set_hedge(struct hedge_policy *h);
void policy_set_last_resort(struct last_resort_draft *l);
void policy_set_load(struct load_policy *load, struct queue_policy *queue);

/* `off`, or a mapping that switches it on. */
void policy_read_hedge(struct conf *c, const struct conf_node *n, struct hedge_policy *out);

/* `off`, or a mapping; keys left out keep what *out holds. A model's: a last_resort_policy. */
void policy_read_last_resort(struct conf *c, const struct conf_node *n,
                             struct last_resort_draft *out);
void policy_read_own_last_resort(struct conf *c, const struct conf_node *n,
                                 struct last_resort_policy *out);

/* `off`, or a mapping that takes the place of what *out holds. */
void policy_read_degrade(struct conf *c, const struct conf_node *n, struct degrade_policy *out);
/* The root's: a mapping from types to such. */
void policy_read_degrades(struct conf *c, const struct conf_node *n,
                          struct degrade_policy by_type[BACKEND_TYPES]);

/* A backend's `managed`: before its table is read, and what only all of it tells, after. */
void managed_set_defaults(struct managed_policy *m);
void managed_check(struct draft *d, const struct conf_node *n, const struct backend *b);
/* The root's `history`: a path, or a mapping. */
void history_set(struct history_policy *h);
void history_read(struct conf *c, const struct conf_node *n, struct history_policy *out);

/* The root's `traces`; and its `access_log`: a path, or a mapping. */
void traces_read(struct conf *c, const struct conf_node *n, struct trace_policy *out);
void access_log_read(struct conf *c, const struct conf_node *n, struct access_policy *out);

/* The root's `alerts`. */
void alerts_set(struct alert_policy *p);
void alerts_read(struct conf *c, const struct conf_node *n, struct alert_policy *out);

/* Its `email` and `webhook`: one channel each, which holds the defaults. */
void alert_read_email(struct conf *c, const struct conf_node *n, struct alert_channel *out);
void alert_read_webhook(struct conf *c, const struct conf_node *n, struct alert_channel *out);

/* An item of `headers`, of a backend or a webhook: name and value are judged, the value is a
 * secret. False: a mistake was noted. */
bool header_read(struct conf *c, const struct conf_item *item, struct str *value);

/* A backend's `capabilities`. */
void offer_read_capabilities(struct conf *c, const struct conf_node *n, void *into);

/* A backend's `agent`, `dcgm` and `guard`; and whether they go together. */
void teller_read_agent(struct conf *c, const struct conf_node *n, void *into);
void teller_read_dcgm(struct conf *c, const struct conf_node *n, void *into);
void teller_read_guard(struct conf *c, const struct conf_node *n, void *into);
void tellers_check(struct conf *c, const struct conf_node *backend, const struct backend *b);

/* Where a backend is, or who else is asked as one is: reads the URL under `key` into its parts;
 * `example` is for the mistake. False: a mistake was noted. */
bool backend_read_url(struct conf *c, const struct conf_node *n, const char *key,
                      const char *example, struct backend *b);

/* Its `headers`, also those of others who are asked as it is; `into`: a struct backend. */
void backend_read_headers(struct conf *c, const struct conf_node *n, void *into);

/* False when there is none of that name. */
bool type_find(struct str name, enum backend_type *out);

/* listen, admin and keys: who may come in, and whether it is safe. */
void access_read(struct draft *d);

/* Visible ASCII without spaces, as all API keys and tokens must be. */
bool access_is_visible(struct str secret);

/* Notes a mistake in one that is not, and a warning where it is short. */
void access_check_secret(struct conf *c, const struct conf_node *n, struct str secret);

void backends_read(struct draft *d);

/* After backends_read. */
void models_read(struct draft *d);

/* Notes a tier's member, which stays where it is; then, once, gives every noted member its
 * serving and fills the catalog's. */
void servings_note(struct draft *d, struct tier_member *member, const struct model *model);
void servings_make(struct draft *d);
