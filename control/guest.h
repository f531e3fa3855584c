/*
 * The commands over libgmig that a server of guests offers: query-*, check-invariants, repair-table, retire-page, migrate-pages, job-*. Written once,
 * for gmig-vmm, which has one guest, and for a daemon that has several. The server says which guest a command is about,
 * and adds what only it knows.
 *
 * The commands run on the control server's thread. Everything else here may be called from any thread.
 */
#ifndef CONTROL_GUEST_H
#define CONTROL_GUEST_H

#include "../migrate/gmig_move.h"
#include "control.h"

#include <stdatomic.h>

/* ---- What a server provides ------------------------------------------------------------------ */

struct gmig_bind_spec; /* gmig_policy.h */

struct guest {
	const char *name;
	struct gmig *gmig;
	/* NULL, or its memory is that of another program (QEMU): gmig is NULL then. The kernel moves it, so that there are no
	 * vnodes, blackouts and invariants to ask about but what the server itself adds. */
	struct gmig_process *process;
	struct gmig_topology *topology; /* of its host; put with the guest, if it was got for it */
	unsigned int vnode_count;
	uint64_t vnode_bytes[GMIG_MAX_VNODES];
	/* Optional: adds to the report of a job what only the server knows of it. */
	void (*describe_job)(const struct guest *guest, const struct gmig_job_info *info,
			     json_t *job);
	void *opaque; /* the server's */
};

/* The answers to which a server adds members. */
enum guest_view { GUEST_STATUS, GUEST_NUMA, GUEST_RESIDENCY };

struct guest_ops {
	/* The guest that a command is about: it stays until `put`. -ESRCH, -EINVAL and a text. */
	int (*get)(void *opaque, const json_t *arguments, struct guest *guest,
		   struct gmig_error *err);
	void (*put)(struct guest *guest); /* NULL: nothing to do */
	/* STATUS: pid, state. NUMA: vnodes, as far as their shape is known. RESIDENCY: pid, state. */
	void (*describe)(const struct guest *guest, enum guest_view view, json_t *object);
	/* gmig_job_start(), or -ESHUTDOWN while the guest ends: no job may start behind its end. */
	int (*start_job)(const struct guest *guest, const struct gmig_job_spec *spec,
			 struct gmig_job **job, struct gmig_error *err);
	/* The same for single pages, gmig_move_start(). NULL: this server's guests have none to be named: -EOPNOTSUPP. */
	int (*start_move)(const struct guest *guest, const struct gmig_move *move,
			  const struct gmig_job_spec *limits, struct gmig_job **job,
			  struct gmig_error *err);
	/* gmig_bind(), with jobs as start_job. NULL: -EOPNOTSUPP. */
	int (*bind)(const struct guest *guest, const struct gmig_bind_spec *spec,
		    struct gmig_job **job, struct gmig_error *err);
	/* gmig_job_retry() of a job by a list or a policy, as start_job; those by nodes are start_job's. NULL: -EOPNOTSUPP. */
	int (*retry)(const struct guest *guest, struct gmig_job *old,
		     const struct gmig_job_spec *spec, struct gmig_job **job,
		     struct gmig_error *err);
	/* The answer of check-invariants for a guest with `process`, which has no engine to check. NULL: -EOPNOTSUPP. */
	int (*check)(const struct guest *guest, json_t **result, struct gmig_error *err);
};

/* `opaque` of guest_commands. */
struct guest_server {
	const struct guest_ops *ops;
	void *opaque; /* for ops->get */
};

/* ---- Commands (guest_commands.c) ------------------------------------------------------------- */

/* NULL-ended, for struct control_table. */
extern const struct control_command guest_commands[];

/*
 * What becomes of vCPUs when a job has brought their memory to another node; gmig_job_spec.user. AUTO: those that run where the
 * VMM's rule has them follow it; ALL: all do; KEEP: none.
 */
enum guest_vcpus { GUEST_VCPUS_AUTO, GUEST_VCPUS_ALL, GUEST_VCPUS_KEEP };
const char *const *guest_vcpus_names(void);

