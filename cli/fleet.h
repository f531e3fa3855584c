/*
 * All guests of this host, and the host itself, as the planner takes them (placement/placement.h): asked of every socket there
 * is, gmigd's among them; the host's nodes are looked up here. Main thread.
 */
#ifndef CLI_FLEET_H
#define CLI_FLEET_H

#include "../control/host_view.h"
#include "../migrate/gmig.h"
#include "../placement/placement.h"
#include "cli.h"

struct fleet_guest; /* what a placement_guest points to */

struct fleet {
	struct placement_host host;
	struct placement_guest *guests; /* by name */
	size_t count;
	unsigned int fake_nodes; /* 0: the host's own */
	json_t *silent;		 /* [{"name","why"}]: guests that are not in the plan */
	size_t hidden; /* of these: guests that have answered, and whose vCPUs we may not see */

	/* What the above points to. */
	struct gmig_topology *topology;
	struct host_view view;
	struct fleet_guest *inside;
	int64_t looked_ms; /* when its vCPUs were looked at first */
	bool drain_only;   /* as it was asked for */
};

struct fleet_request {
	unsigned int
	    sample_ms; /* how long vCPUs are watched, below 1000 * LOOKS; 0: one look, all count alike */
	bool fresh; /* the kernel is asked where memory lies, not the guest's books */
	struct gmig_node_set closing; /* closed for this plan, beside those that are */
	/*
	 * The plan only empties closed nodes: a vCPU of which we may not see what it does, as with a /proc of hidepid=, counts where it may run, without CPU time.
	 * Otherwise its guest is one of the silent ones.
	 */
	bool drain_only;
	const char *const *protect,
	    *const *only; /* names, NULL-ended, or NULL: none protected, all managed */
};

/*
 * -ENOENT: no guest answers, or of all that do we may not see the vCPUs; -ENXIO: nobody could be asked, there is neither a directory of sockets nor a gmigd;
 * -ESRCH: there is no guest of a name in `protect` or `only`; -EINVAL: guests pretend to have different nodes; -EMFILE, -ENOMEM and their like: what a vCPU does
 * cannot be looked at, and it is not taken for idle; others as gmig_topology_create(). fleet_free() is legal after a failure, too.
 */
int fleet_gather(const struct fleet_request *request, struct fleet *fleet, struct gmig_error *err);
/*
 * The same of guests that were asked already, in two steps, so that whoever has something else to do does that between two looks at
 * their vCPUs: entries as of `gmig list`, and the answer to query-residency of each. request->fresh, closing and sample_ms do not count.
 */
int fleet_begin(const struct fleet_request *request, const json_t *entries, const json_t *answers,
		struct fleet *fleet, struct gmig_error *err);
int fleet_end(struct fleet *fleet, struct gmig_error *err);
void fleet_free(struct fleet *fleet);
/* The number by which the guest's server knows the planner's vCPU `index`. */
unsigned int fleet_vcpu(const struct fleet *fleet, size_t guest, unsigned int index);
/* How many guests run, or may run, that are not in it. A socket that a dead one left is none. */
size_t fleet_silent(const struct fleet *fleet);
/* What cli_connect() takes for it. */
const char *fleet_target(const struct fleet *fleet, size_t guest);
/* Its process when it was asked; 0: it did not say. */
pid_t fleet_pid(const struct fleet *fleet, size_t guest);

#endif
