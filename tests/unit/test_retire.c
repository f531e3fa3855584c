/* Bad pages: what a guest has is on good frames, and the bad ones come back to nobody. */
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_retire.h"
#include "../../migrate/memory/claim.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

#define BYTES (8ull << 20)
#define PAGE  700ull /* in the second block */

static struct rig rig;
static struct gmig_sys sys;
static atomic_int answer;     /* of MADV_SOFT_OFFLINE: no test takes memory from the machine */
static atomic_uint asked;     /* times */
static atomic_uint wrong;     /* times that it was asked about another frame than that of PAGE */
static atomic_bool no_huge;   /* the host has no huge page any more */
static atomic_bool must_stay; /* no frame leaves its slot but for the guest */

static bool in_guest(uint64_t address)
{
	return address - (uintptr_t)rig.ram < rig.pages * GMIG_PAGE_BYTES;
}

static int advise(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_SOFT_OFFLINE) {
		const rig_word *words = memory;

		atomic_fetch_add(&asked, 1);
		if (bytes != GMIG_PAGE_BYTES || atomic_load(&words[0]) != PAGE)
			atomic_fetch_add(&wrong, 1);
		return atomic_load(&answer);
	}
	if (advice == MADV_HUGEPAGE && atomic_load(&no_huge))
		advice = MADV_NOHUGEPAGE;
	return gmig_sys_real.advise(memory, bytes, advice);
}

static atomic_uint locked; /* frames of PAGE, outside of the guest */

static int lock_counting(void *memory, size_t bytes, bool on)
{
	const rig_word *words = memory;

	if (on && bytes == GMIG_PAGE_BYTES && !in_guest((uintptr_t)memory) &&
	    atomic_load(&words[0]) == PAGE)
		atomic_fetch_add(&locked, 1);
	return -ENOMEM; /* as at a limit: the frame is kept all the same */
}

static int ioctl_staying(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;

	if (request == UFFDIO_MOVE && atomic_load(&must_stay) && !in_guest(move->src) &&
	    !in_guest(move->dst))
		return -EBUSY;
	return gmig_sys_real.ioctl(fd, request, arg);
}

static void start(struct rig_options options)
{
	sys = gmig_sys_real;
	sys.advise = advise;
	sys.ioctl = ioctl_staying;
	sys.lock = lock_counting;
	atomic_store(&locked, 0);
	options.sys = &sys;
	if (!options.bytes)
		options.bytes = BYTES;
	atomic_store(&answer, 0);
	atomic_store(&asked, 0);
	atomic_store(&wrong, 0);
	rig_create(&rig, &options);
}

static int retire(uint64_t page, bool keep, struct gmig_retired *retired)
{
	const struct gmig_retire_spec spec = {.gpa = page * GMIG_PAGE_BYTES + 17, .keep = keep};
	struct gmig_error err = {0};
	int ret = gmig_retire(rig.gmig, &spec, retired, &err);

	ck_assert_int_eq(err.code, ret);
	ck_assert_int_eq(!ret, err.text[0] == '\0');
	return ret;
}

/* In quarantine on node 0, and taken by the kernel. */
static void assert_bad(uint64_t kept, uint64_t taken)
{
	struct gmig_stats stats;

	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.quarantine_bytes[0], kept);
	ck_assert_uint_eq(stats.offlined_bytes, taken);
}

static uint64_t huge_bytes(void)
{
	struct gmig_stats stats;

	gmig_stats(rig.gmig, &stats);
	return stats.page_bytes_2m;
}

/* What is in quarantine is in no pool: all of the guest goes to and fro by what the pools have. */
static void move_all(void)
{
	struct gmig_job_spec there = rig_spec(0, 1), back = rig_spec(1, 0);
	struct gmig_job_info info;

	rig_move(&rig, &there, &info);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	rig_move(&rig, &back, &info);
	ck_assert_uint_eq(info.remaining_bytes, 0);
}