/* ---- Arguments (guest_spec.c) ---------------------------------------------------------------- */

/* The arguments of migrate-pages. -EINVAL and a text that begins with the argument's name; -EPERM as below. */
int guest_read_spec(const struct guest *guest, const json_t *arguments, struct gmig_job_spec *spec,
		    struct gmig_error *err);
/* Of these, how a job moves: all but nodes and vnode. -EPERM: `move-all`, and the peer has no CAP_SYS_NICE (control.h). */
int guest_read_how(const json_t *arguments, struct gmig_job_spec *spec, struct gmig_error *err);
/* Over the spec of another job, what of that is given anew (job-retry). Errors as guest_read_how(), also of the old one. */
int guest_read_anew(const struct guest *guest, const json_t *arguments, struct gmig_job_spec *spec,
		    struct gmig_error *err);
/*
 * A list of nodes that may be missing: none then; or one string, which is read on guest->topology (migrate/core/nodeset.h), where
 * `from` has all nodes with memory and any other name those that this server may use, too. -EINVAL, -ENODEV.
 */
int guest_read_nodes(const struct guest *guest, const json_t *arguments, const char *name,
		     uint16_t *nodes, unsigned int *count, struct gmig_error *err);
/* For a server of one guest: is the argument `guest` its name, or missing? -ESRCH. */
int guest_check_name(const json_t *arguments, const char *name, struct gmig_error *err);
/* An integer argument, 0..max, that may be missing: 0 then. -EINVAL. */
int guest_read_integer(const json_t *arguments, const char *name, uint64_t max, uint64_t *value,
		       struct gmig_error *err);
/* `step`, bytes at whose multiples parts of an answer end: whole blocks; 0: it is missing. -EINVAL. */
int guest_read_step(const json_t *arguments, uint64_t *step, struct gmig_error *err);

/* ---- Answers (guest_report.c): new references, NULL when there is no memory ------------------ */

json_t *guest_report_job(const struct gmig_job_info *info);
json_t *guest_report_jobs(const struct guest *guest);
/* The host's nodes, and on which of them this process may have memory: looked at anew. */
json_t *guest_report_numa(const struct guest *guest);
/* What the engine knows of where memory lies, how long it was out of reach, and its jobs; of a process the jobs alone. */
json_t *guest_report_residency(const struct guest *guest);
json_t *guest_report_histograms(struct gmig *gmig);
json_t *guest_report_check(const struct gmig_check *check);
/* records[0] is record number `first`; there are `total`, at most `max` of them in records. */
json_t *guest_report_trace(const struct gmig_trace_record *records, uint64_t first, uint64_t total,
			   size_t max);
json_t *guest_report_percentiles(const struct gmig_percentiles *percentiles);

/* ---- Jobs (guest_jobs.c) --------------------------------------------------------------------- */

/* The report of a job that was just started or changed; its reference is put. */
int guest_answer_with_job(const struct guest *guest, struct gmig_job *job, json_t **result,
			  struct gmig_error *err);
/* As gmig_job_find() and gmig_job_list(), whatever the guest's memory is (guest_memory.c). */
struct gmig_job *guest_job_find(const struct guest *guest, uint64_t id);
size_t guest_job_list(const struct guest *guest, uint64_t *ids, size_t max);

#define GUEST_JOB_STATES 64

/* The state that clients were last told of job id % GUEST_JOB_STATES: id << 8 | state. Zeroed. */
struct guest_job_states {
	_Atomic uint64_t last[GUEST_JOB_STATES];
};
/*
 * The event that tells of *info, "JOB_STATUS_CHANGE" or "JOB_PROGRESS", and its data, a new reference (NULL: no memory).
 * For gmig_options.job_event, which does not say whether the state has changed.
 */
const char *guest_job_event(struct guest_job_states *states, const struct gmig_job_info *info,
			    json_t **data);
/* Cancel all jobs and wait until they have ended. -ETIMEDOUT: one holds on to what it has. */
int guest_jobs_end(struct gmig *gmig, int timeout_ms, struct gmig_error *err);

#endif
