/*
 * What `gmig top` shows, computed from what guests and the host say: a row a guest. Nothing here asks anybody: answers of the
 * protocol (docs/protocol.md: residency, heat, maps) are handed in, the host is read by top_host.h, and the clock is handed in,
 * too. Texts are kept as they came; whoever draws them makes them safe. One thread.
 */
#ifndef CLI_TOP_MODEL_H
#define CLI_TOP_MODEL_H

#include "top_host.h"

#include <jansson.h>

#define TOP_NAME    80
#define TOP_WHY	    160
#define TOP_HEAT    16	 /* digits */
#define TOP_UNKNOWN (-1) /* a number that nobody has told */

struct top_job {
	char id[24], state[16]; /* id "": none is under way */
	double percent;		/* of its pages, that need nothing any more */
	double bytes_per_second;
};

struct top_guest {
	char key
	    [512]; /* by which the one who asks finds it: its socket, and its uuid where gmigd has it */
	uint64_t serial; /* of this guest and no later one of its name: top_guest_renew() */
	char name[TOP_NAME], state[24];
	pid_t pid;
	uint64_t start_ticks; /* of the process; 0: not known */
	bool is_domain;	      /* of gmigd's */

	bool answered; /* all that follows is known, by `residency` */
	json_t *residency, *heat_parts, *sampling, *maps;
	uint64_t bytes, resident_bytes, untouched_bytes, swapped_bytes;
	uint64_t huge_bytes, small_bytes,
	    pool_page_bytes; /* of transparent huge, 4K and hugetlb pages */
	uint64_t locked_bytes;
	uint64_t *on; /* bytes by the model's nodes */
	size_t on_count;
	struct gmig_node_set home; /* where its vCPUs are */
	double vcpu_percent;	   /* of one CPU; TOP_UNKNOWN */
	double
	    local_percent; /* of what is resident, where the vCPUs of its vnode are; TOP_UNKNOWN */
	double score_now, score_possible; /* 0..100, by top_score.h; TOP_UNKNOWN */
	int64_t stall_p99_ns;		  /* TOP_UNKNOWN */
	char heat[TOP_HEAT + 1];	  /* '0' cold to '9' hot, '.' unknown */
	struct top_job job;
	char why[TOP_WHY];

	/* What the last answer said, for rates. */
	uint64_t past_ticks, past_threads, past_moved;
	int64_t past_ns, past_moved_ns;
	char past_job[24];
};

struct top_model {
	const char *root; /* of /sys and /proc; "" outside of tests */
	struct top_host host;
	unsigned int *nodes; /* the host's, and those that guests have memory on; ascending */
	size_t node_count;
	unsigned int fake_nodes; /* the most that a guest pretends to have */
	struct top_guest **guests;
	size_t count;
	uint64_t serials;
};

int top_model_init(struct top_model *model, const char *root); /* -ENOMEM */
void top_model_free(struct top_model *model);
/* Read the host anew. -ENOMEM. */
int top_model_refresh(struct top_model *model);

/* A new guest, of which nothing is known yet. NULL: no memory. */
struct top_guest *top_model_add(struct top_model *model, const char *key, const char *name);
void top_model_remove(struct top_model *model, struct top_guest *guest);
/* NULL: there is no such guest any more. */
struct top_guest *top_model_find(const struct top_model *model, uint64_t serial);
/* Another process has its place from now on, or none: forget all but key and name. */
void top_guest_renew(struct top_model *model, struct top_guest *guest, pid_t pid);

/* The answer to query-residency, as it came at now_ns; the guest takes a reference. */
void top_guest_take(const struct top_model *model, struct top_guest *guest, json_t *residency,
		    int64_t now_ns);
/* Of how many bytes a part of query-heat is to be: a TOP_HEAT-th of the guest's memory in blocks of 2 MiB, and at most a GiB. */
uint64_t top_guest_heat_step(const struct top_guest *guest);
/* All parts of query-heat, and what was said of sampling. */
void top_guest_take_heat(struct top_guest *guest, json_t *parts, json_t *sampling);
/* It does not answer, for this reason: what was known before is not shown any more. */
void top_guest_silent(struct top_guest *guest, const char *state);

enum top_key { TOP_BY_NAME, TOP_BY_VCPU, TOP_BY_MEMORY, TOP_BY_LOCAL, TOP_BY_RATE, TOP_BY_STALL };
const char *const *top_keys(void); /* their names, NULL-ended */
/* Stable; what is unknown comes last. */
void top_model_sort(struct top_model *model, enum top_key key);

/* `gmig top --json`: a new reference. */
json_t *top_model_json(const struct top_model *model, double seconds_since_epoch);

#endif
