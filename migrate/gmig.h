/*
 * libgmig: move the memory of a running guest between the NUMA nodes of its host.
 *
 * The engine owns a guest's RAM: it maps the regions that the VMM hands to KVM as userspace_addr, keeps the shadow
 * table of where every block lies, and moves blocks under the running guest with userfaultfd. It knows nothing of
 * KVM, JSON or sockets.
 *
 * Threads: every function may be called from any thread unless it says otherwise. The engine runs one fault thread
 * a vnode and, for each job, one job thread and its copy workers. Callbacks run on these threads and must not call
 * gmig_destroy() or gmig_job_wait().
 *
 * Errors: 0 or -errno; the text goes to the last argument (may be NULL). Units are in the names; addresses called
 * gpa are guest-physical bytes.
 *
 * Structs: set all that is not named to 0 (an initializer does), so that it means what it meant before the field was
 * there. `reserved` is room for later versions, and 0: -E2BIG says that the caller is newer than the library and asks
 * for what it does not know. What the library fills in is 0 there.
 *
 * Sources of the ideas: Linux's page migration (Documentation/mm/page_migration.rst): migration entries, passes,
 * putback; migrate_pages(2): node sets with the relative layout kept; move_pages(2): one status a page.
 */
#ifndef GMIG_H
#define GMIG_H

#include "gmig_error.h"
#include "gmig_nodes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exported; all else in the library is hidden (-fvisibility=hidden). */
#pragma GCC visibility push(default)

#define GMIG_MAX_VNODES	 64
#define GMIG_MAX_WORKERS 16
#define GMIG_MAX_CPUS	 8192 /* Linux's limit on x86 */
#define GMIG_MAX_PASSES	 10
#define GMIG_BLOCK_BYTES (2ull << 20)
#define GMIG_PAGE_BYTES	 4096ull
#define GMIG_BLOCK_PAGES 512u

/* ---- Topology: the nodes of this host, or fake ones ---------------------------------------------------------- */

struct gmig_topology;

/*
 * One look at the host's nodes (sysfs, Documentation/ABI/stable/sysfs-devices-node): constant, so that any thread may
 * read it, and counted: it goes with its last reference. Nodes and memory that come or go later are seen by
 * gmig_topology_refresh() only.
 *
 * fake_nodes > 0: pretend that many nodes instead: all work is real, only the placement is pretended, and
 * gmig_topology_is_fake() says so. A kernel without NUMA has one node, 0.
 * -EINVAL fake_nodes > GMIG_MAX_NODES; -ENODEV no node has memory; -EIO sysfs makes no sense; -ENOMEM,
 * -EMFILE and their like: it could not be looked at.
 */
int gmig_topology_create(unsigned int fake_nodes, struct gmig_topology **out,
			 struct gmig_error *err);
/* Another reference, to be put like the first. NULL is legal for both. */
struct gmig_topology *gmig_topology_get(struct gmig_topology *topology);
void gmig_topology_put(struct gmig_topology *topology);
/*
 * Look again. *out is a new reference: to `topology` itself when nothing has changed, else to a new topology with the
 * next generation. The caller's reference to `topology` stays. Errors as gmig_topology_create(); -EIO also: there were several nodes, and
 * none of them is shown any more.
 */
int gmig_topology_refresh(struct gmig_topology *topology, struct gmig_topology **out,
			  struct gmig_error *err);
/* 1 at first; one more for each refresh that found a change. */
uint64_t gmig_topology_generation(const struct gmig_topology *topology);
/* Whether its nodes are pretended. */
bool gmig_topology_is_fake(const struct gmig_topology *topology);

/* The set of nodes that are online and have memory. This one and the next three are valid as long as the topology. */
const struct gmig_node_set *gmig_topology_nodes(const struct gmig_topology *topology);
/* The nodes that are online, with memory or only with CPUs. */
const struct gmig_node_set *gmig_topology_online(const struct gmig_topology *topology);
/* The nodes whose ids can ever come online on this host. */
const struct gmig_node_set *gmig_topology_possible(const struct gmig_topology *topology);
/* The nodes on which this process's cpuset allows memory (Mems_allowed of proc_pid_status(5)), online or not. */
const struct gmig_node_set *gmig_topology_allowed(const struct gmig_topology *topology);

/* As ACPI's SLIT has it: 10 is local, 255 is out of reach. 0: one of them is not online. */
unsigned int gmig_topology_distance(const struct gmig_topology *topology, unsigned int a,
				    unsigned int b);
/*
 * The node of `among` that is nearest to `node`: itself when it is one of them, the lower id when two are equally far.
 * GMIG_NO_NODE: the set is empty.
 */
unsigned int gmig_topology_nearest(const struct gmig_topology *topology, unsigned int node,
				   const struct gmig_node_set *among);
/*
 * Memory of a node in bytes: all of it, and what is free now. 0 for a node that is not online, and where it could not be looked at
 * (gmig_topology_room() says why). Fake nodes share the host's.
 */
uint64_t gmig_topology_total_bytes(const struct gmig_topology *topology, unsigned int node);
uint64_t gmig_topology_free_bytes(const struct gmig_topology *topology, unsigned int node);
/*
 * Page cache of a node, in bytes, that the kernel gives up for whoever asks for memory of this node: inactive, neither dirty nor being
 * written. A node that files have filled is not full. After numad, which counts it as free.
 */
