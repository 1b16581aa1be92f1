#include "agent/kernel_record.h"

#include <string.h>

/* Decimal digits at the front; false when there are none. */
static bool take_number(struct str *s, uint64_t max, uint64_t *out)
{
    size_t n = 0;
    while (n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9') {
        n++;
    }
    enum err e = str_to_u64(str_of(s->ptr, n), max, out);
    *s = str_from_at(*s, n);
    return e == ERR_OK;
}

static bool take(struct str *s, struct str what)
{
    if (!str_starts(*s, what)) {
        return false;
    }
    *s = str_from_at(*s, what.len);
    return true;
}

/* Where `needle` begins in s, or SIZE_MAX. */
static size_t find(struct str s, struct str needle)
{
    const char *at = s.len > 0 ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

/* What stands before `needle`, or all of s. */
static struct str before(struct str s, struct str needle)
{
    size_t at = find(s, needle);
    return at == SIZE_MAX ? s : str_of(s.ptr, at);
}

/* The hex number after `label` in s, or -1. */
static int64_t labelled(struct str s, struct str label)
{
    size_t at = find(s, label);
    if (at == SIZE_MAX) {
        return -1;
    }
    int64_t value = 0;
    struct str digits = str_from_at(s, at + label.len);
    size_t n = 0;
    for (; n < digits.len && n < 4; n++) {
        char c = digits.ptr[n];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) {
            break;
        }
        value = value * 16 + digit;
    }
    return n > 0 ? value : -1;
}

/* "Fatal" as a word of its own: "Nonfatal" and "non-fatal" are not. */
static bool says_fatal(struct str s)
{
    for (size_t i = 0; i + 5 <= s.len; i++) {
        bool is_word = i == 0 || s.ptr[i - 1] == ' ' || s.ptr[i - 1] == '(' ||
                       s.ptr[i - 1] == ',' || s.ptr[i - 1] == ':';
        if (is_word && str_eq_nocase(str_of(s.ptr + i, 5), STR("fatal"))) {
            return true;
        }
    }
    return false;
}

/* "… changed from 0x0 (None) to 0x1 (GPU Reset Required)" */
static int64_t new_action(struct str text)
{
    return find(text, STR("recovery action changed")) == SIZE_MAX
               ? -1
               : labelled(text, STR(") to 0x"));
}

/* s begins after "NVRM: Xid (". */
static void read_xid(struct str s, struct kernel_record *out)
{
    uint64_t xid;
    uint64_t pid;
    struct str place = before(s, STR(")"));
    struct str rest = str_from_at(s, place.len);
    struct str bdf = str_starts(place, STR("PCI:")) ? str_from_at(place, 4) : place;
    if (!bdf_normal(bdf, out->bdf) || !take(&rest, STR("): ")) ||
        !take_number(&rest, UINT32_MAX, &xid) || (rest.len > 0 && rest.ptr[0] != ',')) {
        return;
    }
    out->kind = KERNEL_XID;
    out->xid = (uint32_t)xid;
    out->instance = labelled(place, STR("GPU-I:"));
    out->compute = labelled(place, STR("GPU-CI:"));
    struct str trusted = before(rest, STR("name="));
    bool is_whole = trusted.len == rest.len;
    (void)take(&trusted, STR(", "));
    text_tame(trusted, out->text, sizeof(out->text));
    if (take(&trusted, STR("pid=")) && take_number(&trusted, INT32_MAX, &pid)) {
        out->pid = (int64_t)pid;
    }
    if (is_whole) {
        out->is_fatal = says_fatal(trusted);
        out->action = xid == 154 ? new_action(trusted) : -1;
    }
}

/* "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 30 …" */
static void read_switch(struct str text, struct kernel_record *out)
{
    uint64_t sxid;
    struct str rest = str_from_at(text, before(text, STR(": ")).len);
    if (!take(&rest, STR(": SXid (")) || !bdf_normal(rest, out->bdf)) {
        return;
    }
    rest = str_from_at(rest, before(rest, STR(")")).len);
    if (!take(&rest, STR("): ")) || !take_number(&rest, UINT32_MAX, &sxid)) {
        return;
    }
    out->kind = KERNEL_SWITCH;
    out->xid = (uint32_t)sxid;
    out->is_fatal = says_fatal(rest);
    text_tame(text, out->text, sizeof(out->text));
}

/* "NVRM: GPU at PCI:0000:18:00: GPU-0123…" */
static void read_identity(struct str s, struct kernel_record *out)
{
    struct str uuid = str_from_at(s, before(s, STR(": GPU-")).len);
    if (bdf_normal(s, out->bdf) && take(&uuid, STR(": ")) && uuid.len < UUID_MAX) {
        out->kind = KERNEL_IDENTITY;
        text_tame(uuid, out->uuid, sizeof(out->uuid));
    }
}

static void read_text(struct str text, struct kernel_record *out)
{
    struct str s = text;
    if (str_starts(text, STR("nvidia-nvswitch"))) {
        read_switch(text, out);
        return;
    }
    if (!take(&s, STR("NVRM: "))) {
        return;
    }
    if (take(&s, STR("Xid ("))) {
        read_xid(s, out);
        return;
    }
    if (take(&s, STR("GPU at "))) {
        read_identity(s, out);
        return;
    }
    text_tame(text, out->text, sizeof(out->text));
    bool is_named = take(&s, STR("GPU ")) || take(&s, STR("The NVIDIA GPU "));
    if (is_named && find(s, STR("fallen off the bus")) != SIZE_MAX && bdf_normal(s, out->bdf)) {
        out->kind = KERNEL_LOST;
    } else if (find(s, STR("waiting for RPC")) != SIZE_MAX && find(s, STR("GSP")) != SIZE_MAX) {
        out->kind = KERNEL_GSP;
    }
}

bool kernel_record_parse(struct str record, struct kernel_record *out)
{
    uint64_t priority;
    struct str s = before(record, STR("\n")); /* later lines are KEY=value */
    memset(out, 0, sizeof(*out));
    out->pid = out->instance = out->compute = out->action = -1;
    if (!take_number(&s, UINT32_MAX, &priority) || !take(&s, STR(",")) ||
        !take_number(&s, UINT64_MAX, &out->seq) || !take(&s, STR(",")) ||
        !take_number(&s, UINT64_MAX, &out->usec) || !take(&s, STR(","))) {
        return false;
    }
    size_t text = find(s, STR(";"));
    if (text == SIZE_MAX) {
        return false;
    }
    if (priority >> 3 == 0) {
        read_text(str_from_at(s, text + 1), out);
    }
    return true;
}
