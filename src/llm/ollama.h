#pragma once

#include "llm/dialect.h"

/*
 * Ollama natively: a chat request becomes a POST /api/chat body, its NDJSON lines become OpenAI
 * chunks. What cannot be expressed is refused with 400; docs/ollama.md lists every field. Pure.
 */

extern const struct dialect dialect_ollama;
