#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * One chat.completion from a row of chunks, for clients that did not ask for a stream while the
 * backend was asked for one: content, reasoning (under the name it came by), refusal, tool
 * calls (pieces joined by index), logprobs, finish reasons, usage, system_fingerprint, and what
 * we do not know. Numbers and strings stay as the backend wrote them: text is joined in its
 * escaped form, no tree is built. Pure.
 */

enum { ASSEMBLY_MAX = 32 * 1024 * 1024 }; /* bytes of text altogether */

struct assembly;

struct assembly *assembly_new(void);
struct assembly *assembly_new_within(size_t max); /* a smaller ASSEMBLY_MAX of its own */
void assembly_free(struct assembly **as);

/* Adds one chat.completion.chunk (checked JSON). ERR_TYPE when its shape is not one;
 * ERR_TOO_LARGE over its maximum, or when it names more members or tool calls than an answer
 * can have. After an error the assembly is good for assembly_free only. */
NODISCARD enum err assembly_add(struct assembly *as, struct str chunk);

/*
 * A chunk that differs from the last one that was added in nothing but its text, a piece of
 * content or reasoning, which is `text` as it stands between its quotes: what the whole chunk
 * would add, without reading it. Only while assembly_may_repeat; else it must be added whole.
 */
NODISCARD enum err assembly_add_text(struct assembly *as, struct str text);

/* The last chunk added one text, and nothing else that would have to be added again. */
bool assembly_may_repeat(const struct assembly *as);

/* The chat.completion object; lives as long as the arena. Call once every choice has finished.
 */
struct str assembly_json(struct assembly *as, struct arena *a);
