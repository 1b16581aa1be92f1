#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/nvml.h"
#include "agent/reading.h"

/*
 * Reads one GPU through NVML. Only in the child: any call may block for ever. What a GPU or a
 * driver does not have stays READING_NONE.
 */

/* A GPU that the library listed. */
struct nvml_gpu {
    nvml_device handle; /* NULL: none was given */
    uint32_t index;
    int code; /* of asking for the handle */
    char uuid[UUID_MAX];
    char bdf[BDF_MAX];
    char name[96];
};

/* Asks for the handle and who it is. */
void nvml_attach(const struct nvml *n, uint32_t index, struct nvml_gpu *g);

/* Fills *r. False: the library must be initialised anew, by a new process. */
bool nvml_read(const struct nvml *n, const struct nvml_gpu *g, const char *proc_root,
               struct gpu_reading *r);
