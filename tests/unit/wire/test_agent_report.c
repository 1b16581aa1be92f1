#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "wire/agent_report.h"
#include "wire/dcgm_report.h"

static struct agent_report report;

static enum err read_agent(const char *body, struct arena *a)
{
    memset(&report, 0xa5, sizeof(report));
    return agent_report_read(str_from(body), a, &report);
}

static void assert_str(struct str s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

static void a_report_of_the_agent_is_read(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_int_equal(
        read_agent("{\"gpu\":\"nvidia\",\"seq\":7,\"age_ms\":412,\"late\":true,\"gpus\":["
                   "{\"index\":3,\"uuid\":\"GPU-1\",\"state\":\"DOWN\",\"advice\":\"cut\","
                   "\"reason\":\"gpu_lost\",\"why\":\"gone \\u00e9\",\"mig\":{\"slices\":["
                   "{\"uuid\":\"MIG-1\"},3,{\"uuid\":null},{\"uuid\":\"MIG-2\"}]}},"
                   "{\"index\":null,\"uuid\":null,\"state\":\"HEALTHY\"}]}",
                   &a),
        ERR_OK);
    assert_int_equal(report.seq, 7);
    assert_true(report.sees && report.is_late && report.has_age);
    assert_int_equal(report.age_ms, 412);
    assert_int_equal(report.count, 2);
    assert_true(report.gpu[0].has_index);
    assert_int_equal(report.gpu[0].index, 3);
    assert_str(report.gpu[0].uuid, "GPU-1");
    assert_str(report.gpu[0].advice, "cut");
    assert_str(report.gpu[0].why, "gone \xc3\xa9");
    assert_int_equal(report.gpu[0].slice_count, 2);
    assert_str(report.gpu[0].slice[1], "MIG-2");
    assert_false(report.gpu[1].has_index);
    assert_int_equal(report.gpu[1].uuid.len, 0);
    assert_int_equal(report.gpu[1].reason.len, 0);
    arena_fini(&a);
}

static void whoever_is_blind_or_has_no_reading_says_so(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_int_equal(
        read_agent("{\"gpu\":\"blind\",\"seq\":1,\"age_ms\":null,\"gpus\":[]}", &a), ERR_OK);
    assert_false(report.sees || report.is_late || report.has_age);
    assert_int_equal(read_agent("{\"seq\":1,\"gpus\":[]}", &a), ERR_OK);
    assert_false(report.sees);
    arena_fini(&a);
}

static void what_is_no_report_is_refused(void **state)
{
    (void)state;
    static const char *const lies[] = {
        "",
        "<html>",
        "[]",
        "{}",
        "{\"seq\":1}",
        "{\"seq\":null,\"gpus\":[]}",
        "{\"seq\":\"1\",\"gpus\":[]}",
        "{\"seq\":-1,\"gpus\":[]}",
        "{\"seq\":1e300,\"gpus\":[]}",
        "{\"seq\":1,\"gpus\":{}}",
        "{\"seq\":1,\"gpus\":[],\"gpu\":3}",
        "{\"seq\":1,\"gpus\":[],\"age_ms\":\"old\"}",
        "{\"seq\":1,\"gpus\":[3]}",
        "{\"seq\":1,\"gpus\":[{}]}",
        "{\"seq\":1,\"gpus\":[{\"state\":3}]}",
        "{\"seq\":1,\"gpus\":[{\"state\":\"DOWN\",\"index\":\"0\"}]}",
        "{\"seq\":1,\"gpus\":[{\"state\":\"DOWN\",\"reason\":[]}]}",
        "{\"seq\":1,\"gpus\":[{\"state\":\"DOWN\",\"why\":{}}]}",
        "{\"seq\":1,\"gpus\":[{\"state\":\"DOWN\",\"advice\":true}]}",
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        assert_int_not_equal(read_agent(lies[i], &a), ERR_OK);
    }
    arena_fini(&a);
}

static void more_gpus_than_a_machine_has_are_refused(void **state)
{
    (void)state;
    static char text[8192];
    struct arena a;
    arena_init(&a);
    for (int count = AGENT_GPUS_MAX; count <= AGENT_GPUS_MAX + 1; count++) {
        strcpy(text, "{\"seq\":1,\"gpus\":[");
        for (int i = 0; i < count; i++) {
            strcat(text, i > 0 ? ",{\"state\":\"DOWN\"}" : "{\"state\":\"DOWN\"}");
        }
        strcat(text, "]}");
        assert_int_equal(read_agent(text, &a), count > AGENT_GPUS_MAX ? ERR_TYPE : ERR_OK);
    }
    arena_fini(&a);
}

static void what_a_guard_says_is_read(void **state)
{
    (void)state;
    struct guard_report g;
    struct arena a;
    arena_init(&a);
    assert_int_equal(
        guard_report_read(STR("{\"version\":\"1\",\"state\":\"LOADING\",\"reason\":"
                              "\"health answers 503\",\"incident\":null}"),
                          &a, &g),
        ERR_OK);
    assert_str(g.state, "LOADING");
    assert_str(g.reason, "health answers 503");
    assert_int_equal(guard_report_read(STR("{\"state\":\"READY\"}"), &a, &g), ERR_OK);
    assert_false(g.has_restarts);
    assert_int_equal(
        guard_report_read(STR("{\"state\":\"READY\",\"restarts\":{\"total\":3}}"), &a, &g),
        ERR_OK);
    assert_true(g.has_restarts);
    assert_int_equal(g.restarts, 3);
    assert_int_equal(
        guard_report_read(STR("{\"state\":\"READY\",\"restarts\":{\"total\":-1}}"), &a, &g),
        ERR_TYPE);
    assert_int_equal(guard_report_read(STR("{\"state\":1}"), &a, &g), ERR_TYPE);
    assert_int_equal(guard_report_read(STR("{\"reason\":\"x\"}"), &a, &g), ERR_TYPE);
    assert_int_equal(guard_report_read(STR("{\"state\":\"x\",\"reason\":1}"), &a, &g),
                     ERR_TYPE);
    assert_int_equal(guard_report_read(STR("3"), &a, &g), ERR_TYPE);
    arena_fini(&a);
}

/* --- dcgm-exporter --- */

static void figures_of_dcgm_exporter_are_read_by_gpu(void **state)
{
    (void)state;
    static struct dcgm_report r;
    assert_int_equal(
        dcgm_report_read(
            STR("# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).\n"
                "# TYPE DCGM_FI_DEV_GPU_TEMP gauge\n"
                "DCGM_FI_DEV_GPU_TEMP{gpu=\"0\",UUID=\"GPU-a\",modelName=\"a \\\"x\\\", y\"} "
                "45\n"
                "DCGM_FI_DEV_XID_ERRORS{gpu=\"1\", UUID=\"GPU-b\"} 79\n"
                "DCGM_FI_DEV_XID_ERRORS{modelName=\"a \\\"x\\\", gpu=\",gpu=\"0\"} 31\n"
                "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu=\"0\"} 64\n"
                "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{gpu=\"0\",GPU_I_ID=\"1\"} 3\n"
                "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{gpu=\"0\",GPU_I_ID=\"2\"} 2\n"
                "DCGM_FI_DEV_GPU_RECOVERY_ACTION{gpu=\"1\"} NaN\n"
                "DCGM_FI_DEV_XID_ERRORS 48\n"
                "python_info{gpu=\"9\"} 1\n"),
            &r),
        ERR_OK);
    assert_int_equal(r.count, 2);
    assert_str(r.gpu[0].index, "0");
    assert_str(r.gpu[0].uuid, "GPU-a");
    assert_true(r.gpu[0].figure[DCGM_XID] > 30.5 && r.gpu[0].figure[DCGM_XID] < 31.5);
    assert_true(r.gpu[0].figure[DCGM_CLOCKS] > 63.5 && r.gpu[0].figure[DCGM_CLOCKS] < 64.5);
    assert_true(r.gpu[0].figure[DCGM_DBE] > 2.5 && r.gpu[0].figure[DCGM_DBE] < 3.5);
    assert_str(r.gpu[1].uuid, "GPU-b");
    assert_true(isnan(r.gpu[1].figure[DCGM_RECOVERY]));
    assert_true(isnan(r.gpu[1].figure[DCGM_MEMORY_C]));
}

static void a_page_without_gpus_is_none_of_dcgm_exporter(void **state)
{
    (void)state;
    static struct dcgm_report r;
    static const char *const pages[] = {"",
                                        "<html>",
                                        "vllm:num_requests_running 1\n",
                                        "DCGM_FI_DEV_XID_ERRORS 1\n",
                                        "DCGM_FI_DEV_XID_ERRORS{gpu=0} 1\n",
                                        "DCGM_FI_DEV_XID_ERRORS{gpu=\"} 1\n"};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        assert_int_equal(dcgm_report_read(str_from(pages[i]), &r), ERR_TYPE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_of_the_agent_is_read),
        cmocka_unit_test(whoever_is_blind_or_has_no_reading_says_so),
        cmocka_unit_test(what_is_no_report_is_refused),
        cmocka_unit_test(more_gpus_than_a_machine_has_are_refused),
        cmocka_unit_test(what_a_guard_says_is_read),
        cmocka_unit_test(figures_of_dcgm_exporter_are_read_by_gpu),
        cmocka_unit_test(a_page_without_gpus_is_none_of_dcgm_exporter),
    };
    return cmocka_run_group_tests_name("wire/agent_report and dcgm_report", tests, NULL, NULL);
}
