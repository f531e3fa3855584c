/*
 * Mover swap, call by call: what it asks for in which order, how often, and what it says of each page. What becomes of it in a job:
 * test_mover_swap.
 */
#include "../../migrate/memory/audit.h"
#include "swap_rig.h"

/* ---- Rounds ------------------------------------------------------------------------------------- */

START_TEST(round_reads_nothing_in_before_all_of_it_is_out)
{
	struct gmig_percentiles all;

	start((struct host){0});
	run(2);
	check_calls("p0+512 p512+512 E0+512 E512+512 R0+512 R512+512 u0+512 u512+512");
	check_pages(0, 0, 512, MOVED);
	check_pages(1, 0, 512, MOVED);
	hist_summary(&job.call, &all);
	ck_assert_uint_eq(all.count, 1);
	ck_assert_uint_eq(all.max_ns, 2 * (EVICT_NS + READ_NS));
	ck_assert_uint_eq(ticket[0].call_ns, 2 * (EVICT_NS + READ_NS));
	ck_assert_uint_eq(ticket[1].call_ns, 2 * (EVICT_NS + READ_NS));
	/* Of what they share, one has it. */
	ck_assert_uint_eq(ticket[0].held_ns, 2 * (EVICT_NS + READ_NS));
	ck_assert_uint_eq(ticket[1].held_ns, 0);
	ck_assert_int_eq(swap_kernel.policy[0] | swap_kernel.policy[1], 0);
	ck_assert_int_eq(atomic_load(&warnings), 0);
	end(2);
}
END_TEST

START_TEST(pages_that_lie_apart_are_evicted_and_read_apart)
{
	start((struct host){0});
	only(3, 4);
	bits_set_range(&ticket[0].pages, 511, 1);
	run(1);
	check_calls("p0+512 E3+4 E511+1 R3+4 R511+1 u0+512");
	check_pages(0, 0, 3, 0);
	check_pages(0, 3, 4, MOVED);
	check_pages(0, 7, 504, 0);
	check_pages(0, 511, 1, MOVED);
	end(1);
}
END_TEST

/* What is being written out keeps its frame: it is mapped, and evicted once more after a pause. */
START_TEST(slow_device_is_given_time)
{
	struct gmig_percentiles all;

	start((struct host){0});
	swap_kernel.slow = true;
	run(2);
	check_calls("p0+512 p512+512 E0+512 E512+512 R0+512 R512+512 z4+0 "
		    "E0+512 E512+512 R0+512 R512+512 u0+512 u512+512");
	check_pages(0, 0, 512, MOVED);
	check_pages(1, 0, 512, MOVED);
	hist_summary(&job.call, &all);
	ck_assert_uint_eq(all.count, 2);
	ck_assert_uint_eq(ticket[0].held_ns, 4 * (EVICT_NS + READ_NS));
	ck_assert_uint_eq(ticket[1].call_ns, 2 * (EVICT_NS + READ_NS));
	end(2);
}
END_TEST

START_TEST(page_that_is_written_to_all_the_time_is_tried_eight_times)
{
	start((struct host){0});
	only(0, 2);
	swap_kernel.slow = true;
	swap_kernel.page[0].rewritten = true;
	run(1);
	check_calls(
	    "p0+512 E0+2 R0+2 z4+0 E0+2 R0+2 z8+0 E0+1 R0+1 z16+0 E0+1 R0+1 z32+0 E0+1 R0+1 "
	    "z64+0 E0+1 R0+1 z128+0 E0+1 R0+1 z256+0 E0+1 R0+1 u0+512");
	check_pages(0, 0, 1, -EAGAIN);
	check_pages(0, 1, 1, MOVED);
	ck_assert(bits_empty(&ticket[0].broken));
	end(1);
}
END_TEST

START_TEST(block_whose_policy_is_refused_is_not_evicted)
{
	start((struct host){0});
	rules[0] = (struct rule){'p', 0, _i ? -ENOMEM : -EPERM, 1};
	run(2);
	check_calls("p0+512 p512+512 E512+512 R512+512 u512+512");
	check_pages(0, 0, 512, _i ? -EAGAIN : -EPERM);
	check_pages(1, 0, 512, MOVED);
	end(2);
}
END_TEST

