#include "fault.h"

#include "../core/uffd.h"
#include "../core/wake.h"
#include "claim.h"
#include "first_touch.h"
#include "region.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MESSAGES   32
#define STARVED	   64 /* pages that wait for memory; more are woken, and fault again */
#define STARVED_MS 10 /* between two tries */

struct fault {
	struct gmig *gmig;
	unsigned int vnode;
	int uffd;
	int stop; /* eventfd */
	pthread_t thread;
	struct first_touch touch;
	void *zeros_reserved;
	struct log_limit no_memory, left_protected;
	/* The thread's own: pages whose touchers sleep since nobody has memory for them. */
	uint64_t starved[STARVED];
	unsigned int starved_count, starved_told;
	uint64_t starved_until_ns;
};

/* One message, looked up. */
struct touch {
	struct fault *fault;
	struct region *region;
	uint64_t gfn;	    /* of the page */
	uint64_t block_gfn; /* of its block */
	int tid;
	bool write;
	bool vcpu;	/* the thread was named as one */
	bool protected; /* it met a write protection, not a hole */
};

/* ---- Sleepers ------------------------------------------------------------------------------ */

/* A thread that was interrupted by a signal faults again: it is still one sleeper. false: no memory. Caller holds
 * stripe->lock. */
static bool sleeper_note(const struct touch *touch, struct stripe *stripe)
{
	struct gmig *gmig = touch->fault->gmig;
	struct sleeper *sleeper;

	for (sleeper = stripe->sleepers; sleeper; sleeper = sleeper->next)
		if (touch->tid && sleeper->tid == touch->tid) {
			sleeper->gfn = touch->gfn;
			return true;
		}
	sleeper = malloc(sizeof(*sleeper));
	if (!sleeper)
		return false;
	*sleeper = (struct sleeper){stripe->sleepers, touch->gfn,   gmig->sys->now_ns(),
				    touch->tid,	      touch->write, touch->vcpu};
	stripe->sleepers = sleeper;
	atomic_fetch_add(&gmig->sleepers, 1);
	return true;
}

/* ---- Messages ------------------------------------------------------------------------------ */

/* false: there is no memory. */
static bool fill(const struct touch *touch, const struct shadow_entry *entry)
{
	struct fault *fault = touch->fault;
	struct gmig *gmig = fault->gmig;
	int ret = touch->region->kind->fill(&fault->touch, touch->region, touch->gfn, entry);
	unsigned long held;

	if (ret && log_limit_pass(&fault->no_memory, gmig->sys->now_ns(), &held))
		engine_log(gmig, GMIG_LOG_ERROR, "event=first-touch gfn=0x%llx errno=%s held=%lu",
			   (unsigned long long)touch->gfn, gmig_errno_name(ret), held);
	return ret != -ENOMEM;
}

static void unprotect(const struct touch *touch)
{
	struct fault *fault = touch->fault;
	struct gmig *gmig = fault->gmig;
	bool whole = touch->region->kind->always_whole;
	unsigned long held;

	if (log_limit_pass(&fault->left_protected, gmig->sys->now_ns(), &held))
		engine_log(gmig, GMIG_LOG_WARNING, "event=left-protected gfn=0x%llx held=%lu",
			   (unsigned long long)touch->gfn, held);
	uffd_protect(
	    gmig->sys, fault->uffd,
	    region_hva(touch->region, whole ? region_unit(touch->region, touch->gfn) : touch->gfn),
	    (whole ? touch->region->unit_pages : 1) * GMIG_PAGE_BYTES, false);
}

/* All that goes whole with it. */
static void note_gone(const struct touch *touch, unsigned int order)
{
	uint64_t gfn = order ? region_unit(touch->region, touch->gfn) : touch->gfn;
	uint64_t end = gfn + (order ? touch->region->unit_pages : 1);

	for (; gfn < end; gfn += GMIG_BLOCK_PAGES)
		first_touch_note(
		    &touch->fault->touch,
		    &(struct books_event){
			.region = touch->region,
			.change = {.gfn = gfn, .order = order, .event = SHADOW_DISCARD},
			.memory = BOOKS_KERNEL,
		    });
}

