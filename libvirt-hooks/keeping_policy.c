/* What is wanted of each domain: its metadata over gmigd.conf. See keeping.h. */
#include "domain_xml.h"
#include "keeping_inside.h"
#include "log_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Events tell of changes; one that was lost costs so long. */
#define XML_AGE_NS (300 * 1000000000ull)
/* After so long no other domain's XML is asked for in a round: where libvirt is slow, what is known is not to wait until all of a thousand are read. */
#define READING_NS (10 * 1000000000ull)

static const char no_xml[] = "its metadata has not been read yet";

/* ---- Metadata -------------------------------------------------------------------------------- */

static void take_xml(struct kept *kept, const char *xml)
{
	struct gmig_error err = {0, ""};
	struct domain_xml *domain;

	if (domain_xml_parse(xml, strlen(xml), &domain, &err)) {
		kept->metadata_error = err;
		return;
	}
	kept->metadata = domain->policy;
	kept->metadata_error = domain->policy_error;
	kept->pinned = domain->vfio_count || domain->confidential;
	domain_hear_nodeset(kept->domain, &domain->numa_nodes);
	domain_xml_destroy(domain);
}

static bool wants_xml(struct keeping *keeping, const struct kept *kept)
{
	bool wants;

	pthread_mutex_lock(&keeping->lock);
	wants = kept->stale;
	pthread_mutex_unlock(&keeping->lock);
	return wants || !kept->has_xml || keeping_now(keeping) - kept->xml_ns > XML_AGE_NS;
}

/* False: libvirt does not answer now, and the others need not be tried. What was known holds. */
static bool read_xml(struct keeping *keeping, struct kept *kept)
{
	struct gmig_error err = {0, ""};
	char *xml;
	int ret;

	pthread_mutex_lock(&keeping->lock);
	kept->stale = false;
	pthread_mutex_unlock(&keeping->lock);
	memcpy(keeping->asked, domain_uuid(kept->domain), sizeof(keeping->asked));
	ret = keeping->options.read_xml(keeping->options.opaque, domain_uuid(kept->domain), &xml,
					&err);
	if (!ret) {
		take_xml(kept, xml);
		free(xml);
		kept->has_xml = true;
		kept->merged = false;
		kept->xml_ns = keeping_now(keeping);
		return true;
	}
	pthread_mutex_lock(&keeping->lock);
	kept->stale = true;
	pthread_mutex_unlock(&keeping->lock);
	/* That domain has just gone, or is odd. */
	return ret == -ESRCH || ret == -EIO || ret == -EOPNOTSUPP;
}

/* ---- Merging --------------------------------------------------------------------------------- */

static void show(struct keeping *keeping, struct kept *kept)
{
	struct kept_shown *shown = &kept->shown;

	pthread_mutex_lock(&keeping->lock);
	shown->known = kept->merged;
	shown->wrong = kept->error.code;
	snprintf(shown->placement, sizeof(shown->placement), "%s",
		 policy_placement_name(kept->policy.placement));
	snprintf(shown->where, sizeof(shown->where), "%s",
		 kept->policy.where[POLICY_KEY_PLACEMENT]);
	if (kept->error.code)
		snprintf(shown->text, sizeof(shown->text), "%s", kept->error.text);
	pthread_mutex_unlock(&keeping->lock);
}

static int merge(const struct gmigd_conf *conf, const struct gmig_node_set *online,
		 const struct kept *kept, struct placement_policy *policy, struct gmig_error *err)
{
	int ret;

	if (kept->metadata_error.code) {
		*err = kept->metadata_error;
		return err->code;
	}
	ret = gmigd_conf_policy(conf, domain_name(kept->domain), &kept->metadata, policy, err);
	return ret ? ret : policy_check_nodes(policy, online, err);
}

