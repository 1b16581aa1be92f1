#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/chat_request.h"
#include "llm/stencil.h"
#include "wire/json_edit.h"

/*
 * How one kind of backend is spoken to and understood. Everything is told in OpenAI's terms: a
 * request is a chat_request, a reply is a row of chat.completion.chunk objects or one
 * chat.completion. Pure.
 */

/* What must differ from the client's request. */
struct chat_edit {
    struct str model; /* the backend's name for it */
    bool set_max_tokens;
    uint64_t max_tokens;
    bool set_temperature;
    double temperature;
    bool stream;     /* ask the backend for a stream, whatever the client asked for */
    bool want_usage; /* ask for usage at the end of the stream */
    /* What the assistant has said already (between the quotes of a JSON string): the answer is
     * to go on right behind it. Empty: a fresh request. Only where the dialect can. */
    struct str partial;
    uint64_t spent; /* completion tokens used up by that: limits are lowered by it */
};

enum reply_framing { REPLY_SSE, REPLY_NDJSON };

/* An error object of a backend, for judgement; its text goes to the client for client errors
 * only. */
struct upstream_error {
    struct str message;
    struct str type;
    struct str param;
    struct str code; /* as text, also when it was a number */
    int status;      /* HTTP status in `code` (400 … 599), or 0 */
    uint32_t n_ctx;  /* llama.cpp: the context that was too short; 0: not told */
};

/* Whether it says that the request does not fit the model's context: servers say so with 400,
 * in words of their own (reference: OpenAI "context_length_exceeded", llama.cpp
 * "exceed_context_size_error", vLLM "maximum context length", Anthropic "prompt is too long").
 */
bool upstream_error_is_context(const struct upstream_error *e);

/* How long that context is, where it says so; 0: it does not. */
uint32_t upstream_error_context(const struct upstream_error *e);

/* One event of a backend's stream, understood. Slices live until the next reply_* call on it or
 * as long as the payload. */
struct reply_event {
    bool has_content;  /* text, reasoning, refusal, a tool call: progress. Role-only and empty
                          deltas are not */
    bool has_finish;   /* some choice got an accepted finish_reason with this event */
    bool all_finished; /* every choice asked for has one by now */
    bool has_usage;
    bool is_done;       /* [DONE], done:true handled: the stream says that it is over */
    bool is_error;      /* an error object: `error` tells */
    bool is_abort;      /* finish_reason that means failure: abort, error */
    bool has_tool_call; /* pieces of calls are in `chunk`; of choice 0 */
    bool has_reasoning; /* of choice 0 */
    bool has_unkept;    /* a refusal, audio, content that is no text, a call of the old form,
                           anything of another choice */
    bool has_other;     /* some of these three */
    /* Of choice 0, what stands between the quotes, escapes and all; a slice of the payload, or
     * of nothing when no chunk is passed on. An empty content with a pointer was there and
     * empty. */
    struct str content;
    struct str reasoning;
    uint64_t prompt_tokens; /* with has_usage; 0: not told */
    uint64_t completion_tokens;
    struct upstream_error error;
    struct str chunk; /* OpenAI chunk (JSON) for the client; empty: nothing to pass on (error,
                         abort) */
    struct str
        usage_chunk;  /* a further chunk to send after it (choices: [], usage), or empty */
    bool is_verbatim; /* chunk is the payload itself, so the raw event may go out as it came */
    bool is_alike;    /* it differs from the event before only in its content or reasoning */
    /* By tool_hold.h: */
    bool is_held;          /* progress, but nothing that the client gets yet */
    struct str tool_chunk; /* a chunk to send before `chunk`: calls that are complete */
    struct str calls;      /* for each call in it "name\targuments\n", both canonical */
    uint64_t call_pieces;  /* of which they were made */
};

