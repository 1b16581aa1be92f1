#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/dialect.h"

/*
 * What a server says that one of its models can take, where its list of models (llm/model_list)
 * does not: llama.cpp's `GET /props`, Ollama's `POST /api/show`. Neither costs anything or
 * loads a model. Pure.
 */

enum told { TOLD_NOTHING, TOLD_NO, TOLD_YES };

struct model_offer {
    uint32_t context;    /* tokens; 0: not told */
    uint32_t embeddings; /* width of its vectors; 0: not told */
    enum told tools;
    enum told vision;
};

/* Where this kind of server tells it, behind the backend's path prefix; NULL: nowhere. */
const char *model_offer_path(const struct dialect *d);

/* What is to be posted there; empty: it is a GET, about all models. Lives as long as the arena.
 */
struct str model_offer_body(const struct dialect *d, struct str model, struct arena *a);

/* ERR_TYPE and what json_check says: the body is not what it should be. */
NODISCARD enum err model_offer_read(const struct dialect *d, struct str body,
                                    struct model_offer *out);

/* A number of tokens or dimensions that can be believed; 0 for anything else. */
uint32_t model_offer_number(struct str value);
