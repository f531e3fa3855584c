/*
 * Which CPUs the threads of a domain are to have when its memory goes to other nodes: from the pins that libvirt has, and the CPUs
 * of the nodes. Pure: no libvirt, no files; any thread.
 *
 * A thread that may run on a CPU of a node that is left gets, in the place of that node's CPUs, CPUs of the node that its memory goes to; its other CPUs
 * stay. Threads that may not run there are not touched. In detail, for all threads of the domain together:
 *   - a thread that may use all CPUs of the node may use all of the other one;
 *   - a thread that may use some of them gets as many: the n-th CPU of the node becomes the n-th of the other one, so that siblings stay siblings
 *     where the nodes are built alike; if that one is not there, or another thread of the domain that stays is pinned to it, the CPUs in use are counted out
 *     over those that are free;
 *   - where those do not suffice, such threads get all CPUs of the other node.
 * CPUs that are offline belong to no node; a thread that is touched loses them.
 */
#ifndef PIN_PLAN_H
#define PIN_PLAN_H

#include "../migrate/gmig.h"

#define PIN_CPUS      16384u /* as many as libvirt has (VIR_DOMAIN_CPUMASK_LEN) */
#define PIN_CPU_WORDS (PIN_CPUS / 64)
#define PIN_CPU_TEXT  (6 * PIN_CPUS / 2) /* bytes of any list: every other CPU */

/* Bit n % 64 of word n / 64. */
struct pin_cpus {
	uint64_t word[PIN_CPU_WORDS];
};

enum pin_kind { PIN_VCPU, PIN_EMULATOR, PIN_IOTHREAD, PIN_KINDS };
/* "vcpu"; NULL behind the last one. */
const char *pin_kind_name(enum pin_kind kind);

struct pin {
	enum pin_kind kind;
	unsigned int id; /* of the vCPU or I/O thread */
	struct pin_cpus before, after;
};

/* What libvirt has pinned where; pins[] and the set are freed with pin_set_free(). */
struct pin_set {
	int domain; /* libvirt's number of the running domain: another one after each start */
	struct pin *pin;
	size_t count;
};

/* NULL: no memory. */
struct pin_set *pin_set_create(size_t count);
void pin_set_free(struct pin_set *set);
/* NULL: there is none. */
struct pin *pin_set_find(const struct pin_set *set, enum pin_kind kind, unsigned int id);

/* Memory that went from one node to another. from is in one pair only. */
struct pin_pair {
	uint16_t from, to;
};

/*
 * Fill `after`. How many threads get other CPUs than `before`, 0: none needs to. -ENODEV: a node of `to` has no CPUs, the text
 * names it and what can be done; -ENOMEM.
 */
int pin_plan(struct pin_set *set, const struct gmig_topology *topology,
	     const struct pin_pair *pairs, size_t pair_count, struct gmig_error *err);
/* The same question alone, before anything moves. 0, -ENODEV. */
int pin_check_node(const struct gmig_topology *topology, unsigned int node, struct gmig_error *err);

bool pin_cpus_same(const struct pin_cpus *a, const struct pin_cpus *b);
unsigned int pin_cpus_count(const struct pin_cpus *cpus);
/* "0-3,8"; text has PIN_CPU_TEXT bytes. Returns text. */
char *pin_cpus_print(const struct pin_cpus *cpus, char *text);

#endif
