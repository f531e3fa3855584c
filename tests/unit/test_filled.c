/*
 * Slots of a pool that somebody else filled: a debugger or gcore, which read through /proc/PID/mem or process_vm_readv(2);
 * a VMM's mlockall(2); a debugger that writes.
 */
#include "../../migrate/core/uffd.h"
#include "../../migrate/gmig_repair.h"
#include "../../migrate/memory/frame_pool.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES  (16ull << 20)
#define BLOCKS (BYTES / GMIG_BLOCK_BYTES)

static struct rig rig;
static int mem = -1; /* /proc/self/mem */
static unsigned int jobs;

/* ---- Those who fill ---------------------------------------------------------------------------- */

enum filler { READ_MEM, READ_VM, POPULATE, WRITE_MEM, FILLERS };

static void fill_page(enum filler filler, uint8_t *page)
{
	uint64_t word = 0x5eed;
	struct iovec mine = {&word, sizeof(word)}, other = {page, sizeof(word)};

	if (filler == READ_MEM)
		ck_assert_int_eq(pread(mem, &word, sizeof(word), (off_t)(uintptr_t)page), 8);
	else if (filler == READ_VM)
		ck_assert_int_eq(process_vm_readv(getpid(), &mine, 1, &other, 1, 0), 8);
	else if (filler == POPULATE)
		ck_assert_int_eq(madvise(page, GMIG_PAGE_BYTES, MADV_POPULATE_WRITE), 0);
	else
		ck_assert_int_eq(pwrite(mem, &word, sizeof(word), (off_t)(uintptr_t)page), 8);
}

static struct pool *pool_number(unsigned int i)
{
	return pool_at(rig.gmig->frames, 0, i / 2, i % 2);
}

/* The pool that the first worker of the next job takes from. */
static void make_next_pool(void)
{
	struct frame_want want = {.worker = (jobs + 1) * 5, .huge = rig.gmig->thp};
	struct slot *slot;

	ck_assert_int_eq(frame_hole(rig.gmig->frames, &want, &slot), 0);
	frame_give(rig.gmig->frames, slot);
}

/* In all pools: what the books do not have, of each slot that is free. Returns the slots that were touched. */
static unsigned int fill_free_slots(enum filler filler)
{
	unsigned int filled = 0;

	make_next_pool();
	for (unsigned int i = 0; i < 2 * FRAME_WORKERS; i++) {
		struct pool *pool = pool_number(i);

		for (unsigned int k = 0; pool && k < pool->count; k++) {
			struct slot *slot = &pool->slots[k];

			if (slot->busy || bits_count(&slot->have) == GMIG_BLOCK_PAGES)
				continue;
			filled++;
			for (unsigned int page = 0; page < GMIG_BLOCK_PAGES; page++)
				if (!bits_get(&slot->have, page))
					fill_page(filler, slot->hva + page * GMIG_PAGE_BYTES);
		}
	}
	return filled;
}

/* Pages in free slots that the books do not know. */
static unsigned int unknown_pages(void)
{
	unsigned int pages = 0;

	for (unsigned int i = 0; i < 2 * FRAME_WORKERS; i++) {
		struct pool *pool = pool_number(i);

		for (unsigned int k = 0; pool && k < pool->count; k++) {
			struct uffd_scan scan;

			ck_assert_int_eq(
			    uffd_scan(rig.gmig->sys, rig.gmig->pagemap, pool->slots[k].hva, &scan),
			    0);
			bits_remove(&scan.present, &pool->slots[k].have);
			pages += bits_count(&scan.present);
		}
	}
	return pages;
}

/* ---- The guest --------------------------------------------------------------------------------- */

static void create(bool small, const struct gmig_sys *sys)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = small, .sys = sys};

	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(mem, 0);
	rig_create(&rig, &options);
}

