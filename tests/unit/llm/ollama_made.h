#pragma once

#include "llm/ollama.h"
#include "llm/ollama_doc.h"
#include "llm/ollama_request.h"

/* For the tests of requests to Ollama. */

#define MADE_DIALECT dialect_ollama
#define MADE_MODEL "llama3"
#define MADE_DOC OLLAMA_DOC
#include "translation.h"

#define HEAD "{'model':'llama3','stream':true,'messages':"
#define HI_OUT HEAD "[{'role':'user','content':'Hi'}]"
