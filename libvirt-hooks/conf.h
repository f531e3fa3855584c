/*
 * gmigd's configuration: gmigd.conf, and gmigd.conf.d/ beside it, whose *.conf are read after it in the order of their names
 * (byte order). What is read later replaces what was read before, key by key. Syntax: libinih's, see gmigd.conf(5).
 *
 * A conf is read-only once read: reloading makes a new one. No locks, any thread.
 */
#ifndef GMIGD_CONF_H
#define GMIGD_CONF_H

#include "policy.h"

#define GMIGD_CONF_PATH	      "/etc/gmig/gmigd.conf"
#define GMIGD_CONF_FILE_BYTES (1u << 20) /* of one file, at most */
#define GMIGD_CONF_DOMAINS    4096u /* sections [domain ..], at most: each is tried for each domain */
#define GMIGD_CONF_SECTION    49    /* bytes between the brackets, at most: libinih's buffer */
#define GMIGD_CONF_LINE	      197   /* bytes of a line, likewise */

/* [domain PATTERN] */
struct conf_domain {
	uint64_t hash;			      /* of the pattern: few of 4,096 have to be compared */
	char pattern[GMIGD_CONF_SECTION + 1]; /* fnmatch(3) without flags, or the whole name */
	struct placement_policy policy;
	unsigned int file[POLICY_KEYS]; /* which file gave a key, from 1 */
};

/* [gmigd]. Strings are owned by the conf; paths are absolute. */
struct gmigd_conf {
	char *uri;     /* of libvirt; "qemu:///system" */
	char *socket;  /* where commands come in */
	char *group;   /* that may use `socket` */
	char *state;   /* directory of what survives gmigd */
	char *metrics; /* file for the textfile collector; NULL: none is written */
	uint64_t scan_interval_ns;
	uint64_t libvirt_timeout_ns; /* of each call */

	struct conf_domain defaults; /* [default] */
	struct conf_domain *domains; /* in the order in which they were first read */
	size_t domain_count;
	unsigned int files; /* that were read */
};

/*
 * Read path and path.d/. What is missing leaves the defaults. *conf is set only on success; the caller destroys it. -errno of
 * open(2) and others: a file is there and cannot be read; -EPERM: it is no regular file, or others may write it; -EINVAL, -ERANGE,
 * -E2BIG: something in it is wrong, or [default] or a [domain] section over it contradicts itself; -ENOMEM. The text names file,
 * line and what is allowed.
 */
int gmigd_conf_read(const char *path, struct gmigd_conf **conf, struct gmig_error *err);
/* NULL is allowed. */
void gmigd_conf_destroy(struct gmigd_conf *conf);

/*
 * The policy of the domain `name`: each key from its metadata, else the [domain NAME] section of exactly this name, else the one
 * [domain PATTERN] that matches and gives it, else [default], else the built-in value. metadata NULL: it has none. -EINVAL: two
 * patterns give a key that neither metadata nor [domain NAME] gives, or what results contradicts itself (policy_validate()); both
 * places are named.
 */
int gmigd_conf_policy(const struct gmigd_conf *conf, const char *name,
		      const struct placement_policy *metadata, struct placement_policy *policy,
		      struct gmig_error *err);

/*
 * What `gmigd --check-config` does: read, and print to `out` either what was read, in words, or the error. 0: all is well, 1: it
 * is not; an exit status.
 */
int gmigd_conf_check(const char *path, FILE *out);

#endif