static void move_all_in(enum gmig_mode mode, unsigned int from, unsigned int to)
{
	struct gmig_job_spec spec = rig_spec(from, to);
	struct gmig_job_info info;

	spec.mode = mode;
	jobs++;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_msg(info.moved_bytes == BYTES && info.passes == 1,
		      "%llu moved in %u passes, errno %d", (unsigned long long)info.moved_bytes,
		      info.passes, info.remaining[0].error);
	ck_assert_uint_eq(info.thp_split, 0);
}

static void move_all(unsigned int from, unsigned int to)
{
	move_all_in(GMIG_MODE_AUTO, from, to);
}

static uint64_t emptied(void)
{
	struct gmig_stats stats;

	gmig_stats(rig.gmig, &stats);
	return stats.slots_emptied;
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	close(mem);
}

/* ---- Moves ------------------------------------------------------------------------------------- */

START_TEST(slots_filled_by_somebody_are_emptied_before_a_move)
{
	create(_i & 1, NULL);
	move_all(0, 1);
	ck_assert_uint_eq(emptied(), 0);
	ck_assert_uint_gt(fill_free_slots((enum filler)(_i / 2)), 0);
	move_all(1, 0);
	ck_assert_uint_gt(emptied(), 0);
	move_all(0, 1);
	finish();
}
END_TEST

static atomic_uint reads_left;
static atomic_bool read_again;	    /* also before the second try */
static atomic_uint read_in[BLOCKS]; /* the job in which the block's slot was read last */

/* A slot that is read twice before it is emptied is emptied once: what is left of a block is moved by a call of its own. */
static bool is_first_read(uint64_t src)
{
	uint64_t block = (src - (uintptr_t)rig.ram) / GMIG_BLOCK_BYTES;

	return atomic_exchange(&read_in[block], jobs) != jobs;
}

