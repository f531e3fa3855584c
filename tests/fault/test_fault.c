/*
 * For every N: the N-th system call fails while 8 blocks migrate under writers. Nothing may be
 * lost, every sleeper must wake, the invariants hold, and a second job without failures moves what
 * the first one left.
 */
#include "../../migrate/core/sys.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES	  (8 * GMIG_BLOCK_BYTES)
#define MAX_CALLS 5000

/* A test here ends while threads of its guest sleep for good, as a fatal error leaves them. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}

/* ---- The system that fails ----------------------------------------------------------------- */

static struct {
	atomic_bool armed;
	atomic_int calls;	   /* since armed */
	atomic_int fail_at, count; /* fail calls fail_at .. fail_at + count - 1 */
	atomic_int error;
	atomic_ulong only;   /* 0: any call; else this ioctl */
	atomic_bool only_in; /* only moves into the region at `region` */
	atomic_bool partial; /* moves do half before they fail */
	uintptr_t region;
} trap;

static bool trip(unsigned long request)
{
	int call;

	if (!atomic_load(&trap.armed))
		return false;
	if (atomic_load(&trap.only) && request != atomic_load(&trap.only))
		return false;
	call = atomic_fetch_add(&trap.calls, 1);
	return call >= atomic_load(&trap.fail_at) &&
	       call < atomic_load(&trap.fail_at) + atomic_load(&trap.count);
}

static int trap_advise(void *memory, size_t bytes, int advice)
{
	return trip(0) ? -atomic_load(&trap.error) : gmig_sys_real.advise(memory, bytes, advice);
}

static int trap_query(size_t count, void **pages, int *status)
{
	return trip(0) ? -atomic_load(&trap.error)
		       : gmig_sys_real.query_nodes(count, pages, status);
}

/* The kernel says how far it came, and then why it stopped. */
static int move_half(int fd, struct uffdio_move *move)
{
	struct uffdio_move half = *move;

	half.len = move->len / 2 / GMIG_PAGE_BYTES * GMIG_PAGE_BYTES;
	if (!half.len || gmig_sys_real.ioctl(fd, UFFDIO_MOVE, &half)) {
		move->move = -EAGAIN;
		return -EAGAIN;
	}
	move->move = (__s64)half.len;
	return -EAGAIN;
}

static int trap_ioctl(int fd, unsigned long request, void *arg)
{
	int error = atomic_load(&trap.error);

	if (request == UFFDIO_MOVE && atomic_load(&trap.only_in)) {
		struct uffdio_move *move = arg;

		if (move->dst - trap.region >= BYTES)
			return gmig_sys_real.ioctl(fd, request, arg);
	}
	if (!trip(request))
		return gmig_sys_real.ioctl(fd, request, arg);
	if (request == UFFDIO_MOVE && atomic_load(&trap.partial))
		return move_half(fd, arg);
	if (request == UFFDIO_MOVE)
		((struct uffdio_move *)arg)->move = -error;
	if (request == UFFDIO_COPY)
		((struct uffdio_copy *)arg)->copy = -error;
	return -error;
}

static ssize_t trap_read(int fd, void *buffer, size_t bytes)
{
	return trip(0) ? -atomic_load(&trap.error) : gmig_sys_real.read(fd, buffer, bytes);
}

static int trap_poll(struct pollfd *fds, unsigned int count, int timeout_ms)
{
	return trip(0) ? -atomic_load(&trap.error) : gmig_sys_real.poll(fds, count, timeout_ms);
}

static struct gmig_sys trap_sys(void)
{
	struct gmig_sys sys = gmig_sys_real;

	sys.advise = trap_advise;
	sys.query_nodes = trap_query;
	sys.ioctl = trap_ioctl;
	sys.read = trap_read;
	sys.poll = trap_poll;
	return sys;
}

static void trap_arm(int fail_at, int count, int error)
{
	atomic_store(&trap.calls, 0);
	atomic_store(&trap.fail_at, fail_at);
	atomic_store(&trap.count, count);
	atomic_store(&trap.error, error);
	atomic_store(&trap.armed, true);
}

/* ---- Cells --------------------------------------------------------------------------------- */

