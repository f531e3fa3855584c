#include "fault.h"

#include "../core/uffd.h"
#include "books.h"
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MESSAGES 32

struct fault {
	struct gmig *gmig;
	unsigned int vnode;
	int uffd;
	int stop; /* eventfd */
	pthread_t thread;
	const uint8_t *zeros; /* one block that reads as zeros and is never written */
	void *zeros_reserved;
};

/* One message, looked up. */
struct touch {
	struct fault *fault;
	struct region *region;
	uint64_t gfn;	    /* of the page */
	uint64_t block_gfn; /* of its block */
	int tid;
	bool write;
	bool protected; /* it met a write protection, not a hole */
};

/* ---- Workers that read regions ------------------------------------------------------------- */

int fault_worker_enter(struct gmig *gmig)
{
	int tid = (int)syscall(SYS_gettid);

	for (unsigned int i = 0; i < ENGINE_TIDS; i++) {
		int none = 0;

		if (atomic_compare_exchange_strong(&gmig->workers[i], &none, tid))
			return 0;
	}
	return -EAGAIN;
}

void fault_worker_leave(struct gmig *gmig)
{
	int tid = (int)syscall(SYS_gettid);

	for (unsigned int i = 0; i < ENGINE_TIDS; i++) {
		int mine = tid;

		if (atomic_compare_exchange_strong(&gmig->workers[i], &mine, 0))
			return;
	}
}

static bool is_worker(struct gmig *gmig, int tid)
{
	for (unsigned int i = 0; i < ENGINE_TIDS; i++)
		if (tid && atomic_load(&gmig->workers[i]) == tid)
			return true;
	return false;
}

/* ---- Sleepers ------------------------------------------------------------------------------ */

/* A thread that was interrupted by a signal faults again: it is still one sleeper. Caller holds
 * stripe->lock. */
static void sleeper_note(const struct touch *touch, struct stripe *stripe)
{
	struct gmig *gmig = touch->fault->gmig;
	struct sleeper *sleeper;

	for (sleeper = stripe->sleepers; sleeper; sleeper = sleeper->next)
		if (touch->tid && sleeper->tid == touch->tid) {
			sleeper->gfn = touch->gfn;
			return;
		}
	sleeper = malloc(sizeof(*sleeper));
	if (!sleeper)
		return; /* it will be woken all the same; only its wait is not measured */
	*sleeper = (struct sleeper){stripe->sleepers, touch->gfn, gmig->sys->now_ns(), touch->tid};
	stripe->sleepers = sleeper;
	atomic_fetch_add(&gmig->sleepers, 1);
}

/* ---- First touch: callers hold stripe->lock ------------------------------------------------ */

static void entry_event(const struct touch *touch, uint64_t gfn, unsigned int order,
			enum shadow_event event, unsigned int node, enum books_memory memory)
{
	struct books_event books = {
	    .region = touch->region,
	    .change = {gfn, order, event, (uint16_t)node, 0},
	    .memory = memory,
	};
	struct gmig_error err;

	if (books_change(touch->fault->gmig, &books, &err))
		engine_log(touch->fault->gmig, GMIG_LOG_ERROR, "event=first-touch text=\"%s\"",
			   err.text);
}

/* The node on which the kernel put the page; without an answer, the one that was asked for. */
static unsigned int node_of(const struct touch *touch, uint64_t gfn, unsigned int hoped)
{
	struct gmig *gmig = touch->fault->gmig;
	void *page = region_hva(touch->region, gfn);
	int status = -ENOENT;

	if (gmig->fake || gmig->sys->query_nodes(1, &page, &status) || status < 0 ||
	    status >= (int)GMIG_MAX_NODES)
		return hoped;
	return (unsigned int)status;
}

static int fill_huge(const struct touch *touch, unsigned int node)
{
	struct gmig *gmig = touch->fault->gmig;
	struct frame_want want = {.node = node,
				  .worker = GMIG_MAX_WORKERS + touch->fault->vnode,
				  .huge = true,
				  .clean = true};
	struct slot *slot;
	size_t done;
	int ret = frame_take(gmig->frames, &want, &slot);

	if (ret) {
		want.clean = false;
		ret = frame_take(gmig->frames, &want, &slot);
		if (ret)
			return ret;
	}
	if (!slot->clean)
		memset(slot->hva, 0, GMIG_BLOCK_BYTES);
	slot->clean = true;
	struct uffd_move move = {touch->fault->uffd, region_hva(touch->region, touch->block_gfn),
				 slot->hva, GMIG_BLOCK_BYTES, false};

	ret = uffd_move(gmig->sys, &move, &done);
	bits_clear_range(&slot->have, 0, (unsigned int)(done / GMIG_PAGE_BYTES));
	if (!ret)
		entry_event(touch, touch->block_gfn, 9, SHADOW_TOUCH, node, BOOKS_SLOT);
	else if (done)
		ret = -EIO;
	if (ret)
		frame_drop(gmig->frames, slot);
	else
		frame_give(gmig->frames, slot);
	return ret;
}

