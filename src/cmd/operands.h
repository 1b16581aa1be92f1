#pragma once

#include "cmd/options.h"

/*
 * Moves the words that are neither an option of the command nor the value of one behind all
 * options, in their order, so that `explain MODEL --json` reads as `explain --json MODEL` does.
 * What follows "--" is an operand, whatever it looks like. Not for commands whose operands are
 * another program's command line.
 */
void operands_last(const struct command *c, int argc, char **argv);
