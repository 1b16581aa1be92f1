#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/gpu_memo.h"

static const struct moment THEN = {.mono_ms = 500000, .wall_ms = 1700000000000};
/* The next process, ten seconds later by the wall clock, with another monotonic clock. */
static const struct moment NOW = {.mono_ms = 9000000, .wall_ms = 1700000010000};

struct scene {
    struct gpu_policy policy;
    struct gpu_host host;
    struct arena arena;
};

static void begin(struct scene *s, struct moment m)
{
    gpu_policy_set_defaults(&s->policy);
    gpu_host_init(&s->host, &s->policy, m);
    arena_init(&s->arena);
}

static void end(struct scene *s)
{
    gpu_host_fini(&s->host);
    arena_fini(&s->arena);
}

static void see(struct scene *s, const char *line, bool is_history)
{
    struct kernel_record r;
    assert_true(kernel_record_parse(str_from(line), &r));
    gpu_host_record(&s->host, &r, THEN.wall_ms, is_history, THEN);
}

/* A host with one GPU lost and one with an application error. */
static struct str memo(struct scene *s)
{
    begin(s, THEN);
    struct gpu *g = gpu_host_gpu(&s->host, "GPU-a", "0000:18:00", THEN);
    g->judge.ecc_seen = 5;
    (void)gpu_host_gpu(&s->host, "GPU-b", "0000:19:00", THEN);
    see(s, "3,70,1,-;NVRM: Xid (PCI:0000:18:00): 79, lost \"x\"", false);
    see(s, "3,71,1,-;NVRM: Xid (PCI:0000:19:00): 31, fault", false);
    return gpu_memo_text(&s->host, STR("boot-1"), THEN, &s->arena);
}

static void what_lasts_is_there_again(void **state)
{
    struct scene before;
    struct scene after;
    (void)state;
    struct str text = memo(&before);
    begin(&after, NOW);
    assert_int_equal(gpu_memo_read(&after.host, text, STR("boot-1"), NOW), ERR_OK);
    assert_int_equal(after.host.count, 2);
    assert_int_equal(after.host.kernel_seq, 71);
    struct gpu *a = gpu_host_gpu(&after.host, "GPU-a", "", NOW);
    struct gpu_verdict v = gpu_judge_verdict(&a->judge);
    assert_string_equal(v.word, "gpu_lost");
    assert_string_equal(v.why, "Xid 79: lost \"x\"");
    assert_int_equal(gpu_wall_of(NOW, v.since_ms), THEN.wall_ms);
    assert_int_equal(a->judge.ecc_seen, 5);
    assert_int_equal(a->xids.entry[0].xid, 79);
    assert_int_equal(a->xids.entry[0].count, 1);
    struct gpu *b = gpu_host_gpu(&after.host, "GPU-b", "", NOW);
    assert_string_equal(gpu_judge_verdict(&b->judge).word, "app_error");
    gpu_judge_tick(&b->judge, NOW.mono_ms + after.policy.app_hold_ms - 1);
    assert_string_equal(gpu_judge_verdict(&b->judge).word, "app_error");
    gpu_judge_tick(&b->judge, NOW.mono_ms + after.policy.app_hold_ms);
    assert_string_equal(gpu_judge_verdict(&b->judge).word, "ok");
    end(&before);
    end(&after);
}

static void another_boot_knows_nothing_of_it(void **state)
{
    struct scene before;
    struct scene after;
    (void)state;
    struct str text = memo(&before);
    begin(&after, NOW);
    assert_int_equal(gpu_memo_read(&after.host, text, STR("boot-2"), NOW), ERR_NOT_FOUND);
    assert_int_equal(gpu_memo_read(&after.host, text, STR(""), NOW), ERR_NOT_FOUND);
    assert_int_equal(after.host.count, 0);
    assert_int_equal(after.host.kernel_seq, 0);
    end(&before);
    end(&after);
}

/* Cut at every byte: refused or taken, never a crash. */
static void damage_is_refused(void **state)
{
    struct scene before;
    (void)state;
    struct str text = memo(&before);
    for (size_t cut = 0; cut < text.len; cut++) {
        struct scene after;
        begin(&after, NOW);
        assert_int_equal(gpu_memo_read(&after.host, str_of(text.ptr, cut), STR("boot-1"), NOW),
                         ERR_SYNTAX);
        end(&after);
    }
    end(&before);
}

static void wrong_types_and_numbers_are_survived(void **state)
{
    static const char *const texts[] = {
        "{\"version\":1,\"boot_id\":\"b\",\"kernel_seq\":-5,\"gpus\":{}}",
        "{\"version\":1,\"boot_id\":\"b\",\"gpus\":[1,[],{\"uuid\":7},{\"uuid\":\"G\"}]}",
        "{\"version\":1,\"boot_id\":\"b\",\"gpus\":[{\"uuid\":\"G\",\"ailments\":[{\"word\":"
        "\"x\"},"
        "{\"word\":\"gpu_lost\",\"since_ms\":-1,\"left_ms\":9223372036854775807,\"xid\":-4}]}]"
        "}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct scene s;
        begin(&s, NOW);
        assert_int_equal(gpu_memo_read(&s.host, str_from(texts[i]), STR("b"), NOW), ERR_OK);
        assert_true(s.host.count <= 1);
        end(&s);
    }
}

static void the_file_is_replaced_and_read_back(void **state)
{
    char folder[] = "/tmp/test_gpu_memo_XXXXXX";
    char path[64];
    const char *why = "";
    struct scene before;
    struct scene after;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/state", folder);
    (void)memo(&before);
    begin(&after, NOW);
    assert_int_equal(gpu_memo_load(&after.host, path, STR("boot-1"), NOW), ERR_NOT_FOUND);
    assert_int_equal(gpu_memo_save(&before.host, path, STR("boot-1"), THEN, &why), ERR_OK);
    assert_int_equal(gpu_memo_save(&before.host, path, STR("boot-1"), THEN, &why), ERR_OK);
    assert_int_equal(gpu_memo_load(&after.host, path, STR("boot-1"), NOW), ERR_OK);
    assert_int_equal(after.host.count, 2);
    assert_int_equal(gpu_memo_save(&before.host, "/nonexistent/state", STR("b"), THEN, &why),
                     ERR_IO);
    assert_string_equal(why, "No such file or directory");
    (void)unlink(path);
    (void)rmdir(folder);
    end(&before);
    end(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lasts_is_there_again),
        cmocka_unit_test(another_boot_knows_nothing_of_it),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(wrong_types_and_numbers_are_survived),
        cmocka_unit_test(the_file_is_replaced_and_read_back),
    };
    return cmocka_run_group_tests_name("agent/gpu_memo", tests, NULL, NULL);
}