START_TEST(region_that_prefers_the_target_needs_no_policy_of_its_own)
{
	start((struct host){0});
	atomic_store(&gmig->regions[0].preferred_node, 1);
	swap_kernel.policy[0] = 1;
	only(0, 4);
	run(1);
	check_calls("E0+4 R0+4");
	check_pages(0, 0, 4, MOVED);
	end(1);
}
END_TEST

START_TEST(policy_is_taken_back_within_ten_tries_or_told_of)
{
	const char *tries = "u0+512 z1+0 u0+512 z1+0 u0+512 z1+0 u0+512 z1+0 u0+512 z1+0 "
			    "u0+512 z1+0 u0+512 z1+0 u0+512 z1+0 u0+512 z1+0 u0+512 z1+0 u0+512";
	char expected[400];

	start((struct host){0});
	only(0, 1);
	rules[0] = (struct rule){'u', 0, -ENOMEM, _i ? 11 : 10};
	run(1);
	snprintf(expected, sizeof(expected), "p0+512 E0+1 R0+1 %s", tries);
	check_calls(expected);
	ck_assert_int_eq(atomic_load(&warnings), _i);
	check_pages(0, 0, 1, MOVED);
	end(1);
}
END_TEST

/* ---- Pages that stay ---------------------------------------------------------------------------- */

START_TEST(page_that_never_leaves_is_busy_after_two_passes)
{
	start((struct host){0});
	swap_kernel.page[7].pinned = true;
	run(1);
	check_calls("p0+512 E0+512 R0+7 R8+504 E7+1 u0+512");
	check_pages(0, 0, 7, MOVED);
	check_pages(0, 7, 1, -EBUSY);
	check_pages(0, 8, 504, MOVED);
	end(1);
}
END_TEST

START_TEST(pages_that_never_leave_lack_swap_when_there_is_less_than_they_need)
{
	start((struct host){0});
	only(0, 3);
	for (unsigned int i = 0; i < 3; i++)
		swap_kernel.page[i].pinned = true;
	swap_kernel.free_pages = _i ? 3 : 2;
	run(1);
	check_calls("p0+512 E0+3 E0+3 u0+512");
	check_pages(0, 0, 3, _i ? -EBUSY : -ENOSPC);
	end(1);
}
END_TEST

START_TEST(page_that_comes_elsewhere_twice_finds_no_memory_on_the_target)
{
	start((struct host){0});
	only(0, 3);
	swap_kernel.node_pages = 2;
	run(1);
	check_calls("p0+512 E0+3 R0+3 E2+1 R2+1 u0+512");
	check_pages(0, 0, 2, MOVED);
	check_pages(0, 2, 1, -ENOMEM);
	end(1);
}
END_TEST

static void free_node(void)
{
	swap_kernel.node_pages = 100;
}

START_TEST(page_that_comes_elsewhere_once_is_tried_again)
{
	start((struct host){0});
	only(0, 3);
	swap_kernel.node_pages = 2;
	swap_kernel.calls_before = 1;
	swap_kernel.evicted = free_node;
	run(1);
	check_calls("p0+512 E0+3 R0+3 E2+1 R2+1 u0+512");
	check_pages(0, 0, 3, MOVED);
	end(1);
}
END_TEST

/* The kernel does not say which page of a run it was. */
START_TEST(run_that_cannot_be_evicted_is_tried_page_by_page)
{
	static const struct {
		int kernel, told;
	} cases[] = {{-EINVAL, -EPERM}, {-EPERM, -EPERM}, {-ENOMEM, -EAGAIN}};

	start((struct host){0});
	only(4, 4);
	rules[0] = (struct rule){'E', 6, cases[_i].kernel, 2};
	run(1);
	check_calls("p0+512 E4+4 E4+1 E5+1 E6+1 E7+1 R4+2 R7+1 u0+512");
	check_pages(0, 4, 2, MOVED);
	check_pages(0, 6, 1, cases[_i].told);
	check_pages(0, 7, 1, MOVED);
	end(1);
}
END_TEST

