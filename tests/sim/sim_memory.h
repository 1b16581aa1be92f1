#pragma once

#include <stddef.h>

/*
 * Counts the blocks of memory that are alive, by wrapping the allocator at link time
 * (-Wl,--wrap=malloc …): what is allocated and freed by the code linked here and by jansson.
 * Freed memory is overwritten (glibc's M_PERTURB), so that who still reads it is found out in
 * builds without a sanitizer, too.
 */

void sim_memory_start(void);

size_t sim_memory_blocks(void);
