#include "ghost.h"
#include "../../migrate/memory/books.h"
#include "clocks.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <sys/resource.h>

#define STATISTICS 20 /* calls */

static bool ghosts, small_pages; /* set by ghost_create() */

static int scan(struct pm_scan_arg *arg)
{
	struct page_region *region = (struct page_region *)(uintptr_t)arg->vec;

	*region = (struct page_region){arg->start, arg->end, PAGE_IS_PRESENT | PAGE_IS_WRITTEN};
	region->categories |= small_pages ? 0 : PAGE_IS_HUGE;
	arg->walk_end = arg->end;
	return 1;
}

static int ghost_ioctl(int fd, unsigned long request, void *arg)
{
	if (!ghosts)
		return gmig_sys_real.ioctl(fd, request, arg);
	if (request == PAGEMAP_SCAN)
		return scan(arg);
	return request == UFFDIO_API ? gmig_sys_real.ioctl(fd, request, arg) : 0;
}

static int touch_all(struct gmig *gmig, uint64_t pages, struct gmig_error *err)
{
	struct books_event touch = {.region = &gmig->regions[0],
				    .change = {.order = 9, .event = SHADOW_TOUCH},
				    .memory = BOOKS_KERNEL};
	int rc = 0;

	for (uint64_t gfn = 0; !rc && gfn < pages; gfn += GMIG_BLOCK_PAGES) {
		touch.change.gfn = gfn;
		rc = books_change(gmig, &touch, err);
		if (!rc && small_pages)
			rc = books_split(gmig, touch.region, gfn);
	}
	return rc ? gmig_fail(err, rc, "the table cannot be built: %s", gmig_errno_name(rc)) : 0;
}

int ghost_create(uint64_t guest_bytes, bool small, struct gmig **out, struct gmig_error *err)
{
	static struct gmig_sys sys;
	struct gmig_options options = {.small_pages = small, .unsafe_kernel = true, .sys = &sys};
	const struct gmig_region_spec spec = {.bytes = guest_bytes};
	void *hva;
	int rc = gmig_topology_create(2, &options.topology, err);

	sys = gmig_sys_real;
	sys.ioctl = ghost_ioctl;
	small_pages = small;
	ghosts = false; /* the engine looks what the kernel can do */
	if (rc)
		return rc;
	if (gmig_create(&options, out, err))
		rc = -EOPNOTSUPP;
	gmig_topology_put(options.topology);
	ghosts = true;
	if (!rc)
		rc = gmig_region_add(*out, &spec, &hva, err);
	if (!rc)
		rc = touch_all(*out, guest_bytes / GMIG_PAGE_BYTES, err);
	if (rc && rc != -EOPNOTSUPP)
		gmig_destroy(*out);
	if (rc && err)
		err->code = rc;
	return rc;
}

/* ---- What takes how long --------------------------------------------------------------------- */

static void keep_longest(double *longest, double since)
{
	*longest = fmax(*longest, (double)now_ns() - since);
}

static void measure_statistics(struct gmig *gmig, struct ghost_waits *waits)
{
	static uint64_t bytes[GMIG_MAX_NODES];
	static struct gmig_stats stats;

	for (unsigned int i = 0; i < STATISTICS; i++) {
		uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);

		gmig_stats(gmig, &stats);
		gmig_residency(gmig, 0, bytes);
		waits->statistics_ns =
		    fmax(waits->statistics_ns, (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin));
	}
}

static double allocated_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)info.uordblks + (double)info.hblkhd;
}

/* after_ns: of the job's start; INFINITY: when it moves. */
static int measure_cancel(struct gmig *gmig, double after_ns, struct ghost_waits *waits,
			  struct gmig_error *err)
{
	const struct gmig_job_spec spec = {.from_count = 1, .to = {1}, .to_count = 1};
	double begin = (double)now_ns(), before = allocated_bytes();
	struct gmig_job_info info = {0};
	struct gmig_job *job;
	int rc = gmig_job_start(gmig, &spec, &job, err);

	if (rc)
		return rc;
	for (; (double)now_ns() - begin < after_ns && !info.moved_bytes &&
	       info.state < GMIG_JOB_COMPLETED;
	     gmig_job_info(job, &info))
		sleep_ns(1000000);
	if (isinf(after_ns))
		keep_longest(&waits->start_ns, begin);
	begin = (double)now_ns();
	gmig_job_cancel(job);
	gmig_job_wait(job);
	keep_longest(&waits->cancel_ns, begin);
	gmig_job_put(job);
	sleep_ns(20000000); /* its threads let go of their own */
	waits->kept_bytes = fmax(waits->kept_bytes, allocated_bytes() - before);
	return 0;
}

struct waiter {
	struct gmig *gmig;
	clockid_t checker; /* CPU time of the thread that checks */
	atomic_bool stop;
	double longest_ns;
};

static long preemptions(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

/*
 * What a fault does first, by the checker's time: that one may lose its CPU, and when this thread loses
 * its own, what it saw does not count. It spins, since being woken takes time, too.
 */
static void *wait_for_locks(void *arg)
{
	struct waiter *waiter = arg;
	const struct region *region = &waiter->gmig->regions[0];
	uint64_t gfn = 0;

	while (!atomic_load_explicit(&waiter->stop, memory_order_relaxed)) {
		struct stripe *stripe = engine_stripe(waiter->gmig, gfn);
		long before = preemptions();
		uint64_t begin = clock_ns(waiter->checker), took;

		while (pthread_mutex_trylock(&stripe->lock))
			;
		pthread_mutex_unlock(&stripe->lock);
		took = clock_ns(waiter->checker) - begin;
		if (preemptions() == before)
			waiter->longest_ns = fmax(waiter->longest_ns, (double)took);
		gfn = (gfn + 977 * GMIG_BLOCK_PAGES) % region->pages;
	}
	return NULL;
}

static int measure_lock(struct gmig *gmig, struct ghost_waits *waits, struct gmig_error *err)
{
	struct waiter waiter = {.gmig = gmig};
	static struct gmig_check check;
	pthread_t thread;
	int rc = -pthread_getcpuclockid(pthread_self(), &waiter.checker);

	if (!rc)
		rc = -pthread_create(&thread, NULL, wait_for_locks, &waiter);
	if (rc)
		return gmig_fail(err, rc, "a thread cannot be started");
	rc = gmig_check(gmig, &check, err);
	atomic_store(&waiter.stop, true);
	pthread_join(thread, NULL);
	waits->lock_ns = waiter.longest_ns;
	return rc;
}

int ghost_measure(struct gmig *gmig, struct ghost_waits *waits, struct gmig_error *err)
{
	static const double moments[] = {0, 1e6, 100e6, INFINITY};
	int rc = 0;

	mallopt(M_ARENA_MAX, 1); /* so that mallinfo2() has what all threads allocate */
	*waits = (struct ghost_waits){0};
	measure_statistics(gmig, waits);
	for (size_t i = 0; !rc && i < sizeof(moments) / sizeof(moments[0]); i++)
		rc = measure_cancel(gmig, moments[i], waits, err);
	return rc ? rc : measure_lock(gmig, waits, err);
}