/* The entry says PRESENT, and yet somebody slept on it. false: as fill(). Caller holds stripe.lock. */
static bool repair_present(const struct touch *touch, const struct shadow_entry *entry)
{
	struct gmig *gmig = touch->fault->gmig;
	unsigned int page = (unsigned int)(touch->gfn - touch->block_gfn);
	struct shadow_entry none = *entry;
	struct uffd_scan scan;

	if (touch->region->kind->scan(gmig, touch->region, touch->block_gfn, &scan))
		return true;
	if (bits_get(&scan.protected, page)) {
		unprotect(touch);
		return true;
	}
	if (bits_get(&scan.present, page))
		return true;
	if (entry->order && !bits_empty(&scan.present)) {
		if (books_split(gmig, touch->region, touch->block_gfn))
			return true;
		none.order = 0;
	}
	note_gone(touch, none.order);
	none.state = SHADOW_NONE;
	return fill(touch, &none);
}

/*
 * Somebody has the block: it wakes whoever sleeps on it, but not its own reader. What the reader copies must not be
 * written before it is out; a page that comes into a block that was protected has no protection of its own.
 */
static void serve_claimed(const struct touch *touch, struct stripe *stripe)
{
	struct gmig *gmig = touch->fault->gmig;
	void *page = region_hva(touch->region, touch->gfn);

	if (claim_is_over(stripe, touch->gfn)) {
		uffd_wake(gmig->sys, touch->fault->uffd, page, GMIG_PAGE_BYTES);
		return;
	}
	if (touch->protected || !claim_is_reader(stripe, touch->gfn, touch->tid)) {
		/* Whoever is in no list would be missed when the block begins to wait for a touch: it touches it again. */
		if (!sleeper_note(touch, stripe))
			uffd_wake(gmig->sys, touch->fault->uffd, page, GMIG_PAGE_BYTES);
		return;
	}
	uffd_copy_protected(gmig->sys, touch->fault->uffd, page, touch->fault->touch.zeros);
	uffd_wake(gmig->sys, touch->fault->uffd, page, GMIG_PAGE_BYTES);
}

/* Whoever has it wait moves it or gives it back, and wakes its toucher either way. */
static void serve_hint(const struct touch *touch, struct stripe *stripe)
{
	const struct claim_touch hint = {touch->gfn, touch->tid, touch->vcpu, touch->write};

	(void)sleeper_note(touch, stripe); /* without it only its wait is not measured */
	if (!claim_touched(stripe, &hint))
		engine_log(touch->fault->gmig, GMIG_LOG_ERROR, "event=hint-of-nobody gfn=0x%llx",
			   (unsigned long long)touch->gfn);
}

/* Let its toucher sleep, and try again later. false: too many sleep already. */
static bool starve(const struct touch *touch)
{
	struct fault *fault = touch->fault;

	for (unsigned int i = 0; i < fault->starved_count; i++)
		if (fault->starved[i] == touch->gfn)
			return true;
	if (fault->starved_count == STARVED)
		return false;
	fault->starved[fault->starved_count++] = touch->gfn;
	fault->starved_until_ns = fault->gmig->sys->now_ns() + STARVED_MS * 1000000ull;
	return true;
}

static void serve(const struct touch *touch, struct stripe *stripe)
{
	struct gmig *gmig = touch->fault->gmig;
	struct shadow_entry entry;

	if (shadow_lookup(gmig->shadow, touch->gfn, &entry))
		return;
	if (entry.state == SHADOW_CLAIMED || entry.state == SHADOW_COPYING)
		serve_claimed(touch, stripe);
	else if (entry.state == SHADOW_HINT)
		serve_hint(touch, stripe);
	else if ((entry.state == SHADOW_NONE ? fill(touch, &entry)
					     : repair_present(touch, &entry)) ||
		 !starve(touch))
		uffd_wake(gmig->sys, touch->fault->uffd, region_hva(touch->region, touch->gfn),
			  GMIG_PAGE_BYTES);
}

static void serve_locked(const struct touch *touch)
{
	struct stripe *stripe = engine_stripe(touch->fault->gmig, touch->gfn);
	const struct region_kind *kind = touch->region->kind;

	if (kind->ahead)
		kind->ahead(&touch->fault->touch, touch->region, touch->gfn);
	pthread_mutex_lock(&stripe->lock);
	serve(touch, stripe);
	pthread_mutex_unlock(&stripe->lock);
	if (kind->leave)
		kind->leave(&touch->fault->touch, touch->region);
}

