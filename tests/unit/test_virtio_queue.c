/* Split rings against drivers that mean well and drivers that do not. */
#include "fake_machine.h"
#include "suite.h"

#include "../../vmm/virtio_queue.h"

#include <check.h>

#define SIZE	  8
#define DESC_GPA  0x1000ull
#define AVAIL_GPA 0x2000ull
#define USED_GPA  0x3000ull
#define TABLE_GPA 0x4000ull
#define DATA_GPA  0x10000ull

static struct vmm vmm;
static struct virtio_queue queue;
static struct virtio_chain chain;
static struct vring_desc *desc, *table;
static struct vring_avail *avail;
static struct vring_used *used;

static void setup(void)
{
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	virtio_queue_init(&queue, &vmm, "test", SIZE);
	queue.desc_gpa = DESC_GPA;
	queue.avail_gpa = AVAIL_GPA;
	queue.used_gpa = USED_GPA;
	ck_assert_int_eq(virtio_queue_enable(&queue), 0);
	desc = vmm_guest_ptr(&vmm, DESC_GPA, 0x1000);
	avail = vmm_guest_ptr(&vmm, AVAIL_GPA, 0x1000);
	used = vmm_guest_ptr(&vmm, USED_GPA, 0x1000);
	table = vmm_guest_ptr(&vmm, TABLE_GPA, 0x4000);
}

static void teardown(void)
{
	fake_vmm_destroy(&vmm);
}

static void offer(uint16_t head)
{
	avail->ring[avail->idx % SIZE] = head;
	avail->idx++;
}

static void put(struct vring_desc *at, uint64_t gpa, uint32_t bytes, uint16_t flags, uint16_t next)
{
	*at = (struct vring_desc){gpa, bytes, flags, next};
}

static void expect_broken(void)
{
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), -EIO);
	ck_assert(queue.broken);
	/* And it stays so, whatever the driver does. */
	put(&desc[0], DATA_GPA, 16, 0, 0);
	offer(0);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), -EIO);
	virtio_queue_reset(&queue);
	ck_assert(!queue.broken);
}

START_TEST(pop_of_empty_ring_returns_none)
{
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 0);
}
END_TEST

START_TEST(pop_of_disabled_queue_returns_none)
{
	virtio_queue_reset(&queue);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 0);
}
END_TEST

START_TEST(pop_of_chain_gives_readable_then_writable_pieces)
{
	put(&desc[3], DATA_GPA, 16, VRING_DESC_F_NEXT, 1);
	put(&desc[1], DATA_GPA + 0x100, 32, VRING_DESC_F_NEXT, 6);
	put(&desc[6], DATA_GPA + 0x200, 64, VRING_DESC_F_WRITE, 0);
	offer(3);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	ck_assert_uint_eq(chain.head, 3);
	ck_assert_uint_eq(chain.out_count, 2);
	ck_assert_uint_eq(chain.in_count, 1);
	ck_assert_uint_eq(chain.out_bytes, 48);
	ck_assert_uint_eq(chain.in_bytes, 64);
	ck_assert_ptr_eq(virtio_chain_in(&chain)->iov_base,
			 vmm_guest_ptr(&vmm, DATA_GPA + 0x200, 64));
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 0);
}
END_TEST

START_TEST(pop_of_indirect_chain_gives_the_tables_pieces)
{
	put(&table[0], DATA_GPA, 8, VRING_DESC_F_NEXT, 2);
	put(&table[2], DATA_GPA + 64, 8, VRING_DESC_F_WRITE, 0);
	put(&desc[5], TABLE_GPA, 3 * 16, VRING_DESC_F_INDIRECT, 0);
	offer(5);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	ck_assert_uint_eq(chain.head, 5);
	ck_assert_uint_eq(chain.out_count, 1);
	ck_assert_uint_eq(chain.in_count, 1);
}
END_TEST