uint64_t gmig_topology_cache_bytes(const struct gmig_topology *topology, unsigned int node);
/* Both, of one look, with its error: -ENODEV a node that is not online; -EMFILE, -ENOMEM and their like: it could not be looked at. */
int gmig_topology_room(const struct gmig_topology *topology, unsigned int node,
		       uint64_t *free_bytes, uint64_t *cache_bytes);
/* Fill mask (bit n: CPU n, CPUs >= 64 * words are left out) with the node's CPUs. */
void gmig_topology_cpus(const struct gmig_topology *topology, unsigned int node, uint64_t *mask,
			size_t words);

/* ---- Percentiles --------------------------------------------------------------------------------------------- */

struct gmig_percentiles {
	uint64_t count;
	uint64_t p50_ns, p99_ns, p999_ns, max_ns;
};

/* ---- What this host can do ----------------------------------------------------------------------------------- */

enum gmig_feature_state {
	GMIG_FEATURE_OK,
	GMIG_FEATURE_MISSING,
	GMIG_FEATURE_NO_RIGHT,
	GMIG_FEATURE_DOUBTFUL, /* `kernel`: may be faulty, or can crash the host in a rare case */
	GMIG_FEATURE_UNSAFE,   /* `kernel`: its UFFDIO_MOVE is known to damage memory */
	GMIG_FEATURE_UNKNOWN, /* it could not be tried, for want of descriptors or memory: try again */
};

struct gmig_features {
	enum gmig_feature_state
	    userfaultfd; /* may this process serve faults that the kernel (KVM) takes? */
	enum gmig_feature_state move; /* UFFDIO_MOVE, Linux >= 6.8 */
	enum gmig_feature_state write_protect;
	enum gmig_feature_state pagemap_scan; /* PAGEMAP_SCAN, Linux >= 6.7 */
	enum gmig_feature_state thp;	      /* THP. MISSING: "never", or PR_SET_THP_DISABLE */
	/* Placing memory: NO_RIGHT refused, as seccomp filters of containers do; MISSING: kernel without NUMA */
	enum gmig_feature_state mbind, move_pages, set_mempolicy;
	enum gmig_feature_state kernel;	    /* judged by its name: OK, DOUBTFUL or UNSAFE */
	char kernel_fault[GMIG_ERROR_TEXT]; /* "" or what is wrong with it, and what fixes it */
	char why[GMIG_ERROR_TEXT]; /* "" or the one line that says what is missing and what to do */
	/* Huge pages of GMIG_REGION_MEMFD_HUGETLB that only another process has touched are seen: minor faults, Linux >= 5.18 */
	enum gmig_feature_state minor_hugetlb;
	uint64_t reserved[8];
};

/*
 * Probe by trying; needs no engine. Returns 0 when migration works here, else the -errno that stands in its way. A kernel
 * that is UNSAFE, and calls that place memory but are refused, are no errors here: gmig_create() refuses them. Fake nodes
 * need no placement.
 */
int gmig_probe_features(struct gmig_features *features);

/* ---- Engine -------------------------------------------------------------------------------------------------- */

struct gmig;
struct gmig_job;
struct gmig_job_info;
struct gmig_sys; /* system calls and the clock, migrate/sys.h; for tests */

/* What a thread of the engine does: answers faults of a vnode, copies for a job, zeroes frames for it; samples (gmig_heat.h). */
enum gmig_thread_kind { GMIG_THREAD_FAULT, GMIG_THREAD_COPY, GMIG_THREAD_ZERO, GMIG_THREAD_SAMPLE };
struct gmig_job_spec;
struct gmig_thread {
	enum gmig_thread_kind kind;
	unsigned int vnode;		  /* FAULT */
	const struct gmig_job_spec *spec; /* COPY and ZERO: of their job; NULL else */
	uint64_t reserved[4];
};

enum gmig_log_level { GMIG_LOG_ERROR, GMIG_LOG_WARNING, GMIG_LOG_INFO, GMIG_LOG_DEBUG };

