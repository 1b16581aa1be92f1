#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "guard/blame.h"

/* As waitpid gives them. */
static int exited(int code)
{
    return code << 8;
}

static enum cause judge(struct evidence e, const char *part)
{
    char words[200];
    enum cause c = blame(&e, words, sizeof(words));
    if (!strstr(words, part)) {
        fail_msg("'%s' is not in '%s'", part, words);
    }
    return c;
}

static void an_exit_with_0_is_a_failure_like_any_other(void **state)
{
    (void)state;
    assert_int_equal(judge((struct evidence){.wait_status = exited(0)},
                           "exited with status 0 without having been asked"),
                     CAUSE_EXIT);
    assert_int_equal(judge((struct evidence){.wait_status = exited(3)}, "status 3"),
                     CAUSE_EXIT);
    assert_int_equal(judge((struct evidence){.wait_status = SIGSEGV}, "signal 11"),
                     CAUSE_SIGNAL);
}

static void tells_an_oom_kill_from_any_other_kill(void **state)
{
    struct evidence e = {
        .wait_status = SIGKILL, .has_cgroup = true, .has_killed_for_oom = true};
    (void)state;
    assert_int_equal(judge(e, "out of host memory"), CAUSE_OOM_HOST);
    /* A worker was killed for memory, and the main process left for want of it. */
    e.wait_status = exited(0);
    assert_int_equal(judge(e, "out of host memory"), CAUSE_OOM_HOST);
    e.has_killed_for_oom = false;
    e.wait_status = SIGKILL;
    assert_int_equal(judge(e, "ended by signal 9"), CAUSE_SIGNAL);
    e.has_cgroup = false;
    assert_int_equal(judge(e, "the OOM killer perhaps"), CAUSE_SIGNAL);
    e.wait_status = exited(137); /* by way of a shell */
    assert_int_equal(judge(e, "the OOM killer perhaps"), CAUSE_SIGNAL);
}

static void without_a_cgroup_a_kill_of_the_machine_in_the_same_moment_is_believed(void **state)
{
    struct evidence e = {.wait_status = SIGKILL, .has_host_oom_lately = true};
    (void)state;
    assert_int_equal(judge(e, "out of host memory, as it seems"), CAUSE_OOM_HOST);
    assert_int_equal(judge(e, "ended by signal 9"), CAUSE_OOM_HOST);
    e.wait_status = exited(0); /* its engine was killed, and vLLM leaves politely */
    assert_int_equal(judge(e, "as it seems"), CAUSE_OOM_HOST);
    e.wait_status = SIGSEGV; /* that is no way to leave for want of a process */
    assert_int_equal(judge(e, "signal 11"), CAUSE_SIGNAL);
    e.wait_status = SIGKILL;
    e.has_host_count = true;
    e.has_host_oom_lately = false;
    assert_int_equal(judge(e, "the machine counts no kill for memory"), CAUSE_SIGNAL);
    e.has_host_oom_lately = true; /* the backend's own cgroup knows better */
    e.has_cgroup = true;
    assert_int_equal(judge(e, "ended by signal 9"), CAUSE_SIGNAL);
}

static void believes_its_log_about_the_gpu(void **state)
{
    struct evidence e = {.wait_status = exited(1), .has_gpu_memory_line = true};
    (void)state;
    assert_int_equal(judge(e, "out of GPU memory"), CAUSE_OOM_GPU);
}

static void knows_the_lines_of_the_engines(void **state)
{
    static const char *const yes[] = {
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a",
        "torch.cuda.OutOfMemoryError: HIP out of memory",
        "(EngineCore pid=12) ValueError: No available memory for the cache blocks. Try",
        "ValueError: To serve at least one request with the models's max seq len (131072), (16 "
        "GiB KV cache is needed, which is larger than the available KV cache memory (9 GiB)",
        "ValueError: Free memory on device (3/80 GiB) on startup is less than desired GPU "
        "memory "
        "utilization (0.9, 72 GiB)",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096 MiB on device 0: "
        "cudaMalloc "
        "failed: out of memory",
    };
    static const char *const no[] = {"GPU memory utilization is 0.9",
                                     "memory profiling takes 3.1 seconds", "INFO: out of order",
                                     ""};
    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        assert_true(blame_is_gpu_memory(str_from(yes[i])));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_false(blame_is_gpu_memory(str_from(no[i])));
    }
}

static void only_memory_is_helped_by_less_of_it(void **state)
{
    (void)state;
    for (enum cause c = CAUSE_NONE; c <= CAUSE_NO_START; c++) {
        assert_non_null(cause_name(c));
        assert_int_equal(cause_is_memory(c), c == CAUSE_OOM_GPU || c == CAUSE_OOM_HOST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exit_with_0_is_a_failure_like_any_other),
        cmocka_unit_test(tells_an_oom_kill_from_any_other_kill),
        cmocka_unit_test(without_a_cgroup_a_kill_of_the_machine_in_the_same_moment_is_believed),
        cmocka_unit_test(believes_its_log_about_the_gpu),
        cmocka_unit_test(knows_the_lines_of_the_engines),
        cmocka_unit_test(only_memory_is_helped_by_less_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
