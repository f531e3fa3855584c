/*
 * All at once: 16 vnodes of a guest that writes and discards, jobs of 16 workers each that come, pause and are cancelled
 * at random, a check beside them, and a kernel that fails now and then. Nothing may be lost, the invariants hold, each
 * job's pages add up, and nobody sleeps for ever.
 *
 * For long runs: GMIG_STRESS_SECONDS (for each case), GMIG_STRESS_SEED.
 */
#include "../../migrate/core/uffd.h"
#include "../../migrate/jobs/job_list.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define VNODES	    16
#define NODES	    4
#define JOBS	    4
#define GUESTS	    4
#define VNODE_BYTES (4ull << 20)
#define PAGES	    (VNODES * VNODE_BYTES / GMIG_PAGE_BYTES)
#define PATIENCE_S  100 /* after which somebody is said to sleep for ever: sanitizers are slow */
#define GPA_OF(v)   ((uint64_t)(v) << 30)
#define VNODE_PAGES (VNODE_BYTES / GMIG_PAGE_BYTES)

static struct gmig *gmig;
static rig_word *ram[VNODES];
/* Of each page's first and last word. Both are its guest's alone. */
static uint64_t expected[PAGES];
static bool
    maybe_zero[PAGES]; /* discarded: a page that was out of reach just then came back as it was */
static atomic_bool stop;
static atomic_bool injecting;
static atomic_ullong jobs_ended, checks, injected;

/* ---- Chance ------------------------------------------------------------------------------------- */

static _Thread_local uint64_t chance;
static atomic_ullong next_chance;

static uint64_t roll(void)
{
	if (!chance)
		chance = atomic_fetch_add(&next_chance, 0x9e3779b97f4a7c15ull) | 1;
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return chance >> 11;
}

