/* What the VMM's process can never do again, from its start on. */
#ifndef VMM_CONFINE_H
#define VMM_CONFINE_H

#include "../migrate/gmig.h"

/*
 * No program that this process starts can get rights that it does not have (PR_SET_NO_NEW_PRIVS, prctl(2)). gmig-vmm starts none:
 * this is for a guest that has taken it over. Before the first thread. -errno.
 */
int vmm_confine(struct gmig_error *err);

#endif
