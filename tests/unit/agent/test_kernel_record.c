#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/kernel_record.h"

static struct kernel_record parse(const char *line)
{
    struct kernel_record r;
    assert_true(kernel_record_parse(str_from(line), &r));
    return r;
}

static void reads_every_form_of_an_xid(void **state)
{
    static const struct {
        const char *line;
        uint32_t xid;
        int64_t pid, instance, compute;
        const char *text;
    } cases[] = {
        {"3,7,99,-;NVRM: Xid (PCI:0000:18:00): 79, pid=1234, name=python3, GPU has fallen", 79,
         1234, -1, -1, "pid=1234, "},
        {"3,7,99,-;NVRM: Xid (PCI:0000:18:00): 94, Contained: SM (0x1). RST: No, D-RST: No", 94,
         -1, -1, -1, "Contained: SM (0x1). RST: No, D-RST: No"},
        {"3,7,99,-;NVRM: Xid (PCI:0000:18:00 GPU-I:05): 13, pid=5, name=x", 13, 5, 5, -1,
         "pid=5, "},
        {"3,7,99,-;NVRM: Xid (PCI:0000:18:00 GPU-I:0a GPU-CI:01): 31, pid=6", 31, 6, 10, 1,
         "pid=6"},
        {"3,7,99,-,caller=T1;NVRM: Xid (PCI:0000:18:00): 45, pid='<unknown>', name=<unknown>, "
         "Ch 1",
         45, -1, -1, -1, "pid='<unknown>', "},
        {"3,7,99,c;NVRM: Xid (0000:18:00): 31, Ch 0000007e, engmask", 31, -1, -1, -1,
         "Ch 0000007e, engmask"},
        {"3,7,99,-;NVRM: Xid (PCI:00000000:18:00.0): 8\n SUBSYSTEM=pci\n DEVICE=x", 8, -1, -1,
         -1, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kernel_record r = parse(cases[i].line);
        assert_int_equal(r.kind, KERNEL_XID);
        assert_int_equal(r.seq, 7);
        assert_int_equal(r.usec, 99);
        assert_string_equal(r.bdf, "0000:18:00");
        assert_int_equal(r.xid, cases[i].xid);
        assert_int_equal(r.pid, cases[i].pid);
        assert_int_equal(r.instance, cases[i].instance);
        assert_int_equal(r.compute, cases[i].compute);
        assert_string_equal(r.text, cases[i].text);
    }
}

static void trusts_nothing_after_a_name(void **state)
{
    (void)state;
    struct kernel_record r =
        parse("3,1,1,-;NVRM: Xid (PCI:0000:18:00): 149, pid=1, name=a, Fatal");
    assert_false(r.is_fatal);
    r = parse(
        "3,1,1,-;NVRM: Xid (PCI:0000:18:00): 154, name=GPU recovery action changed from 0x0 "
        "(None) to 0x2 (Node Reboot Required)");
    assert_int_equal(r.action, -1);
    r = parse("3,1,1,-;NVRM: Xid (PCI:0000:18:00): 13, name=pid=77, Fatal");
    assert_int_equal(r.pid, -1);
    assert_string_equal(r.text, "");
}

static void knows_fatal_from_non_fatal(void **state)
{
    (void)state;
    assert_true(parse("3,1,1,-;NVRM: Xid (PCI:0000:18:00): 149, LINK Fatal XC0").is_fatal);
    assert_true(parse("3,1,1,-;NVRM: Xid (PCI:0000:18:00): 74, fatal").is_fatal);
    assert_false(parse("3,1,1,-;NVRM: Xid (PCI:0000:18:00): 149, LINK Nonfatal XC0").is_fatal);
    assert_false(parse("3,1,1,-;NVRM: Xid (PCI:0000:18:00): 149, LINK Non-fatal XC0").is_fatal);
    assert_true(
        parse("3,1,1,-;nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal, L").is_fatal);
    assert_false(parse("3,1,1,-;nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Non-fatal, L")
                     .is_fatal);
}

static void reads_a_new_recovery_action(void **state)
{
    (void)state;
    struct kernel_record r = parse(
        "3,1,1,-;NVRM: Xid (PCI:0000:18:00): 154, GPU recovery action changed from 0x0 (None) "
        "to 0x4 (Drain and Reset)");
    assert_int_equal(r.action, RECOVERY_DRAIN_RESET);
    r = parse(
        "3,1,1,-;NVRM: Xid (PCI:0000:18:00): 154, GPU recovery action changed from 0x1 (GPU "
        "Reset Required) to 0x0 (None)");
    assert_int_equal(r.action, RECOVERY_NONE);
}

static void reads_the_other_lines(void **state)
{
    static const struct {
        const char *text;
        enum kernel_kind kind;
        const char *bdf;
    } cases[] = {
        {"3,1,1,-;NVRM: GPU 0000:18:00.0: GPU has fallen off the bus.", KERNEL_LOST,
         "0000:18:00"},
        {"3,1,1,-;NVRM: The NVIDIA GPU 0000:18:00.0\\x0aNVRM: (PCI ID: 10de:2330) installed in "
         "this "
         "system has\\x0aNVRM: fallen off the bus and is not responding to commands.",
         KERNEL_LOST, "0000:18:00"},
        {"3,1,1,-;NVRM: GPU at PCI:0000:18:00: GPU-0123", KERNEL_IDENTITY, "0000:18:00"},
        {"3,1,1,-;NVRM: _kgspRpcRecvPoll: Timeout after 45s of waiting for RPC response from "
         "GPU0 GSP!",
         KERNEL_GSP, ""},
        {"3,1,1,-;NVRM: Timeout waiting for RPC from GSP!", KERNEL_GSP, ""},
        {"3,1,1,-;nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal", KERNEL_SWITCH,
         "0000:c1:00"},
        {"3,1,1,-;NVRM: loading NVIDIA UNIX x86_64 Kernel Module", KERNEL_OTHER, ""},
        {"3,1,1,-;usb 1-1: Product: NVRM: Xid (PCI:0000:18:00): 79", KERNEL_OTHER, ""},
        {"11,1,1,-;NVRM: Xid (PCI:0000:18:00): 79, from user space", KERNEL_OTHER, ""},
        {"3,1,1,-;NVRM: Xid (PCI:0000:18): 79", KERNEL_OTHER, "*"},
        {"3,1,1,-;NVRM: Xid (PCI:0000:18:00) 79", KERNEL_OTHER, "*"},
        {"3,1,1,-;NVRM: Xid (PCI:0000:18:00): x", KERNEL_OTHER, "*"},
        {"3,1,1,-;NVRM: Xid (PCI:0000:18:00): 79x", KERNEL_OTHER, "*"},
        {"3,1,1,-;NVRM: Xid (PCI:0000:18:00): 4294967296", KERNEL_OTHER, "*"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kernel_record r = parse(cases[i].text);
        assert_int_equal(r.kind, cases[i].kind);
        if (cases[i].bdf[0] != '*') {
            assert_string_equal(r.bdf, cases[i].bdf);
        }
    }
    assert_string_equal(parse("3,1,1,-;NVRM: GPU at PCI:0000:18:00: GPU-0123").uuid,
                        "GPU-0123");
}

static void refuses_what_is_no_record(void **state)
{
    static const char *const lines[] = {"",
                                        ";",
                                        "3",
                                        "3,",
                                        "3,1,1",
                                        "3,1,1,-",
                                        "x,1,1,-;a",
                                        "3,,1,-;a",
                                        "3,1,,-;a",
                                        ",,,;a",
                                        "3,99999999999999999999,1,-;a"};
    struct kernel_record r;
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_false(kernel_record_parse(str_from(lines[i]), &r));
    }
}

/* Cut at every byte, and with every byte changed: no crash, and text that is tame. */
static void any_damage_is_harmless(void **state)
{
    static const char LINE[] =
        "3,7,99,-;NVRM: Xid (PCI:0000:18:00 GPU-I:05 GPU-CI:01): 154, pid=5, GPU "
        "recovery action changed from 0x0 (None) to 0x2 (x)";
    char room[sizeof(LINE)];
    (void)state;
    for (size_t cut = 0; cut < sizeof(LINE) - 1; cut++) {
        struct kernel_record r;
        (void)kernel_record_parse(str_of(LINE, cut), &r);
        for (int byte = 0; byte < 256; byte += 5) {
            memcpy(room, LINE, sizeof(LINE));
            room[cut] = (char)byte;
            (void)kernel_record_parse(str_of(room, sizeof(LINE) - 1), &r);
            for (size_t i = 0; r.text[i]; i++) {
                assert_in_range(r.text[i], ' ', '~');
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form_of_an_xid),
        cmocka_unit_test(trusts_nothing_after_a_name),
        cmocka_unit_test(knows_fatal_from_non_fatal),
        cmocka_unit_test(reads_a_new_recovery_action),
        cmocka_unit_test(reads_the_other_lines),
        cmocka_unit_test(refuses_what_is_no_record),
        cmocka_unit_test(any_damage_is_harmless),
    };
    return cmocka_run_group_tests_name("agent/kernel_record", tests, NULL, NULL);
}
