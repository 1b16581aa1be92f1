#include "llm/ollama.h"

#include "llm/ollama_reply.h"
#include "llm/ollama_request.h"

const struct dialect dialect_ollama = {
    .name = "ollama",
    .chat_path = "/api/chat",
    .probe_path = "/api/version",
    .models_path = "/api/ps",
    .lists_loaded = true,
    .framing = REPLY_NDJSON,
    .always_streams = true,
    .can_continue = true,
    .build = ollama_build,
    .read_event = ollama_read_line,
    .read_error = ollama_read_error,
};
