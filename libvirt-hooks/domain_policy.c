/* The policy in a domain's <metadata>, see domain_policy.h. */
#include "domain_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the namespaces of all versions begin with. */
#define ALL_VERSIONS "urn:gmig:placement:"

static int read_attribute(const xmlAttr *attribute, const char *where,
			  struct placement_policy *policy, struct gmig_error *err)
{
	const char *name = (const char *)attribute->name;
	int key = attribute->ns ? -1 : policy_key_find(name);
	char *value;
	int ret;

	if (key < 0)
		return gmig_fail(err, -EINVAL, "%s: no attribute '%s%.40s'; there are %s", where,
				 attribute->ns ? "..:" : "", name, policy_key_names());
	value = (char *)xmlNodeGetContent((const xmlNode *)attribute);
	if (!value)
		return gmig_fail(err, -ENOMEM, "no memory for XML");
	ret = policy_set(policy, (enum policy_key)key, value, where, err);
	free(value);
	return ret;
}

static bool is_blank(const xmlNode *node)
{
	return node->type == XML_COMMENT_NODE || xmlIsBlankNode(node);
}

static int read_placement(const xmlNode *element, const char *where,
			  struct placement_policy *policy, struct gmig_error *err)
{
	int ret = 0;

	if (strcmp((const char *)element->ns->href, POLICY_NAMESPACE) != 0)
		return gmig_fail(err, -EINVAL,
				 "%s: namespace '%.60s' is of another version; "
				 "this one reads " POLICY_NAMESPACE,
				 where, (const char *)element->ns->href);
	if (strcmp((const char *)element->name, POLICY_ELEMENT) != 0)
		return gmig_fail(err, -EINVAL,
				 "%s: no element <%.40s>; there is <" POLICY_ELEMENT ">", where,
				 (const char *)element->name);
	for (const xmlNode *child = element->children; child; child = child->next)
		if (!is_blank(child))
			return gmig_fail(err, -EINVAL,
					 "%s: <" POLICY_ELEMENT "> is empty, all is "
					 "said by its attributes: %s",
					 where, policy_key_names());
	for (const xmlAttr *at = element->properties; at && !ret; at = at->next)
		ret = read_attribute(at, where, policy, err);
	return ret;
}

int domain_policy_read(const xmlNode *metadata, const char *name, struct placement_policy *policy,
		       struct gmig_error *err)
{
	const xmlNode *found = NULL;
	char where[POLICY_WHERE];
	int ret;

	policy_init(policy);
	snprintf(where, sizeof(where), "metadata of %.60s", name);
	for (xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next) {
		if (node->type != XML_ELEMENT_NODE || !node->ns || !node->ns->href ||
		    strncmp((const char *)node->ns->href, ALL_VERSIONS, strlen(ALL_VERSIONS)) != 0)
			continue;
		if (found)
			return gmig_fail(err, -EINVAL, "%s: line %ld: a second <%.40s>", where,
					 xmlGetLineNo(node), (const char *)node->name);
		found = node;
	}
	ret = found ? read_placement(found, where, policy, err) : 0;
	if (ret)
		policy_init(policy);
	return ret;
}