struct gmig_options {
	struct gmig_topology *topology; /* the engine takes a reference of its own */
	uint64_t
	    pool_bytes_per_node; /* watermark: free frames above it go back to the kernel; 0 = 16 MiB */
	/*
	 * The most memory that the engine may hold beside the guest's own, for all jobs and threads together; less when host or
	 * cgroup have no more. 0 = two watermarks and 32 MiB. A frame of 2 MiB for each copy worker should fit.
	 */
	uint64_t extra_bytes_max;
	bool small_pages; /* regions and pools without huge pages: every block is 4K */
	bool dump_memory; /* the guest's memory is part of core dumps of this process (core(5)) */
	bool plain; /* plain anonymous memory, no userfaultfd: jobs are refused (-EOPNOTSUPP) */
	/* Migrate also where the kernel's UFFDIO_MOVE is known to damage memory. */
	bool unsafe_kernel;
	/* Where migration cannot work: as `plain`, gmig_why_off() says why. Not where that could not be tried. */
	bool off_if_unavailable;
	/*
	 * Regions are locked in memory (mlock2(2), MLOCK_ONFAULT): what is touched is never swapped out, and stays locked on
	 * whatever node. Needs CAP_IPC_LOCK or no RLIMIT_MEMLOCK, since what moves is locked, too: else gmig_region_add() says
	 * -EPERM.
	 */
	bool lock_memory;
	/*
	 * Optional. Runs on a job's thread after each state change and at most ten times a second with progress.
	 * *info is valid during the call only.
	 */
	void (*job_event)(void *opaque, const struct gmig_job_info *info);
	/* Optional sink, one line without newline. Default: stderr for errors and warnings, nothing else. */
	void (*log)(void *opaque, enum gmig_log_level level, const char *line);
	/*
	 * Optional. A failure after which a block's content cannot be put back: the guest must not run on. Called at
	 * most once, from an engine thread; the VMM ends the guest. Sleepers on that block stay asleep.
	 */
	void (*fatal)(void *opaque, const struct gmig_error *err);
	/*
	 * Optional. Each of these threads calls it before anything else, and with `begins` false as the last thing: where
	 * it runs (sched_setaffinity(2)) is the VMM's to decide. It must not wait for the engine.
	 */
	void (*thread)(void *opaque, const struct gmig_thread *thread, bool begins);
	/*
	 * Optional, for jobs with `hold_vcpus`. on: bring the guest's vCPUs out of the guest, as far as they come within a few
	 * milliseconds; off: let them go on. Each on has its off. Called from copy workers, several at once; may block, since the
	 * guest should run between two holds, but not on guest memory: pages of it are out of reach.
	 */
	void (*hold_vcpus)(void *opaque, bool on);
	void *opaque;
	const struct gmig_sys *sys; /* NULL: the system's */
	/*
	 * Optional. A page of the guest cannot be read any more: a job or a sample has met it, or gmig_memory_broke() was told. Once a
	 * page, on whichever thread noticed; must not wait for the engine, nor touch guest memory.
	 */
	void (*memory_broke)(void *opaque, uint64_t gpa);
	uint64_t reserved[15];
};

/*
 * May block (probes the kernel). The first call has SIGBUS handled in this process, so that copying broken memory ends
 * in a page that stays (-EIO); a SIGBUS from elsewhere goes on to the handler that was there. -ENOSYS, -EPERM: migration
 * cannot work here, or mbind(2) or move_pages(2) are refused; -EOPNOTSUPP: the kernel is unsafe (see `unsafe_kernel`);
 * -EMFILE, -ENFILE, -ENOMEM, -EAGAIN: it could not be tried, whatever `off_if_unavailable` says; text says why and what to do.
 */
int gmig_create(const struct gmig_options *options, struct gmig **out, struct gmig_error *err);
/* Cancels jobs and waits for them, stops the threads, unmaps the regions: no vCPU may run any more. NULL is legal. */
void gmig_destroy(struct gmig *gmig);
/*
 * Look at the host again: nodes and memory that came or went are known to regions, first touches and jobs from then on (a
 * job also looks when it is started). Errors as gmig_topology_refresh(); the last look stands then.
 */
int gmig_refresh_topology(struct gmig *gmig, struct gmig_error *err);
/* The newest look at the host; a reference, to be put. */
struct gmig_topology *gmig_get_topology(struct gmig *gmig);
/* NULL when migration is on; else one line that says why it is off. */
const char *gmig_why_off(const struct gmig *gmig);

/*
 * What a region is made of. MEMFD and MEMFD_HUGETLB are files in memory (memfd_create(2)) that other processes may map, too:
 * see gmig_region_file(). Their first touches are the kernel's, so that no userfaultfd is in the way of those others; they are
 * moved by mover `kernel` alone, and not on fake nodes. What only others have touched of MEMFD_HUGETLB is seen by a userfaultfd
 * for minor faults; where there can be none, it is neither seen nor moved, and the log says so.
 *
 * HUGETLB is never in small pages: its pages move whole, by mover `hugetlb` or `kernel`, first touches are the engine's, and
 * ranges that get a policy are multiples of its page size. As many pages as the region has are reserved in the host's pools.
 * HUGETLB_1G: the same in pages of 1 GiB, of which gpa and bytes are multiples. The pools must have as many, but none are reserved:
 * gmig_populate() takes them before others do. A guest has nothing else then, and no policies that
 * interleave. All that touches such a page waits while it is copied, if it writes: with a stall budget that is shorter, pages
 * stay with -ETIME.
 */
enum gmig_region_kind {
	GMIG_REGION_RAM,	   /* private anonymous memory */
	GMIG_REGION_MEMFD,	   /* shared, huge pages where tmpfs has them (shmem_enabled) */
	GMIG_REGION_MEMFD_HUGETLB, /* shared, of the host's pool of 2 MiB pages */
	GMIG_REGION_HUGETLB,	   /* private, of the host's pool of 2 MiB pages */
	GMIG_REGION_HUGETLB_1G,	   /* private, of the host's pool of 1 GiB pages */
	GMIG_REGION_OWN, /* the caller's own memory, which it moves itself: gmig_region.h */
};

/*
 * Map a region: `bytes` of guest RAM at `gpa` (both multiples of GMIG_BLOCK_BYTES) for `vnode`, first touch served from
 * `host_node`. A vnode may have several regions (around the PCI hole). *hva is 2 MiB aligned. Before the first job.
 * -EINVAL alignment, overlap, vnode; -ENODEV host_node is offline or has no memory; -EACCES it is outside the cpuset; -ENOMEM,
 * of MEMFD_HUGETLB and HUGETLB.. also when the pool has too few free pages.
 */
