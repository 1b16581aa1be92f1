#include "wire/http_fields.h"

#include "wire/http_chars.h"

enum err http_refuse(struct http_fault *fault, int status, const char *why)
{
    *fault = (struct http_fault){.status = status, .why = why};
    return ERR_SYNTAX;
}

enum err http_take_version(struct str *rest, int *minor, struct http_fault *fault)
{
    enum { LEN = sizeof("HTTP/1.1") - 1 };
    const char *v = rest->ptr;
    if (!str_starts(*rest, STR("HTTP/")) || rest->len < LEN || !http_is(v[5], HTTP_DIGIT) ||
        v[6] != '.' || !http_is(v[7], HTTP_DIGIT)) {
        return http_refuse(fault, 400, "HTTP version is missing or malformed");
    }
    if (v[5] != '1') {
        return http_refuse(fault, 505, "HTTP version is not 1.x");
    }
    *minor = v[7] - '0';
    *rest = str_from_at(*rest, LEN);
    return ERR_OK;
}

enum err http_take_line_end(struct str *rest, struct http_fault *fault)
{
    if (http_take(rest, '\r')) {
        return http_take(rest, '\n') ? ERR_OK : http_refuse(fault, 400, "bare CR in the head");
    }
    if (rest->len == 0) {
        return http_refuse(fault, 400, "head is cut");
    }
    return http_refuse(fault, 400,
                       rest->ptr[0] == '\n' ? "bare LF in the head"
                                            : "forbidden byte in the head");
}

static enum err take_name(struct str *rest, struct http_header *h, struct http_fault *fault)
{
    size_t len = http_class_span(*rest, HTTP_TOKEN);
    h->name = str_of(rest->ptr, len);
    *rest = str_from_at(*rest, len);
    if (len > 0 && http_take(rest, ':')) {
        return ERR_OK;
    }
    if (len == 0 && rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == '\t')) {
        return http_refuse(fault, 400, "header line starts with white space");
    }
    return http_refuse(fault, 400, "header name is malformed");
}

static enum err take_value(struct str *rest, struct http_header *h, struct http_fault *fault)
{
    size_t len = http_text_span(*rest);
    h->value = str_trim(str_of(rest->ptr, len));
    *rest = str_from_at(*rest, len);
    return http_take_line_end(rest, fault);
}

enum err http_fields_split(struct str rest, struct http_header *header, size_t *count,
                           struct http_fault *fault)
{
    enum err e = ERR_OK;
    size_t n = 0;
    while (rest.len > 0 && rest.ptr[0] != '\r' && rest.ptr[0] != '\n') {
        if (n == HTTP_HEADERS_MAX) {
            return http_refuse(fault, 431, "too many headers");
        }
        e = take_name(&rest, &header[n], fault);
        if (e == ERR_OK) {
            e = take_value(&rest, &header[n], fault);
        }
        if (e != ERR_OK) {
            return e;
        }
        n++;
    }
    e = http_take_line_end(&rest, fault);
    if (e == ERR_OK && rest.len > 0) {
        return http_refuse(fault, 400, "bytes behind the head");
    }
    *count = n;
    return e;
}

static enum err note_length(struct http_facts *f, struct str value, struct http_fault *fault)
{
    if (f->has_length) {
        return http_refuse(fault, 400, "Content-Length is given twice");
    }
    f->has_length = true;
    /* Half the range, so that no sum of two lengths overflows. */
    if (str_to_u64(value, INT64_MAX, &f->length) != ERR_OK) {
        return http_refuse(fault, 400, "Content-Length is malformed");
    }
    return ERR_OK;
}

/* 501 for a well-formed list of codings that we do not know; 400 for what is malformed, for
 * `chunked` with parameters and for `chunked` before the end. */
static int judge_codings(struct str list)
{
    bool is_last = false;
    while (!is_last) {
        is_last = list.len == 0 || !memchr(list.ptr, ',', list.len);
        struct str coding = str_trim(str_cut(&list, ','));
        struct str parameters = coding;
        struct str name = str_trim(str_cut(&parameters, ';'));
        bool is_chunked = str_eq_nocase(name, STR("chunked"));
        if (!http_is_token(name) || (is_chunked && (!is_last || name.len < coding.len))) {
            return 400;
        }
    }
    return 501;
}

static enum err note_coding(struct http_facts *f, struct str value, struct http_fault *fault)
{
    (void)fault;
    if (!f->has_coding && str_eq_nocase(value, STR("chunked"))) {
        f->is_chunked = true;
    } else if (f->is_chunked) {
        f->coding_fault = 400; /* `chunked` was not the last */
    } else if (f->coding_fault != 400) {
        f->coding_fault = judge_codings(value);
    }
    f->has_coding = true;
    return ERR_OK;
}

static enum err note_connection(struct http_facts *f, struct str value,
                                struct http_fault *fault)
{
    (void)fault;
    while (value.len > 0) {
        struct str option = str_trim(str_cut(&value, ','));
        f->close = f->close || str_eq_nocase(option, STR("close"));
        f->keep_alive = f->keep_alive || str_eq_nocase(option, STR("keep-alive"));
    }
    return ERR_OK;
}

static enum err note_host(struct http_facts *f, struct str value, struct http_fault *fault)
{
    (void)fault;
    f->host_count++;
    f->host = value;
    return ERR_OK;
}

static enum err note_expect(struct http_facts *f, struct str value, struct http_fault *fault)
{
    (void)fault;
    bool is_known = str_eq_nocase(value, STR("100-continue"));
    f->expect_is_known = is_known && (!f->has_expect || f->expect_is_known);
    f->has_expect = true;
    return ERR_OK;
}

static const struct {
    struct str name;
    enum err (*note)(struct http_facts *f, struct str value, struct http_fault *fault);
} noted[] = {
    {STR_INIT("host"), note_host},
    {STR_INIT("content-length"), note_length},
    {STR_INIT("connection"), note_connection},
    {STR_INIT("expect"), note_expect},
    {STR_INIT("transfer-encoding"), note_coding},
};

static enum err note_field(struct http_facts *f, const struct http_header *h,
                           struct http_fault *fault)
{
    for (size_t i = 0; i < sizeof(noted) / sizeof(noted[0]); i++) {
        if (noted[i].name.len == h->name.len && str_eq_nocase(noted[i].name, h->name)) {
            return noted[i].note(f, h->value, fault);
        }
    }
    return ERR_OK;
}

static enum err judge_framing(const struct http_facts *f, int minor, struct http_fault *fault)
{
    if (!f->has_coding) {
        return ERR_OK;
    }
    if (f->has_length) {
        return http_refuse(fault, 400, "both Content-Length and Transfer-Encoding");
    }
    if (minor == 0) {
        return http_refuse(fault, 400, "Transfer-Encoding in HTTP/1.0");
    }
    if (f->coding_fault != 0) {
        return http_refuse(fault, f->coding_fault,
                           f->coding_fault == 501 ? "Transfer-Encoding is not supported"
                                                  : "Transfer-Encoding is malformed");
    }
    return ERR_OK;
}

enum err http_fields_judge(const struct http_header *header, size_t count, int minor,
                           struct http_facts *out, struct http_fault *fault)
{
    *out = (struct http_facts){.host = STR("")};
    for (size_t i = 0; i < count; i++) {
        enum err e = note_field(out, &header[i], fault);
        if (e != ERR_OK) {
            return e;
        }
    }
    return judge_framing(out, minor, fault);
}

bool http_facts_keep_alive(const struct http_facts *f, int minor)
{
    return !f->close && (minor > 0 || f->keep_alive);
}
