#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard/cgroup.h"
#include "guard/offspring.h"

static void reads_names_with_spaces_and_parentheses(void **state)
{
    struct stat_line l;
    (void)state;
    assert_true(stat_line_parse(
        STR("4242 (a ) S 1 (x) y) D 17 4200 4200 0 -1 4194304 1 2 3 4 55 66 7 8 20 0 1 0 "
            "987654 0"),
        &l));
    assert_int_equal(l.pid, 4242);
    assert_int_equal(l.state, 'D');
    assert_int_equal(l.parent, 17);
    assert_int_equal(l.group, 4200);
    assert_int_equal(l.ticks, 121);
    assert_int_equal(l.born, 987654);
    assert_false(stat_line_parse(STR(""), &l));
    assert_false(stat_line_parse(STR("1 (x"), &l));
    assert_false(stat_line_parse(STR("1 (x) S 1"), &l));
    assert_false(stat_line_parse(STR("x (x) S 1 1 1 1 1 1 1 1 1 1 1 1"), &l));
    assert_false(stat_line_parse(STR("1 (x) "), &l));
    assert_false(stat_line_parse(STR("1 (x)"), &l));
}

/* A child that has a child in a session of its own; both sleep. */
static pid_t make_family(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            setsid();
            (void)!write(ready[1], "x", 1);
        }
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static bool has(const struct offspring *o, pid_t pid)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->pids[i] == pid) {
            return true;
        }
    }
    return false;
}

static void await_zombies(int count)
{
    while (count > 0) {
        if (waitpid(-1, NULL, 0) > 0) {
            count--;
        }
    }
}

static void finds_and_kills_those_that_left_the_group(void **state)
{
    struct offspring o = {.count = 0};
    struct offspring_query q = {.root = getpid()};
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = make_family();
    offspring_scan(&o, &q);
    assert_int_equal(o.count, 2);
    assert_true(has(&o, child));
    /* The orphan becomes ours. */
    kill(child, SIGKILL);
    await_zombies(1);
    offspring_scan(&o, &q);
    assert_int_equal(o.count, 1);
    assert_false(has(&o, child));
    offspring_add(&o, o.pids[0]); /* known already */
    assert_int_equal(o.count, 1);
    offspring_add(&o, child); /* gone */
    assert_int_equal(o.count, 1);
    offspring_signal(&o, SIGKILL);
    await_zombies(1);
    offspring_scan(&o, &q);
    assert_int_equal(o.count, 0);
    offspring_fini(&o);
}

static void leaves_out_others_and_all_that_is_theirs(void **state)
{
    struct offspring o = {.count = 0};
    (void)state;
    struct offspring_other other = {.pid = make_family()};
    offspring_scan(
        &o, &(struct offspring_query){.root = getpid(), .others = &other, .other_count = 1});
    assert_int_equal(o.count, 0);
    offspring_scan(&o, &(struct offspring_query){.root = getpid()});
    assert_int_equal(o.count, 2);
    offspring_signal(&o, SIGKILL);
    await_zombies(2);
    offspring_fini(&o);
}

static void counts_who_has_got_the_pid_of_another_one(void **state)
{
    struct offspring o = {.count = 0};
    (void)state;
    pid_t child = make_family();
    offspring_scan(&o, &(struct offspring_query){.root = getpid()});
    assert_int_equal(o.count, 2);
    uint64_t born = o.born[o.pids[0] == child ? 0 : 1];
    assert_true(born > 1);
    struct offspring_other same = {.pid = child, .born = born};
    struct offspring_other older = {.pid = child, .born = born - 1};
    offspring_scan(
        &o, &(struct offspring_query){.root = getpid(), .others = &same, .other_count = 1});
    assert_int_equal(o.count, 0);
    offspring_scan(
        &o, &(struct offspring_query){.root = getpid(), .others = &older, .other_count = 1});
    assert_int_equal(o.count, 2);
    offspring_signal(&o, SIGKILL);
    await_zombies(2);
    offspring_fini(&o);
}

static void sends_nothing_to_who_has_got_the_pid_since(void **state)
{
    struct offspring o = {.count = 0};
    struct offspring_query q = {.root = getpid()};
    (void)state;
    (void)make_family();
    offspring_scan(&o, &q);
    assert_int_equal(o.count, 2);
    o.born[0]--;
    o.born[1]--;
    offspring_signal(&o, SIGKILL);
    offspring_scan(&o, &q);
    assert_int_equal(o.count, 2);
    offspring_signal(&o, SIGKILL);
    await_zombies(2);
    offspring_fini(&o);
}

static void finds_its_cgroup_and_where_they_are(void **state)
{
    (void)state;
    assert_true(str_eq(cgroup_own_path(STR("4:memory:/m\n0::/user.slice/x.service\n")),
                       STR("/user.slice/x.service")));
    assert_true(str_eq(cgroup_own_path(STR("4:memory:/m\n")), STR("")));
    assert_true(str_eq(cgroup_mount_point(STR("proc /proc proc rw 0 0\ncgroup2 "
                                              "/sys/fs/cgroup cgroup2 rw,nosuid 0 0\n")),
                       STR("/sys/fs/cgroup")));
    assert_true(str_eq(
        cgroup_mount_point(STR("a /c/unified cgroup2 rw 0 0\nnone /c cgroup2 rw")), STR("/c")));
    assert_true(str_eq(cgroup_mount_point(STR("cgroup /c/memory cgroup rw 0 0\n")), STR("")));
}

static void reads_figures_of_flat_files(void **state)
{
    uint64_t n = 0;
    struct str text = STR("low 0\nhigh 3\nmax 12\noom 1\noom_kill 2\noom_group_kill 4\n");
    (void)state;
    assert_true(cgroup_figure(text, STR("oom_kill"), &n));
    assert_int_equal(n, 2);
    assert_false(cgroup_figure(text, STR("oom_"), &n));
    assert_false(cgroup_figure(STR(""), STR("oom"), &n));
    assert_false(cgroup_figure(STR("oom_kill x\n"), STR("oom_kill"), &n));
}

static void without_one_it_does_nothing(void **state)
{
    struct cgroup c;
    uint64_t n = 0;
    pid_t pids[4];
    (void)state;
    assert_true(cgroup_open(&c, STR("off")));
    assert_false(c.is_on);
    assert_int_equal(cgroup_entrance(&c), -1);
    assert_false(cgroup_kill(&c));
    assert_int_equal(cgroup_pids(&c, pids, 4), 0);
    assert_false(cgroup_oom_kills(&c, &n));
    cgroup_close(&c);
    assert_false(cgroup_open(&c, STR("/nowhere/at/all")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_names_with_spaces_and_parentheses),
        cmocka_unit_test(finds_and_kills_those_that_left_the_group),
        cmocka_unit_test(leaves_out_others_and_all_that_is_theirs),
        cmocka_unit_test(counts_who_has_got_the_pid_of_another_one),
        cmocka_unit_test(sends_nothing_to_who_has_got_the_pid_since),
        cmocka_unit_test(finds_its_cgroup_and_where_they_are),
        cmocka_unit_test(reads_figures_of_flat_files),
        cmocka_unit_test(without_one_it_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