struct gmig_region_own;
struct gmig_region_spec {
	unsigned int vnode;
	unsigned int host_node;
	uint64_t gpa;
	uint64_t bytes;
	enum gmig_region_kind kind;
	const struct gmig_region_own *own; /* of OWN; gmig_region.h */
	uint64_t reserved[2];
};
int gmig_region_add(struct gmig *gmig, const struct gmig_region_spec *spec, void **hva,
		    struct gmig_error *err);

/* A region's file, for a peer that maps guest memory (vhost-user, ivshmem); hand it over with SCM_RIGHTS (unix(7)). */
struct gmig_region_file {
	/*
	 * The engine's, open as long as that lives. Its size is sealed; its offset is the engine's to move: peers map it, or name
	 * offsets of their own. The region begins at offset 0.
	 */
	int fd;
	bool hugetlb;
	uint64_t gpa, bytes;
	/*
	 * 0, or why huge pages that only another process has touched are neither seen nor moved: -EPERM no right to a userfaultfd;
	 * -EINVAL a kernel without minor faults of hugetlb pages (before Linux 5.18); -ENOMEM; -EMFILE.
	 */
	int unseen;
	uint64_t reserved[3];
};
/* That of the i-th region that has one, in the order in which they were added. -ENOENT: there are no more. */
int gmig_region_file(struct gmig *gmig, unsigned int i, struct gmig_region_file *file);

/* ---- What is where ------------------------------------------------------------------------------------------- */

/*
 * bytes[n] = bytes of `vnode` that lie on host node n, by the shadow table. -EINVAL no such vnode. Of regions with a file the
 * table learns by asking the kernel; each call goes on with that for up to 20 ms, which is all of some GiB. What is not
 * reached is as old as gmig_audit_age_ns() says.
 */
int gmig_residency(struct gmig *gmig, unsigned int vnode, uint64_t bytes[GMIG_MAX_NODES]);

/* Bytes of `vnode` that are in swap, and so on no node; a broken page counts as one, as for the kernel. -EINVAL no such vnode. */
int gmig_swapped(struct gmig *gmig, unsigned int vnode, uint64_t *bytes);

struct gmig_stats {
	uint64_t page_bytes_2m, page_bytes_4k;	   /* mapped guest memory, by page size */
	uint64_t pool_bytes[GMIG_MAX_NODES];	   /* frames no guest address uses */
	uint64_t quarantine_bytes[GMIG_MAX_NODES]; /* bad frames, never to be used again */
	/* Times that a slot of a pool held memory that somebody else had put there (a debugger, mlockall(2)): emptied */
	uint64_t slots_emptied;
	/* Memory beside the guest's own: now; the most there was; the most there may be now, by host and cgroups too */
	uint64_t extra_bytes, extra_bytes_peak, extra_bytes_max;
	uint64_t sleepers; /* threads asleep on a fault that the engine has seen */
	uint64_t faults,
	    faults_known_thread; /* messages read; of these with a thread id the VMM named */
	struct gmig_percentiles blackout_read, blackout_write, stall; /* since start, all jobs */
	/*
	 * Of devices (gmig_dma.h): transfers that were announced, transfers that were refused, and times that a job was refused a
	 * block for their sake; since start. Blocks that have a transfer now
	 */
	uint64_t dma_begun, dma_refused, claims_busy, busy_blocks;
	/* Of page_bytes_2m: of vnodes with nothing but GMIG_REGION_HUGETLB, and of those with GMIG_REGION_HUGETLB_1G */
	uint64_t page_bytes_hugetlb_2m, page_bytes_hugetlb_1g;
	/* Bad frames that the kernel has taken out of use for gmig_retire(): they are in no quarantine */
	uint64_t offlined_bytes;
	/* Pages whose touchers wait since there is no memory for them: host, cgroup or huge page pool have none. Tried again and again */
	uint64_t starved_pages;
	uint64_t reserved[24];
};
/* What the engine has now, and what it counted since its start. */
void gmig_stats(struct gmig *gmig, struct gmig_stats *stats);

/* The whole distribution behind the percentiles: count[i] times from 2^i ns to under 2^(i+1) ns. */
enum gmig_times { GMIG_TIMES_BLACKOUT_READ, GMIG_TIMES_BLACKOUT_WRITE, GMIG_TIMES_STALL };
#define GMIG_TIME_BUCKETS 64
void gmig_histogram(struct gmig *gmig, enum gmig_times which, uint64_t count[GMIG_TIME_BUCKETS]);

struct gmig_populate {
	unsigned int threads;	    /* that fill, at most GMIG_MAX_WORKERS; 0 = 1 */
	bool (*stop)(void *opaque); /* asked between blocks of 2 MiB, by all threads; NULL: never */
	void *opaque;
	uint64_t reserved[4];
};
/*
 * Give all regions memory now instead of at first touches, each on its host node and on no other. Blocks; before the guest
 * runs, and while no job does. -ENOMEM: a node has no more (the text names it), or host or cgroup allow no more; -EINTR:
 * `stop` said so. What has been made stays.
 */
int gmig_populate(struct gmig *gmig, const struct gmig_populate *how, struct gmig_error *err);

/* Name the threads (tids) that are vCPUs of `vnode`, for attribution of faults. -EINVAL vnode; -ENOMEM. */
int gmig_name_vcpu_thread(struct gmig *gmig, unsigned int vnode, int tid);

/* ---- Jobs ---------------------------------------------------------------------------------------------------- */

