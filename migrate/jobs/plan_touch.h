/*
 * The plan `touch`: pages go to whoever touches them (mode lazy), so that it says of a page only whether it may go somewhere:
 * the target is known at the touch, and is one of plan.targets.
 */
#ifndef GMIG_PLAN_TOUCH_H
#define GMIG_PLAN_TOUCH_H

#include "plan.h"

/* from and to of the spec, which plan_map_build() has checked. */
void plan_touch_create(const struct gmig_job_spec *spec, struct plan *plan);

#endif
