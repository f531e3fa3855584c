/*
 * A running QEMU domain of qemu:///system, whose memory is moved between the host's nodes 0 and 1
 * by `virsh numatune --live` and by the kernel's own calls on the same process. One thread.
 *
 * libvirt writes cpuset.mems, and the kernel moves what lies elsewhere: all of it before the write
 * returns (cpuset_write_resmask() waits for the queue that cpuset_migrate_mm() puts it in). What is
 * measured is from starting virsh to its end, or to the last memory that still came after it.
 */
#ifndef BENCH_DOMAIN_H
#define BENCH_DOMAIN_H

#include "cell.h"
#include "kernel_mover.h"

struct domain;

struct domain_facts {
	const char *name; /* libvirt's, whatever it was called by */
	const char *page; /* of the memory that is there: "2M", "4K", "mix" */
	uint64_t mem_bytes;
	unsigned int vcpus;
};

/*
 * name: or its UUID or id. Changes nothing. -EOPNOTSUPP the host has no nodes 0 and 1 with memory,
 * or no virsh; -EINVAL a domain that libvirt does not move: not running, not `restrictive`, memory
 * that is no plain anonymous memory of QEMU; -EIO what libvirt says; -EPERM not root.
 */
int domain_open(const char *name, struct domain **out, struct gmig_error *err);
/* Puts the nodeset back if it is another one now, whoever changed it. NULL, and a domain that has
 * ended, are legal. */
int domain_close(struct domain *domain, struct gmig_error *err);
const struct domain_facts *domain_facts(const struct domain *domain);

/* All memory to the node where most of it lies, once to the other one and back. Before the first
 * move. */
int domain_gather(struct domain *domain, struct gmig_error *err);
/* What the mover needs and no clock counts: the kernel's movers may only go where the domain may.
 */
int domain_prepare(struct domain *domain, const char *mover, struct gmig_error *err);
/* All memory to the other node, after domain_prepare. What stays is in *out; without a clock,
 * libvirt moves it, too. */
int domain_move(struct domain *domain, const char *mover, struct kernel_move *out,
		struct gmig_error *err);

/* Cells of it by each mover of the axes that moves one, by all without a list. Returns how many
 * there are then. */
size_t domain_add_cells(const struct domain_facts *facts, const struct cell_axes *axes,
			struct cell *cells, size_t count, size_t max);
/* The figures of one move into a sample that has memcpy's. */
void domain_fill_sample(const struct kernel_move *move, struct sample *sample);

#endif