/*
 * READABLE: readers go on while a block is copied, writers wait. BLOCK: everybody waits, but for less long. AUTO: block by
 * block the one that costs the guest less, as the last ones showed. The kernel's mover has one way, and calls it AUTO too.
 * LAZY: migrate on fault: blocks are taken out of the guest's reach, a few at a time, and move when they are touched; whoever
 * touches one waits for one copy. See gmig_lazy and gmig_job_spec.deadline_ns. Source of the idea: "Migrate on fault" by Lee
 * Schermerhorn, posted to linux-mm in 2006.
 */
enum gmig_mode { GMIG_MODE_AUTO, GMIG_MODE_READABLE, GMIG_MODE_BLOCK, GMIG_MODE_LAZY };
/*
 * Mode LAZY: what moves a block. ANY: any access. WRITE: only a write; readers never wait, and what is only read moves with the
 * deadline.
 */
enum gmig_lazy { GMIG_LAZY_ANY, GMIG_LAZY_WRITE };
/*
 * Mode LAZY: where a block goes. PLAN: as in all modes. TOUCHER: to the node that the vCPU runs on that touched it, if that is in
 * `to`; `from` and `to` may be the same nodes, and new memory goes where it would go without the job. What nobody has touched before
 * the deadline stays, with ETIMEDOUT, and what was touched from where it lies is moved by nobody (by_others).
 */
enum gmig_lazy_to { GMIG_LAZY_TO_PLAN, GMIG_LAZY_TO_TOUCHER };
enum gmig_frames { GMIG_FRAMES_AUTO, GMIG_FRAMES_FRESH, GMIG_FRAMES_RECYCLED };

/* Huge pages: PREFER: small pages where the target node has no huge one; KEEP: -ENOMEM then; SPLIT: small pages only. */
enum gmig_huge { GMIG_HUGE_PREFER, GMIG_HUGE_KEEP, GMIG_HUGE_SPLIT };
/* Pages in swap: MOVE: they are read in, on the target node, at the job's rate; SKIP: they stay, -ENODATA. */
enum gmig_swapped { GMIG_SWAPPED_MOVE, GMIG_SWAPPED_SKIP };

/*
 * In which order blocks of 2 MiB go, among those that leave a node: by address, or at random, so that a guest that sweeps over its
 * memory does not run behind the job. Or by how much they are used, as samples have shown when the job begins (gmig_heat.h): what
 * is not known goes last, either way, and what is alike by address. -EOPNOTSUPP as long as there has been no sample.
 */
enum gmig_order {
	GMIG_ORDER_ADDRESS,
	GMIG_ORDER_RANDOM,
	GMIG_ORDER_HOT_FIRST,
	GMIG_ORDER_COLD_FIRST
};

enum gmig_job_state {
	GMIG_JOB_CREATED,
	GMIG_JOB_RUNNING,
	GMIG_JOB_PAUSED,
	GMIG_JOB_CANCELLING,
	GMIG_JOB_COMPLETED, /* terminal states from here on */
	GMIG_JOB_FAILED,
	GMIG_JOB_CANCELLED,
};

struct gmig_job_spec {
	/*
	 * Two sets of host nodes, in an order: the i-th of from goes to the i-th of to (modulo its size), so that the relative
	 * layout is kept. When the sizes differ, pages on a node that is in `to` already stay.
	 *
	 * As migrate_pages(2), but for the order: there {0,1} to {1,0} is the set {0,1} twice, and nothing moves. Here the two
	 * nodes change places. A node that is absent has nothing to move; that is no error as long as it can come.
	 */
	uint16_t from[GMIG_MAX_NODES], to[GMIG_MAX_NODES];
	unsigned int from_count, to_count;
	uint64_t vnodes; /* bit v: vnode v takes part; 0 = all */
	/*
	 * At most so many bytes: those that come first in the job's order, by whole blocks of what is to move, so that up to
	 * 2 MiB less may move. What is touched for the first time meanwhile goes where it would go without the job, and nobody
	 * looks whether more has come to the nodes of `from`. 0 = no limit; else 4 KiB at least.
	 */
	uint64_t max_bytes;
	enum gmig_mode mode;
	enum gmig_frames
	    frames; /* AUTO: recycle what the pool has. RECYCLED: keep every frame (fake nodes) */
	enum gmig_huge huge;
	enum gmig_swapped swapped;
	/*
	 * "uffd", "hugetlb", "kernel" or "swap"; NULL: the first of them that moves all of the memory. "swap" evicts pages to swap and reads
	 * them in under the policy of the target, by mode AUTO: -ENOSPC where there is no free swap, -EPERM for locked memory.
	 * Source of that idea: "Swap Migration V4" by Christoph Lameter, posted to linux-mm in 2005.
	 */
	const char *mover;
	/*
	 * 0 = no limit. Bytes are paid for before they are moved: at 10 KiB/s the first 2 MiB block moves after 205 s, and a
	 * job lasts total / rate at least. Workers take turns in the order in which they asked.
	 */
	uint64_t rate_bytes_per_second;
	unsigned int threads; /* copy workers, 0 = default (1); at most GMIG_MAX_WORKERS */
	/*
	 * Small pages that are exchanged at a time, and out of everybody's reach meanwhile: 0 = default (readable: 256,
	 * block: all of a block), at most 512. Fewer: readers wait less; more: fewer calls. Huge pages go whole.
	 */
	unsigned int batch_pages;
	/*
	 * Hold the guest's vCPUs while small pages are exchanged. Before Linux 6.18 UFFDIO_MOVE flushes the TLB for each page,
	 * by an interrupt to each CPU that runs the guest; of a guest that is held, none does. The guest stands still for one
	 * batch at a time. -EOPNOTSUPP: gmig_options has no hold_vcpus.
	 */
	bool hold_vcpus;
	/*
	 * Stall budget: of 100 waits of the guest's threads (gmig_job_info.stall), 99 are to be no longer; 0 = none. Mover kernel:
	 * of its calls (gmig_job_info.call). How many small pages go together, the mode if it is AUTO, and rests between blocks follow
	 * it. A huge page goes whole: below the copy of 2 MiB the budget needs GMIG_HUGE_SPLIT. See gmig_job_info.max_stall_met.
	 */
	uint64_t max_stall_ns;
	bool trace; /* keep a record of each block, for gmig_job_trace() */
	/*
	 * Mover kernel: also pages that other processes map, too (MPOL_MF_MOVE_ALL of move_pages(2)); they stay with -EACCES else.
	 * -EPERM without CAP_SYS_NICE. What mover uffd moves nobody else maps.
	 */
	bool move_all;
	/* Processes: leave alone pages that other processes map, too, also where gmig_process_options would not. */
	bool private_only;
	unsigned int user; /* the caller's own; the engine only keeps it */
	/*
	 * Slowdown budget: what the guest may lose to its jobs, all together, in any second, in parts per million of its vCPUs' time;
	 * up to 1000000. 0 = none. See gmig_job_info.slowdown_ppm for what counts.
	 */
	uint32_t max_slowdown_ppm;
	enum gmig_order order;
	/* RANDOM: of jobs over the same blocks, those with the same seed have the same order. 0: one is chosen, and told. */
	uint64_t order_seed;
	/*
	 * Mode LAZY: so long after its start the job is to have moved also what nobody has touched: a sweep begins early enough for
	 * that, by the rate and by what copies have taken. 0: it runs until all was touched, or it is cancelled.
	 */
	uint64_t deadline_ns;
	enum gmig_lazy lazy;
	enum gmig_lazy_to lazy_to;
	uint64_t reserved[12];
};

