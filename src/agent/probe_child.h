#pragma once

/*
 * The child: the only process that opens NVML and looks at the GPUs' PCI entries, so the only
 * one that can get stuck there. A letter on standard input asks for a reading; frames
 * (agent/reading) go to standard output; it ends when its input does. Signals that end a
 * terminal's or a unit's processes are ignored: an NVML client must not be cut off in a call.
 */

/* What agent/gpu_child starts: fallthrough agent-probe LIBRARY SYSFS_ROOT PROC_ROOT EVENT_MS.
 */
#define PROBE_COMMAND "agent-probe"

/* The exit status. */
int probe_child_main(int argc, char **argv);
