/*
 * What an operator wants of a domain's memory: where it may be, how fast it may be moved and when. A policy is read from the
 * domain's <metadata> (domain_xml.h) and from gmigd.conf (conf.h); both have the same keys with the same values, and all of
 * them are read here. A plain value without references: copy it with =. No locks, any thread.
 */
#ifndef LIBVIRT_POLICY_H
#define LIBVIRT_POLICY_H

#include "../migrate/gmig_nodes.h"

#include <time.h>

/*
 * The namespace of <placement> in a domain's <metadata>. A URN, because a URL would claim a domain name that the project does not
 * own; the last part is the version of the keys below. libvirt compares it byte by byte and never resolves it.
 */
#define POLICY_NAMESPACE "urn:gmig:placement:1"
#define POLICY_ELEMENT	 "placement"

#define POLICY_QUIET_RANGES 16
#define POLICY_WHERE	    96
#define POLICY_VALUE	    4096 /* bytes of any value as text */

enum policy_placement {
	POLICY_NONE,	     /* observe, move only what is asked for */
	POLICY_FIXED,	     /* keep the memory on `nodes` */
	POLICY_FOLLOW_VCPUS, /* keep the memory on the nodes whose CPUs the vCPUs may use */
	POLICY_PACK,	     /* as few nodes as possible */
	POLICY_SPREAD,	     /* evenly over all allowed nodes */
};

enum policy_key {
	POLICY_KEY_PLACEMENT,
	POLICY_KEY_NODES,
	POLICY_KEY_RATE,
	POLICY_KEY_STALL_BUDGET,
	POLICY_KEY_SLOWDOWN,
	POLICY_KEY_PROTECT,
	POLICY_KEY_QUIET_HOURS,
	POLICY_KEYS,
};

/* Hours in which nothing is moved unasked, by the host's local time. */
struct policy_quiet {
	uint8_t days;	      /* bit n: begins on the day with tm_wday n */
	uint16_t from_minute; /* of the day, 0..1439 */
	uint16_t to_minute;   /* 1..1440, exclusive; below from_minute: of the next day */
};

struct placement_policy {
	enum policy_placement placement;
	struct gmig_node_set nodes; /* empty: any */
	uint64_t rate_bytes;	    /* a second; 0: no limit */
	uint64_t stall_budget_ns;   /* 0: none */
	uint32_t slowdown_ppm;	    /* of its vCPUs' time, in any second; 0: no limit */
	bool protect;		    /* no plan for the sake of others moves this domain */
	struct policy_quiet quiet[POLICY_QUIET_RANGES];
	unsigned int quiet_count;
	/* Where each key was given, as "gmigd.conf:12 [default]"; "": nowhere, the value is the default. */
	char where[POLICY_KEYS][POLICY_WHERE];
};

/* Nothing given: placement none, any node, no limit, no quiet hours. */
void policy_init(struct placement_policy *policy);

/* The key of this name ("stall-budget"), or -1. */
int policy_key_find(const char *name);
const char *policy_key_name(enum policy_key key);
const char *policy_placement_name(enum policy_placement placement);
/* All names of keys, divided by ", ": for error texts. */
const char *policy_key_names(void);

/*
 * Give a key its value:
 *   placement     none, fixed, follow-vcpus, pack, spread
 *   nodes         a list in libvirt's syntax ("0-3,^2"), or `all`
 *   rate          a size as control/size.h reads it, in bytes a second, not 0; or `none`
 *   stall-budget  a number and us, ms or s, 1us to 60s; or `none`
 *   slowdown      a number and %, 0.0001% to 100%; or `none`
 *   protect       yes, no
 *   quiet-hours   [DAY[-DAY] ]HH:MM-HH:MM[, ..], at most 16, as "Mon-Fri 08:00-18:00, Sat 22:00-06:00"; or `none`
 * where, cut to POLICY_WHERE - 1 bytes and made safe to print, begins the error text and is remembered for later ones. -EINVAL,
 * -ERANGE, -E2BIG: the policy is as it was.
 */
int policy_set(struct placement_policy *policy, enum policy_key key, const char *value,
	       const char *where, struct gmig_error *err);

/*
 * A key's value as policy_set() reads it, in its shortest form, given or not: "follow-vcpus", "0-1,3", "1536M", "500us", "0.5%",
 * "yes", "Mon-Fri 08:00-18:00". Returns text.
 */
const char *policy_value(const struct placement_policy *policy, enum policy_key key,
			 char text[POLICY_VALUE]);

/* Each key that `over` gives replaces that of `into`. */
void policy_merge(struct placement_policy *into, const struct placement_policy *over);

/*
 * Whether the keys make sense together, once all are merged: `fixed` needs nodes, `spread` needs room for more than one, and a
 * protected domain is not moved by itself. -EINVAL names both keys and where each was given.
 */
int policy_validate(const struct placement_policy *policy, struct gmig_error *err);

/* Whether the host has the nodes. -ENODEV names those that it lacks. */
int policy_check_nodes(const struct placement_policy *policy, const struct gmig_node_set *online,
		       struct gmig_error *err);

/* Whether a placement moves memory without being asked. */
bool policy_is_automatic(const struct placement_policy *policy);

/*
 * Whether local time `now` (tm_wday, tm_hour and tm_min are read) lies in the quiet hours. On the days when the clock is changed,
 * hours follow the wall clock: what is skipped never comes, what is repeated is quiet twice.
 */
bool policy_is_quiet(const struct placement_policy *policy, const struct tm *now);

#endif
