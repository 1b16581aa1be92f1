#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard/process.h"

static int heard[2]; /* what a handler says, in whichever process it runs */

static void on_term(int number)
{
    (void)number;
    (void)!write(heard[1], "x", 1);
}

static void be_signalled(void)
{
    (void)raise(SIGTERM);
}

static pid_t start(char *const *argv, enum err *e, int *why)
{
    pid_t pid = -1;
    struct process_conf conf = {
        .argv = argv, .cgroup_fd = -1, .out_fd = STDERR_FILENO, .err_fd = STDERR_FILENO};
    *e = process_start(&conf, &pid, why);
    return pid;
}

/* Ctrl-C in the instant of the fork: our handler would tell our loop of it a second time, and
 * the second one does not wait for anybody. */
static void a_signal_to_the_newborn_child_is_its_own(void **state)
{
    char name[] = "sleep";
    char seconds[] = "60";
    char *const argv[] = {name, seconds, NULL};
    enum err e = ERR_OK;
    int why = 0;
    int status = 0;
    char byte;
    (void)state;
    assert_int_equal(pipe2(heard, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(signal(SIGTERM, on_term) != SIG_ERR);
    assert_int_equal(pthread_atfork(NULL, NULL, be_signalled), 0);
    pid_t pid = start(argv, &e, &why);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(read(heard[0], &byte, 1), -1);
    /* We hear ours as before. */
    (void)raise(SIGTERM);
    assert_int_equal(read(heard[0], &byte, 1), 1);
}

static void a_program_that_is_not_there_is_told(void **state)
{
    char name[] = "/nowhere/at/all";
    char *const argv[] = {name, NULL};
    enum err e = ERR_OK;
    int why = 0;
    (void)state;
    pid_t pid = start(argv, &e, &why);
    assert_int_equal(e, ERR_NOT_FOUND);
    assert_true(strlen(strerror(why)) > 0 && pid > 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_is_not_there_is_told),
        cmocka_unit_test(a_signal_to_the_newborn_child_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
