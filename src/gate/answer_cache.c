#include "gate/answer_cache.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"

enum {
    SALT_BYTES = 16,
    BYTES_PER_BUCKET = 8192,
    SMALLEST_MAX = 1 << 20,
    SHARE_OF_ONE = 16, /* one answer may be so small a part of all */
    MALLOC_BYTES = 32  /* what the allocator adds to an entry, rounding included */
};

struct entry {
    struct kept_answer answer; /* first: what is given out is this; body behind the struct */
    struct answer_key key;
    uint64_t until_ms;
    size_t bytes;
    uint32_t holders; /* the cache itself, and who got it; under lock */
    struct entry *next_in_bucket;
    struct list_node node; /* in `used` */
};

struct answer_cache {
    unsigned char salt[SALT_BYTES];
    size_t max_bytes;
    size_t bucket_mask; /* their number, a power of two, less one */
    pthread_mutex_t lock;
    size_t bytes;           /* under lock, as all below */
    struct list used;       /* used last, first */
    struct entry **buckets; /* by the key's first half */
};

struct answer_cache *answer_cache_new(size_t max_bytes)
{
    size_t buckets = 64;
    CHECK(max_bytes >= SMALLEST_MAX);
    while (buckets < max_bytes / BYTES_PER_BUCKET) {
        buckets *= 2;
    }
    struct answer_cache *c = mem_alloc(sizeof(*c));
    CHECK(RAND_bytes(c->salt, SALT_BYTES) == 1);
    c->max_bytes = max_bytes;
    c->bucket_mask = buckets - 1;
    c->buckets = mem_alloc(buckets * sizeof(c->buckets[0]));
    c->bytes = sizeof(*c) + buckets * sizeof(c->buckets[0]);
    list_init(&c->used);
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    return c;
}

void answer_cache_free(struct answer_cache **c)
{
    struct answer_cache *gone = *c;
    *c = NULL;
    if (!gone) {
        return;
    }
    list_each(&gone->used, node, after)
    {
        struct entry *e = container_of(node, struct entry, node);
        CHECK(e->holders == 1);
        list_remove(&gone->used, node);
        free(e);
    }
    CHECK(pthread_mutex_destroy(&gone->lock) == 0);
    free(gone->buckets);
    free(gone);
}

static void lock(struct answer_cache *c)
{
    CHECK(pthread_mutex_lock(&c->lock) == 0);
}

static void unlock(struct answer_cache *c)
{
    CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

struct answer_key answer_cache_key(const struct answer_cache *c, struct str client,
                                   struct str essence)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    uint64_t client_len = client.len; /* so that no name runs into a request */
    struct answer_key key;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    CHECK(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    CHECK(EVP_DigestUpdate(ctx, c->salt, SALT_BYTES) == 1);
    CHECK(EVP_DigestUpdate(ctx, &client_len, sizeof(client_len)) == 1);
    CHECK(EVP_DigestUpdate(ctx, client.ptr, client.len) == 1);
    CHECK(EVP_DigestUpdate(ctx, essence.ptr, essence.len) == 1);
    CHECK(EVP_DigestFinal_ex(ctx, digest, NULL) == 1);
    EVP_MD_CTX_free(ctx);
    memcpy(key.half, digest, sizeof(key.half));
    return key;
}

size_t answer_cache_most(const struct answer_cache *c)
{
    return c->max_bytes / SHARE_OF_ONE;
}

/* --- under the lock --- */

static struct entry **bucket_of(struct answer_cache *c, const struct answer_key *key)
{
    return &c->buckets[key->half[0] & c->bucket_mask];
}

/* The place that points to the entry, or to NULL. */
static struct entry **find(struct answer_cache *c, const struct answer_key *key)
{
    struct entry **at = bucket_of(c, key);
    while (*at && ((*at)->key.half[0] != key->half[0] || (*at)->key.half[1] != key->half[1])) {
        at = &(*at)->next_in_bucket;
    }
    return at;
}

/* Takes it out. It is put on *gone, to be freed once the lock is open, unless somebody holds
 * it: then the last who does frees it. */
static void take_out(struct answer_cache *c, struct entry **at, struct entry **gone)
{
    struct entry *e = *at;
    CHECK(e != NULL);
    *at = e->next_in_bucket;
    e->next_in_bucket = NULL;
    list_remove(&c->used, &e->node);
    c->bytes -= e->bytes;
    e->holders--;
    if (e->holders == 0) {
        e->next_in_bucket = *gone;
        *gone = e;
    }
}

/* What nobody may get any more, as far as it is at the end, and what there is no room for. */
static void make_room(struct answer_cache *c, uint64_t now_ms, struct entry **gone)
{
    for (struct list_node *node = list_last(&c->used); node; node = list_last(&c->used)) {
        struct entry *e = container_of(node, struct entry, node);
        if (c->bytes <= c->max_bytes && now_ms < e->until_ms) {
            return;
        }
        take_out(c, find(c, &e->key), gone);
    }
}

static void free_all(struct entry *gone)
{
    while (gone) {
        struct entry *next = gone->next_in_bucket;
        free(gone);
        gone = next;
    }
}

/* --- */

static struct entry *make_entry(const struct answer_key *key, struct str body)
{
    struct entry *e = mem_alloc(sizeof(*e) + body.len);
    char *copy = (char *)(e + 1);
    memcpy(copy, body.ptr, body.len);
    e->answer.body = str_of(copy, body.len);
    e->key = *key;
    e->bytes = sizeof(*e) + body.len + MALLOC_BYTES;
    e->holders = 1;
    return e;
}

void answer_cache_put(struct answer_cache *c, const struct answer_key *key, struct str body,
                      uint64_t now_ms, uint64_t until_ms)
{
    struct entry *gone = NULL;
    if (body.len == 0 || body.len > answer_cache_most(c)) {
        return;
    }
    struct entry *e = make_entry(key, body);
    e->answer.made_ms = now_ms;
    e->until_ms = until_ms;
    lock(c);
    struct entry **at = find(c, key);
    if (*at) {
        take_out(c, at, &gone);
    }
    at = bucket_of(c, key);
    e->next_in_bucket = *at;
    *at = e;
    list_push_front(&c->used, &e->node);
    c->bytes += e->bytes;
    make_room(c, now_ms, &gone);
    unlock(c);
    free_all(gone);
}

struct kept_answer *answer_cache_get(struct answer_cache *c, const struct answer_key *key,
                                     uint64_t now_ms)
{
    struct entry *gone = NULL;
    lock(c);
    struct entry **at = find(c, key);
    struct entry *e = *at;
    if (e && now_ms >= e->until_ms) {
        take_out(c, at, &gone);
        e = NULL;
    }
    if (e) {
        e->holders++;
        list_remove(&c->used, &e->node);
        list_push_front(&c->used, &e->node);
    }
    unlock(c);
    free_all(gone);
    return e ? &e->answer : NULL;
}

void answer_cache_release(struct answer_cache *c, struct kept_answer **a)
{
    struct entry *e = container_of(*a, struct entry, answer);
    *a = NULL;
    lock(c);
    CHECK(e->holders > 0);
    e->holders--;
    bool is_last = e->holders == 0;
    unlock(c);
    if (is_last) {
        free(e);
    }
}

size_t answer_cache_bytes(struct answer_cache *c)
{
    lock(c);
    size_t bytes = c->bytes;
    unlock(c);
    return bytes;
}

size_t answer_cache_count(struct answer_cache *c)
{
    lock(c);
    size_t count = c->used.count;
    unlock(c);
    return count;
}