/*
 * Single pages, placed by the region's policy (preferred_node node preferred, any other when that is full).
 * The entry of an untouched block is split first. *filled: pages that are there now, though their
 * sleepers are not woken yet.
 */
static int fill_small(const struct touch *touch, uint64_t gfn, unsigned int pages)
{
	struct gmig *gmig = touch->fault->gmig;
	unsigned int preferred_node = atomic_load(&touch->region->preferred_node);
	struct shadow_entry entry;
	size_t done;
	int ret = shadow_lookup(gmig->shadow, gfn, &entry);

	if (!ret && entry.order)
		ret = books_split(gmig, touch->region, touch->block_gfn);
	if (ret)
		return ret;
	ret = uffd_copy(gmig->sys, touch->fault->uffd, region_hva(touch->region, gfn),
			touch->fault->zeros, pages * GMIG_PAGE_BYTES, &done);
	for (uint64_t i = 0; i < done / GMIG_PAGE_BYTES; i++) {
		unsigned int node = node_of(touch, gfn + i, preferred_node);

		entry_event(touch, gfn + i, 0, SHADOW_TOUCH, node, BOOKS_KERNEL);
	}
	return done ? 0 : ret;
}

/* Nodes by distance from the preferred node; each is tried for a whole block. */
static int fill_huge_elsewhere(const struct touch *touch, unsigned int preferred_node)
{
	struct gmig_topology *topology = memory_topology(&touch->fault->gmig->memory);
	struct gmig_node_set left = *gmig_topology_nodes(topology);
	int ret = -ENOMEM;

	gmig_node_set_and(&left, gmig_topology_allowed(topology));
	gmig_node_set_remove(&left, preferred_node);
	while ((ret == -ENOMEM || ret == -ENOSPC) && !gmig_node_set_empty(&left)) {
		unsigned int node = gmig_topology_nearest(topology, preferred_node, &left);

		gmig_node_set_remove(&left, node);
		ret = fill_huge(touch, node);
	}
	gmig_topology_put(topology);
	return ret;
}

static int fill_huge_somewhere(const struct touch *touch)
{
	unsigned int preferred_node = atomic_load(&touch->region->preferred_node);
	int ret = fill_huge(touch, preferred_node);

	return ret == -ENOMEM || ret == -ENOSPC ? fill_huge_elsewhere(touch, preferred_node) : ret;
}

/* A hole that nobody fills otherwise. The toucher is woken by the caller. */
static void fill(const struct touch *touch, const struct shadow_entry *entry)
{
	struct gmig *gmig = touch->fault->gmig;
	int ret = -EAGAIN;

	if (entry->order && !gmig->options.small_pages)
		ret = fill_huge_somewhere(touch);
	if (ret && entry->order)
		ret = fill_small(touch, touch->block_gfn, GMIG_BLOCK_PAGES);
	if (ret)
		ret = fill_small(touch, touch->gfn, 1);
	if (ret)
		engine_log(gmig, GMIG_LOG_ERROR, "event=first-touch gfn=0x%llx errno=%s",
			   (unsigned long long)touch->gfn, gmig_errno_name(ret));
}

/* ---- Messages ------------------------------------------------------------------------------ */

/* The entry says PRESENT, and yet somebody slept on it. Caller holds stripe->lock. */
static void repair_present(const struct touch *touch, const struct shadow_entry *entry)
{
	struct gmig *gmig = touch->fault->gmig;
	unsigned int page = (unsigned int)(touch->gfn - touch->block_gfn);
	uint8_t *block = region_hva(touch->region, touch->block_gfn);
	struct shadow_entry none = *entry;
	struct uffd_scan scan;

	if (uffd_scan(gmig->sys, gmig->pagemap, block, &scan))
		return;
	if (bits_get(&scan.protected, page)) {
		engine_log(gmig, GMIG_LOG_WARNING, "event=left-protected gfn=0x%llx",
			   (unsigned long long)touch->gfn);
		uffd_protect(gmig->sys, touch->fault->uffd, block + page * GMIG_PAGE_BYTES,
			     GMIG_PAGE_BYTES, false);
		return;
	}
	if (bits_get(&scan.present, page))
		return;
	if (entry->order && !bits_empty(&scan.present)) {
		if (books_split(gmig, touch->region, touch->block_gfn))
			return;
		none.order = 0;
	}
	entry_event(touch, none.order ? touch->block_gfn : touch->gfn, none.order, SHADOW_DISCARD,
		    0, BOOKS_KERNEL);
	none.state = SHADOW_NONE;
	fill(touch, &none);
}