static void end(void)
{
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

/* ---- Frames --------------------------------------------------------------------------------------- */

static const int answers[] = {0, -EPERM, -EINVAL, -EOPNOTSUPP, -EBUSY};

START_TEST(huge_block_moves_whole_and_the_bad_frame_goes_to_kernel_or_quarantine)
{
	const int said = answers[_i];
	struct gmig_retired retired;

	if (!thp_or_skip())
		return;
	start((struct rig_options){0});
	rig_start(&rig, 2);
	atomic_store(&answer, said);
	ck_assert_int_eq(retire(PAGE, false, &retired), 0);
	ck_assert_uint_eq(retired.gpa, PAGE * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(retired.node, 0);
	ck_assert(retired.huge && !retired.thp_split);
	ck_assert_int_eq(retired.offline, said);
	ck_assert_uint_eq(atomic_load(&asked), 1);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	assert_bad(said ? GMIG_PAGE_BYTES : 0, said ? 0 : GMIG_PAGE_BYTES);
	ck_assert_uint_eq(atomic_load(&locked), said ? 1 : 0);
	ck_assert_uint_eq(huge_bytes(), BYTES);
	move_all();
	assert_bad(said ? GMIG_PAGE_BYTES : 0, said ? 0 : GMIG_PAGE_BYTES);
	end();
}
END_TEST

START_TEST(small_page_moves_alone)
{
	struct gmig_retired retired;

	start((struct rig_options){.small_pages = true});
	rig_start(&rig, 2);
	atomic_store(&answer, _i ? -EPERM : 0);
	ck_assert_int_eq(retire(PAGE, false, &retired), 0);
	ck_assert(!retired.huge && !retired.thp_split);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	assert_bad(_i ? GMIG_PAGE_BYTES : 0, _i ? 0 : GMIG_PAGE_BYTES);
	move_all();
	end();
}
END_TEST

START_TEST(without_a_huge_page_the_block_is_split_and_one_page_moves)
{
	struct gmig_retired retired;

	if (!thp_or_skip())
		return;
	start((struct rig_options){0});
	rig_start(&rig, 2);
	atomic_store(&no_huge, true);
	ck_assert_int_eq(retire(PAGE, true, &retired), 0);
	ck_assert(!retired.huge && retired.thp_split);
	ck_assert_int_eq(retired.offline, -ECANCELED);
	ck_assert_uint_eq(atomic_load(&asked), 0);
	assert_bad(GMIG_PAGE_BYTES, 0);
	ck_assert_uint_eq(huge_bytes(), BYTES - GMIG_BLOCK_BYTES);
	end();
}
END_TEST

/* More than one mapping has room for, and many times more than there are slots. */
START_TEST(hundreds_of_bad_frames_cost_no_slots)
{
	const uint64_t count = GMIG_BLOCK_PAGES + 40;
	struct gmig_retired retired;

	start((struct rig_options){.small_pages = true});
	for (uint64_t page = 0; page < count; page++)
		ck_assert_int_eq(retire(page, true, &retired), 0);
	assert_bad(count * GMIG_PAGE_BYTES, 0);
	rig_assert_clean(&rig);
	move_all();
	assert_bad(count * GMIG_PAGE_BYTES, 0);
	end();
}
END_TEST

START_TEST(frame_that_cannot_be_put_away_keeps_its_slot)
{
	struct gmig_retired retired;

	start((struct rig_options){.small_pages = _i});
	atomic_store(&must_stay, true);
	ck_assert_int_eq(retire(PAGE, true, &retired), 0);
	ck_assert(retired.huge == rig.gmig->thp);
	atomic_store(&must_stay, false);
	ck_assert_uint_eq(atomic_load(&locked), 1);
	assert_bad(GMIG_PAGE_BYTES, 0);
	move_all();
	assert_bad(GMIG_PAGE_BYTES, 0);
	end();
}
END_TEST

/* ---- What is refused ------------------------------------------------------------------------------- */

START_TEST(page_without_a_frame_is_refused)
{
	struct gmig_retire_spec newer = {.reserved = {1}};
	struct gmig_retired retired;

	start((struct rig_options){.untouched = true});
	ck_assert_int_eq(retire(PAGE, false, &retired), -ENOENT);
	ck_assert_int_eq(retire(BYTES / GMIG_PAGE_BYTES, false, &retired), -EFAULT);
	ck_assert_int_eq(gmig_retire(rig.gmig, &newer, &retired, NULL), -E2BIG);
	ck_assert_uint_eq(atomic_load(&asked), 0);
	assert_bad(0, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(page_that_somebody_holds_is_busy_until_it_is_not)
{
	struct claim_result nothing = {.stall = NULL};
	struct gmig_retired retired;
	struct claim claim;
	struct bits refused;

	start((struct rig_options){0});
	claim = (struct claim){.gmig = rig.gmig,
			       .region = &rig.gmig->regions[0],
			       .block_gfn = GMIG_BLOCK_PAGES,
			       .huge = rig.gmig->thp,
			       .to = 1,
			       .owner = 1,
			       .memory = BOOKS_KERNEL};
	bits_fill(&claim.pages);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
	ck_assert_int_eq(retire(PAGE, false, &retired), -EBUSY);
	claim_settle(&claim, &nothing);
	ck_assert_int_eq(retire(PAGE, false, &retired), 0);
	end();
}
END_TEST

START_TEST(page_that_must_not_move_stays)
{
	struct gmig_retired retired;

	start((struct rig_options){0});
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, PAGE * GMIG_PAGE_BYTES, 1, true, NULL), 0);
	ck_assert_int_eq(retire(PAGE, false, &retired), -EPERM);
	ck_assert_uint_eq(atomic_load(&asked), 0);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, PAGE * GMIG_PAGE_BYTES, 1, false, NULL), 0);
	ck_assert_int_eq(retire(PAGE, false, &retired), 0);
	end();
}
END_TEST