START_TEST(page_that_cannot_be_read_in_stays_with_eio)
{
	start((struct host){0});
	only(4, 4);
	swap_kernel.page[6].broken = true;
	rules[0] = (struct rule){'R', 6, _i ? -EHWPOISON : -EFAULT, 2};
	run(1);
	check_calls("p0+512 E4+4 R4+4 R4+1 R5+1 R6+1 R7+1 u0+512");
	check_pages(0, 4, 2, MOVED);
	check_pages(0, 6, 1, -EIO);
	check_pages(0, 7, 1, MOVED);
	/* As if in swap: to the kernel, and to the books. */
	ck_assert_uint_eq(bits_count(&ticket[0].broken), 1);
	ck_assert(bits_get(&ticket[0].broken, 6));
	end(1);
}
END_TEST

/* Whoever touches it reads it in: it stays in swap, and is no failure of the page. */
START_TEST(swap_that_cannot_be_read_for_another_reason_is_tried_again)
{
	start((struct host){0});
	only(4, 4);
	rules[0] = (struct rule){'R', 4, -ENOMEM, 1};
	run(1);
	check_calls("p0+512 E4+4 R4+4 E4+4 R4+4 u0+512");
	check_pages(0, 4, 4, MOVED);
	end(1);
}
END_TEST

static void give_back(void)
{
	swap_kernel.page[5].place = SWAP_GONE;
}

START_TEST(page_that_was_given_back_meanwhile_is_gone)
{
	start((struct host){0});
	only(4, 4);
	swap_kernel.evicted = give_back;
	run(1);
	check_calls("p0+512 E4+4 R4+1 R6+2 u0+512");
	check_pages(0, 4, 1, MOVED);
	check_pages(0, 5, 1, GONE);
	check_pages(0, 6, 2, MOVED);
	/* Others that are not there are none of its. */
	ck_assert_uint_eq(bits_count(&ticket[0].gone), 1);
	end(1);
}
END_TEST

START_TEST(zero_page_gets_a_frame_on_the_target)
{
	start((struct host){0});
	only(4, 4);
	swap_kernel.page[5].place = SWAP_ZERO;
	swap_kernel.page[300].place = SWAP_ZERO;
	run(1);
	check_calls("p0+512 E4+4 R4+1 R6+2 W5+1 u0+512");
	check_pages(0, 4, 4, MOVED);
	ck_assert_uint_eq(ticket[0].held_ns, EVICT_NS + 3 * READ_NS);
	ck_assert_int_eq(swap_kernel.page[300].place, SWAP_ZERO);
	end(1);
}
END_TEST

/* Nothing is known then: the pages are read in by who touches them, and looked at in the next pass. */
START_TEST(look_that_fails_is_made_again)
{
	start((struct host){0});
	only(4, 4);
	rules[0] = (struct rule){'S', 0, -ENOMEM, 1};
	run(1);
	check_calls("p0+512 E4+4 E4+4 R4+4 u0+512");
	check_pages(0, 4, 4, MOVED);
	end(1);
}
END_TEST

START_TEST(node_that_cannot_be_asked_for_is_asked_for_again)
{
	start((struct host){0});
	only(4, 4);
	rules[0] = (struct rule){'Q', 0, -ENOMEM, _i ? ALWAYS : 1};
	run(1);
	if (_i) {
		check_pages(0, 4, 4, -EAGAIN);
	} else {
		check_calls("p0+512 E4+4 R4+4 E4+4 R4+4 u0+512");
		check_pages(0, 4, 4, MOVED);
	}
	end(1);
}
END_TEST

/* Without mincore(2) every page may have its frame still. */
START_TEST(frames_that_cannot_be_asked_for_are_taken_for_slow)
{
	start((struct host){0});
	only(4, 4);
	swap_kernel.node_pages = 0;
	rules[0] = (struct rule){'C', 0, -ENOMEM, 1};
	run(1);
	check_calls("p0+512 E4+4 R4+4 z4+0 E4+4 R4+4 E4+4 R4+4 u0+512");
	check_pages(0, 4, 4, -ENOMEM);
	end(1);
}
END_TEST

/* ---- Pages of files ------------------------------------------------------------------------------ */

#define PRESENT	  (1ull << 63)
#define EXCLUSIVE (1ull << 56)

static bool is_cut; /* the answer */

