/* Pages that cannot be read any more, and lie in a slot. */
#ifndef GMIG_UFFD_LOST_H
#define GMIG_UFFD_LOST_H

#include "../memory/frame.h"
#include "../memory/region.h"

/*
 * A page is out in this slot and does not come back. If it cannot be read its content is lost, wherever it is put: its place becomes
 * a page that cannot be read, so that whoever touches it gets SIGBUS and nobody else is hurt. A hole would read as zeros. The slot
 * keeps the frame. false: it can be read, or the kernel refuses.
 */
bool uffd_lost(struct gmig *gmig, const struct region *region, struct slot *slot, uint64_t gfn);

struct mover_ticket;
/*
 * Of a ticket that is settled: pages that stayed since they cannot be read become what the kernel shows them as, and are told of.
 * The kernel has told nobody: of a thread that reads a page as it breaks it thinks that it knows (collect_procs() in
 * mm/memory-failure.c).
 */
void uffd_tell_broken(struct gmig *gmig, const struct mover_ticket *ticket);

#endif
