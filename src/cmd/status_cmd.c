#include "cmd/status_cmd.h"

#include "cmd/admin_get.h"
#include "cmd/color.h"
#include "cmd/status_table.h"

struct status_options {
    bool json;
    const char *admin;
};

static const struct option_row OPTIONS[] = {OPTION_JSON(struct status_options, json),
                                            OPTION_ADMIN(struct status_options, admin)};

const struct command STATUS_COMMAND = {
    .name = "status",
    .summary = "Shows models, tiers and backends: state, why, since, load and speed.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_status,
};

static int show(const struct status_options *o)
{
    struct fetched got;
    json_t *status = NULL;
    int code = admin_get("status", o->admin, STR("/status"), &got, &status);
    if (code == CMD_FINE && o->json) {
        admin_print_body(&got);
    } else if (code == CMD_FINE) {
        status_table_print(status, stdout, color_is_wanted());
    }
    json_decref(status);
    fetched_fini(&got);
    return code;
}

int cmd_status(int argc, char **argv)
{
    struct status_options o = {.json = false};
    int first = 0;
    int code = options_read(&STATUS_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return show(&o);
}
