/*
 * First touches where ranges have a policy of their own (bindings.h). A block that is in one range as a whole becomes a huge
 * page where the policy has its n-th huge page. Else small pages come, each where the policy has it, and not all of a block at
 * once: pages that interleave are moved in one by one, which takes 10 us each where the guest runs, and nobody may wait for
 * more than 1 ms.
 *
 * Callers hold stripe.lock of the block.
 */
#ifndef GMIG_BOUND_TOUCH_H
#define GMIG_BOUND_TOUCH_H

#include "first_touch.h"

/*
 * As first_touch_fill(), which it is where no range has a policy. -ENOMEM: nobody has any, or none of the nodes that the
 * policy BIND allows.
 */
int bound_touch_fill(struct first_touch *from, struct region *region, uint64_t gfn,
		     const struct shadow_entry *entry);
/* Has any page of the block a policy of its own? Any thread, without the lock. */
bool bound_touch_is_bound(struct gmig *gmig, uint64_t block_gfn);

#endif