struct gmig_remaining {
	int error;	/* positive errno */
	uint64_t pages; /* 4K pages */
};

#define GMIG_MAX_REMAINING 16

/* What a job in mode LAZY has seen. */
struct gmig_lazy_info {
	uint64_t touched_bytes; /* that moved since they were touched */
	uint64_t swept_bytes; /* all else that moved: with the sweep, or as another job wanted it */
	/* Blocks that went back to where they were: they had waited for long and others were to have their turn, or because of a
	   pause, a cancel, a later command, or no memory on the target. Most are taken out again. */
	uint64_t given_back;
	uint64_t touches,
	    touches_by_vcpu; /* of blocks that waited; by a thread that was named as a vCPU */
	uint64_t waiting, waiting_max; /* blocks that wait now, and the most that did at a time */
	uint64_t
	    in_place_bytes; /* TO_TOUCHER: touched from the node that they lie on, so that they stay */
};

struct gmig_job_info {
	uint64_t id; /* unique in this engine, from 1 */
	enum gmig_job_state state;
	struct gmig_job_spec spec;
	/*
	 * Of the pages that the plan meant: total = moved + remaining + gone + by_others. gone: their memory was given back
	 * meanwhile; by_others: another job, or the kernel, took them off the nodes to be left, or they are left to a command that
	 * was accepted later.
	 */
	uint64_t total_bytes, moved_bytes, remaining_bytes, gone_bytes, by_others_bytes;
	/* At the end: what lies on the nodes to be left, that is those in from that are in no to. Whoever brought it there. */
	uint64_t bytes_on_source;
	/* Why pages stayed; before the job ends, of those that it has tried so far. */
	struct gmig_remaining remaining[GMIG_MAX_REMAINING];
	unsigned int remaining_count;
	unsigned int passes;
	uint64_t thp_joined;	  /* blocks that became huge */
	uint64_t extra_bytes_max; /* what all jobs together may use beside the guest's memory */
	uint64_t thp_split;	  /* blocks that were huge before and are not any more */
	uint64_t rounds_readable,
	    rounds_block;	/* of blocks, by the mode that they were moved in; mover uffd */
	uint64_t trace_dropped; /* records that gmig_job_trace() could not keep */
	uint64_t start_ns, elapsed_ns, paused_ns; /* CLOCK_MONOTONIC; elapsed without pauses */
	struct gmig_percentiles blackout_read, blackout_write, stall; /* of this job */
	struct gmig_percentiles
	    call; /* mover kernel: its calls, each of which holds up no page for longer; mover swap: how long pages were in swap */
	/*
	 * Has the stall budget held so far: is the 99th percentile within it? max_stall_needs_split: it has not, huge pages were
	 * moved whole, and half of the waits or more were longer than the budget.
	 */
	bool max_stall_met, max_stall_needs_split;
	uint64_t max_stall_late; /* waits that were longer than the budget */
	struct gmig_error error; /* GMIG_JOB_FAILED: why */
	/* The kind of its plan: "nodes", of gmig_job_start(); "pages", of gmig_move.h: spec.to has all nodes that it names. */
	const char *plan;
	/*
	 * What all jobs of the guest have cost an average vCPU while this one ran, in parts per million of its time: of the time without
	 * pauses, and in the worst second. The time that threads slept on pages that a job had, divided by the vCPUs that were named
	 * (gmig_name_vcpu_thread()); and that in which they were interrupted, which is the time of the calls that take rights away and
	 * give them back.
	 */
	uint32_t slowdown_ppm, slowdown_worst_ppm;
	/* Is the worst second within the slowdown budget? Has a block been waiting for it for more than ten seconds? */
	bool max_slowdown_met, max_slowdown_stuck;
	/* While it runs: how long the rest takes with this budget, if it costs what the first part has cost. 0: nobody knows. */
	uint64_t max_slowdown_left_ns;
	/*
	 * Half of the waits or more were longer than the stall budget, and huge pages cannot be split (mover hugetlb): the budget that
	 * these waits would have kept. Or pages of 1 GiB stayed, since copying one takes about so long. 0: else.
	 */
	uint64_t max_stall_needs_ns;
	struct gmig_lazy_info lazy; /* mode LAZY */
	uint64_t reserved[19];
};

