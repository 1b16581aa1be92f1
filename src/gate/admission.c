#include "gate/admission.h"

#include "base/hash.h"
#include "wire/http_entry.h"
#include "wire/json.h"

#define PRIORITY_HEADER "x-fallthrough-priority"

static struct str offered_key(const struct http_request *q)
{
    struct str key;
    return http_bearer(q, &key) ? key : http_find(q->header, q->header_count, "x-api-key");
}

const struct client_key *admission_key(const struct settings *s, const struct http_request *q)
{
    struct str key = offered_key(q);
    const struct client_key *found = NULL;
    for (size_t i = 0; i < s->key_count; i++) {
        found = str_eq_secret(s->keys[i].key, key) ? &s->keys[i] : found;
    }
    return found;
}

struct str admission_name(const struct settings *s, const struct http_request *q)
{
    const struct client_key *key = admission_key(s, q);
    return key ? key->name : STR_NONE;
}

/* --- priority --- */

static bool find_priority(struct str word, enum priority *out)
{
    static const struct {
        struct str word;
        enum priority priority;
    } WORDS[] = {{STR_INIT("high"), PRIORITY_HIGH},
                 {STR_INIT("normal"), PRIORITY_NORMAL},
                 {STR_INIT("low"), PRIORITY_LOW}};
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (str_eq_nocase(word, WORDS[i].word)) {
            *out = WORDS[i].priority;
            return true;
        }
    }
    return false;
}

/* Who asks for more than his key allows gets what it allows. Keys are looked at only where that
 * can matter. */
static enum priority allow(const struct settings *s, const struct http_request *q,
                           enum priority asked)
{
    bool matters = asked == PRIORITY_HIGH || s->has_low_keys;
    const struct client_key *key = matters ? admission_key(s, q) : NULL;
    return key && key->priority > asked ? key->priority : asked;
}

static bool read_priority(struct exchange *x, const struct http_request *q,
                          struct client_error *e)
{
    struct str word = http_find(q->header, q->header_count, PRIORITY_HEADER);
    enum priority asked = PRIORITY_NORMAL;
    if (word.len > 0 && !find_priority(word, &asked)) {
        *e = (struct client_error){
            .status = 400,
            .type = "invalid_request_error",
            .code = "invalid_priority",
            .param = STR(PRIORITY_HEADER),
            .message = STR("The header " PRIORITY_HEADER " must be high, normal or low.")};
        return false;
    }
    x->priority = allow(x->worker->gateway->settings, q, asked);
    return true;
}

/* --- affinity --- */

static struct str session_of(const struct exchange *x, const struct http_request *q,
                             struct arena *a)
{
    struct str user = STR("");
    struct str named = http_find(q->header, q->header_count, x->model->load.session_header.ptr);
    if (named.len > 0) {
        return named;
    }
    enum err e = json_text(json_get(x->request.body, "user"), a, &user);
    return e == ERR_OK ? user : STR("");
}

/* Only a hash under a key of this process is kept. */
static void read_affinity(struct exchange *x, const struct http_request *q)
{
    const struct load_policy *load = &x->model->load;
    struct str text = STR("");
    if (load->kind == LOAD_PREFIX) {
        text = chat_request_beginning(&x->request, load->prefix_bytes);
    } else if (load->kind == LOAD_SESSION) {
        text = session_of(x, q, &x->arena);
    }
    x->has_affinity = text.len > 0;
    if (x->has_affinity) {
        x->affinity = hash_text(&x->worker->gateway->hash_key, text);
    }
}

bool admission_read(struct exchange *x, struct client_error *e)
{
    const struct http_request *q = http_conn_request(x->client);
    read_affinity(x, q);
    return read_priority(x, q, e);
}