static bool one_in(unsigned int n)
{
	return roll() % n == 0;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* ---- A kernel that fails now and then ----------------------------------------------------------- */

static bool strikes(unsigned int n)
{
	if (!atomic_load(&injecting) || !one_in(n))
		return false;
	atomic_fetch_add(&injected, 1);
	return true;
}

static int move_fails(int fd, struct uffdio_move *move)
{
	static const int errors[] = {-EAGAIN, -EAGAIN, -EBUSY, -ENOENT, -ENOMEM};
	struct uffdio_move head = *move;
	int ret = errors[roll() % 5];

	move->move = ret;
	/* Some of it has moved by then. */
	head.len = move->len / 2 / GMIG_PAGE_BYTES * GMIG_PAGE_BYTES;
	if (!head.len || one_in(2))
		return ret;
	if (gmig_sys_real.ioctl(fd, UFFDIO_MOVE, &head))
		move->move = head.move;
	else
		move->move = (int64_t)head.len;
	return -EAGAIN;
}

static int ioctl_failing(int fd, unsigned long request, void *arg)
{
	switch (request) {
	case UFFDIO_MOVE:
		if (strikes(50))
			return move_fails(fd, arg);
		break;
	case UFFDIO_COPY:
		if (strikes(200)) {
			((struct uffdio_copy *)arg)->copy = -EAGAIN;
			return -EAGAIN;
		}
		break;
	case UFFDIO_WRITEPROTECT:
		if (strikes(50))
			return one_in(2) ? -EAGAIN : -ENOMEM;
		break;
	case UFFDIO_WAKE:
		if (strikes(50))
			return -EAGAIN;
		break;
	case PAGEMAP_SCAN:
		if (strikes(200))
			return -ENOMEM;
		break;
	default:
		break;
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

static int advise_failing(void *memory, size_t bytes, int advice)
{
	switch (advice) {
	case MADV_POPULATE_WRITE:
		if (strikes(20))
			return one_in(2) ? -ENOMEM : -EAGAIN;
		break;
	case MADV_DONTNEED:
	case MADV_COLLAPSE:
		if (strikes(20))
			return -EAGAIN;
		break;
	default:
		break;
	}
	return gmig_sys_real.advise(memory, bytes, advice);
}

/* ---- The guest ---------------------------------------------------------------------------------- */

struct guest {
	pthread_t thread;
	unsigned int index;
	uint64_t errors;
	atomic_ullong sweeps;
	atomic_ullong at; /* the page that it is about to touch */
};

static rig_word *page_at(uint64_t page)
{
	return ram[page / VNODE_PAGES] + page % VNODE_PAGES * RIG_WORDS;
}

static void page_write(uint64_t page)
{
	rig_word *words = page_at(page);

	expected[page] = roll();
	maybe_zero[page] = false;
	atomic_store_explicit(&words[0], expected[page], memory_order_relaxed);
	atomic_store_explicit(&words[RIG_WORDS - 1], expected[page], memory_order_relaxed);
}

static bool page_is_right(uint64_t page)
{
	rig_word *words = page_at(page);
	uint64_t first = atomic_load_explicit(&words[0], memory_order_relaxed);
	uint64_t last = atomic_load_explicit(&words[RIG_WORDS - 1], memory_order_relaxed);

	if (!maybe_zero[page])
		return first == expected[page] && last == expected[page];
	/* It may have been half copied. What it holds from now on is certain. */
	first = first ? first : expected[page];
	last = last ? last : expected[page];
	if (first != expected[page] || last != expected[page])
		return false;
	page_write(page);
	return true;
}

/* Behind the engine's back, as a balloon that does not ask it. */
static void pages_discard(uint64_t page, uint64_t pages)
{
	if (madvise((void *)page_at(page), pages * GMIG_PAGE_BYTES, MADV_DONTNEED))
		return;
	for (uint64_t i = page; i < page + pages; i++)
		maybe_zero[i] = true;
}

/* Each guest has blocks of its own. */
static void *guest_thread(void *arg)
{
	struct guest *guest = arg;
	uint64_t blocks = PAGES / GMIG_BLOCK_PAGES;

	while (!atomic_load(&stop)) {
		uint64_t block = guest->index + roll() % (blocks / GUESTS) * GUESTS;
		uint64_t first = block * GMIG_BLOCK_PAGES, step = 1 + roll() % 64;

		for (uint64_t page = first; page < first + GMIG_BLOCK_PAGES; page += step) {
			atomic_store_explicit(&guest->at, page, memory_order_relaxed);
			guest->errors += !page_is_right(page);
			if (one_in(4))
				page_write(page);
		}
		if (one_in(8))
			pages_discard(first + roll() % GMIG_BLOCK_PAGES, 1);
		if (one_in(64))
			pages_discard(first, GMIG_BLOCK_PAGES);
		atomic_fetch_add(&guest->sweeps, 1);
	}
	return NULL;
}

/* ---- Jobs --------------------------------------------------------------------------------------- */

static void assert_adds_up(const struct gmig_job_info *info)
{
	ck_assert_msg(info->total_bytes == info->moved_bytes + info->remaining_bytes +
					       info->gone_bytes + info->by_others_bytes,
		      "job %lu: total %lu, moved %lu, remaining %lu, gone %lu, by others %lu",
		      (unsigned long)info->id, (unsigned long)info->total_bytes,
		      (unsigned long)info->moved_bytes, (unsigned long)info->remaining_bytes,
		      (unsigned long)info->gone_bytes, (unsigned long)info->by_others_bytes);
}

static void job_told(void *opaque, const struct gmig_job_info *info)
{
	(void)opaque;
	assert_adds_up(info);
}

static void fatal_told(void *opaque, const struct gmig_error *err)
{
	(void)opaque;
	ck_abort_msg("fatal: %s", err->text);
}

/* First touches without memory say so; that is all that is to be logged here. */
static void log_told(void *opaque, enum gmig_log_level level, const char *line)
{
	(void)opaque;
	if (getenv("RIG_VERBOSE"))
		fprintf(stderr, "%s\n", line);
	ck_assert_msg(level > GMIG_LOG_WARNING || strstr(line, "event=first-touch"), "%s", line);
}

static void assert_invariants(void)
{
	struct gmig_check check;

	ck_assert_int_eq(gmig_check(gmig, &check, NULL), 0);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(!check.breach[i], "I%u: %s", i + 1, check.detail[i]);
}

static void spec_roll(struct gmig_job_spec *spec)
{
	uint16_t nodes[NODES] = {0, 1, 2, 3};

	for (unsigned int i = NODES; i-- > 1;) {
		unsigned int k = (unsigned int)(roll() % (i + 1));
		uint16_t other = nodes[i];

		nodes[i] = nodes[k];
		nodes[k] = other;
	}
	*spec = (struct gmig_job_spec){
	    .threads = one_in(2) ? GMIG_MAX_WORKERS : 1 + (unsigned int)(roll() % 4),
	    .mode = one_in(3) ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE,
	    .frames = (enum gmig_frames)(roll() % 3),
	    .batch_pages = one_in(2) ? 0 : 1 + (unsigned int)(roll() % GMIG_BLOCK_PAGES),
	    .vnodes = one_in(2) ? 0 : 1 + roll() % ((1u << VNODES) - 1),
	    .rate_bytes_per_second = one_in(2) ? 0 : (1ull << 20) << roll() % 9,
	    .trace = one_in(4),
	    .from_count = 1 + (unsigned int)(roll() % 3),
	};
	spec->to_count = one_in(2) ? spec->from_count : 1;
	for (unsigned int i = 0; i < spec->from_count; i++)
		spec->from[i] = nodes[i];
	/* Out to other nodes, around, or both. */
	for (unsigned int i = 0; i < spec->to_count; i++)
		spec->to[i] = nodes[(i + 1 + roll() % 2 * (spec->from_count - 1)) % NODES];
	if (spec->to_count > 1 && spec->to[0] == spec->to[1])
		spec->to_count = spec->from_count = 1;
	if (spec->to_count > 2 && (spec->to[2] == spec->to[0] || spec->to[2] == spec->to[1]))
		spec->to_count = 2;
}

static void disturb(struct gmig_job *job)
{
	struct gmig_job_info info;
	int status[16];

	switch (roll() % 8) {
	case 0:
		gmig_job_pause(job);
		usleep((useconds_t)(roll() % 3000));
		gmig_job_resume(job);
		break;
	case 1:
		gmig_job_set_rate(job, one_in(2) ? 0 : (4ull << 20) << roll() % 7);
		break;
	case 2:
		if (one_in(3))
			gmig_job_cancel(job);
		break;
	case 3:
		ck_assert_int_eq(
		    gmig_job_page_status(
			job, GPA_OF(roll() % VNODES) + roll() % 100 * GMIG_PAGE_BYTES, 16, status),
		    0);
		break;
	default:
		gmig_job_info(job, &info);
		assert_adds_up(&info);
		usleep((useconds_t)(roll() % 2000));
		break;
	}
}

/* In time, or somebody sleeps for ever. */
static void job_ends(struct gmig_job *job, struct gmig_job_info *info)
{
	uint64_t deadline = gmig_sys_real.now_ns() + PATIENCE_S * 1000000000ull;

	do {
		disturb(job);
		gmig_job_info(job, info);
		ck_assert_msg(gmig_sys_real.now_ns() < deadline, "job %lu does not end",
			      (unsigned long)info->id);
		if (atomic_load(&stop) && one_in(4))
			gmig_job_cancel(job);
	} while (!job_is_over(info->state));
}

static void *controller(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		struct gmig_error err = {0};
		struct gmig_job_info info;
		struct gmig_job_spec spec;
		struct gmig_job *job;
		uint64_t why = 0;

		spec_roll(&spec);
		ck_assert_msg(gmig_job_start(gmig, &spec, &job, &err) == 0, "%s", err.text);
		job_ends(job, &info);
		assert_adds_up(&info);
		ck_assert_msg(info.state != GMIG_JOB_FAILED, "%s", info.error.text);
		for (unsigned int i = 0; i < info.remaining_count; i++)
			why += info.remaining[i].pages * GMIG_PAGE_BYTES;
		ck_assert_uint_eq(why, info.remaining_bytes);
		gmig_job_put(job);
		atomic_fetch_add(&jobs_ended, 1);
	}
	return NULL;
}

static void *checker(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		struct gmig_stats stats;

		assert_invariants();
		gmig_stats(gmig, &stats);
		ck_assert_uint_le(stats.page_bytes_2m + stats.page_bytes_4k, VNODES * VNODE_BYTES);
		atomic_fetch_add(&checks, 1);
	}
	return NULL;
}

/* ---- The run ------------------------------------------------------------------------------------ */

static void engine_start(bool small_pages)
{
	static struct gmig_sys sys;
	struct gmig_options options = {.small_pages = small_pages,
				       .unsafe_kernel = true,
				       .pool_bytes_per_node = 8ull << 20,
				       .job_event = job_told,
				       .log = log_told,
				       .fatal = fatal_told,
				       .sys = &sys};
	struct gmig_error err = {0};

	sys = gmig_sys_real;
	sys.ioctl = ioctl_failing;
	sys.advise = advise_failing;
	ck_assert_int_eq(gmig_topology_create(NODES, &options.topology, &err), 0);
	ck_assert_msg(gmig_create(&options, &gmig, &err) == 0, "%s", err.text);
	gmig_topology_put(options.topology);
	for (unsigned int v = 0; v < VNODES; v++) {
		const struct gmig_region_spec spec = {
		    .vnode = v, .host_node = v % NODES, .gpa = GPA_OF(v), .bytes = VNODE_BYTES};
		void *hva;

		ck_assert_msg(gmig_region_add(gmig, &spec, &hva, &err) == 0, "%s", err.text);
		ram[v] = hva;
	}
}

static bool join_in_time(pthread_t thread)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += PATIENCE_S;
	return !pthread_timedjoin_np(thread, NULL, &deadline);
}

