#include "llm/refusal.h"

enum { PARAM_MAX = 160 };

static enum err fill(struct bad_request *bad, const char *code, struct str param,
                     struct str message)
{
    *bad = (struct bad_request){.status = 400,
                                .type = "invalid_request_error",
                                .code = code,
                                .message = message,
                                .param = param};
    return ERR_UNSUPPORTED;
}

/* A member may be named by the empty string, and an empty param would say that there is none.
 */
static struct str show_param(struct arena *a, struct str param)
{
    struct str cut = str_of(param.ptr, param.len > PARAM_MAX ? PARAM_MAX : param.len);
    return cut.len > 0 ? arena_dup(a, cut) : STR("\"\"");
}

enum err refusal_make(struct arena *a, const struct refusal *r, struct bad_request *bad)
{
    struct str name = show_param(a, r->param);
    return fill(bad, "unsupported_parameter", name,
                arena_printf(a, "Backends of type %s cannot express '%.*s': %s.", r->type,
                             STR_FMT(name), r->why));
}

enum err refusal_mistyped(struct arena *a, struct str param, const char *must_be,
                          struct bad_request *bad)
{
    struct str name = show_param(a, param);
    return fill(bad, "invalid_type", name,
                arena_printf(a, "'%.*s' must be %s.", STR_FMT(name), must_be));
}