/* Memory may have come back. Whoever still finds none starves on. */
static void serve_starved(struct fault *fault)
{
	unsigned int count = fault->starved_count;
	uint64_t starved[STARVED];

	memcpy(starved, fault->starved, count * sizeof(starved[0]));
	fault->starved_count = 0;
	for (unsigned int i = 0; i < count; i++) {
		struct touch touch = {
		    .fault = fault,
		    .region = engine_region_of_gfn(fault->gmig, starved[i]),
		    .gfn = starved[i],
		    .block_gfn = starved[i] / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES,
		};

		serve_locked(&touch);
	}
}

static bool names_vcpu(struct gmig *gmig, unsigned int vnode, int tid)
{
	const struct thread_list *list = atomic_load(&gmig->vnodes[vnode].threads);
	unsigned int count = list ? atomic_load(&list->count) : 0;

	for (unsigned int i = 0; i < count; i++)
		if (list->tid[i] == tid)
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

	if (msg->event != UFFD_EVENT_PAGEFAULT || !touch.region)
		return;
	touch.gfn = touch.region->gfn +
		    ((uintptr_t)msg->arg.pagefault.address - (uintptr_t)touch.region->hva) /
			GMIG_PAGE_BYTES;
	touch.block_gfn = touch.gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES;
	atomic_fetch_add(&gmig->faults, 1);
	touch.vcpu = names_vcpu(gmig, fault->vnode, touch.tid);
	if (touch.vcpu)
		atomic_fetch_add(&gmig->faults_known_thread, 1);
	serve_locked(&touch);
}

/* Between two tries it is not none. */
static void tell_starved(struct fault *fault)
{
	atomic_fetch_add(&fault->gmig->starved,
			 (unsigned long long)fault->starved_count - fault->starved_told);
	fault->starved_told = fault->starved_count;
}

/* One message, or (NULL) those that starve. */
static void serving(struct fault *fault, const struct uffd_msg *msg)
{
	atomic_uint *serving = &fault->gmig->vnodes[fault->vnode].serving;

	/* Before anything of the region is read: see engine_settle_faults(). */
	atomic_fetch_add(serving, 1);
	if (msg)
		handle(fault, msg);
	else
		serve_starved(fault);
	tell_starved(fault);
	atomic_fetch_add(serving, 1);
}

static void *fault_thread(void *arg)
{
	struct fault *fault = arg;
	const struct gmig_sys *sys = fault->gmig->sys;
	struct pollfd fds[2] = {{.fd = fault->uffd, .events = POLLIN},
				{.fd = fault->stop, .events = POLLIN}};
	const struct gmig_thread thread = {.kind = GMIG_THREAD_FAULT, .vnode = fault->vnode};
	struct uffd_msg messages[MESSAGES];

	memory_tell_thread(&fault->gmig->memory, &thread, true);
	while (!(fds[1].revents & POLLIN)) {
		int ready = sys->poll(fds, 2, fault->starved_count ? STARVED_MS : -1);
		ssize_t got = ready > 0 && fds[0].revents & POLLIN
				  ? sys->read(fault->uffd, messages, sizeof(messages))
				  : 0;

		if (fault->starved_count && sys->now_ns() >= fault->starved_until_ns)
			serving(fault, NULL);
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(messages[0]); i++)
			serving(fault, &messages[i]);
	}
	memory_tell_thread(&fault->gmig->memory, &thread, false);
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
		fault->touch = (struct first_touch){.gmig = gmig,
						    .uffd = fault->uffd,
						    .worker = GMIG_MAX_WORKERS + vnode,
						    .zeros = zeros};
	if (!ret && fault->stop < 0)
		ret = -EMFILE;
	if (!ret)
		ret = -pthread_create(&fault->thread, NULL, fault_thread, fault);
	if (ret) {
		if (fault->stop >= 0)
			close(fault->stop);
		if (fault->touch.zeros)
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
	if (!fault)
		return;
	wake_by(fault->stop);
	pthread_join(fault->thread, NULL);
	close(fault->stop);
	fault->gmig->sys->unmap(fault->zeros_reserved, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
	free(fault);
}