START_TEST(without_memory_for_another_frame_nothing_changes)
{
	struct gmig_retired retired;

	start((struct rig_options){.extra_bytes_max = 1, .small_pages = true});
	ck_assert_int_eq(retire(PAGE, false, &retired), -ENOMEM);
	ck_assert_uint_eq(atomic_load(&asked), 0);
	assert_bad(0, 0);
	end();
}
END_TEST

/* UFFDIO_MOVE moves no file's pages: the kernel does it all, or nothing. */
START_TEST(shared_memory_is_the_kernels_to_retire)
{
	struct gmig_retired retired;

	start((struct rig_options){.kind = GMIG_REGION_MEMFD, .real = true});
	ck_assert_int_eq(retire(PAGE, true, &retired), -EOPNOTSUPP);
	atomic_store(&answer, -EPERM);
	ck_assert_int_eq(retire(PAGE, false, &retired), -EPERM);
	assert_bad(0, 0);
	atomic_store(&answer, 0);
	ck_assert_int_eq(retire(PAGE, false, &retired), 0);
	ck_assert_int_eq(retired.offline, 0);
	ck_assert_uint_eq(atomic_load(&asked), 2);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	assert_bad(0, GMIG_PAGE_BYTES);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("retire");
	TCase *tcase = tcase_create("frames");

	tcase_add_loop_test(tcase,
			    huge_block_moves_whole_and_the_bad_frame_goes_to_kernel_or_quarantine,
			    0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_loop_test(tcase, small_page_moves_alone, 0, 2);
	tcase_add_test(tcase, without_a_huge_page_the_block_is_split_and_one_page_moves);
	tcase_add_test(tcase, hundreds_of_bad_frames_cost_no_slots);
	tcase_add_loop_test(tcase, frame_that_cannot_be_put_away_keeps_its_slot, 0, 2);
	tcase_add_test(tcase, page_without_a_frame_is_refused);
	tcase_add_test(tcase, page_that_somebody_holds_is_busy_until_it_is_not);
	tcase_add_test(tcase, page_that_must_not_move_stays);
	tcase_add_test(tcase, without_memory_for_another_frame_nothing_changes);
	tcase_add_test(tcase, shared_memory_is_the_kernels_to_retire);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
