#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "llm/ollama.h"
#include "llm/openai.h"
#include "quotes.h"
#include "wire/json.h"

/* For the tests of the seam: three kinds of servers that say a given text in their way. */

enum spelling { SPELLS_RAW, SPELLS_ASCII, SPELLS_SLASHED, SPELLINGS };

/* Between quotes, as this kind of server escapes it. */
static inline struct str spell(struct arena *a, struct str text, enum spelling how)
{
    struct str raw = json_quote(a, text);
    char *out = arena_alloc(a, raw.len * 6);
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        if (how == SPELLS_SLASHED && c == '/') {
            len += (size_t)sprintf(out + len, "\\/");
        } else if (how != SPELLS_ASCII || c < 0x80) {
            out[len++] = (char)c;
        } else {
            size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
            uint32_t code = c & (0x3fU >> more);
            for (size_t k = 0; k < more; k++) {
                code = code << 6 | ((unsigned char)raw.ptr[++i] & 0x3f);
            }
            if (code >= 0x10000) {
                code -= 0x10000;
                len += (size_t)sprintf(out + len, "\\u%04x", 0xd800 + (code >> 10));
                code = 0xdc00 + (code & 0x3ff);
            }
            len += (size_t)sprintf(out + len, "\\u%04X", code);
        }
    }
    return str_of(out, len);
}

struct server {
    const struct dialect *dialect;
    struct arena *arena;
    enum spelling spelling;
    int number; /* of the attempt: in its id */
};

/* vLLM tells its fingerprint at the end only. */
static inline const char *print_of(const struct server *s)
{
    return s->dialect == &dialect_llamacpp ? ",'system_fingerprint':'b1'" : "";
}

#define CHUNK "{'id':'%d','object':'chat.completion.chunk','created':%d,'model':'m%d',"

static inline struct str server_role(const struct server *s)
{
    bool is_vllm = s->dialect == &dialect_vllm;
    if (s->dialect == &dialect_ollama) {
        return STR_NONE;
    }
    struct str text =
        arena_printf(s->arena,
                     CHUNK "'choices':[{'index':0,'delta':{'role':'assistant','content':%s},"
                           "'logprobs':null,'finish_reason':null}]%s}",
                     s->number, s->number, s->number, is_vllm ? "''" : "null", print_of(s));
    return quotes(s->arena, text.ptr);
}

/* One piece of text; `is_last` puts the finish reason with it where the server does so. */
static inline struct str server_piece(const struct server *s, struct str text, bool is_last)
{
    struct str spelled = spell(s->arena, text, s->spelling);
    struct str line = arena_printf(
        s->arena,
        "{'model':'m%d','created_at':'x','message':{'role':'assistant','content':", s->number);
    struct str chunk =
        arena_printf(s->arena, CHUNK "'choices':[{'index':0,'delta':{'content':", s->number,
                     s->number, s->number);
    struct str end =
        is_last && s->dialect == &dialect_vllm
            ? STR("},'logprobs':null,'finish_reason':'stop'}],'system_fingerprint':'v'}")
            : arena_printf(s->arena, "},'finish_reason':null}]%s}", print_of(s));
    bool is_ollama = s->dialect == &dialect_ollama;
    struct str head = quotes(s->arena, is_ollama ? line.ptr : chunk.ptr);
    struct str tail = quotes(s->arena, is_ollama ? "},'done':false}" : end.ptr);
    return arena_printf(s->arena, "%.*s%.*s%.*s", STR_FMT(head), STR_FMT(spelled),
                        STR_FMT(tail));
}

static inline struct str server_finish(const struct server *s)
{
    struct str text = arena_printf(
        s->arena, CHUNK "'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]%s}",
        s->number, s->number, s->number, print_of(s));
    bool is_separate = s->dialect == &dialect_llamacpp;
    return is_separate ? quotes(s->arena, text.ptr) : STR_NONE;
}

static inline struct str server_usage(const struct server *s, uint64_t prompt, uint64_t made)
{
    bool is_ollama = s->dialect == &dialect_ollama;
    struct str text =
        is_ollama
            ? arena_printf(s->arena,
                           "{'model':'m%d','message':{'content':''},'done':true,'done_reason':"
                           "'stop','prompt_eval_count':%d,'eval_count':%d}",
                           s->number, (int)prompt, (int)made)
            : arena_printf(s->arena,
                           CHUNK "'choices':[],'usage':{'prompt_tokens':%d,"
                                 "'completion_tokens':%d,'total_tokens':%d}%s}",
                           s->number, s->number, s->number, (int)prompt, (int)made,
                           (int)(prompt + made), print_of(s));
    return quotes(s->arena, text.ptr);
}
