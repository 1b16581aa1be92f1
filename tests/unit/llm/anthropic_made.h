#pragma once

#include "llm/anthropic.h"
#include "llm/anthropic_doc.h"
#include "llm/anthropic_request.h"

/* For the tests of requests to Anthropic. */

#define MADE_DIALECT dialect_anthropic
#define MADE_MODEL "claude"
#define MADE_DOC ANTHROPIC_DOC
#include "translation.h"

#define HEAD_MAX(max) "{'model':'claude','max_tokens':" max ",'stream':true"
#define HEAD HEAD_MAX("4096")
#define TEXT(text) "{'type':'text','text':" text "}"
#define USER(blocks) "{'role':'user','content':[" blocks "]}"
#define ASSISTANT(blocks) "{'role':'assistant','content':[" blocks "]}"
#define HI_TAIL ",'messages':[" USER(TEXT("'Hi'")) "]}"
#define HI_OUT HEAD HI_TAIL
#define TOOL_OUT "{'name':'now','input_schema':{'type':'object','properties':{}}}"
