#include <string.h>

#include "agent/kernel_record.h"
#include "base/check.h"

/*
 * Records of the kernel's log (agent/kernel_record). Properties: texts end and are tame; an Xid
 * never comes from user space; what stands after "name=" changes nothing.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tame(const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    CHECK(n < size);
    for (size_t i = 0; i < n; i++) {
        CHECK(text[i] >= ' ' && text[i] <= '~');
    }
}

/* "name=" behind the place that the driver names, where a user's text may begin. */
static const char *find_name(struct str all)
{
    static const char *const marks[] = {";", ")", "name="};
    const char *at = all.ptr;
    for (size_t i = 0; at && i < sizeof(marks) / sizeof(marks[0]); i++) {
        at = memmem(at, all.len - (size_t)(at - all.ptr), marks[i], strlen(marks[i]));
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kernel_record r;
    struct kernel_record cut;
    struct str all = str_of((const char *)data, size);
    if (!kernel_record_parse(all, &r)) {
        return 0;
    }
    check_tame(r.text, sizeof(r.text));
    check_tame(r.bdf, sizeof(r.bdf));
    check_tame(r.uuid, sizeof(r.uuid));
    const char *name = find_name(all);
    if (r.kind != KERNEL_XID || !name) {
        return 0;
    }
    CHECK(kernel_record_parse(str_of(all.ptr, (size_t)(name - all.ptr) + 5), &cut));
    CHECK(memcmp(&r, &cut, sizeof(r)) == 0);
    return 0;
}