/* What /proc/self/pagemap has of the second block's first pages; of the others that nobody else maps them. */
static ssize_t pagemap_of_file(int fd, void *buffer, size_t bytes, off_t offset)
{
	static const uint64_t first[] = {PRESENT | EXCLUSIVE, PRESENT, 0, EXCLUSIVE, PRESENT};
	uint64_t *word = buffer;

	if (!driven)
		return gmig_sys_real.pread(fd, buffer, bytes, offset);
	ck_assert_int_eq(fd, gmig->pagemap);
	ck_assert_uint_eq(bytes, BLOCK * sizeof(*word));
	ck_assert_uint_eq((uint64_t)offset,
			  (uintptr_t)(swap_kernel.ram + GMIG_BLOCK_BYTES) / GMIG_PAGE_BYTES * 8);
	for (unsigned int i = 0; i < BLOCK; i++)
		word[i] = i < 5 ? first[i] : PRESENT | EXCLUSIVE;
	word[511] = PRESENT;
	return (ssize_t)bytes - is_cut;
}

/* The kernel evicts none that others map, too. */
START_TEST(page_of_a_file_that_others_map_is_told_apart)
{
	static struct region_kind of_file;
	static const unsigned int shared[] = {1, 4, 511};

	start((struct host){0});
	of_file = *gmig->regions[0].kind;
	of_file.kernel_fills = true;
	gmig->regions[0].kind = &of_file;
	swap_sys.pread = pagemap_of_file;
	is_cut = _i;
	ticket[0] = ticket[1];
	for (unsigned int i = 0; i < BLOCK; i++)
		swap_kernel.page[BLOCK + i].pinned = i < 6 || i == 511;
	bits_clear_range(&ticket[0].pages, 3, 1);
	run(1);
	check_pages(0, 0, 1, -EBUSY);
	check_pages(0, 2, 1, -EBUSY);
	check_pages(0, 3, 1, 0);
	check_pages(0, 5, 1, -EBUSY);
	check_pages(0, 6, 505, MOVED);
	for (unsigned int i = 0; i < 3; i++)
		check_pages(0, shared[i], 1, _i ? -EBUSY : -EACCES);
	/* Nor is it joined. */
	calls[0] = '\0';
	driven = true;
	mover_swap.finish(&worker, &ticket[0]);
	driven = false;
	check_calls("");
	end(1);
}
END_TEST

/* ---- Huge pages --------------------------------------------------------------------------------- */

START_TEST(huge_page_is_split_and_told)
{
	start((struct host){.huge = true});
	if (huge_or_skip(gmig)) {
		run(2);
		check_pages(0, 0, 512, MOVED);
		ck_assert(ticket[0].split && ticket[1].split);
		ck_assert_uint_eq(atomic_load(&job.thp_split), 2);
	}
	end(gmig->thp ? 2 : 0);
}
END_TEST

START_TEST(huge_page_that_was_not_evicted_is_whole)
{
	start((struct host){.huge = true});
	if (huge_or_skip(gmig)) {
		for (unsigned int i = 0; i < SWAP_PAGES; i++)
			swap_kernel.page[i].pinned = true;
		run(1);
		check_pages(0, 0, 512, -EBUSY);
		ck_assert(!ticket[0].split);
		ck_assert_uint_eq(atomic_load(&job.thp_split), 0);
	}
	end(gmig->thp ? 1 : 0);
}
END_TEST

static void finish_again(void)
{
	driven = true;
	mover_swap.finish(&worker, &ticket[0]);
	driven = false;
}

/* Four blocks in a row that do not join are enough for a job. */
START_TEST(job_joins_no_more_after_four_failures_in_a_row)
{
	start((struct host){.huge = true});
	if (huge_or_skip(gmig)) {
		run(1);
		settle(1);
		calls[0] = '\0';
		rules[0] = (struct rule){'J', 0, -ENOMEM, ALWAYS};
		for (unsigned int i = 0; i < 3; i++)
			finish_again();
		check_calls("J0+512 J0+512 J0+512");
		rules[0].times = 0;
		finish_again();
		ck_assert_uint_eq(atomic_load(&job.thp_joined), 1);
		/* It is joined: there is nothing to join, which is no failure. */
		calls[0] = '\0';
		for (unsigned int i = 0; i < 8; i++)
			finish_again();
		check_calls("");
		ck_assert_uint_eq(atomic_load(&job.thp_joined), 1);
		/* The other block, which a failure in a row of four leaves as it is. */
		ticket[0] = ticket[1];
		run(1);
		settle(1);
		calls[0] = '\0';
		rules[0] = (struct rule){'J', BLOCK, -ENOMEM, ALWAYS};
		for (unsigned int i = 0; i < 6; i++)
			finish_again();
		check_calls("J512+512 J512+512 J512+512 J512+512");
	}
	end(0);
}
END_TEST