/* Once for each change, and by its cause. */
static void say_change(const struct keeping *keeping, const struct kept *kept,
		       const struct placement_policy *before, const struct gmig_error *error_before)
{
	const struct log_name name = log_name(domain_name(kept->domain));
	char nodes[POLICY_VALUE], rate[POLICY_VALUE];

	if (kept->error.code) {
		if (strcmp(kept->error.text, error_before->text) != 0)
			keeping_log(keeping, GMIG_LOG_WARNING,
				    "domain=%s policy is wrong, it is not moved by itself: %s",
				    name.text, kept->error.text);
		return;
	}
	if (!error_before->code && before->placement == kept->policy.placement &&
	    before->rate_bytes == kept->policy.rate_bytes &&
	    !memcmp(&before->nodes, &kept->policy.nodes, sizeof(before->nodes)))
		return;
	keeping_log(keeping, GMIG_LOG_INFO, "domain=%s placement=%s nodes=%.80s rate=%s from=%s",
		    name.text, policy_placement_name(kept->policy.placement),
		    policy_value(&kept->policy, POLICY_KEY_NODES, nodes),
		    policy_value(&kept->policy, POLICY_KEY_RATE, rate),
		    kept->policy.where[POLICY_KEY_PLACEMENT][0]
			? kept->policy.where[POLICY_KEY_PLACEMENT]
			: "nowhere");
}

/* What its metadata alone wants in vain; of gmigd.conf it is said when that is read. */
static void warn(const struct keeping *keeping, struct kept *kept)
{
	char text[GMIG_ERROR_TEXT];

	keeper_warning(&kept->metadata, text, sizeof(text));
	if (*text && strcmp(text, kept->warning) != 0)
		keeping_log(keeping, GMIG_LOG_WARNING, "domain=%s %s",
			    log_name(domain_name(kept->domain)).text, text);
	memcpy(kept->warning, text, sizeof(text));
}

static void merge_one(struct keeping *keeping, struct kept *kept)
{
	const uint64_t topology = gmig_topology_generation(keeping->topology);
	struct placement_policy before = kept->policy, policy;
	struct gmig_error error_before = kept->error, err = {0, ""};
	int ret;

	/* Rules change with a configuration, metadata or nodes; none of it is slow. */
	pthread_mutex_lock(&keeping->lock);
	if (kept->merged && kept->conf_number == keeping->conf_number &&
	    kept->topology_number == topology) {
		pthread_mutex_unlock(&keeping->lock);
		return;
	}
	policy_init(&policy);
	ret = merge(keeping->conf, gmig_topology_online(keeping->topology), kept, &policy, &err);
	kept->conf_number = keeping->conf_number;
	pthread_mutex_unlock(&keeping->lock);
	kept->topology_number = topology;
	kept->merged = true;
	kept->error = err;
	kept->error.code = ret;
	if (ret)
		policy_init(&policy); /* no part of it */
	kept->policy = policy;
	show(keeping, kept);
	say_change(keeping, kept, &before, &error_before);
	warn(keeping, kept);
}

static void show_unknown(struct keeping *keeping, struct kept *kept)
{
	pthread_mutex_lock(&keeping->lock);
	kept->shown.known = kept->shown.wrong = false;
	snprintf(kept->shown.text, sizeof(kept->shown.text), "%s", no_xml);
	pthread_mutex_unlock(&keeping->lock);
}

/* The domain behind the one that was asked about last: each gets its turn, also where each round ends with a call that hangs. */
static size_t first_to_ask(const struct keeping *keeping)
{
	for (size_t i = 0; i < keeping->count; i++)
		if (!strcmp(domain_uuid(keeping->kept[i]->domain), keeping->asked))
			return i + 1;
	return 0;
}

void keeping_read_policies(struct keeping *keeping)
{
	const uint64_t began_ns = keeping_now(keeping);
	const size_t first = first_to_ask(keeping);
	bool answers = true;

	keeping->unread = false;
	for (size_t i = 0; i < keeping->count && answers && !keeping_is_ending(keeping); i++) {
		struct kept *kept = keeping->kept[(first + i) % keeping->count];

		if (!wants_xml(keeping, kept))
			continue;
		keeping->unread = keeping_now(keeping) - began_ns >= READING_NS;
		if (keeping->unread)
			break;
		answers = read_xml(keeping, kept);
	}
	for (size_t i = 0; i < keeping->count; i++)
		if (keeping->kept[i]->has_xml)
			merge_one(keeping, keeping->kept[i]);
		else
			show_unknown(keeping, keeping->kept[i]);
}