static void guest_ends(struct guest *guest)
{
	struct shadow_entry entry = {0};
	struct uffd_scan scan = {0};
	uint64_t page, gfn;

	if (!join_in_time(guest->thread)) {
		page = atomic_load(&guest->at);
		gfn = GPA_OF(page / VNODE_PAGES) / GMIG_PAGE_BYTES + page % VNODE_PAGES;
		shadow_lookup(gmig->shadow, gfn, &entry);
		uffd_scan(&gmig_sys_real, gmig->pagemap,
			  (void *)page_at(page / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES), &scan);
		ck_abort_msg("guest %u sleeps for ever at gfn 0x%llx, %s on node %u, order %u; the "
			     "kernel: present %d, protected %d, swapped %d",
			     guest->index, (unsigned long long)gfn, shadow_state_name(entry.state),
			     entry.node, entry.order,
			     bits_get(&scan.present, page % GMIG_BLOCK_PAGES),
			     bits_get(&scan.protected, page % GMIG_BLOCK_PAGES),
			     bits_get(&scan.swapped, page % GMIG_BLOCK_PAGES));
	}
	ck_assert_uint_eq(guest->errors, 0);
	ck_assert_uint_gt(atomic_load(&guest->sweeps), 0);
}

/* A busy machine may not have come to every thread yet. */
static void await_first_results(struct guest *guests)
{
	uint64_t deadline = gmig_sys_real.now_ns() + PATIENCE_S * 1000000000ull;

	for (unsigned int i = 0; i < GUESTS && gmig_sys_real.now_ns() < deadline;) {
		if (atomic_load(&guests[i].sweeps) && atomic_load(&jobs_ended) &&
		    atomic_load(&checks))
			i++;
		else
			usleep(1000);
	}
}