static void serve(const struct touch *touch, struct stripe *stripe)
{
	struct gmig *gmig = touch->fault->gmig;
	void *page = region_hva(touch->region, touch->gfn);
	struct shadow_entry entry;
	size_t done;

	if (shadow_lookup(gmig->shadow, touch->gfn, &entry))
		return;
	if (entry.state == SHADOW_CLAIMED || entry.state == SHADOW_COPYING) {
		if (!touch->protected && is_worker(gmig, touch->tid)) {
			uffd_copy(gmig->sys, touch->fault->uffd, page, touch->fault->zeros,
				  GMIG_PAGE_BYTES, &done);
			uffd_wake(gmig->sys, touch->fault->uffd, page, GMIG_PAGE_BYTES);
			return;
		}
		sleeper_note(touch, stripe);
		return;
	}
	if (entry.state == SHADOW_NONE)
		fill(touch, &entry);
	else
		repair_present(touch, &entry);
	uffd_wake(gmig->sys, touch->fault->uffd, page, GMIG_PAGE_BYTES);
}

static bool names_vcpu(struct gmig *gmig, unsigned int vnode, int tid)
{
	const struct vnode *v = &gmig->vnodes[vnode];
	unsigned int count = atomic_load(&v->tid_count);

	for (unsigned int i = 0; i < count; i++)
		if (v->tids[i] == tid)
			return true;
	return false;
}

static void handle(struct fault *fault, const struct uffd_msg *msg)
{
	struct gmig *gmig = fault->gmig;
	struct touch touch = {
	    .fault = fault,
	    .region = engine_region_of_hva(gmig, (uintptr_t)msg->arg.pagefault.address),
	    .tid = (int)msg->arg.pagefault.feat.ptid,
	    .write = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE,
	    .protected = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP,
	};
	struct stripe *stripe;

	if (msg->event != UFFD_EVENT_PAGEFAULT || !touch.region)
		return;
	touch.gfn = touch.region->gfn +
		    ((uintptr_t)msg->arg.pagefault.address - (uintptr_t)touch.region->hva) /
			GMIG_PAGE_BYTES;
	touch.block_gfn = touch.gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES;
	atomic_fetch_add(&gmig->faults, 1);
	if (names_vcpu(gmig, fault->vnode, touch.tid))
		atomic_fetch_add(&gmig->faults_known_thread, 1);
	stripe = engine_stripe(gmig, touch.gfn);
	pthread_mutex_lock(&stripe->lock);
	serve(&touch, stripe);
	pthread_mutex_unlock(&stripe->lock);
}

static void *fault_thread(void *arg)
{
	struct fault *fault = arg;
	const struct gmig_sys *sys = fault->gmig->sys;
	struct pollfd fds[2] = {{.fd = fault->uffd, .events = POLLIN},
				{.fd = fault->stop, .events = POLLIN}};
	struct uffd_msg messages[MESSAGES];
	atomic_uint *serving = &fault->gmig->vnodes[fault->vnode].serving;

	while (!(fds[1].revents & POLLIN)) {
		ssize_t got;

		if (sys->poll(fds, 2, -1) <= 0 || !(fds[0].revents & POLLIN))
			continue;
		got = sys->read(fault->uffd, messages, sizeof(messages));
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(messages[0]); i++) {
			/* Before anything of the region is read: see engine_settle_faults(). */
			atomic_fetch_add(serving, 1);
			handle(fault, &messages[i]);
			atomic_fetch_add(serving, 1);
		}
	}
	return NULL;
}

int fault_start(struct gmig *gmig, unsigned int vnode, struct fault **out, struct gmig_error *err)
{
	struct fault *fault = calloc(1, sizeof(*fault));
	void *zeros;
	int ret;

	if (!fault)
		return gmig_fail(err, -ENOMEM, "no memory for a fault thread");
	fault->gmig = gmig;
	fault->vnode = vnode;
	fault->uffd = gmig->vnodes[vnode].uffd;
	fault->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = gmig_sys_map_aligned(gmig->sys, GMIG_BLOCK_BYTES, &fault->zeros_reserved, &zeros);
	if (!ret)
		fault->zeros = zeros;
	if (!ret && fault->stop < 0)
		ret = -EMFILE;
	if (!ret)
		ret = -pthread_create(&fault->thread, NULL, fault_thread, fault);
	if (ret) {
		if (fault->stop >= 0)
			close(fault->stop);
		if (fault->zeros)
			gmig->sys->unmap(fault->zeros_reserved,
					 GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
		free(fault);
		return gmig_fail(err, ret, "cannot start a fault thread: %s", gmig_errno_name(ret));
	}
	*out = fault;
	return 0;
}

void fault_stop(struct fault *fault)
{
	uint64_t one = 1;

	if (!fault)
		return;
	if (write(fault->stop, &one, sizeof(one)) != sizeof(one))
		engine_log(fault->gmig, GMIG_LOG_WARNING, "event=fault-stop errno=%s",
			   gmig_errno_name(errno));
	pthread_join(fault->thread, NULL);
	close(fault->stop);
	fault->gmig->sys->unmap(fault->zeros_reserved, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
	free(fault);
}
