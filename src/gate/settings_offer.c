#include "gate/settings_private.h"
#include "tiers/fit.h"

/*
 * What a backend can take: its `capabilities`. A key that is not given leaves it to be learnt,
 * which is another thing than `false`.
 */

struct capabilities {
    bool can[FEATURES]; /* as the rows below */
    uint32_t embeddings;
};

enum { WIDTH_MAX = 1 << 20 };

static const enum feature features[FEATURES] = {FEATURE_TOOLS, FEATURE_VISION,
                                                FEATURE_JSON_SCHEMA, FEATURE_LOGPROBS};

static const struct conf_row CAPABILITIES_ROWS[] = {
    {.name = "tools",
     .type = CONF_BOOL,
     CONF_FIELD(struct capabilities, can[0]),
     .help = "it takes requests with tools"},
    {.name = "vision",
     .type = CONF_BOOL,
     CONF_FIELD(struct capabilities, can[1]),
     .help = "it takes images in messages"},
    {.name = "json_schema",
     .type = CONF_BOOL,
     CONF_FIELD(struct capabilities, can[2]),
     .help = "its answers can be held to a JSON schema"},
    {.name = "logprobs",
     .type = CONF_BOOL,
     CONF_FIELD(struct capabilities, can[3]),
     .help = "it tells the probabilities of tokens"},
    {.name = "embeddings",
     .type = CONF_INTEGER,
     CONF_FIELD(struct capabilities, embeddings),
     .min = 1,
     .max = WIDTH_MAX,
     .help = "width of its embedding vectors"},
};
const struct conf_table CAPABILITIES_TABLE = {.what = "a backend's 'capabilities'",
                                              CONF_ROWS(CAPABILITIES_ROWS)};

void offer_read_capabilities(struct conf *c, const struct conf_node *n, void *into)
{
    struct backend *b = into;
    struct capabilities read = {.embeddings = 0};
    uint64_t given = conf_read_map(c, n, &CAPABILITIES_TABLE, &read);
    for (size_t i = 0; i < FEATURES; i++) {
        bool is_given = (given >> i & 1) != 0;
        b->offer.known |= is_given ? (uint32_t)features[i] : 0;
        b->offer.can |= is_given && read.can[i] ? (uint32_t)features[i] : 0;
    }
    b->offer.embeddings = read.embeddings;
}
