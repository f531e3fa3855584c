/*
 * Whether migration works on this host, what prevents it, and how to fix that. Reads
 * files below a root that tests can set; main thread.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "../migrate/gmig.h"

#include <jansson.h>

struct doctor_host {
	const char *root;    /* before /proc, /sys and /dev; "" for the real ones */
	const char *release; /* of the kernel, as uname -r */
	const char *user;
	const struct gmig_features *features;
	const struct gmig_topology *topology;
	int landlock;	    /* the kernel's version of it; 0 or less: none */
	bool unsafe_kernel; /* GMIG_UNSAFE_KERNEL: an unsafe kernel is used knowingly */
};

/*
 * {"ok": bool, "checks": [{"name", "state": "ok|note|fail", "text", "todo"?}]}, a new reference.
 * ok: no check failed, so migration works here; a note is something that makes it slower or
 * partial.
 */
json_t *doctor_examine(const struct doctor_host *host);

#endif
