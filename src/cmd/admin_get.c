#include "cmd/admin_get.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/escape.h"
#include "cmd/options.h"
#include "cmd/server_error.h"

enum { TIMEOUT_MS = 10000 };

struct str admin_text(const json_t *object, const char *key, struct arena *a)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        return STR("");
    }
    return escape_text(a, str_of(json_string_value(value), json_string_length(value)), "");
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '.' || c == '_' || c == '~';
}

struct str admin_encode(const char *text, struct arena *a)
{
    struct str plain = str_from(text);
    char *out = arena_alloc(a, plain.len * 3 + 1);
    size_t len = 0;
    for (size_t i = 0; i < plain.len; i++) {
        if (is_unreserved(plain.ptr[i])) {
            out[len++] = plain.ptr[i];
        } else {
            len += (size_t)snprintf(out + len, 4, "%%%02X", (unsigned char)plain.ptr[i]);
        }
    }
    return str_of(out, len);
}

static int fail_unreachable(const char *command, struct str url, const struct fetched *out)
{
    (void)fprintf(stderr, "fallthrough %s: cannot reach the gateway's admin port at %.*s: %s\n",
                  command, STR_FMT(url), out->why);
    return CMD_UNREACHABLE;
}

static int fail_status(const char *command, struct str url, struct fetched *out)
{
    struct str said = server_error_text(out->body, &out->arena);
    bool is_token = out->status == 401;
    (void)fprintf(stderr, "fallthrough %s: %.*s (%d from %.*s)%s\n", command,
                  STR_FMT(said.len > 0 ? said : STR("no answer that could be used")),
                  out->status, STR_FMT(url),
                  is_token ? "; the token is read from FALLTHROUGH_ADMIN_TOKEN" : "");
    return CMD_FAILED;
}

/* `url`: of the request, for messages. */
static int judge(const char *command, struct str url, enum err e, struct fetched *out,
                 json_t **json)
{
    if (e != ERR_OK && out->status == 0) {
        return fail_unreachable(command, url, out);
    }
    if (e != ERR_OK) {
        (void)fprintf(stderr, "fallthrough %s: %.*s: %s\n", command, STR_FMT(url), out->why);
        return CMD_FAILED;
    }
    if (out->status != 200) {
        return fail_status(command, url, out);
    }
    *json = json_loadb(out->body.ptr, out->body.len, 0, NULL);
    if (!json_is_object(*json)) {
        json_decref(*json);
        *json = NULL;
        (void)fprintf(stderr,
                      "fallthrough %s: %.*s did not answer with a JSON object; is it the admin "
                      "port of a gateway?\n",
                      command, STR_FMT(url));
        return CMD_FAILED;
    }
    return CMD_FINE;
}

bool admin_conf(const char *command, const char *admin, struct str target,
                struct fetch_conf *conf)
{
    const char *token = getenv("FALLTHROUGH_ADMIN_TOKEN");
    const char *why = "";
    *conf = (struct fetch_conf){.method = "GET",
                                .target = target,
                                .bearer = str_from(token ? token : ""),
                                .timeout_ms = TIMEOUT_MS};
    admin = admin ? admin : "http://127.0.0.1:8401";
    if (url_parse(str_from(admin), &conf->url, &why) == ERR_OK) {
        return true;
    }
    struct arena a;
    arena_init(&a);
    struct str shown = escape_text(&a, str_from(admin), "");
    (void)fprintf(stderr, "fallthrough %s: --admin '%.*s' is not a usable URL: %s\n", command,
                  STR_FMT(shown), why);
    arena_fini(&a);
    return false;
}

static struct str shown_url(const struct fetch_conf *conf, struct arena *a)
{
    return arena_printf(a, "%.*s%.*s%.*s", STR_FMT(fetch_origin(&conf->url, a)),
                        STR_FMT(conf->url.path), STR_FMT(conf->target));
}

struct str admin_origin(const struct fetch_conf *conf, struct arena *a)
{
    return arena_printf(a, "%.*s%.*s", STR_FMT(fetch_origin(&conf->url, a)),
                        STR_FMT(conf->url.path));
}

/* By which command, and by which method. */
struct asking {
    const char *command;
    const char *method;
};

static int ask(struct asking by, const char *admin, struct str target, struct fetched *out,
               json_t **json)
{
    struct fetch_conf conf;
    const char *command = by.command;
    *json = NULL;
    *out = (struct fetched){.status = 0};
    arena_init(&out->arena);
    if (!admin_conf(command, admin, target, &conf)) {
        return CMD_USAGE;
    }
    arena_fini(&out->arena);
    if (strcmp(by.method, "POST") == 0) {
        conf.method = by.method;
        conf.extra = STR("X-Fallthrough-Action: 1\r\nContent-Length: 0\r\n");
    }
    enum err e = fetch(&conf, out);
    return judge(command, shown_url(&conf, &out->arena), e, out, json);
}

int admin_get(const char *command, const char *admin, struct str target, struct fetched *out,
              json_t **json)
{
    return ask((struct asking){command, "GET"}, admin, target, out, json);
}

int admin_post(const char *command, const char *admin, struct str target, struct fetched *out,
               json_t **json)
{
    return ask((struct asking){command, "POST"}, admin, target, out, json);
}

/* Whose pieces go to the caller once the head says that it is what was asked for. */
struct stream {
    struct fetched *out;
    bool (*on_piece)(void *owner, struct str piece);
    void *owner;
};

static bool pass_piece(void *owner, struct str piece)
{
    const struct stream *s = owner;
    return s->out->status == 200 && s->on_piece(s->owner, piece);
}

int admin_stream(const char *command, const char *admin, struct str target,
                 bool (*on_piece)(void *owner, struct str piece), void *owner)
{
    struct fetch_conf conf;
    struct fetched out;
    struct stream s = {.out = &out, .on_piece = on_piece, .owner = owner};
    int code = CMD_FINE;
    if (!admin_conf(command, admin, target, &conf)) {
        return CMD_USAGE;
    }
    conf.timeout_ms = UINT32_MAX; /* it has no end of its own */
    conf.on_piece = pass_piece;
    conf.owner = &s;
    enum err e = fetch(&conf, &out);
    if (e != ERR_OK && out.status == 0) {
        code = CMD_UNREACHABLE;
    } else if (out.status != 200) {
        code = fail_status(command, shown_url(&conf, &out.arena), &out);
    }
    fetched_fini(&out);
    return code;
}

void admin_print_body(const struct fetched *out)
{
    (void)fwrite(out->body.ptr, 1, out->body.len, stdout);
    (void)putchar('\n');
}
