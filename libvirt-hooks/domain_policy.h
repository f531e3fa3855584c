/* <metadata> of a domain's XML, of which only <placement> in POLICY_NAMESPACE is ours. Part of domain_xml.c. */
#ifndef DOMAIN_POLICY_H
#define DOMAIN_POLICY_H

#include "policy.h"
#include "xml_read.h"

/*
 * Read the policy of a domain of this name; metadata may be NULL. Nothing is given when there is no <placement>. -EINVAL, -ERANGE,
 * -E2BIG, -ENOMEM: it is wrong, and nothing is given.
 */
int domain_policy_read(const xmlNode *metadata, const char *name, struct placement_policy *policy,
		       struct gmig_error *err);

#endif
