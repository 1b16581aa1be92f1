#include "llm/ollama_refuse.h"

#include "llm/refusal.h"

enum err ollama_refuse(struct arena *a, struct str param, const char *why,
                       struct bad_request *bad)
{
    return refusal_make(a, &(struct refusal){.type = "ollama", .param = param, .why = why},
                        bad);
}

enum err ollama_mistyped(struct arena *a, struct str param, const char *must_be,
                         struct bad_request *bad)
{
    return refusal_mistyped(a, param, must_be, bad);
}
