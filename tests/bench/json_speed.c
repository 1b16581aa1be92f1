#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "lib/jansson_apart.h"
#include "wire/json.h"

/*
 * How fast JSON is checked, next to jansson building its tree from the same text. One line of
 * TSV for each text: name, bytes, GB/s of json_check, of json_check_portable and of json_loadb,
 * ratio of the first to the last, nanoseconds of one json_check.
 */

enum { BODY_SIZE = 200 * 1000, MAX_SIZE = 1 << 20, ROUNDS = 5 };

static const double ROUND_SECONDS = 0.1;

static void put(struct buf *b, const char *text)
{
    CHECK(buf_append(b, str_from(text)) == ERR_OK);
}

static void make_chat(struct buf *b)
{
    put(b, "{\"model\":\"llama-3.3-70b\",\"stream\":true,\"max_tokens\":512,\"messages\":[");
    for (int i = 0; buf_len(b) < BODY_SIZE; i++) {
        put(b, i > 0 ? ",{\"role\":\"user\",\"content\":\""
                     : "{\"role\":\"system\",\"content\":\"");
        for (int line = 0; line < 12; line++) {
            put(b, "The quick brown fox jumps over the lazy dog while the rain in Spain stays");
            put(b, line % 4 == 0   ? " in the \\\"plain\\\".\\n"
                   : line % 4 == 1 ? " f\u00fcr immer in der W\u00fcste.\\n\\n"
                   : line % 4 == 2 ? " \u4f60\u597d\uff0c\u4e16\u754c\u3002 "
                                   : " mainly where nobody looks for it.\\n\\t");
        }
        put(b, "\"}");
    }
    put(b, "]}");
}

static void make_structure(struct buf *b)
{
    put(b, "{\"rows\":[");
    for (int i = 0; buf_len(b) < BODY_SIZE; i++) {
        CHECK(buf_printf(
                  b,
                  "%s{\"id\":%d,\"ok\":true,\"tags\":[\"a\",\"bc\",null],\"at\":{\"x\":%d.%d,"
                  "\"y\":-%de-3},\"none\":[]}",
                  i > 0 ? "," : "", i, i % 90, i % 1000, i % 777) == ERR_OK);
    }
    put(b, "]}");
}

static void make_chunk(struct buf *b)
{
    put(b, "{\"id\":\"chatcmpl-8f2d7c1e\",\"object\":\"chat.completion.chunk\",\"created\":"
           "1731990317,"
           "\"model\":\"llama-3.3-70b\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" "
           "fox\"},"
           "\"logprobs\":null,\"finish_reason\":null}]}");
}

static void use_check(struct str text)
{
    size_t at;
    CHECK(json_check(text, &at) == ERR_OK);
}

static void use_portable(struct str text)
{
    size_t at;
    CHECK(json_check_portable(text, &at) == ERR_OK);
}

static void use_path(struct str text)
{
    CHECK(json_path(text, "choices", "0", "delta", "content", NULL).len == 6);
}

static void use_jansson(struct str text)
{
    json_t *tree = json_loadb(text.ptr, text.len, 0, NULL);
    CHECK(tree != NULL);
    json_decref(tree);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Seconds of one call, the best of some rounds. */
static double time_of(void (*use)(struct str), struct str text)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        size_t batch = 1 + BODY_SIZE / text.len;
        size_t calls = 0;
        double start = now();
        double spent = 0;
        while (spent < ROUND_SECONDS) {
            for (size_t i = 0; i < batch; i++) {
                use(text);
            }
            calls += batch;
            spent = now() - start;
        }
        best = spent / (double)calls < best ? spent / (double)calls : best;
    }
    return best;
}

static void measure(const char *name, void (*make)(struct buf *))
{
    struct buf b;
    buf_init(&b, MAX_SIZE);
    make(&b);
    struct str text = buf_str(&b);
    double bytes = (double)text.len * 1e-9;
    double check = time_of(use_check, text);
    double portable = time_of(use_portable, text);
    double jansson = time_of(use_jansson, text);
    printf("%s\t%zu\t%.2f\t%.2f\t%.3f\t%.1f\t%.0f\n", name, text.len, bytes / check,
           bytes / portable, bytes / jansson, jansson / check, check * 1e9);
    buf_fini(&b);
}

static void measure_path(void)
{
    struct buf b;
    buf_init(&b, MAX_SIZE);
    make_chunk(&b);
    printf("json_path_ns\t%.0f\n", time_of(use_path, buf_str(&b)) * 1e9);
    buf_fini(&b);
}

int main(void)
{
    printf("text\tbytes\tcheck_gbps\tportable_gbps\tjansson_gbps\tratio\tcheck_ns\n");
    measure("chat", make_chat);
    measure("structure", make_structure);
    measure("chunk", make_chunk);
    measure_path();
    return EXIT_SUCCESS;
}
