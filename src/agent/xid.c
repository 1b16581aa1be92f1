#include "agent/xid.h"

#include <stddef.h>

static const struct {
    uint16_t first;
    uint16_t last;
    uint8_t action;
} CATALOGUE[] = {
    {8, 8, XID_RESTART_APP},         {11, 11, XID_RESTART_APP},
    {13, 13, XID_RESTART_APP},       {25, 25, XID_RESTART_APP},
    {31, 32, XID_RESTART_APP},       {39, 41, XID_RESTART_APP},
    {60, 60, XID_RESTART_APP},       {68, 72, XID_RESTART_APP},
    {75, 77, XID_RESTART_APP},       {80, 80, XID_RESTART_APP},
    {82, 86, XID_RESTART_APP},       {88, 89, XID_RESTART_APP},
    {94, 94, XID_RESTART_APP},       {96, 105, XID_RESTART_APP},
    {126, 135, XID_RESTART_APP},     {139, 139, XID_RESTART_APP},
    {46, 46, XID_RESET_GPU},         {62, 62, XID_RESET_GPU},
    {64, 64, XID_RESET_GPU},         {95, 95, XID_RESET_GPU},
    {109, 110, XID_RESET_GPU},       {119, 120, XID_RESET_GPU},
    {136, 136, XID_RESET_GPU},       {140, 140, XID_RESET_GPU},
    {143, 143, XID_RESET_GPU},       {155, 156, XID_RESET_GPU},
    {158, 158, XID_RESET_GPU},       {79, 79, XID_RESTART_BM},
    {151, 151, XID_RESTART_VM},      {14, 14, XID_DO_NOTHING},
    {37, 38, XID_DO_NOTHING},        {43, 44, XID_DO_NOTHING},
    {63, 63, XID_DO_NOTHING},        {66, 67, XID_DO_NOTHING},
    {92, 93, XID_DO_NOTHING},        {106, 108, XID_DO_NOTHING},
    {121, 121, XID_DO_NOTHING},      {137, 137, XID_DO_NOTHING},
    {141, 141, XID_DO_NOTHING},      {152, 153, XID_DO_NOTHING},
    {157, 157, XID_DO_NOTHING},      {160, 161, XID_DO_NOTHING},
    {45, 45, XID_WORKFLOW},          {48, 48, XID_WORKFLOW},
    {74, 74, XID_WORKFLOW},          {144, 150, XID_WORKFLOW},
    {154, 154, XID_WORKFLOW},        {159, 159, XID_WORKFLOW},
    {54, 54, XID_CHECK_MECHANICALS}, {78, 78, XID_UPDATE_SOFTWARE},
    {1, 7, XID_CONTACT_SUPPORT},     {9, 10, XID_CONTACT_SUPPORT},
    {12, 12, XID_CONTACT_SUPPORT},   {15, 24, XID_CONTACT_SUPPORT},
    {26, 30, XID_CONTACT_SUPPORT},   {33, 36, XID_CONTACT_SUPPORT},
    {42, 42, XID_CONTACT_SUPPORT},   {47, 47, XID_CONTACT_SUPPORT},
    {49, 53, XID_CONTACT_SUPPORT},   {55, 59, XID_CONTACT_SUPPORT},
    {61, 61, XID_CONTACT_SUPPORT},   {65, 65, XID_CONTACT_SUPPORT},
    {73, 73, XID_CONTACT_SUPPORT},   {81, 81, XID_CONTACT_SUPPORT},
    {87, 87, XID_CONTACT_SUPPORT},   {90, 91, XID_CONTACT_SUPPORT},
    {111, 118, XID_CONTACT_SUPPORT}, {122, 125, XID_CONTACT_SUPPORT},
    {138, 138, XID_CONTACT_SUPPORT}, {142, 142, XID_CONTACT_SUPPORT},
};

/* Where the agent does not follow the bucket. */
static const struct {
    uint16_t first;
    uint16_t last;
    uint8_t class;
} OWN[] = {
    {45, 45, XID_IGNORE},   {48, 48, XID_DOWN},       {63, 63, XID_MAINTENANCE},
    {74, 74, XID_IF_FATAL}, {144, 150, XID_IF_FATAL}, {154, 154, XID_ACTION},
    {167, 167, XID_DOWN},   {169, 169, XID_DOWN},     {171, 173, XID_DOWN},
    {175, 175, XID_DOWN},
};

enum xid_action xid_action_of(uint32_t xid)
{
    for (size_t i = 0; i < sizeof(CATALOGUE) / sizeof(CATALOGUE[0]); i++) {
        if (xid >= CATALOGUE[i].first && xid <= CATALOGUE[i].last) {
            return (enum xid_action)CATALOGUE[i].action;
        }
    }
    return XID_NOT_LISTED;
}

const char *xid_action_name(enum xid_action a)
{
    static const char *const names[XID_ACTIONS] = {
        [XID_NOT_LISTED] = "not_listed",
        [XID_RESTART_APP] = "restart_app",
        [XID_RESET_GPU] = "reset_gpu",
        [XID_RESTART_BM] = "restart_machine",
        [XID_RESTART_VM] = "restart_vm",
        [XID_DO_NOTHING] = "ignore",
        [XID_WORKFLOW] = "workflow",
        [XID_CHECK_MECHANICALS] = "check_mechanicals",
        [XID_UPDATE_SOFTWARE] = "update_software",
        [XID_CONTACT_SUPPORT] = "contact_support",
    };
    return names[a];
}

const char *xid_class_name(enum xid_class c)
{
    static const char *const names[XID_CLASSES] = {
        [XID_IGNORE] = "ignore",    [XID_ACTION] = "action",
        [XID_APP] = "restart_app",  [XID_MAINTENANCE] = "maintenance",
        [XID_DEGRADE] = "degraded", [XID_IF_FATAL] = "down_if_fatal",
        [XID_DOWN] = "down",        [XID_REBOOT] = "reboot",
        [XID_LOST] = "lost",
    };
    return names[c];
}

static enum xid_class class_of_action(enum xid_action a)
{
    switch (a) {
    case XID_RESTART_APP:
        return XID_APP;
    case XID_RESET_GPU:
        return XID_DOWN;
    case XID_RESTART_BM:
        return XID_LOST;
    case XID_RESTART_VM:
        return XID_REBOOT;
    case XID_DO_NOTHING:
        return XID_IGNORE;
    case XID_NOT_LISTED:
    case XID_WORKFLOW:
    case XID_CHECK_MECHANICALS:
    case XID_UPDATE_SOFTWARE:
    case XID_CONTACT_SUPPORT:
    case XID_ACTIONS:
        break;
    }
    return XID_DEGRADE;
}

void xid_policy_set_defaults(struct xid_policy *p)
{
    for (uint32_t xid = 0; xid < XID_MAX; xid++) {
        p->class_of[xid] = (uint8_t)class_of_action(xid_action_of(xid));
    }
    for (size_t i = 0; i < sizeof(OWN) / sizeof(OWN[0]); i++) {
        for (uint32_t xid = OWN[i].first; xid <= OWN[i].last; xid++) {
            p->class_of[xid] = OWN[i].class;
        }
    }
}

enum xid_class xid_class_of(const struct xid_policy *p, uint32_t xid)
{
    return xid < XID_MAX ? (enum xid_class)p->class_of[xid] : XID_DEGRADE;
}
