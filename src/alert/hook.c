#include "alert/hook.h"

#include <inttypes.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "alert/hook_alertmanager.h"
#include "alert/hook_json.h"
#include "alert/hook_pagerduty.h"
#include "alert/hook_slack.h"
#include "base/check.h"

struct str hook_sign(struct str secret, struct str timestamp, struct str body, struct arena *a)
{
    static const char HEX[] = "0123456789abcdef";
    enum { SHA256_BYTES = 32 };
    const struct str parts[] = {timestamp, STR("."), body};
    struct str text = arena_join(a, parts, sizeof(parts) / sizeof(parts[0]));
    unsigned char mac[SHA256_BYTES];
    unsigned len = 0;
    CHECK(secret.len <= INT32_MAX);
    CHECK(HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)text.ptr,
               text.len, mac, &len) != NULL);
    CHECK(len == sizeof(mac));
    char digits[2 * SHA256_BYTES];
    for (size_t i = 0; i < sizeof(mac); i++) {
        digits[2 * i] = HEX[mac[i] >> 4];
        digits[2 * i + 1] = HEX[mac[i] & 15];
    }
    return arena_printf(a, "sha256=%.*s", STR_FMT(str_of(digits, sizeof(digits))));
}

static json_t *make(const struct alert_channel *ch, const struct alert *alert, struct arena *a)
{
    switch (ch->format) {
    case ALERT_JSON:
        return hook_json(alert, a);
    case ALERT_SLACK:
        return hook_slack(alert, a);
    case ALERT_PAGERDUTY:
        return hook_pagerduty(alert, ch->routing_key, a);
    case ALERT_ALERTMANAGER:
        return hook_alertmanager(alert, a);
    case ALERT_MAIL:
        break;
    }
    BUG("a mail is no webhook");
}

void hook_render(const struct alert_channel *ch, const struct alert *alert, uint64_t now_ms,
                 struct arena *a, struct hook *out)
{
    json_t *tree = make(ch, alert, a);
    CHECK(tree != NULL); /* all texts in it are UTF-8 */
    char *text = json_dumps(tree, JSON_COMPACT);
    CHECK(text != NULL);
    json_decref(tree);
    *out = (struct hook){
        .body = arena_dup(a, str_from(text)), .timestamp = STR(""), .signature = STR("")};
    free(text);
    if (ch->secret.len > 0) {
        out->timestamp = arena_printf(a, "%" PRIu64, now_ms / 1000);
        out->signature = hook_sign(ch->secret, out->timestamp, out->body, a);
    }
}