static const int errors[] = {EAGAIN, ENOMEM, EBUSY, EEXIST, ENOENT};
#define ERRORS (sizeof(errors) / sizeof(errors[0]))
#define CELLS  (int)(ERRORS * 4)

struct cell {
	int error;
	bool small, fresh;
	enum gmig_mode mode;
	enum gmig_lazy lazy;
};

static struct cell cell_of(int i)
{
	return (struct cell){.error = errors[i % (int)ERRORS],
			     .small = i / (int)ERRORS & 1,
			     .mode = i / (int)ERRORS & 2 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE};
}

static struct gmig_job_spec cell_spec(const struct cell *cell, unsigned int from)
{
	struct gmig_job_spec spec = rig_spec(from, !from);

	spec.mode = cell->mode;
	spec.lazy = cell->lazy;
	spec.frames = cell->fresh ? GMIG_FRAMES_FRESH : GMIG_FRAMES_AUTO;
	return spec;
}

/* Move all with calls failing, then what is left without. Returns the calls that were counted. */
static int ping(struct rig *rig, const struct cell *cell, unsigned int from, int fail_at, int count)
{
	struct gmig_job_spec spec = cell_spec(cell, from);
	struct gmig_job_info info;
	uint64_t bytes[GMIG_MAX_NODES];
	int calls;

	trap_arm(fail_at, count, cell->error);
	rig_move(rig, &spec, &info);
	calls = atomic_load(&trap.calls);
	atomic_store(&trap.armed, false);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_int_eq(atomic_load(&rig->fatal), 0);
	if (info.remaining_bytes) {
		rig_move(rig, &spec, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	}
	ck_assert_msg(!info.remaining_bytes, "call %d: %llu bytes left, first %d", fail_at,
		      (unsigned long long)info.remaining_bytes, info.remaining[0].error);
	gmig_residency(rig->gmig, 0, bytes);
	if (bytes[!from] != BYTES) {
		uint64_t settled[GMIG_MAX_NODES];

		rig_settle(rig);
		gmig_residency(rig->gmig, 0, settled);
		ck_abort_msg(
		    "call %d: %llu and %llu bytes, settled %llu and %llu; job: %llu of %llu moved, "
		    "%llu gone",
		    fail_at, (unsigned long long)bytes[from], (unsigned long long)bytes[!from],
		    (unsigned long long)settled[from], (unsigned long long)settled[!from],
		    (unsigned long long)info.moved_bytes, (unsigned long long)info.total_bytes,
		    (unsigned long long)info.gone_bytes);
	}
	return calls;
}

static void wait_for_sweeps(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->writers; i++) {
		unsigned long long before = atomic_load(&rig->threads[i].sweeps);

		while (atomic_load(&rig->threads[i].sweeps) < before + 2)
			usleep(100);
	}
}

/* Warnings are the engine's to give here: a failed call may be worth one. */
static void assert_whole(struct rig *rig)
{
	atomic_store(&rig->warnings, 0);
	rig_assert_clean(rig);
}

/*
 * With ThreadSanitizer all of it takes a quarter of an hour: there a cell tries one N of three, and the next cell another one;
 * with AddressSanitizer one of two. All are tried without.
 */
#ifdef GMIG_SANITIZED
#define SPARSE (UNDER_TSAN ? 3 : 2)
#else
#define SPARSE 1
#endif

/* number: of the cell; stride: try every stride-th N only. */
static void run_cell(const struct cell *cell, int number, int count, int stride)
{
	const int first = number % SPARSE * stride, step = SPARSE * stride;
	struct gmig_sys sys = trap_sys();
	struct rig_options options = {.bytes = BYTES, .small_pages = cell->small, .sys = &sys};
	int calls = MAX_CALLS;
	struct rig rig;

	rig_create(&rig, &options);
	rig_start(&rig, 2);
	for (int n = first, round = 0; n < calls; n += step, round++) {
		calls = ping(&rig, cell, round & 1, n, count);
		ck_assert_int_lt(calls, MAX_CALLS);
		if (round % 8 == 0) {
			wait_for_sweeps(&rig);
			assert_whole(&rig);
		}
	}
	wait_for_sweeps(&rig);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	assert_whole(&rig);
	rig_destroy(&rig);
}