START_TEST(block_is_not_joined_where_nothing_moved_or_nobody_wants_it)
{
	start((struct host){.huge = true});
	if (huge_or_skip(gmig)) {
		run(1);
		settle(1);
		calls[0] = '\0';
		job.spec.huge = GMIG_HUGE_SPLIT;
		finish_again();
		job.spec.huge = GMIG_HUGE_PREFER;
		bits_clear_all(&ticket[0].moved);
		finish_again();
		check_calls("");
	}
	end(0);
}
END_TEST

/* ---- Fake nodes --------------------------------------------------------------------------------- */

/* They have no policy, and no page is on one: what had no frame and has one has moved. */
START_TEST(fake_node_has_what_came_back)
{
	start((struct host){.fake = true});
	swap_kernel.page[9].pinned = true;
	swap_kernel.page[20].place = SWAP_ZERO;
	run(1);
	check_calls("E0+512 R0+9 R10+10 R21+491 W20+1 E9+1");
	check_pages(0, 0, 9, MOVED);
	check_pages(0, 9, 1, -EBUSY);
	check_pages(0, 10, 502, MOVED);
	end(1);
}
END_TEST

START_TEST(fake_node_has_not_what_never_left_its_frame_or_is_in_swap)
{
	start((struct host){.fake = true});
	only(0, 4);
	swap_kernel.slow = _i;
	rules[0] = (struct rule){'R', 2, -ENOMEM, 1};
	run(1);
	check_calls(_i ? "E0+4 R0+4 z4+0 E0+4 R0+4 z8+0 E0+4 R0+4" : "E0+4 R0+4 E0+4 R0+4");
	check_pages(0, 0, 4, MOVED);
	end(1);
}
END_TEST

static void give_2_back(void)
{
	swap_kernel.page[2].place = SWAP_GONE;
}

START_TEST(fake_node_has_not_what_was_given_back_while_it_came)
{
	start((struct host){.fake = true});
	only(0, 4);
	after_read = give_2_back;
	run(1);
	check_pages(0, 0, 2, MOVED);
	check_pages(0, 2, 1, GONE);
	check_pages(0, 3, 1, MOVED);
	end(1);
}
END_TEST

/* ---- Others -------------------------------------------------------------------------------------- */

START_TEST(pages_of_the_block_that_are_none_of_the_ticket_are_left_alone)
{
	start((struct host){.fake = _i});
	only(4, 4);
	swap_kernel.page[300].place = SWAP_OUT;
	swap_kernel.page[301].place = SWAP_ZERO;
	swap_kernel.page[302].place = SWAP_GONE;
	run(1);
	check_calls(_i ? "E4+4 R4+4" : "p0+512 E4+4 R4+4 u0+512");
	check_pages(0, 0, 4, 0);
	check_pages(0, 4, 4, MOVED);
	check_pages(0, 8, 504, 0);
	ck_assert(bits_empty(&ticket[0].broken));
	swap_kernel.page[300].place = swap_kernel.page[301].place = SWAP_MAPPED;
	swap_kernel.page[302].place = SWAP_MAPPED;
	end(1);
}
END_TEST

START_TEST(first_page_that_cannot_be_read_in_stays_with_eio)
{
	start((struct host){0});
	only(0, 2);
	swap_kernel.page[0].broken = true;
	run(1);
	check_calls("p0+512 E0+2 R0+2 R0+1 R1+1 u0+512");
	check_pages(0, 0, 1, -EIO);
	check_pages(0, 1, 1, MOVED);
	end(1);
}
END_TEST

/* What the round before left behind is no matter. */
START_TEST(round_of_one_ticket_has_nothing_of_the_round_before)
{
	struct gmig_percentiles before, after;

	start((struct host){0});
	for (unsigned int i = BLOCK; i < 2 * BLOCK; i++)
		swap_kernel.page[i].pinned = true;
	run(2);
	check_pages(1, 0, 512, -EBUSY);
	settle(2);
	hist_summary(&job.call, &before);
	ticket[0] = (struct mover_ticket){.block_gfn = 0, .from = 1, .to = 0};
	only(0, 2);
	run(1);
	hist_summary(&job.call, &after);
	ck_assert_uint_eq(after.count, before.count + 1);
	check_pages(0, 0, 2, MOVED);
	end(1);
}
END_TEST

