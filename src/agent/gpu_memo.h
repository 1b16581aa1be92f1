#pragma once

#include "agent/gpu_host.h"
#include "base/mem.h"

/*
 * What must outlive the agent: ailments with their times, Xids, how far the kernel's log was
 * read. A small JSON file, keyed by the boot id and by each GPU's UUID: what another boot wrote
 * is not believed, as a reboot is a reset. Written to a file beside it and renamed; not synced
 * to the disk, since what a power failure could lose has no worth after it.
 */

enum { MEMO_MAX = 256 * 1024, BOOT_ID_MAX = 64 };

/* The memo of this moment; lives in the arena. */
struct str gpu_memo_text(const struct gpu_host *h, struct str boot_id, struct moment m,
                         struct arena *a);

/* Takes it in. ERR_SYNTAX; ERR_NOT_FOUND: of another boot. Then nothing is changed. */
NODISCARD enum err gpu_memo_read(struct gpu_host *h, struct str text, struct str boot_id,
                                 struct moment m);

/* The file. ERR_NOT_FOUND: none, or of another boot; else as above, or ERR_IO. */
NODISCARD enum err gpu_memo_load(struct gpu_host *h, const char *path, struct str boot_id,
                                 struct moment m);
/* ERR_IO, and *why in the system's words. */
NODISCARD enum err gpu_memo_save(const struct gpu_host *h, const char *path, struct str boot_id,
                                 struct moment m, const char **why);

/* Reads PROC_ROOT/sys/kernel/random/boot_id; "" when it cannot be read. */
void gpu_memo_boot_id(const char *proc_root, char out[BOOT_ID_MAX]);