START_TEST(any_call_that_fails_once_loses_nothing)
{
	struct cell cell = cell_of(_i);

	run_cell(&cell, _i, 1, 1);
}
END_TEST

START_TEST(any_three_calls_that_fail_in_a_row_lose_nothing)
{
	struct cell cell = cell_of(_i);

	run_cell(&cell, _i, 3, 2);
}
END_TEST

/* Writers touch all that waits. */
START_TEST(any_call_that_fails_in_mode_lazy_loses_nothing)
{
	struct cell cell = {.error = errors[_i % (int)ERRORS],
			    .small = _i / (int)ERRORS & 1,
			    .mode = GMIG_MODE_LAZY,
			    .lazy = _i / (int)ERRORS & 2 ? GMIG_LAZY_WRITE : GMIG_LAZY_ANY};

	run_cell(&cell, _i, 2, 5);
}
END_TEST

START_TEST(call_that_fails_beside_a_supplier_loses_nothing)
{
	struct cell cell = {.error = _i & 1 ? ENOMEM : EAGAIN, .small = _i & 2, .fresh = true};

	run_cell(&cell, _i, 1, 4);
}
END_TEST

START_TEST(moves_that_stop_half_way_lose_nothing)
{
	struct cell cell = {.error = EAGAIN, .small = true, .mode = (enum gmig_mode)_i};

	atomic_store(&trap.partial, true);
	atomic_store(&trap.only, UFFDIO_MOVE);
	run_cell(&cell, _i, 2, 1);
	run_cell(&cell, _i, 200, 5);
}
END_TEST

/* ---- Failures that do not end -------------------------------------------------------------- */

static void wait_for_fatal(struct rig *rig)
{
	for (int i = 0; i < 20000 && !atomic_load(&rig->fatal); i++)
		usleep(1000);
}

/* Only then may a block stay closed; and nobody may see zeros in it. The guest's threads end with
 * the test's process. */
START_TEST(putback_that_never_works_is_fatal_and_shows_no_zeros)
{
	/* Static: the engine's threads outlive the test, until its process ends. */
	static struct gmig_sys sys;
	static struct rig rig;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i & 1, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;

	sys = trap_sys();
	rig_create(&rig, &options);
	rig_start(&rig, 2);
	spec.mode = _i & 2 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	trap.region = (uintptr_t)rig.ram;
	atomic_store(&trap.only, UFFDIO_MOVE);
	atomic_store(&trap.only_in, true);
	trap_arm(0, 1 << 30, EBUSY);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	wait_for_fatal(&rig);
	ck_assert_int_eq(atomic_load(&rig.fatal), 1);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_FAILED);
	ck_assert_int_ne(info.error.code, 0);
	usleep(50000);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_uint_eq(atomic_load(&rig.threads[i].errors), 0);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -ESHUTDOWN);
}
END_TEST

static int no_memory(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_load(&trap.armed))
		return -ENOMEM;
	return gmig_sys_real.advise(memory, bytes, advice);
}

START_TEST(node_without_memory_ends_the_job_quickly_and_says_enomem)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct rig rig;

	sys.advise = no_memory;
	rig_create(&rig, &options);
	rig_start(&rig, 2);
	spec.frames = GMIG_FRAMES_FRESH;
	atomic_store(&trap.armed, true);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	ck_assert_uint_eq(info.passes, 1);
	ck_assert_uint_lt(info.elapsed_ns, 20000000000);
	atomic_store(&trap.armed, false);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault");
	TCase *tcase = tcase_create("once");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, any_call_that_fails_once_loses_nothing, 0, CELLS);
	tcase_add_loop_test(tcase, any_three_calls_that_fail_in_a_row_lose_nothing, 0, CELLS);
	tcase_add_loop_test(tcase, any_call_that_fails_in_mode_lazy_loses_nothing, 0, CELLS);
	tcase_add_loop_test(tcase, call_that_fails_beside_a_supplier_loses_nothing, 0, 4);
	tcase_add_loop_test(tcase, moves_that_stop_half_way_lose_nothing, 0, 2);
	tcase_add_loop_test(tcase, putback_that_never_works_is_fatal_and_shows_no_zeros, 0, 4);
	tcase_add_loop_test(tcase, node_without_memory_ends_the_job_quickly_and_says_enomem, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