/* ---- Before ------------------------------------------------------------------------------------- */

START_TEST(ticket_needs_room_in_swap_for_all_of_its_pages)
{
	start((struct host){0});
	only(0, 10);
	swap_kernel.free_pages = 10;
	ck_assert_int_eq(mover_swap.prepare(&worker, &ticket[0]), 0);
	swap_kernel.free_pages = 9;
	ck_assert_int_eq(mover_swap.prepare(&worker, &ticket[0]), -ENOSPC);
	end(0);
}
END_TEST

static void small_room(struct room *room)
{
	*room = (struct room){.bytes = GMIG_BLOCK_BYTES - 1, .limit = "/sys/fs/cgroup/vm"};
}

START_TEST(job_needs_room_for_a_block_and_memory_that_is_not_locked)
{
	struct gmig_job_spec spec = job.spec;
	struct gmig_error err = {0};

	start((struct host){0});
	swap_kernel.free_pages = BLOCK;
	ck_assert_int_eq(mover_swap.check(&gmig->memory, &spec, &err), 0);
	swap_kernel.free_pages = BLOCK - 1;
	ck_assert_int_eq(mover_swap.check(&gmig->memory, &spec, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.text, "this host leaves 2044 KiB"));
	swap_sys.swap_room = small_room;
	ck_assert_int_eq(mover_swap.check(&gmig->memory, &spec, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.text, "/sys/fs/cgroup/vm leaves 2047 KiB"));
	swap_sys.swap_room = swap_room;
	swap_kernel.free_pages = BLOCK;
	gmig->options.lock_memory = true;
	ck_assert_int_eq(mover_swap.check(&gmig->memory, &spec, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "locked"));
	gmig->options.lock_memory = false;
	end(0);
}
END_TEST

/* ---- What is in swap already ---------------------------------------------------------------------- */

/* Of the first block's pages first..first+count: in swap, as the books have it, too. */
static void swap_out(unsigned int first, unsigned int count)
{
	const struct audit audit = {.check = NULL};

	for (unsigned int i = first; i < first + count; i++)
		swap_kernel.page[i].place = SWAP_OUT;
	audit_run(gmig, engine_region_of_gfn(gmig, 0), 0, GMIG_BLOCK_PAGES, &audit);
}

static void prepare_noted(void)
{
	calls[0] = '\0';
	driven = true;
	ck_assert_int_eq(mover_swap.prepare(&worker, &ticket[0]), 0);
	driven = false;
}

static void check_set(const struct bits *bits, unsigned int first, unsigned int count)
{
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		ck_assert_msg(bits_get(bits, i) == (i - first < count), "%u", i);
}

/* What comes to the target at once needs no move; what comes elsewhere is moved like any other page. */
START_TEST(pages_in_swap_are_read_in_before_anything_moves)
{
	start((struct host){0});
	swap_kernel.policy[0] = _i;
	swap_out(0, 3);
	swap_out(511, 1);
	only(0, 10);
	prepare_noted();
	check_calls("R0+3 R511+1");
	if (_i) {
		check_set(&ticket[0].brought, 0, 3);
		check_set(&ticket[0].pages, 3, 7);
	} else {
		ck_assert(bits_empty(&ticket[0].brought));
		check_set(&ticket[0].pages, 0, 10);
	}
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		ck_assert_int_eq(ticket[0].error[i], 0);
	end(0);
}
END_TEST

START_TEST(page_in_swap_that_cannot_be_read_stays_there_and_the_others_come)
{
	start((struct host){0});
	swap_kernel.policy[0] = 1;
	swap_kernel.page[1].broken = true;
	swap_out(0, 3);
	only(0, 3);
	prepare_noted();
	check_calls("R0+3 R0+1 R1+1 R2+1");
	ck_assert(bits_empty(&ticket[0].pages));
	ck_assert_uint_eq(bits_count(&ticket[0].brought), 2);
	ck_assert(bits_get(&ticket[0].brought, 0) && bits_get(&ticket[0].brought, 2));
	ck_assert_int_eq(ticket[0].error[0], 0);
	ck_assert_int_eq(ticket[0].error[1], -EIO);
	ck_assert_int_eq(ticket[0].error[2], 0);
	end(0);
}
END_TEST

