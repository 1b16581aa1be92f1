#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/xid.h"

static void the_catalogue_says_what_to_do(void **state)
{
    static const struct {
        uint32_t xid;
        enum xid_action action;
        enum xid_class class;
    } cases[] = {
        {13, XID_RESTART_APP, XID_APP},
        {31, XID_RESTART_APP, XID_APP},
        {43, XID_DO_NOTHING, XID_IGNORE},
        {45, XID_WORKFLOW, XID_IGNORE},
        {48, XID_WORKFLOW, XID_DOWN},
        {63, XID_DO_NOTHING, XID_MAINTENANCE},
        {64, XID_RESET_GPU, XID_DOWN},
        {74, XID_WORKFLOW, XID_IF_FATAL},
        {79, XID_RESTART_BM, XID_LOST},
        {94, XID_RESTART_APP, XID_APP},
        {95, XID_RESET_GPU, XID_DOWN},
        {109, XID_RESET_GPU, XID_DOWN},
        {119, XID_RESET_GPU, XID_DOWN},
        {149, XID_WORKFLOW, XID_IF_FATAL},
        {151, XID_RESTART_VM, XID_REBOOT},
        {154, XID_WORKFLOW, XID_ACTION},
        {171, XID_NOT_LISTED, XID_DOWN},
        {54, XID_CHECK_MECHANICALS, XID_DEGRADE},
        {61, XID_CONTACT_SUPPORT, XID_DEGRADE},
        {0, XID_NOT_LISTED, XID_DEGRADE},
        {1023, XID_NOT_LISTED, XID_DEGRADE},
        {1024, XID_NOT_LISTED, XID_DEGRADE},
        {UINT32_MAX, XID_NOT_LISTED, XID_DEGRADE},
    };
    struct xid_policy p;
    (void)state;
    xid_policy_set_defaults(&p);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(xid_action_of(cases[i].xid), cases[i].action);
        assert_int_equal(xid_class_of(&p, cases[i].xid), cases[i].class);
    }
}

static void everything_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < XID_ACTIONS; i++) {
        assert_non_null(xid_action_name((enum xid_action)i));
    }
    for (int i = 0; i < XID_CLASSES; i++) {
        assert_non_null(xid_class_name((enum xid_class)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_catalogue_says_what_to_do),
        cmocka_unit_test(everything_has_a_name),
    };
    return cmocka_run_group_tests_name("agent/xid", tests, NULL, NULL);
}
