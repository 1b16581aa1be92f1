#include "wire/http_chars.h"
#include "wire/http_fields.h"
#include "wire/http_head.h"

/* " 200 reason": the reason may be empty, and the space before an empty one missing. */
static enum err take_status(struct str *rest, int *status, struct http_fault *fault)
{
    const char *s = rest->ptr;
    if (rest->len < 4 || s[0] != ' ' || s[1] < '1' || s[1] > '5' ||
        !http_is(s[2], HTTP_DIGIT) || !http_is(s[3], HTTP_DIGIT)) {
        return http_refuse(fault, 502, "status is missing or malformed");
    }
    *status = (s[1] - '0') * 100 + (s[2] - '0') * 10 + (s[3] - '0');
    *rest = str_from_at(*rest, 4);
    if (http_take(rest, ' ')) {
        *rest = str_from_at(*rest, http_text_span(*rest));
    }
    return http_take_line_end(rest, fault);
}

/* RFC 9112 6.3, in its order. */
static void set_framing(struct http_response *out, const struct http_facts *f, bool to_head)
{
    bool is_bare = out->status < 200 || out->status == 204;
    out->content_length = f->length;
    out->keep_alive = http_facts_keep_alive(f, out->minor);
    if (to_head || is_bare || out->status == 304) {
        out->framing = HTTP_NO_BODY;
        /* A body announced where none can be may follow all the same. */
        out->keep_alive = out->keep_alive && !(is_bare && (f->is_chunked || f->length > 0));
    } else if (f->is_chunked) {
        out->framing = HTTP_CHUNKED;
    } else if (f->has_length) {
        out->framing = HTTP_LENGTH;
    } else {
        out->framing = HTTP_UNTIL_EOF;
        out->keep_alive = false;
    }
}

static enum err parse(struct str head, struct http_response *out, struct http_facts *facts,
                      struct http_fault *fault)
{
    struct str rest = head;
    enum err e = http_take_version(&rest, &out->minor, fault);
    if (e == ERR_OK) {
        e = take_status(&rest, &out->status, fault);
    }
    if (e == ERR_OK) {
        e = http_fields_split(rest, out->header, &out->header_count, fault);
    }
    if (e == ERR_OK) {
        e = http_fields_judge(out->header, out->header_count, out->minor, facts, fault);
    }
    if (e == ERR_OK && out->status == 101) {
        return http_refuse(fault, 502, "101 was not asked for");
    }
    return e;
}

enum err http_response_parse(struct str head, bool to_head, struct http_response *out,
                             const char **why)
{
    struct http_facts facts;
    struct http_fault fault;
    enum err e = parse(head, out, &facts, &fault);
    if (e != ERR_OK) {
        *why = fault.why;
        return fault.status == 431 ? ERR_TOO_LARGE : e;
    }
    set_framing(out, &facts, to_head);
    return ERR_OK;
}

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {529, "Overloaded"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}
