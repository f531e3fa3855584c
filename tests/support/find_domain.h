/* Looking a domain of gmigd's up by name, for the programs that have a table of domains. */
#ifndef TEST_FIND_DOMAIN_H
#define TEST_FIND_DOMAIN_H

#include "../../libvirt-hooks/domains.h"

/* Its QEMU's pid, or -errno. */
static inline int find_domain(struct domains *domains, const char *name, struct gmig_error *err)
{
	struct domain *domain;
	int ret = domains_find(domains, name, &domain, err);

	if (ret)
		return ret;
	ret = (int)domain_pid(domain);
	domain_put(domain);
	return ret;
}

#endif