/*
 * Plan and start. Several jobs may run on one engine; a block belongs to the job that claims it first, the other gets
 * -EBUSY for it and tries again in its next pass. Where they contradict each other, the one that was started last decides: an
 * older job leaves it the pages that it names, or that it takes from where they lie to another node. One that is cancelled has no
 * say any more.
 * -EINVAL a set is empty or has a node twice, mode, mover; -ENODEV a node of `from` can never exist on this host, or one
 * of `to` is offline or has no memory; -EACCES one of `to` is outside the cpuset, which the text names; -EOPNOTSUPP
 * migration is off; -ENOMEM host or cgroup have less left than a job itself takes (512 KiB, and 32 KiB for each worker): more would
 * end in the OOM killer, and the text names the cgroup; -EAGAIN that could not be looked at so far, for want of descriptors or memory;
 * -ESHUTDOWN engine ends.
 * Nothing on `from` is not an error: the job completes at once.
 */
int gmig_job_start(struct gmig *gmig, const struct gmig_job_spec *spec, struct gmig_job **out,
		   struct gmig_error *err);
/*
 * Handles are counted: each from gmig_job_start/_find is released with gmig_job_put (NULL is legal). A handle may
 * outlive the engine: what the job did can still be asked, gmig_job_page_status() and all that changes a job say -ESRCH.
 */
struct gmig_job *gmig_job_find(struct gmig *gmig, uint64_t id);
void gmig_job_put(struct gmig_job *job);
/* Ids of all jobs that are remembered (all live, the last 64 ended), oldest first; returns how many there are. */
size_t gmig_job_list(struct gmig *gmig, uint64_t *ids, size_t max);
/* What the job was told and what it has done until now; of a job that has ended, the result. */
void gmig_job_info(struct gmig_job *job, struct gmig_job_info *info);
/* Blocks until the job has ended. */
void gmig_job_wait(struct gmig_job *job);
/* Pause, resume, cancel: -EALREADY when it is so already, -ESRCH when the job has ended. Cancel does not wait. */
int gmig_job_pause(struct gmig_job *job);
int gmig_job_resume(struct gmig_job *job);
int gmig_job_cancel(struct gmig_job *job);
/* A new rate from now on, as in the spec: 0 = no limit. -ESRCH when the job has ended. */
int gmig_job_set_rate(struct gmig_job *job, uint64_t bytes_per_second);
/*
 * Results as move_pages(2) gives them: status[i] of the page at gpa + i * 4 KiB is the node it is on now, or -errno:
 * -ENOENT not present, -EBUSY, -EAGAIN, -ENOMEM, -EIO, -EFAULT not guest RAM. -EINVAL gpa is not page aligned;
 * -ESRCH the engine is gone, and with it the memory. A job that has ended keeps reasons within 800 KiB, from the lowest
 * gpa up; a page that found no room there says where it is. gmig_job_info's sums are exact at any size.
 */
int gmig_job_page_status(struct gmig_job *job, uint64_t gpa, size_t pages, int *status);

/*
 * One round of one block: its pages that went from one node to one other. A block of several nodes, or one that is
 * tried again, has several records.
 */
struct gmig_trace_record {
	uint64_t gpa;
	uint64_t begin_ns,
	    end_ns; /* since the job's start: before frames were taken; all given back */
	/* Longest time that a right was away, of the runs of pages in this round; 0: it was not taken */
	uint64_t blackout_read_ns, blackout_write_ns;
	uint32_t pages, moved_pages; /* 4K pages; tried, and of these moved */
	uint16_t from, to;
	uint8_t worker;
	bool huge; /* tried as one huge page */
	int error; /* -errno of the first page that stayed, 0 when none did */
	uint64_t reserved[2];
};

/*
 * Copy records first..first+max in the order in which they ended, as far as there are any; returns how many there are in
 * all by now. 0 for a job that was started without `trace`. The records go with the job. The first 65,536 are kept, and
 * while there is memory for them; gmig_job_info.trace_dropped counts the others.
 */
size_t gmig_job_trace(struct gmig_job *job, size_t first, struct gmig_trace_record *records,
		      size_t max);

/* ---- Other processes ----------------------------------------------------------------------------------------- */

