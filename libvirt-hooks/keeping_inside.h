/* What the files of keeping.h share. */
#ifndef KEEPING_INSIDE_H
#define KEEPING_INSIDE_H

#include "../control/host_view.h"
#include "keeper.h"
#include "keeping.h"
#include "metrics.h"
#include "vcpu_watch.h"

#define KEPT_JOBS 64 /* as many as a process remembers */

/* A move that was started by itself. */
struct kept_job {
	uint64_t id; /* 0: none */
	char reason[KEEPER_REASON];
};

/* What others may ask for. */
struct kept_shown {
	bool known, wrong;
	char placement[16];
	char where[POLICY_WHERE];
	char state[16];
	char text[GMIG_ERROR_TEXT]; /* the reason, or what is wrong */
};

/* One domain. All but what is said to be guarded is the round's. */
struct kept {
	struct domain *domain; /* a reference */
	bool present;

	bool stale;			 /* guarded by lock; its XML is to be read */
	struct kept_shown shown;	 /* guarded by lock */
	struct kept_job jobs[KEPT_JOBS]; /* guarded by lock; at id % KEPT_JOBS */

	/* Policy */
	bool has_xml, merged;
	uint64_t xml_ns, conf_number, topology_number;
	struct placement_policy metadata, policy;
	struct gmig_error metadata_error, error; /* error.code: the policy is wrong */
	bool pinned;
	char warning[GMIG_ERROR_TEXT];

	/* Watching */
	struct vcpu_watch watch;
	struct gmig_node_set vcpu_nodes; /* of the round before */
	struct domain_look *look;
	bool looked, look_now;
	uint64_t look_ns, due_ns; /* by keeping's clock */
	uint64_t look_soon_ns;	  /* 0: not; its vCPUs have been re-pinned */
	double look_timestamp;
	struct placement_ram *ram;
	size_t ram_count;

	/* Jobs */
	struct gmig_job *job; /* runs by itself; NULL: none */
	uint64_t live[KEPT_JOBS], last_id, hand_jobs;
	unsigned int live_count;
	struct keeper_move move; /* of `job` */
	struct metrics_job job_metrics;

	struct keeper_verdict verdict;
};

struct keeping {
	struct keeping_options options;
	struct keeper *keeper;
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool woken, ending; /* guarded by lock, as what follows */
	const struct gmigd_conf *conf;
	uint64_t conf_number;
	struct kept **kept; /* changed by the round alone */
	size_t count;

	/* The round's */
	char asked[QEMU_UUID_TEXT]; /* whose XML libvirt was asked for last */
	bool unread;		    /* libvirt answers, and there was no time for all */
	struct gmig_topology *topology;
	struct placement_scores score;
	double scan_seconds;
	uint64_t cpu_ns;
	uint64_t round_cpu_ns,
	    counting_cpu_ns; /* of the last round: without, and for, counting memory */
	char said[GMIG_ERROR_TEXT], said_metrics[GMIG_ERROR_TEXT]; /* said already */
	const char *why_not;
	char why_not_text[GMIG_ERROR_TEXT];
	char unseen_text
	    [GMIG_ERROR_TEXT]; /* why the host could not be looked at in the last round; "": it could */
};

/* keeping_base.c */
uint64_t keeping_now(const struct keeping *keeping);
/* Asked between domains: to read the XML of a thousand, or to count their memory, takes minutes that a stop does not have. */
bool keeping_is_ending(struct keeping *keeping);
__attribute__((format(printf, 3, 4))) void
keeping_log(const struct keeping *keeping, enum gmig_log_level level, const char *format, ...);

/* keeping.c: for how long the next round waits at least. */
int keeping_pause_ms(const struct keeping *keeping);

/* keeping_policy.c: what is wanted of each domain. */
void keeping_read_policies(struct keeping *keeping);
/* keeping_watch.c: where its threads may run and its memory lies, and what its jobs do. */
void keeping_watch_one(struct keeping *keeping, struct kept *kept, const struct host_view *view,
		       uint64_t interval_ns);
/* What the end of a move of its own means to the keeper. */
enum keeper_end keeping_end_of(const struct gmig_job_info *info, bool gave_way);

void keeping_poll_jobs(struct keeping *keeping, struct kept *kept);
/* keeping_report.c */
void keeping_write_metrics(struct keeping *keeping, const char *path);

#endif