START_TEST(pages_in_swap_stay_there_where_the_job_leaves_them)
{
	start((struct host){0});
	job.spec.swapped = GMIG_SWAPPED_SKIP;
	swap_out(0, 3);
	only(3, 3);
	prepare_noted();
	check_calls("");
	check_set(&ticket[0].pages, 3, 3);
	ck_assert(bits_empty(&ticket[0].brought));
	ck_assert_int_eq(swap_kernel.page[2].place, SWAP_OUT);
	end(0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_swap_ticket");
	TCase *tcase = tcase_create("mover_swap_ticket");
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_add_test(tcase, round_reads_nothing_in_before_all_of_it_is_out);
	tcase_add_test(tcase, pages_that_lie_apart_are_evicted_and_read_apart);
	tcase_add_test(tcase, slow_device_is_given_time);
	tcase_add_test(tcase, page_that_is_written_to_all_the_time_is_tried_eight_times);
	tcase_add_loop_test(tcase, block_whose_policy_is_refused_is_not_evicted, 0, 2);
	tcase_add_test(tcase, region_that_prefers_the_target_needs_no_policy_of_its_own);
	tcase_add_loop_test(tcase, policy_is_taken_back_within_ten_tries_or_told_of, 0, 2);
	tcase_add_test(tcase, page_that_never_leaves_is_busy_after_two_passes);
	tcase_add_loop_test(
	    tcase, pages_that_never_leave_lack_swap_when_there_is_less_than_they_need, 0, 2);
	tcase_add_test(tcase, page_that_comes_elsewhere_twice_finds_no_memory_on_the_target);
	tcase_add_test(tcase, page_that_comes_elsewhere_once_is_tried_again);
	tcase_add_loop_test(tcase, run_that_cannot_be_evicted_is_tried_page_by_page, 0, 3);
	tcase_add_loop_test(tcase, page_that_cannot_be_read_in_stays_with_eio, 0, 2);
	tcase_add_test(tcase, swap_that_cannot_be_read_for_another_reason_is_tried_again);
	tcase_add_test(tcase, page_that_was_given_back_meanwhile_is_gone);
	tcase_add_test(tcase, zero_page_gets_a_frame_on_the_target);
	tcase_add_test(tcase, look_that_fails_is_made_again);
	tcase_add_loop_test(tcase, node_that_cannot_be_asked_for_is_asked_for_again, 0, 2);
	tcase_add_test(tcase, frames_that_cannot_be_asked_for_are_taken_for_slow);
	tcase_add_loop_test(tcase, page_of_a_file_that_others_map_is_told_apart, 0, 2);
	tcase_add_test(tcase, huge_page_is_split_and_told);
	tcase_add_test(tcase, huge_page_that_was_not_evicted_is_whole);
	tcase_add_test(tcase, job_joins_no_more_after_four_failures_in_a_row);
	tcase_add_test(tcase, block_is_not_joined_where_nothing_moved_or_nobody_wants_it);
	tcase_add_test(tcase, fake_node_has_what_came_back);
	tcase_add_loop_test(tcase, fake_node_has_not_what_never_left_its_frame_or_is_in_swap, 0, 2);
	tcase_add_test(tcase, fake_node_has_not_what_was_given_back_while_it_came);
	tcase_add_loop_test(tcase, pages_of_the_block_that_are_none_of_the_ticket_are_left_alone, 0,
			    2);
	tcase_add_test(tcase, first_page_that_cannot_be_read_in_stays_with_eio);
	tcase_add_test(tcase, round_of_one_ticket_has_nothing_of_the_round_before);
	tcase_add_test(tcase, ticket_needs_room_in_swap_for_all_of_its_pages);
	tcase_add_test(tcase, job_needs_room_for_a_block_and_memory_that_is_not_locked);
	tcase_add_loop_test(tcase, pages_in_swap_are_read_in_before_anything_moves, 0, 2);
	tcase_add_test(tcase, page_in_swap_that_cannot_be_read_stays_there_and_the_others_come);
	tcase_add_test(tcase, pages_in_swap_stay_there_where_the_job_leaves_them);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