/*
 * The memory of a process that is not ours: QEMU, or any other. Jobs on it are carried out by the kernel
 * (move_pages(2)); what is said above of jobs holds for them, with virtual addresses in the place of gpa.
 */
struct gmig_process;

struct gmig_process_options {
	int pid;			/* of the process, not of one of its threads */
	struct gmig_topology *topology; /* not a fake one; gets a reference of its own */
	/*
	 * Leave alone pages that other processes map, too. Without CAP_SYS_NICE these stay in any case; with it they move, as
	 * with migrate_pages(2).
	 */
	bool private_only;
	/*
	 * Optional: which mappings a job with max_bytes takes its bytes from; all others stay. Asked by the job's thread at its beginning, with each mapping that
	 * can be moved. NULL: from all. Of those that are taken, blocks of 2 MiB that are not theirs as a whole stay, too.
	 */
	bool (*counts)(void *opaque, uint64_t start, uint64_t end);
	void (*job_event)(void *opaque, const struct gmig_job_info *info); /* as in gmig_options */
	void *opaque;
	const struct gmig_sys *sys; /* NULL: the system's */
	uint64_t reserved[8];
};

/*
 * -EINVAL no pid, a thread's or a kernel thread's, or a fake topology; -ESRCH no such process; -EPERM its memory is not
 * ours to move, as ptrace(2) decides it; the text says whose it is.
 */
int gmig_process_open(const struct gmig_process_options *options, struct gmig_process **out,
		      struct gmig_error *err);
/* Cancels jobs and waits for them. The process goes on. NULL is legal. */
void gmig_process_close(struct gmig_process *process);
/* As the kernel has it: up to 15 characters, without control characters. */
const char *gmig_process_name(const struct gmig_process *process);
/*
 * As gmig_job_start(). mover: NULL or "kernel"; mode, frames, vnodes and batch_pages stay 0. All that is mapped and not
 * a device's is moved; what remains has -EACCES when another process maps it, too (see `private_only`). Mappings that are made
 * later take no part, and new memory of the process lies where its own policy says.
 * -EACCES a node of `to` is in no thread's cpuset, the text names the set; -ESRCH. A job on a process that ends in the
 * meantime fails with -ESRCH.
 */
int gmig_process_job_start(struct gmig_process *process, const struct gmig_job_spec *spec,
			   struct gmig_job **out, struct gmig_error *err);
/* As gmig_job_find() and gmig_job_list(), of this process. */
struct gmig_job *gmig_process_job_find(struct gmig_process *process, uint64_t id);
size_t gmig_process_job_list(struct gmig_process *process, uint64_t *ids, size_t max);

/* ---- Words: the choices of a job, as users write and read them ----------------------------------------------- */

/* Lists that end with NULL. A word's index is its enum's value, where there is one; the first mover is the default. */
const char *const *gmig_job_state_names(void);
const char *const *gmig_mode_names(void);
const char *const *gmig_lazy_names(void);
const char *const *gmig_lazy_to_names(void);
const char *const *gmig_frames_names(void);
const char *const *gmig_huge_names(void);
const char *const *gmig_swapped_names(void);
const char *const *gmig_order_names(void);
const char *const *gmig_mover_names(void);
/* The index of `word`. -EINVAL: it is not in the list; the text begins with `what` and has all of them. */
int gmig_name_index(const char *what, const char *const *names, const char *word,
		    struct gmig_error *err);

/* The word for a state or a mode, as in the lists above. */
const char *gmig_job_state_name(enum gmig_job_state state);
const char *gmig_mode_name(enum gmig_mode mode);
/* "EBUSY" for 16 or -16; "E<number>" for those not known. Static storage or thread-local. */
const char *gmig_errno_name(int error);

/* ---- Check --------------------------------------------------------------------------------------------------- */

#define GMIG_INVARIANTS 5

struct gmig_check {
	bool breach[GMIG_INVARIANTS]; /* I1..I5 */
	char detail[GMIG_INVARIANTS][GMIG_ERROR_TEXT];
	uint64_t checked_pages; /* compared with the kernel */
	uint64_t
	    corrected_pages; /* belief was stale (somebody else moved a page, or filled a free frame), now repaired: no breach */
	uint64_t mapped_bytes, pool_bytes, in_flight_bytes, quarantine_bytes;
	uint64_t reserved[8];
};

/*
 * Verify I1..I5 now and correct stale beliefs (audit). May run while jobs run: what a job holds is then not compared.
 * 0 and *check filled, also on a breach; -errno only when the check itself could not run.
 */
int gmig_check(struct gmig *gmig, struct gmig_check *check, struct gmig_error *err);

/*
 * How long ago the oldest comparison of guest memory with the kernel began, in ns: by gmig_check(), or by a job that took
 * all of a region. What others have moved since then, the engine does not know. 0 for plain memory, which is asked about
 * each time.
 */
uint64_t gmig_audit_age_ns(struct gmig *gmig);

struct gmig_sample {
	uint64_t checked_pages;	  /* compared with the kernel */
	uint64_t corrected_pages; /* of these: lay elsewhere than was believed; corrected now */
	uint64_t reserved[4];
};
/*
 * Compare up to `blocks` blocks of 2 MiB, spread over the guest's memory, others each time: some ten microseconds each.
 * corrected_pages: somebody else moves memory, and most of what moved is not known yet.
 */
void gmig_sample(struct gmig *gmig, unsigned int blocks, struct gmig_sample *sample);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
