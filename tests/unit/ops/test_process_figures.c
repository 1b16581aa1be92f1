#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "ops/process_figures.h"

static void sees_the_descriptors_that_are_open(void **state)
{
    enum { MORE = 5 };
    struct process_figures before;
    struct process_figures after;
    int fds[MORE];
    (void)state;
    process_figures_read(&before);
    for (int i = 0; i < MORE; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    process_figures_read(&after);
    for (int i = 0; i < MORE; i++) {
        (void)close(fds[i]);
    }
    assert_true(before.has_open_fds && after.has_open_fds);
    assert_int_equal(after.open_fds, before.open_fds + MORE);
    assert_true(after.has_max_fds);
    assert_true(after.max_fds >= after.open_fds);
}

static void sees_the_memory_that_is_used(void **state)
{
    enum { SIZE = 64 << 20 };
    struct process_figures before;
    struct process_figures after;
    (void)state;
    process_figures_read(&before);
    volatile char *memory = mem_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i += 4096) {
        memory[i] = 1;
    }
    process_figures_read(&after);
    free((void *)(uintptr_t)memory);
    assert_true(before.has_resident && after.has_resident);
    assert_true(after.resident_bytes >= before.resident_bytes + SIZE / 2);
}

static void sees_the_time_that_was_worked(void **state)
{
    struct process_figures before;
    struct process_figures after;
    (void)state;
    process_figures_read(&before);
    do {
        process_figures_read(&after);
        assert_true(after.cpu_us >= before.cpu_us);
    } while (after.cpu_us < before.cpu_us + 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_the_descriptors_that_are_open),
        cmocka_unit_test(sees_the_memory_that_is_used),
        cmocka_unit_test(sees_the_time_that_was_worked),
    };
    return cmocka_run_group_tests_name("ops/process_figures", tests, NULL, NULL);
}