START_TEST(pop_of_direct_then_indirect_gives_both)
{
	put(&desc[0], DATA_GPA, 8, VRING_DESC_F_NEXT, 1);
	put(&desc[1], TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
	put(&table[0], DATA_GPA + 64, 24, VRING_DESC_F_WRITE, 0);
	offer(0);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	ck_assert_uint_eq(chain.out_bytes, 8);
	ck_assert_uint_eq(chain.in_bytes, 24);
}
END_TEST

START_TEST(pop_of_buffer_across_regions_splits_it)
{
	uint64_t gpa = FAKE_REGION_BYTES - 100;

	put(&desc[0], gpa, 300, VRING_DESC_F_WRITE, 0);
	offer(0);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	ck_assert_uint_eq(chain.in_count, 2);
	ck_assert_uint_eq(chain.iov[0].iov_len, 100);
	ck_assert_uint_eq(chain.iov[1].iov_len, 200);
	ck_assert_ptr_eq(chain.iov[1].iov_base, vmm.region[1].hva);
}
END_TEST

START_TEST(pop_of_empty_descriptor_skips_it)
{
	put(&desc[0], 0xdead000000000000ull, 0, VRING_DESC_F_NEXT, 1);
	put(&desc[1], DATA_GPA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	ck_assert_uint_eq(chain.out_count, 0);
	ck_assert_uint_eq(chain.in_count, 1);
}
END_TEST

/* ---- Hostile drivers ------------------------------------------------------------------------- */

START_TEST(pop_of_loop_breaks_queue)
{
	put(&desc[0], DATA_GPA, 4, VRING_DESC_F_NEXT, 1);
	put(&desc[1], DATA_GPA, 4, VRING_DESC_F_NEXT, 0);
	offer(0);
	expect_broken();
}
END_TEST

START_TEST(pop_of_loop_of_empty_descriptors_breaks_queue)
{
	put(&desc[2], DATA_GPA, 0, VRING_DESC_F_NEXT, 2);
	offer(2);
	expect_broken();
}
END_TEST

START_TEST(pop_of_wild_buffer_breaks_queue)
{
	static const struct {
		uint64_t gpa;
		uint32_t bytes;
	} wild[] = {
	    {FAKE_RAM_BYTES, 1},   {FAKE_RAM_BYTES - 1, 2},	    {UINT64_MAX, 1},
	    {UINT64_MAX - 15, 16}, {UINT64_MAX - 15, UINT32_MAX},   {0, UINT32_MAX},
	    {VMM_ECAM_GPA, 4},	   {0xffffffff00000000ull, 0x1000},
	};

	for (unsigned int i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		teardown();
		setup();
		put(&desc[0], wild[i].gpa, wild[i].bytes, VRING_DESC_F_WRITE, 0);
		offer(0);
		expect_broken();
	}
}
END_TEST

START_TEST(pop_of_wild_head_breaks_queue)
{
	offer(SIZE);
	expect_broken();
}
END_TEST

START_TEST(pop_of_wild_next_breaks_queue)
{
	put(&desc[0], DATA_GPA, 4, VRING_DESC_F_NEXT, 60000);
	offer(0);
	expect_broken();
}
END_TEST

START_TEST(pop_of_runaway_index_breaks_queue)
{
	avail->idx = SIZE + 1;
	expect_broken();
}
END_TEST

START_TEST(pop_of_readable_after_writable_breaks_queue)
{
	put(&desc[0], DATA_GPA, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	put(&desc[1], DATA_GPA, 4, 0, 0);
	offer(0);
	expect_broken();
}
END_TEST

START_TEST(pop_of_nested_indirect_breaks_queue)
{
	put(&desc[0], TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
	put(&table[0], TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	expect_broken();
}
END_TEST

START_TEST(pop_of_indirect_with_successor_breaks_queue)
{
	put(&desc[0], TABLE_GPA, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
	offer(0);
	expect_broken();
}
END_TEST

START_TEST(pop_of_bad_indirect_table_breaks_queue)
{
	static const struct {
		uint64_t gpa;
		uint32_t bytes;
	} bad[] = {
	    {TABLE_GPA, 0},
	    {TABLE_GPA, 15},
	    {TABLE_GPA, 24},
	    {TABLE_GPA, (VIRTIO_CHAIN_PIECES + 1) * 16},
	    {FAKE_RAM_BYTES - 16, 32},
	    {UINT64_MAX - 15, 32},
	    {TABLE_GPA, 0xfffffff0},
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		teardown();
		setup();
		put(&desc[0], bad[i].gpa, bad[i].bytes, VRING_DESC_F_INDIRECT, 0);
		offer(0);
		expect_broken();
	}
}
END_TEST

START_TEST(pop_of_oversize_chain_breaks_queue)
{
	unsigned int i;

	/* As many pieces as fit, each across both regions: twice as many as fit. */
	for (i = 0; i < VIRTIO_CHAIN_PIECES; i++)
		put(&table[i], FAKE_REGION_BYTES - 8, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
		    (uint16_t)(i + 1));
	put(&desc[0], TABLE_GPA, VIRTIO_CHAIN_PIECES * 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	expect_broken();
}
END_TEST

START_TEST(enable_of_bad_rings_is_refused)
{
	static const struct {
		uint64_t desc, avail, used;
		uint16_t size;
	} bad[] = {
	    {DESC_GPA, AVAIL_GPA, USED_GPA, 0},
	    {DESC_GPA, AVAIL_GPA, USED_GPA, 3},
	    {DESC_GPA, AVAIL_GPA, USED_GPA, 2 * SIZE},
	    {DESC_GPA + 8, AVAIL_GPA, USED_GPA, SIZE},
	    {DESC_GPA, AVAIL_GPA + 1, USED_GPA, SIZE},
	    {DESC_GPA, AVAIL_GPA, USED_GPA + 2, SIZE},
	    {FAKE_RAM_BYTES - 16, AVAIL_GPA, USED_GPA, SIZE},
	    {DESC_GPA, UINT64_MAX - 1, USED_GPA, SIZE},
	    {DESC_GPA, AVAIL_GPA, VMM_HOLE_GPA, SIZE},
	    {FAKE_REGION_BYTES - 16, AVAIL_GPA, USED_GPA, SIZE},
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		virtio_queue_reset(&queue);
		queue.desc_gpa = bad[i].desc;
		queue.avail_gpa = bad[i].avail;
		queue.used_gpa = bad[i].used;
		queue.size = bad[i].size;
		ck_assert_int_eq(virtio_queue_enable(&queue), -EINVAL);
		ck_assert(!queue.enabled);
	}
}
END_TEST

/* ---- Rings ----------------------------------------------------------------------------------- */

START_TEST(push_over_index_wrap_keeps_order)
{
	unsigned int i;

	for (i = 0; i < 70000; i++) {
		put(&desc[i % SIZE], DATA_GPA, 4, VRING_DESC_F_WRITE, 0);
		offer((uint16_t)(i % SIZE));
		ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
		ck_assert_uint_eq(chain.head, i % SIZE);
		virtio_queue_push(&queue, chain.head, i);
		ck_assert_uint_eq(used->idx, (uint16_t)(i + 1));
		ck_assert_uint_eq(used->ring[i % SIZE].id, i % SIZE);
		ck_assert_uint_eq(used->ring[i % SIZE].len, i);
	}
}
END_TEST

START_TEST(unpop_gives_the_same_chain_again)
{
	put(&desc[4], DATA_GPA, 4, VRING_DESC_F_WRITE, 0);
	offer(4);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	virtio_queue_unpop(&queue);
	chain.head = 0;
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	ck_assert_uint_eq(chain.head, 4);
}
END_TEST

START_TEST(signal_without_event_index_follows_the_flag)
{
	ck_assert(virtio_queue_must_signal(&queue));
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	ck_assert(!virtio_queue_must_signal(&queue));
}
END_TEST

START_TEST(signal_with_event_index_comes_when_the_event_is_passed)
{
	queue.event_idx = true;
	avail->ring[SIZE] = 2; /* used_event: tell me after the third */
	virtio_queue_push(&queue, 0, 0);
	ck_assert(virtio_queue_must_signal(&queue)); /* the first time nothing is known: be safe */
	virtio_queue_push(&queue, 0, 0);
	ck_assert(!virtio_queue_must_signal(&queue));
	virtio_queue_push(&queue, 0, 0);
	ck_assert(virtio_queue_must_signal(&queue));
	virtio_queue_push(&queue, 0, 0);
	ck_assert(!virtio_queue_must_signal(&queue));
}
END_TEST

START_TEST(pop_of_empty_ring_asks_for_a_notification)
{
	queue.event_idx = true;
	put(&desc[0], DATA_GPA, 4, 0, 0);
	offer(0);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
	ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 0);
	ck_assert_uint_eq(*(uint16_t *)&used->ring[SIZE], 1); /* avail_event */
}
END_TEST

START_TEST(notification_asked_for_over_ring_and_index_wrap_names_the_running_index)
{
	queue.event_idx = true;
	put(&desc[0], DATA_GPA, 4, 0, 0);
	for (unsigned int i = 0; i < 70000; i++) {
		offer(0);
		ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 1);
		ck_assert_int_eq(virtio_queue_pop(&queue, &chain), 0);
		ck_assert_uint_eq(*(uint16_t *)&used->ring[SIZE],
				  (uint16_t)(i + 1)); /* avail_event */
	}
}
END_TEST

/* ---- Pieces ---------------------------------------------------------------------------------- */

static void make_pieces(struct iovec *iov, char *text)
{
	iov[0] = (struct iovec){text, 3};
	iov[1] = (struct iovec){text + 3, 1};
	iov[2] = (struct iovec){text + 4, 5};
}

START_TEST(read_pieces_from_any_offset_gives_the_flat_bytes)
{
	char text[] = "abcdefghi", out[10];
	struct iovec iov[3];

	make_pieces(iov, text);
	for (size_t offset = 0; offset <= 10; offset++)
		for (size_t bytes = 0; bytes <= 10; bytes++) {
			size_t left = offset < 9 ? 9 - offset : 0,
			       want = bytes < left ? bytes : left;

			memset(out, 0, sizeof(out));
			ck_assert_uint_eq(virtio_read_pieces(iov, 3, offset, out, bytes), want);
			ck_assert_mem_eq(out, text + (offset < 9 ? offset : 0), want);
		}
}
END_TEST

START_TEST(write_pieces_at_any_offset_touches_only_these_bytes)
{
	struct iovec iov[3];

	for (size_t offset = 0; offset <= 9; offset++)
		for (size_t bytes = 0; bytes <= 10; bytes++) {
			char text[] = "abcdefghi", want[] = "abcdefghi";
			size_t room = 9 - offset, done = bytes < room ? bytes : room;

			make_pieces(iov, text);
			memset(want + offset, '#', done);
			ck_assert_uint_eq(virtio_write_pieces(iov, 3, offset, "##########", bytes),
					  done);
			ck_assert_str_eq(text, want);
		}
}
END_TEST

START_TEST(cut_pieces_leaves_exactly_the_range)
{
	char text[] = "abcdefghi", out[10];
	struct iovec iov[3], *first;

	for (size_t offset = 0; offset <= 9; offset++)
		for (size_t bytes = 0; bytes <= 9 - offset; bytes++) {
			unsigned int kept;

			make_pieces(iov, text);
			kept = virtio_cut_pieces(iov, 3, offset, bytes, &first);
			ck_assert_uint_eq(virtio_read_pieces(first, kept, 0, out, sizeof(out)),
					  bytes);
			ck_assert_mem_eq(out, text + offset, bytes);
		}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    pop_of_empty_ring_returns_none,
	    pop_of_disabled_queue_returns_none,
	    pop_of_chain_gives_readable_then_writable_pieces,
	    pop_of_indirect_chain_gives_the_tables_pieces,
	    pop_of_direct_then_indirect_gives_both,
	    pop_of_buffer_across_regions_splits_it,
	    pop_of_empty_descriptor_skips_it,
	    pop_of_loop_breaks_queue,
	    pop_of_loop_of_empty_descriptors_breaks_queue,
	    pop_of_wild_buffer_breaks_queue,
	    pop_of_wild_head_breaks_queue,
	    pop_of_wild_next_breaks_queue,
	    pop_of_runaway_index_breaks_queue,
	    pop_of_readable_after_writable_breaks_queue,
	    pop_of_nested_indirect_breaks_queue,
	    pop_of_indirect_with_successor_breaks_queue,
	    pop_of_bad_indirect_table_breaks_queue,
	    pop_of_oversize_chain_breaks_queue,
	    enable_of_bad_rings_is_refused,
	    push_over_index_wrap_keeps_order,
	    unpop_gives_the_same_chain_again,
	    signal_without_event_index_follows_the_flag,
	    signal_with_event_index_comes_when_the_event_is_passed,
	    pop_of_empty_ring_asks_for_a_notification,
	    notification_asked_for_over_ring_and_index_wrap_names_the_running_index,
	    read_pieces_from_any_offset_gives_the_flat_bytes,
	    write_pieces_at_any_offset_touches_only_these_bytes,
	    cut_pieces_leaves_exactly_the_range,
	};

	return run_tests("virtio_queue", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