/* State of understanding one attempt's reply. */
struct reply {
    const struct dialect *dialect;
    struct arena scratch;      /* for one event; emptied at the next */
    uint32_t choices;          /* asked for, or more when the backend sends more */
    uint32_t finished;         /* choices that have a finish_reason */
    struct stencil stencil;    /* of the last chunk that held nothing but text */
    bool stencil_is_reasoning; /* that text */
    bool any_tool_calls;
    bool include_usage; /* the client wants the usage chunk */
    bool role_sent;
    bool has_usage;
    uint64_t finished_set[CHAT_CHOICES_MAX / 64]; /* which ones, a bit for each index */
    struct arena *arena; /* for ids and names: lives as long as the attempt */
    struct str id;       /* translated dialects: chunk id, chosen by us */
    uint64_t created;    /* translated dialects: Unix seconds */
    uint32_t tool_calls_sent;
    uint64_t prompt_tokens; /* from usage, 0 when not told */
    uint64_t completion_tokens;
    /* Anthropic's, which tells some things at the beginning only */
    struct str model; /* as JSON text */
    uint64_t input_tokens;
    uint64_t cache_written_tokens;
    uint64_t cache_read_tokens;
    bool is_in_call;       /* the open block is a tool call */
    struct str call_input; /* its arguments, should no piece of them come */
};

/* A header that each request of a dialect has; a configured one of that name takes its place.
 */
struct dialect_header {
    struct str name; /* empty: none */
    struct str value;
};

struct dialect {
    const char *name;
    const char *chat_path;   /* behind the backend's path prefix */
    const char *probe_path;  /* GET, cheap, costs nothing */
    const char *models_path; /* GET, costs nothing: llm/model_list reads it; NULL: not asked */
    const char
        *count_path; /* POST, costs the engine nothing: llm/token_count asks; NULL: none */
    const char *count_text; /* its member that holds a text */
    bool counts_messages;   /* it also takes a conversation */
    const char *key_header; /* for the API key; NULL: as Authorization: Bearer */
    struct dialect_header fixed_header;
    bool lists_loaded; /* it lists only the models that are in memory */
    enum reply_framing framing;
    bool always_streams; /* also for clients that did not ask: plain replies are not read */
    bool can_continue;   /* knows how to ask for chat_edit.partial to be continued */
    bool trims_partial;  /* without the white space at its end, which comes again (SEAM_TAIL) */

    /* The request body as pieces (slices of the client's body where possible); *out is begun
     * anew. ERR_UNSUPPORTED with *bad filled when the request cannot be expressed (param names
     * the field). */
    enum err (*build)(const struct chat_request *q, const struct chat_edit *ed, struct arena *a,
                      struct rope *out, struct bad_request *bad);

    /* One event's payload. ERR_OK, or a JSON error (ERR_SYNTAX …) when it is not what it should
     * be. */
    enum err (*read_event)(struct reply *r, struct str payload, struct reply_event *ev);

    /* A whole error body (status not 200, or a 200 that holds an error). False: not understood.
     */
    bool (*read_error)(struct str body, struct arena *a, struct upstream_error *out);
};

/* By name: "vllm", "llamacpp", "openai", "ollama", "anthropic"; NULL for others. */
const struct dialect *dialect_find(struct str name);

/* `id` is used by dialects that must make one (copied into the arena); so is `created`, which
 * the caller sets afterwards. */
void reply_init(struct reply *r, const struct dialect *d, const struct chat_request *q,
                struct arena *a, struct str id);
void reply_fini(struct reply *r);

NODISCARD enum err reply_read_event(struct reply *r, struct str payload,
                                    struct reply_event *ev);

/* What a plain (not streamed) reply of an OpenAI-shaped backend is. */
enum whole_kind {
    WHOLE_ANSWER,   /* chat.completion, every choice with an accepted finish_reason */
    WHOLE_ERROR,    /* an error object; *error tells */
    WHOLE_ABORTED,  /* finish_reason that means failure */
    WHOLE_NOT_JSON, /* not JSON at all (HTML …) */
    WHOLE_WRONG     /* JSON, but no answer: no choices, null, cut */
};

/* Judges it and reads its usage into r. Only for dialects that do not always stream. The texts
 * in *error live as long as body, or until the next reply_* call. */
enum whole_kind reply_read_whole(struct reply *r, struct str body,
                                 struct upstream_error *error);
