/*
 * The table of running domains: what libvirt lists, each with its process (domain.h). Updated whenever libvirt says that something
 * has changed, and now and then without: an event or a datagram of the hook that gets lost costs nothing but time.
 *
 * A domain leaves the table when its process has ended, whatever libvirt says: while libvirtd restarts, nothing changes. One whose process is not
 * found stays as a name with a reason, and is looked for again at each update.
 *
 * Lock: the table's own, held for lookups only; never while files are read or a domain is opened or put.
 */
#ifndef DOMAINS_H
#define DOMAINS_H

#include "domain.h"
#include "virt.h"

struct domains;

/* host must live as long as the table. uri: for names such as qemu:///system/web1; users: as whom a domain may run where
 * libvirt does not say. Both are copied. */
int domains_create(const struct domain_host *host, const char *uri, const uid_t *users,
		   unsigned int user_count, struct domains **out, struct gmig_error *err);
/* Cancels all jobs and waits for them. NULL is legal. */
void domains_destroy(struct domains *domains);

/*
 * One thread at a time. list: as virt_list() gave it; NULL: libvirt is not to be asked now, only the dead are looked for. Returns in how many
 * ms a process that was not found is to be looked for again, -1: none is. The last resort is to look at all processes: what was not found
 * is tried again after 100 ms, 200 ms .. and at last once a minute. Without memory the table stays as it was, and a second later is soon enough.
 */
int domains_update(struct domains *domains, const struct virt_domain *list, int count);

/*
 * Before the first update: the domains whose journals a gmigd has left, if their processes live. Their moves go on, and their cpusets are put
 * right, whether libvirt answers or not.
 */
void domains_recover(struct domains *domains);

/*
 * name: web1, or with its host's URI, qemu:///system/web1, or a uuid. *out is to be put. -ESRCH there is none, or its process is not
 * found: the text says why; -EEXIST it means two domains.
 */
int domains_find(struct domains *domains, const char *name, struct domain **out,
		 struct gmig_error *err);

/* What is known of each, in the order of names. */
struct domains_entry {
	const char *name, *uuid, *why; /* why: NULL, or why it cannot be asked and moved */
	struct domain *domain;	       /* NULL with `why`; not to be put */
};
/* Under the table's lock: each must be quick, and call nothing of the table. */
void domains_each(struct domains *domains,
		  void (*each)(void *opaque, const struct domains_entry *entry), void *opaque);
const char *domains_uri(const struct domains *domains);

#endif
