#include "ops/page.h"

#include "base/check.h"
#include "base/mem.h"
#include "ops/web_assets.h"
#include "wire/http_head.h"

/* Always asked for again, which costs a 304: after an update nobody has half of the old page.
 */
#define PAGE_HEADERS                                                                     \
    "Cache-Control: no-cache\r\n"                                                        \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; " \
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "    \
    "frame-ancestors 'none'\r\n"                                                         \
    "X-Content-Type-Options: nosniff\r\n"                                                \
    "Referrer-Policy: no-referrer\r\n"                                                   \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                        \
    "Cross-Origin-Resource-Policy: same-origin\r\n"

static const struct web_asset *find(struct str path)
{
    for (size_t i = 0; i < WEB_ASSET_COUNT; i++) {
        if (str_eq(path, str_from(WEB_ASSETS[i].path))) {
            return &WEB_ASSETS[i];
        }
    }
    return NULL;
}

bool page_has(struct str path)
{
    return find(path) != NULL;
}

void page_serve(struct http_conn *c)
{
    const struct http_request *q = http_conn_request(c);
    const struct web_asset *asset = find(q->path);
    CHECK(asset != NULL);
    struct str known = http_find(q->header, q->header_count, "if-none-match");
    bool is_known = known.len > 0 && str_has(known, str_from(asset->etag));
    struct arena a;
    arena_init(&a);
    http_reply_whole(c,
                     &(struct http_reply){
                         .status = is_known ? 304 : 200,
                         .content_type = str_from(asset->content_type),
                         .extra = arena_printf(&a, PAGE_HEADERS "ETag: %s\r\n", asset->etag)},
                     is_known
                         ? STR_NONE
                         : (struct str){.ptr = (const char *)asset->bytes, .len = asset->size});
    arena_fini(&a);
}
