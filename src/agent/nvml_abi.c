#include "agent/nvml_abi.h"

const char *nvml_code_text(int code)
{
    static const struct {
        int code;
        const char *text;
    } texts[] = {
        {NVML_SUCCESS, "no error"},
        {NVML_UNINITIALIZED, "not initialised"},
        {NVML_INVALID_ARGUMENT, "invalid argument"},
        {NVML_NOT_SUPPORTED, "not supported"},
        {NVML_NO_PERMISSION, "no permission"},
        {NVML_NOT_FOUND, "not found"},
        {NVML_INSUFFICIENT_SIZE, "room too small"},
        {NVML_INSUFFICIENT_POWER, "a power cable is not attached"},
        {NVML_DRIVER_NOT_LOADED, "driver not loaded"},
        {NVML_TIMEOUT, "timed out"},
        {NVML_IRQ_ISSUE, "interrupt problem with the GPU"},
        {NVML_LIBRARY_NOT_FOUND, "library not found"},
        {NVML_FUNCTION_NOT_FOUND, "function not found"},
        {NVML_CORRUPTED_INFOROM, "inforom is corrupted"},
        {NVML_GPU_IS_LOST, "GPU is lost"},
        {NVML_RESET_REQUIRED, "reset required"},
        {NVML_OPERATING_SYSTEM, "blocked by the operating system"},
        {NVML_VERSION_MISMATCH, "driver and library versions differ"},
        {NVML_ARGUMENT_VERSION_MISMATCH, "argument version mismatch"},
        {NVML_NOT_READY, "not ready yet"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].code == code) {
            return texts[i].text;
        }
    }
    return "unknown error";
}
