/*
 * The sampler: a thread that takes a few blocks of a guest away, at a bounded rate, and notes how long it takes until somebody
 * misses them (core/heat.h). Such a block is HINT in the table: whoever touches it sleeps until it is back, which this thread sees
 * to at once. What nobody has missed within HEAT_WINDOW_NS comes back, too.
 *
 * It stands aside for everybody: a job or a discard that wants a block gets it back at once, such a sample counts for nothing, and
 * no other one is taken for a window. Those that are out while the guest's vCPUs stand still count for nothing, too.
 *
 * What it costs is counted as jobs' slowdown is (jobs/job_slowdown.h): the time that threads slept on samples, divided by the vCPUs,
 * and that of the calls that take blocks away and bring them back. When that is above its budget it takes no more until it is not.
 *
 * Functions: any thread but the engine's own, one at a time but for sampler_info() and sampler_hold().
 */
#ifndef GMIG_SAMPLER_H
#define GMIG_SAMPLER_H

#include "../core/heat.h"
#include "../gmig_heat.h"
#include "../memory/engine.h"

#define SAMPLER_BLOCKS 64 /* that are out at a time, at most */

struct sampler;

/* Caller holds engine.sampling_lock. *how: nothing is 0. heat: not owned. -EOPNOTSUPP: none of the guest's memory can be sampled; -ENOMEM, -EAGAIN. */
int sampler_start(struct gmig *gmig, struct heat *heat, const struct gmig_sampling *how,
		  struct sampler **out, struct gmig_error *err);
/* All blocks are back when it returns. NULL is legal. */
void sampler_stop(struct sampler *sampler);
void sampler_change(struct sampler *sampler, const struct gmig_sampling *how);
/* The vCPUs stand still, or run again. */
void sampler_hold(struct sampler *sampler, bool held);
void sampler_info(struct sampler *sampler, struct gmig_sampling_info *info);

#endif