/* A debugger that is quicker: it reads each slot just before a block is moved out into it. */
static int ioctl_after_a_reader(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;

	if (request == UFFDIO_MOVE && atomic_load(&reads_left) &&
	    fd == frame_uffd(rig.gmig->frames) &&
	    (atomic_load(&read_again) || is_first_read(move->src))) {
		atomic_fetch_sub(&reads_left, 1);
		fill_page(READ_MEM, (uint8_t *)(uintptr_t)move->dst + move->len / 2 / 4096 * 4096);
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

START_TEST(slot_read_while_a_block_moves_into_it_costs_no_pass)
{
	struct gmig_sys sys = gmig_sys_real;

	sys.ioctl = ioctl_after_a_reader;
	create(_i & 1, &sys);
	rig_start(&rig, 2);
	for (unsigned int i = 0; i < 4; i++) {
		atomic_store(&reads_left, 6);
		move_all_in((enum gmig_mode)(_i / 2), i % 2, 1 - i % 2);
		ck_assert_uint_eq(atomic_load(&reads_left), 0);
	}
	ck_assert_uint_eq(emptied(), 24);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

/*
 * Then the block stays, all of it, until they have gone. Of small pages some have moved: their old frames become a frame that
 * grows in the next pass, and keeps them.
 */
START_TEST(block_whose_slot_is_read_without_end_stays_whole)
{
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	sys.ioctl = ioctl_after_a_reader;
	create(_i, &sys);
	rig_start(&rig, 2);
	atomic_store(&read_again, true);
	atomic_store(&reads_left, UINT32_MAX);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_int_eq(info.remaining[0].error, EAGAIN);
	rig_assert_clean(&rig);
	atomic_store(&reads_left, 0);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

static atomic_uint silent, moves;
static atomic_bool is_silent;

/* As Linux 6.18: what has moved is tried again, is found at its new place, and the call fails. Each third one. */
static int ioctl_that_moves_and_says_eexist(int fd, unsigned long request, void *arg)
{
	struct uffdio_move *move = arg;
	int ret = gmig_sys_real.ioctl(fd, request, arg);

	if (request != UFFDIO_MOVE || ret || !atomic_load(&is_silent) ||
	    atomic_fetch_add(&moves, 1) % 3)
		return ret;
	atomic_fetch_add(&silent, 1);
	move->move = -EEXIST;
	return -EEXIST;
}

/* What lies in the slot then is the guest's, and nobody's rubbish. */
START_TEST(pages_that_moved_without_a_word_are_not_lost)
{
	struct gmig_sys sys = gmig_sys_real;

	sys.ioctl = ioctl_that_moves_and_says_eexist;
	create(_i & 1, &sys);
	rig_start(&rig, 2);
	atomic_store(&is_silent, true);
	for (unsigned int i = 0; i < 4; i++)
		move_all_in((enum gmig_mode)(_i / 2), i % 2, 1 - i % 2);
	ck_assert_uint_ge(atomic_load(&silent), 4 * BLOCKS / 2);
	ck_assert_uint_eq(emptied(), 0);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

/* ---- Pages that come back to the region without a word, and somebody who looks on --------------- */

static enum filler
    looker; /* what he does to the slot that the pages have just left; FILLERS: nothing */
static atomic_uint scans_that_fail;

/* As above, for moves into the region: and before the engine can look, the slot is filled. */
static int ioctl_that_moves_and_fills_and_says_eexist(int fd, unsigned long request, void *arg)
{
	struct uffdio_move *move = arg;
	int ret;

	if (request == PAGEMAP_SCAN && atomic_load(&scans_that_fail)) {
		atomic_fetch_sub(&scans_that_fail, 1);
		return -ENOMEM;
	}
	ret = gmig_sys_real.ioctl(fd, request, arg);
	if (request != UFFDIO_MOVE || ret || !atomic_load(&is_silent) ||
	    (looker != FILLERS && fd == frame_uffd(rig.gmig->frames)) ||
	    atomic_fetch_add(&moves, 1) % 3)
		return ret;
	atomic_fetch_add(&silent, 1);
	if (looker != FILLERS)
		for (uint64_t at = 0; at < move->len; at += 5 * GMIG_PAGE_BYTES)
			fill_page(looker, (uint8_t *)(uintptr_t)move->src + at);
	else
		atomic_store(&scans_that_fail, 5);
	move->move = -EEXIST;
	return -EEXIST;
}

static void move_silently(bool small, enum gmig_mode mode)
{
	static struct gmig_sys sys;

	sys = gmig_sys_real;
	sys.ioctl = ioctl_that_moves_and_fills_and_says_eexist;
	create(small, &sys);
	rig_start(&rig, 2);
	atomic_store(&is_silent, true);
	for (unsigned int i = 0; i < 4; i++)
		move_all_in(mode, i % 2, 1 - i % 2);
	ck_assert_uint_ge(atomic_load(&silent), BLOCKS);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	atomic_store(&is_silent, false);
}

/* The zero page in the slot is not what was there: the page is in the region. */
START_TEST(page_that_came_back_without_a_word_is_there_though_its_old_place_was_read)
{
	if (!zero_page_or_skip())
		return;
	looker = _i & 2 ? READ_MEM : READ_VM;
	move_silently(_i & 1, (enum gmig_mode)(_i / 2));
	ck_assert_uint_gt(emptied(), 0);
	finish();
}
END_TEST

/* Which pages have moved is found out, and not guessed, if the kernel has no memory for the answer just then. */
START_TEST(pages_that_moved_without_a_word_are_found_though_looking_fails_at_first)
{
	looker = FILLERS;
	move_silently(_i & 1, (enum gmig_mode)(_i / 2));
	ck_assert_uint_eq(emptied(), 0);
	finish();
}
END_TEST

/* ---- A debugger that reads what is closed ------------------------------------------------------- */

struct debugger {
	atomic_ullong reads, refused, wrong;
};

/*
 * In a process of its own, all pages round and round. It sleeps as any thread does on a page that is out (process_vm_readv(2)), or
 * is refused (/proc/PID/mem, which may not sleep): the kernel asks the userfaultfd before it would map the zero page in the hole.
 */
static void debug(struct debugger *debugger, pid_t parent)
{
	char path[64];
	uint64_t word;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)parent);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (uint64_t i = 0;; i++) {
		uint64_t page = i * 97 % rig.pages;
		struct iovec mine = {&word, sizeof(word)},
			     other = {(void *)rig_page(&rig, page), 8};
		ssize_t got = i & 1 ? process_vm_readv(parent, &mine, 1, &other, 1, 0)
				    : pread(fd, &word, 8, (off_t)(uintptr_t)rig_page(&rig, page));

		atomic_fetch_add(got == 8 ? &debugger->reads : &debugger->refused, 1);
		if (got == 8 && word != page)
			atomic_fetch_add(&debugger->wrong, 1);
	}
}

/* The kernel as it is, and as one that says EEXIST of each third move that it has made. */
START_TEST(hole_of_a_closed_block_is_not_filled_by_a_debugger_that_reads_it)
{
	struct debugger *debugger = mmap(NULL, sizeof(*debugger), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct gmig_sys sys = gmig_sys_real;
	pid_t child, parent = getpid();

	ck_assert_ptr_ne(debugger, MAP_FAILED);
	sys.ioctl = ioctl_that_moves_and_says_eexist;
	create(_i & 1, &sys);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	fflush(NULL);
	child = fork();
	if (!child)
		debug(debugger, parent);
	rig_start(&rig, 2);
	atomic_store(&is_silent, _i & 2);
	while (!atomic_load(&debugger->reads) && !atomic_load(&debugger->refused))
		sched_yield();
	for (unsigned int i = 0; i < 10; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, 1 - i % 2);
		struct gmig_job_info info;

		spec.mode = (enum gmig_mode)(i / 2 % (GMIG_MODE_BLOCK + 1));
		rig_move(&rig, &spec, &info);
		/* A page that he reads just then is pinned, and moves in the next pass. */
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(info.remaining_bytes, 0);
	}
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_uint_gt(atomic_load(&debugger->reads), 0);
	ck_assert_uint_eq(atomic_load(&debugger->wrong), 0);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	munmap(debugger, sizeof(*debugger));
	finish();
}
END_TEST

/* ---- The check --------------------------------------------------------------------------------- */

START_TEST(check_empties_slots_filled_by_somebody_and_calls_it_no_breach)
{
	struct gmig_check check;
	struct gmig_error err;

	create(_i & 1, NULL);
	move_all(0, 1);
	fill_free_slots((enum filler)(_i / 2));
	ck_assert_uint_gt(unknown_pages(), 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(!check.breach[i], "I%u: %s", i + 1, check.detail[i]);
	ck_assert_uint_gt(check.corrected_pages, 0);
	ck_assert_uint_gt(emptied(), 0);
	ck_assert_uint_eq(unknown_pages(), 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	ck_assert_uint_eq(check.corrected_pages, 0);
	move_all(1, 0);
	finish();
}
END_TEST

static void repair_all(struct gmig_repair *repair)
{
	struct gmig_error err;
	uint64_t id = 0;

	do {
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 1000000000, repair, &err), 0);
	} while (!repair->done);
	ck_assert(repair->ok);
}

START_TEST(repair_tells_what_slots_were_filled_with_and_empties_them)
{
	struct gmig_repair repair;
	uint64_t pages;

	create(_i & 1, NULL);
	move_all(0, 1);
	fill_free_slots((enum filler)(_i / 2));
	pages = unknown_pages();
	ck_assert_uint_gt(pages, 0);
	repair_all(&repair);
	ck_assert_uint_eq(repair.slot_pages, pages);
	ck_assert_uint_eq(repair.slots_left, 0);
	ck_assert_uint_eq(unknown_pages(), 0);
	move_all(1, 0);
	finish();
}
END_TEST

static struct slot *free_slot(bool huge, bool clean)
{
	struct frame_want want = {.node = 0, .huge = huge};
	struct slot *slot;

	bits_fill(&want.need);
	ck_assert_int_eq(frame_take(rig.gmig->frames, &want, &slot), 0);
	slot->clean = clean;
	frame_give(rig.gmig->frames, slot);
	return slot;
}

/* It is told once, and the frame is cleared before anybody gets it. */
START_TEST(clean_frame_that_was_written_to_is_a_breach_only_once)
{
	struct frame_want want = {.node = 0, .huge = _i, .clean = true};
	struct gmig_check check;
	struct gmig_error err;
	struct slot *slot;

	if (_i && !thp_or_skip())
		return;
	create(!_i, NULL);
	fill_page(WRITE_MEM, free_slot(_i, true)->hva);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	ck_assert(check.breach[1]);
	ck_assert_str_eq(check.detail[1], "1 clean frames were written to");
	bits_fill(&want.need);
	ck_assert_int_eq(frame_take(rig.gmig->frames, &want, &slot), 0);
	ck_assert_uint_eq(*(uint64_t *)slot->hva, 0);
	frame_give(rig.gmig->frames, slot);
	finish();
}
END_TEST

START_TEST(frame_that_was_thrown_away_is_a_breach_only_once)
{
	struct gmig_check check;
	struct gmig_error err;
	uint8_t *hva;

	if (_i && !thp_or_skip())
		return;
	create(!_i, NULL);
	hva = free_slot(_i, false)->hva;
	ck_assert_int_eq(madvise(hva, GMIG_BLOCK_BYTES, MADV_DONTNEED), 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	ck_assert(check.breach[0]);
	ck_assert_str_eq(check.detail[0], "1 free slots do not hold what the books say");
	ck_assert_uint_eq(check.pool_bytes, 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	ck_assert(!check.breach[0]);
	finish();
}
END_TEST

START_TEST(frame_that_is_not_as_the_books_have_it_is_repaired_once)
{
	struct gmig_repair repair;
	uint8_t *hva;

	if (_i & 1 && !thp_or_skip())
		return;
	create(!(_i & 1), NULL);
	hva = free_slot(_i & 1, _i & 2)->hva;
	if (_i & 2)
		fill_page(WRITE_MEM, hva);
	else
		ck_assert_int_eq(madvise(hva, GMIG_BLOCK_BYTES, MADV_DONTNEED), 0);
	repair_all(&repair);
	ck_assert_uint_eq(repair.slots_corrected, 1);
	ck_assert_uint_eq(repair.book_pages, 0);
	repair_all(&repair);
	ck_assert_uint_eq(repair.slots_corrected, 0);
	finish();
}
END_TEST

/* ---- Frames that are made ---------------------------------------------------------------------- */

START_TEST(frame_made_in_a_filled_slot_is_whole_and_reads_as_zeros)
{
	struct frame_want want = {.node = 0, .huge = _i & 1, .clean = true};
	struct uffd_scan scan;
	struct slot *slot;

	if (_i & 1 && !thp_or_skip())
		return;
	create(!(_i & 1), NULL);
	ck_assert_int_eq(frame_hole(rig.gmig->frames, &want, &slot), 0);
	frame_drop(rig.gmig->frames, slot);
	ck_assert_uint_gt(fill_free_slots((enum filler)(_i / 2)), 0);
	bits_fill(&want.need);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(frame_take(rig.gmig->frames, &want, &slot), 0);
		ck_assert_uint_eq(bits_count(&slot->have), GMIG_BLOCK_PAGES);
		for (size_t at = 0; at < GMIG_BLOCK_BYTES; at += GMIG_PAGE_BYTES)
			ck_assert_uint_eq(*(uint64_t *)(slot->hva + at), 0);
		ck_assert_int_eq(uffd_scan(rig.gmig->sys, rig.gmig->pagemap, slot->hva, &scan), 0);
		ck_assert(bits_empty(&scan.zero));
		ck_assert_int_eq(scan.huge, _i & 1);
		frame_drop(rig.gmig->frames, slot);
	}
	finish();
}
END_TEST

/* Of any size, in one call; what is in it anywhere is seen. */
START_TEST(memory_is_empty_until_one_page_of_it_is_there)
{
	const size_t bytes = 64 * GMIG_BLOCK_BYTES;
	const struct gmig_sys *sys;
	uint8_t *memory;
	int pagemap;

	create(false, NULL);
	sys = rig.gmig->sys;
	pagemap = rig.gmig->pagemap;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	ck_assert_int_eq(madvise(memory, bytes, MADV_NOHUGEPAGE), 0);
	ck_assert(uffd_is_empty(sys, pagemap, memory, bytes));
	memory[bytes - 1] = 1;
	ck_assert(!uffd_is_empty(sys, pagemap, memory, bytes));
	ck_assert(uffd_is_empty(sys, pagemap, memory, bytes - GMIG_PAGE_BYTES));
	ck_assert(!uffd_is_empty(sys, -1, memory, GMIG_PAGE_BYTES)); /* nobody can tell */
	munmap(memory, bytes);
	finish();
}
END_TEST

START_TEST(pools_are_left_out_of_core_dumps)
{
	char line[256], flags[256] = "";
	struct slot *slot;
	unsigned long start, end;
	bool found = false;
	FILE *smaps;

	if (_i && !thp_or_skip())
		return;
	create(!_i, NULL);
	slot = free_slot(_i, true);
	smaps = fopen("/proc/self/smaps", "r");
	ck_assert_ptr_nonnull(smaps);
	while (!found && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			found = (uintptr_t)slot->hva >= start && (uintptr_t)slot->hva < end;
	}
	while (!*flags && fgets(line, sizeof(line), smaps))
		sscanf(line, "VmFlags: %255[^\n]", flags);
	fclose(smaps);
	ck_assert_msg(strstr(flags, "dd") != NULL, "flags %s", flags);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filled");
	TCase *tcase = tcase_create("slots");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, slots_filled_by_somebody_are_emptied_before_a_move, 0,
			    2 * FILLERS);
	tcase_add_loop_test(tcase, slot_read_while_a_block_moves_into_it_costs_no_pass, 0,
			    2 * (GMIG_MODE_BLOCK + 1));
	tcase_add_loop_test(tcase, block_whose_slot_is_read_without_end_stays_whole, 0, 2);
	tcase_add_loop_test(tcase, pages_that_moved_without_a_word_are_not_lost, 0,
			    2 * (GMIG_MODE_BLOCK + 1));
	tcase_add_loop_test(
	    tcase, page_that_came_back_without_a_word_is_there_though_its_old_place_was_read, 0,
	    2 * (GMIG_MODE_BLOCK + 1));
	tcase_add_loop_test(tcase,
			    pages_that_moved_without_a_word_are_found_though_looking_fails_at_first,
			    0, 2 * (GMIG_MODE_BLOCK + 1));
	tcase_add_loop_test(tcase, hole_of_a_closed_block_is_not_filled_by_a_debugger_that_reads_it,
			    0, 4);
	tcase_add_loop_test(tcase, repair_tells_what_slots_were_filled_with_and_empties_them, 0,
			    2 * FILLERS);
	tcase_add_loop_test(tcase, check_empties_slots_filled_by_somebody_and_calls_it_no_breach, 0,
			    2 * FILLERS);
	tcase_add_loop_test(tcase, clean_frame_that_was_written_to_is_a_breach_only_once, 0, 2);
	tcase_add_loop_test(tcase, frame_that_was_thrown_away_is_a_breach_only_once, 0, 2);
	tcase_add_loop_test(tcase, frame_made_in_a_filled_slot_is_whole_and_reads_as_zeros, 0,
			    2 * FILLERS);
	tcase_add_test(tcase, memory_is_empty_until_one_page_of_it_is_there);
	tcase_add_loop_test(tcase, pools_are_left_out_of_core_dumps, 0, 2);
	tcase_add_loop_test(tcase, frame_that_is_not_as_the_books_have_it_is_repaired_once, 0, 4);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
