#include "sim_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>

enum { FREED_BYTE = 0xdd };

static size_t blocks;

/* The names that the linker's --wrap wants. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *ptr);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *ptr);

static void *count(void *ptr)
{
    blocks += ptr ? 1 : 0;
    return ptr;
}

void *__wrap_malloc(size_t size)
{
    return count(__real_malloc(size));
}

void *__wrap_calloc(size_t number, size_t size)
{
    return count(__real_calloc(number, size));
}

void *__wrap_realloc(void *ptr, size_t size)
{
    void *bigger = __real_realloc(ptr, size);
    return ptr ? bigger : count(bigger);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return count(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *ptr)
{
    blocks -= ptr ? 1 : 0;
    __real_free(ptr);
}

void sim_memory_start(void)
{
    (void)mallopt(M_PERTURB, FREED_BYTE);
    json_set_alloc_funcs(malloc, free);
}

size_t sim_memory_blocks(void)
{
    return blocks;
}
