/*
 * A host of the planner's with its guests, to be changed: random ones by a seed, and moves carried out on it that are checked by
 * rules of their own, not the planner's. For gmig-bench placement and the planner's tests. One thread.
 */
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include "../../placement/placement.h"

/* A generator of its own (splitmix64 by Steele, Lea and Flood), so that a seed gives the same fleet everywhere. */
struct fleet_random {
	uint64_t state;
};

uint64_t fleet_next(struct fleet_random *random);
/* from..to, both included. */
uint64_t fleet_between(struct fleet_random *random, uint64_t from, uint64_t to);
bool fleet_chance(struct fleet_random *random, unsigned int percent);

struct fleet {
	struct placement_host host; /* into the arrays below */
	struct placement_node *nodes;
	struct placement_cpus *cpus, *promised;
	uint8_t *distance;
	struct placement_guest *guests; /* each owns its name, ram, vnode_of and time */
	size_t count, room;
};

/* What a random host looks like; percentages of nodes and of guests. */
struct fleet_shape {
	unsigned int min_nodes, max_nodes, min_guests, max_guests;
	uint64_t min_node_bytes, max_node_bytes;
	unsigned int node_cpus;	    /* up to so many on each */
	unsigned int full;	    /* percent of the memory that guests use, about */
	unsigned int keep_free;	    /* percent of a node's memory that no guest takes at first */
	unsigned int odd_nodes;	    /* memoryless, without CPUs, with promised CPUs */
	unsigned int odd_distances; /* hosts with random asymmetric distances, some without a way */
	unsigned int huge;	    /* in huge pages */
	unsigned int vnodes, scattered, unmanaged, protect, locked;
	bool goals; /* all goals; else all guests follow their vCPUs */
};

extern const struct fleet_shape fleet_plain; /* hosts as they are sold: 2 to 8 nodes */
extern const struct fleet_shape fleet_odd;   /* 1 to 16 nodes, whatever can be */

/* -ENOMEM. */
int fleet_create(struct fleet *fleet, const struct fleet_shape *shape, uint64_t seed);
/* Room for so many nodes, all of them empty and at distances 10 and 20. -ENOMEM. */
int fleet_init(struct fleet *fleet, size_t nodes);
void fleet_destroy(struct fleet *fleet);

/* A guest without memory and time, with a copy of the name; NULL: no memory. Valid until the next. */
struct placement_guest *fleet_add(struct fleet *fleet, const char *name, unsigned int vcpus);
void fleet_remove(struct fleet *fleet, size_t guest); /* its memory becomes free */
/* Memory that a guest takes from a node's free memory, there or not. -ENOMEM. */
int fleet_add_ram(struct fleet *fleet, size_t guest, unsigned int rank, unsigned int vnode,
		  enum placement_page page, uint64_t bytes, uint64_t locked_bytes);
int fleet_add_time(struct fleet *fleet, size_t guest, unsigned int vcpu, unsigned int rank,
		   unsigned int milli);
/* The place of a node in the list; node_count: it has none of this id. */
unsigned int fleet_rank(const struct fleet *fleet, unsigned int id);

/*
 * Carry a move out. false: it breaks one of the planner's guarantees G1 to G3, and why says which; the fleet is of no use then.
 */
bool fleet_move(struct fleet *fleet, const struct placement_move *move, char why[128]);

#endif
