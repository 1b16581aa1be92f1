#pragma once

#include "gate/gateway.h"
#include "net/loop.h"

/*
 * Measures beside the traffic, on the control thread, what each backend can resume (llm/
 * calibration.h), and looks every now and then which models it has (llm/model_list.h) and what
 * those can take (llm/model_offer.h).
 *
 *      look ──▶ ask what is not known of each serving ──▶ measure each that is due ──▶ wait for
 * the next look, or for a change
 *
 * It never stands in anybody's way: only HEALTHY backends without an attempt in flight are
 * measured, at most two at once and one question each, and an attempt that begins cuts the
 * question off, which is asked again later. What goes wrong here blames nobody. No paid backend
 * is asked for anything, and no model is loaded for it: one that its server says is not in
 * memory waits until somebody wants it. What was learnt goes to the board.
 */

struct calibrator;

/* `l` is the control thread's loop; the gateway's wake_calibrator is set to it. */
struct calibrator *calibrator_start(struct gateway *g, struct loop *l);

/* From the control thread, when the loop no longer runs; cancels what runs. */
void calibrator_stop(struct calibrator **c);
