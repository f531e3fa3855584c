/* What domain.c and domain_move.c share; see domain.h. */
#ifndef DOMAIN_INSIDE_H
#define DOMAIN_INSIDE_H

#include "../control/guest.h"
#include "domain.h"

struct domain {
	const struct domain_host *host;
	atomic_uint refs;
	char *name;
	char uuid[QEMU_UUID_TEXT];
	struct guest_job_states job_states;
	_Atomic uint64_t memory_bytes;
	atomic_uint vcpus;
	atomic_bool paused;
	struct qemu_process qemu;
	struct gmig_process *process; /* for jobs */

	pthread_mutex_t scan_lock;
	struct process *looker; /* guarded by scan_lock; the same process, for looking */
	pthread_mutex_t look_lock;
	struct domain_look look; /* guarded by look_lock; at_ns 0: none yet */

	pthread_mutex_t move_lock;
	unsigned int jobs;	    /* guarded by move_lock, as all below; that have not ended */
	struct cpuset_scope *scope; /* while jobs run */
	struct gmig_node_set wide;  /* nodes that running jobs need */
	bool journaled;
	char note[GMIG_ERROR_TEXT];
};

__attribute__((format(printf, 3, 4))) void
domain_log(const struct domain *domain, enum gmig_log_level level, const char *format, ...);
/* A job's thread says what has become of it. */
void domain_on_job(void *opaque, const struct gmig_job_info *info);
/* Right after it was opened: finish what another gmigd began. */
void domain_recover(struct domain *domain);

#endif