START_TEST(nothing_is_lost_and_nobody_sleeps_for_ever)
{
	uint64_t seconds = number("GMIG_STRESS_SECONDS", 1), seed = number("GMIG_STRESS_SEED", 1);
	struct guest guests[GUESTS] = {{0}};
	pthread_t controllers[JOBS], check;
	struct gmig_stats stats;
	uint64_t wrong = 0;

	atomic_store(&next_chance, seed * 2654435761u + (uint64_t)_i);
	engine_start(_i & 1);
	atomic_store(&injecting, _i & 2);
	for (unsigned int i = 0; i < GUESTS; i++) {
		guests[i].index = i;
		ck_assert_int_eq(pthread_create(&guests[i].thread, NULL, guest_thread, &guests[i]),
				 0);
	}
	for (unsigned int i = 0; i < JOBS; i++)
		ck_assert_int_eq(pthread_create(&controllers[i], NULL, controller, NULL), 0);
	ck_assert_int_eq(pthread_create(&check, NULL, checker, NULL), 0);
	sleep((unsigned int)seconds);
	await_first_results(guests);
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < JOBS; i++)
		ck_assert_msg(join_in_time(controllers[i]), "a job does not end");
	ck_assert_msg(join_in_time(check), "the check does not end");
	for (unsigned int i = 0; i < GUESTS; i++)
		guest_ends(&guests[i]);
	atomic_store(&injecting, false);
	for (uint64_t page = 0; page < PAGES; page++)
		wrong += !page_is_right(page);
	ck_assert_uint_eq(wrong, 0);
	assert_invariants();
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	ck_assert_uint_gt(atomic_load(&jobs_ended), 0);
	if (getenv("GMIG_STRESS_SECONDS"))
		printf("case %d: %llu jobs, %llu checks, %llu faults injected\n", _i,
		       atomic_load(&jobs_ended), atomic_load(&checks), atomic_load(&injected));
	gmig_destroy(gmig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine_stress");
	TCase *tcase = tcase_create("stress");

	tcase_set_timeout(tcase, (double)(number("GMIG_STRESS_SECONDS", 1) + 3 * PATIENCE_S));
	/* i & 1: small pages; i & 2: with failures */
	tcase_add_loop_test(tcase, nothing_is_lost_and_nobody_sleeps_for_ever, 0, 4);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
