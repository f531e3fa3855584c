/* The balloon, with a driver of a few lines: what it is given goes back, what it is not stays, and nonsense harms nobody. */
#include "../../vmm/balloon.h"
#include "../../vmm/balloon_give.h"
#include "../../vmm/deadline.h"
#include "../../vmm/options_parse.h"
#include "../../vmm/sandbox.h"
#include "fake_machine.h"
#include "suite.h"
#include "virtio_driver.h"

#include <linux/virtio_ids.h>

#define INFLATE	 0
#define DEFLATE	 1
#define STATS	 2
#define REPORT	 4
#define LIST_GPA 0x200000ull
#define BLOCK	 GMIG_BLOCK_PAGES
#define FIRST	 (4ull << 20) /* the second region: two blocks that the driver does not use itself */
#define ALL                                                                                        \
	(1ull << VIRTIO_BALLOON_F_MUST_TELL_HOST | 1ull << VIRTIO_BALLOON_F_STATS_VQ |             \
	 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM | 1ull << VIRTIO_BALLOON_F_PAGE_POISON |          \
	 1ull << VIRTIO_BALLOON_F_REPORTING)
#define BIT(feature) (1ull << (feature))

static struct vmm vmm;
static struct vmm_options options;
static struct device_context context;
static void *bus, *balloon;
static struct driver driver;
static atomic_int refuse; /* -errno of the next gives, for so many calls */
static atomic_int refusals;

/* As in gmig-vmm; the test's own threads stay outside. */
static void enter_sandbox(void)
{
	struct gmig_error err;
	const char *why;

	if (sandbox_turn_on(&why))
		ck_assert_msg(!sandbox_enter(SANDBOX_DEVICE, &err), "%s", err.text);
}

static int discard_or_refuse(const void *start, size_t bytes, size_t *done)
{
	if (atomic_load(&refusals) > 0) {
		atomic_fetch_sub(&refusals, 1);
		return atomic_load(&refuse);
	}
	memset((void *)(uintptr_t)start, 0, bytes);
	atomic_fetch_add(&vmm.discarded_bytes, bytes);
	*done = bytes;
	return 0;
}

static void refuse_next(int count, int error)
{
	atomic_store(&refuse, error);
	atomic_store(&refusals, count);
}

static atomic_ullong told_bytes;
static atomic_uint told;

static void hear(struct vmm *of, uint64_t guest_bytes)
{
	ck_assert_ptr_eq(of, &vmm);
	atomic_store(&told_bytes, guest_bytes);
	atomic_fetch_add(&told, 1);
}

static void setup(void)
{
	fake_helper_begins = enter_sandbox;
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	vmm.discard = discard_or_refuse;
	atomic_store(&refusals, 0);
	options = (struct vmm_options){
	    .balloon = true, .balloon_on_oom = true, .balloon_reporting = true};
	context = (struct device_context){.vmm = &vmm, .options = &options};
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(balloon_device.create(&context, 0, &balloon, NULL), 0);
	driver_probe(&driver, &vmm, VIRTIO_ID_BALLOON);
}

static void teardown(void)
{
	balloon_device.destroy(balloon);
	pci_device.destroy(bus);
	fake_vmm_destroy(&vmm);
}

static void start(uint64_t features)
{
	driver_start(&driver, features, 5);
}

/* Page numbers, from the one at gpa on, to a queue; returns when the device is through. */
static void send_pages(unsigned int queue, uint64_t gpa, unsigned int count)
{
	const struct driver_piece piece = {LIST_GPA, count * 4, false};
	uint32_t *list = vmm_guest_ptr(&vmm, LIST_GPA, count * 4);

	for (unsigned int i = 0; i < count; i++)
		list[i] = (uint32_t)(gpa / GMIG_PAGE_BYTES + i);
	driver_add(&driver, queue, &piece, 1);
	driver_notify(&driver, queue);
	driver_wait_used(&driver, queue);
}

static uint8_t *page(uint64_t gpa)
{
	return vmm_guest_ptr(&vmm, gpa, GMIG_PAGE_BYTES);
}

static void fill(uint64_t gpa, unsigned int pages)
{
	memset(vmm_guest_ptr(&vmm, gpa, pages * GMIG_PAGE_BYTES), 0x77, pages * GMIG_PAGE_BYTES);
}

static void expect_given(uint64_t pages)
{
	for (unsigned int i = 0; atomic_load(&vmm.discarded_bytes) != pages * GMIG_PAGE_BYTES;
	     i++) {
		ck_assert_uint_lt(i, 20000);
		poll(NULL, 0, 1);
	}
}

static struct vmm_balloon state(void)
{
	struct vmm_balloon answer;

	balloon_get(balloon, &answer);
	return answer;
}

/* What was collected has settled: all there is to wait for is that nothing happens. */
static void let_settle(void)
{
	poll(NULL, 0, BALLOON_SETTLE_MS + 50);
}

static uint32_t config(unsigned int member)
{
	return fake_read(&vmm, driver.device + member, 4);
}

#define NUM_PAGES  offsetof(struct virtio_balloon_config, num_pages)
#define ACTUAL	   offsetof(struct virtio_balloon_config, actual)
#define COMMAND_ID offsetof(struct virtio_balloon_config, free_page_hint_cmd_id)
#define POISON	   offsetof(struct virtio_balloon_config, poison_val)

/* ---- Configuration ----------------------------------------------------------------------------- */

START_TEST(only_the_drivers_own_members_can_be_written)
{
	start(ALL);
	for (unsigned int at = 0; at < 16; at += 4)
		fake_write(&vmm, driver.device + at, 4, 0x01020304);
	fake_write(&vmm, driver.device + 0x100, 4, 7); /* behind its end */
	ck_assert_uint_eq(config(NUM_PAGES), 0);
	ck_assert_uint_eq(config(ACTUAL), 0x01020304);
	ck_assert_uint_eq(config(COMMAND_ID), 0);
	ck_assert_uint_eq(config(POISON), 0x01020304);
	fake_write(&vmm, driver.device + ACTUAL + 1, 1, 0xff);
	ck_assert_uint_eq(config(ACTUAL), 0x0102ff04);
	fake_write(&vmm, driver.device + ACTUAL + 2, 4, 0xeeeeeeee); /* over two members */
	ck_assert_uint_eq(config(ACTUAL), 0xeeeeff04);
	ck_assert_uint_eq(config(COMMAND_ID), 0);
	balloon_device.reset(balloon);
	ck_assert_uint_eq(config(ACTUAL), 0);
	ck_assert_uint_eq(config(POISON), 0);
}
END_TEST

START_TEST(new_size_interrupts_and_is_a_new_generation)
{
	uint8_t before;

	start(ALL);
	before = (uint8_t)fake_read(&vmm, driver.common + VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	ck_assert_int_eq(balloon_set(balloon, FAKE_RAM_BYTES - 3 * GMIG_PAGE_BYTES, NULL), 0);
	ck_assert_uint_eq(config(NUM_PAGES), 3);
	ck_assert_uint_eq(vmm.msi_count, 1);
	ck_assert_uint_eq(vmm.msi_data, 0x40);
	ck_assert_uint_ne(
	    (uint8_t)fake_read(&vmm, driver.common + VIRTIO_PCI_COMMON_CFGGENERATION, 1), before);
	ck_assert_uint_eq(fake_read(&vmm, driver.isr, 1) & 2, 2);
	ck_assert_uint_eq(state().target_bytes, FAKE_RAM_BYTES - 3 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(state().actual_bytes, FAKE_RAM_BYTES);
	balloon_device.reset(balloon); /* the next driver is to obey, too */
	ck_assert_uint_eq(config(NUM_PAGES), 3);
}
END_TEST

START_TEST(new_size_while_paused_is_told_after_the_pause)
{
	start(ALL);
	ck_assert_int_eq(balloon_device.pause(balloon, 5000, NULL), 0);
	ck_assert_int_eq(balloon_set(balloon, FAKE_RAM_BYTES / 2, NULL), 0);
	ck_assert_uint_eq(vmm.msi_count, 0);
	balloon_device.resume(balloon);
	ck_assert_uint_eq(vmm.msi_count, 1);
}
END_TEST

START_TEST(size_that_the_guest_cannot_have_is_refused)
{
	struct gmig_error err;

	ck_assert_int_eq(balloon_set(balloon, 0, &err), -EINVAL);
	ck_assert_int_eq(balloon_set(balloon, FAKE_RAM_BYTES + 1, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "8 MiB at most"));
	ck_assert_int_eq(balloon_set(balloon, FAKE_RAM_BYTES, NULL), 0);
	ck_assert(!state().driver);
	start(ALL);
	ck_assert(state().driver);
}
END_TEST

START_TEST(features_follow_the_options)
{
	ck_assert_uint_eq(driver_offered(&driver) & 0x3f, ALL);
	balloon_device.destroy(balloon);
	pci_device.destroy(bus);
	vmm.mmio_count = vmm.pio_count = 0;
	options.balloon_on_oom = options.balloon_reporting = false;
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(balloon_device.create(&context, 0, &balloon, NULL), 0);
	driver_probe(&driver, &vmm, VIRTIO_ID_BALLOON);
	ck_assert_uint_eq(driver_offered(&driver) & 0x3f,
			  ALL & ~BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) &
			      ~BIT(VIRTIO_BALLOON_F_REPORTING));
	options.balloon = false;
	ck_assert_uint_eq(balloon_device.count(&options), 0);
}
END_TEST

START_TEST(words_of_the_option_are_taken_or_refused)
{
	char words[] = "reporting,deflate-on-oom", none[] = "", wrong[] = "reporting,always";
	struct vmm_options given = {.balloon = false};
	struct parse parse = {.options = &given};
	struct gmig_error err;

	ck_assert_int_eq(options_balloon(&parse, NULL, &err), 0);
	ck_assert(given.balloon && !given.balloon_on_oom && !given.balloon_reporting);
	ck_assert_int_eq(options_balloon(&parse, words, &err), 0);
	ck_assert(given.balloon && given.balloon_on_oom && given.balloon_reporting);
	ck_assert_int_eq(options_balloon(&parse, none, &err), -EINVAL);
	ck_assert_int_eq(options_balloon(&parse, wrong, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "--balloon: 'always' is none of"));
}
END_TEST

/* ---- Inflate and deflate ------------------------------------------------------------------------- */

START_TEST(block_that_is_whole_goes_back_at_once)
{
	start(ALL);
	fill(FIRST, 2 * BLOCK);
	send_pages(INFLATE, FIRST, BLOCK / 2);
	ck_assert_uint_eq(atomic_load(&vmm.discarded_bytes), 0);
	send_pages(INFLATE, FIRST + GMIG_BLOCK_BYTES / 2, BLOCK / 2);
	ck_assert_uint_eq(atomic_load(&vmm.discarded_bytes), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(page(FIRST)[9], 0);
	ck_assert_uint_eq(page(FIRST + GMIG_BLOCK_BYTES)[9], 0x77);
	ck_assert_uint_eq(state().given_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(state().reported_bytes, 0);
}
END_TEST

START_TEST(part_of_a_block_goes_back_when_nothing_more_comes)
{
	start(ALL);
	fill(FIRST, 2 * BLOCK);
	send_pages(INFLATE, FIRST, 100);
	send_pages(INFLATE, FIRST, 100); /* twice the same */
	send_pages(DEFLATE, FIRST + 10 * GMIG_PAGE_BYTES, 20);
	ck_assert_uint_eq(atomic_load(&vmm.discarded_bytes), 0);
	expect_given(80);
	ck_assert_uint_eq(page(FIRST + 9 * GMIG_PAGE_BYTES)[9], 0);
	ck_assert_uint_eq(page(FIRST + 10 * GMIG_PAGE_BYTES)[9], 0x77);
	ck_assert_uint_eq(page(FIRST + 29 * GMIG_PAGE_BYTES)[9], 0x77);
	ck_assert_uint_eq(page(FIRST + 30 * GMIG_PAGE_BYTES)[9], 0);
	send_pages(DEFLATE, FIRST, 100); /* what is gone is no matter */
	ck_assert_uint_eq(state().kept_bytes, 0);
}
END_TEST

START_TEST(page_that_was_taken_back_in_time_is_never_given)
{
	start(ALL);
	fill(FIRST, BLOCK);
	send_pages(INFLATE, FIRST, BLOCK - 1);
	send_pages(DEFLATE, FIRST, BLOCK - 1);
	let_settle();
	ck_assert_uint_eq(atomic_load(&vmm.discarded_bytes), 0);
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
}
END_TEST

/* It may use a page again without a word. */
START_TEST(driver_that_does_not_tell_has_its_pages_given_at_once)
{
	start(ALL & ~BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST));
	fill(FIRST, BLOCK);
	refuse_next(2, -EBUSY);
	send_pages(INFLATE, FIRST, 3);
	ck_assert_uint_eq(atomic_load(&vmm.discarded_bytes), 3 * GMIG_PAGE_BYTES);
	fill(FIRST, BLOCK);
	refuse_next(INT32_MAX, -EBUSY);
	send_pages(INFLATE, FIRST, 3);
	refuse_next(0, 0);
	let_settle();
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
	ck_assert_uint_eq(state().kept_bytes, 3 * GMIG_PAGE_BYTES);
}
END_TEST

START_TEST(block_that_is_busy_goes_back_later)
{
	start(ALL);
	fill(FIRST, BLOCK);
	refuse_next(2, -EBUSY);
	send_pages(INFLATE, FIRST, BLOCK);
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
	send_pages(DEFLATE, FIRST, 1); /* meanwhile it gets smaller */
	expect_given(BLOCK - 1);
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
	ck_assert_uint_eq(page(FIRST + GMIG_PAGE_BYTES)[9], 0);
	ck_assert_uint_eq(state().kept_bytes, 0);
}
END_TEST

START_TEST(pages_that_the_host_does_not_take_are_counted)
{
	start(ALL);
	refuse_next(1, -EIO);
	send_pages(INFLATE, FIRST, BLOCK);
	ck_assert_uint_eq(state().kept_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(state().given_bytes, 0);
	let_settle(); /* it is not tried for ever */
	ck_assert_uint_eq(state().given_bytes, 0);
}
END_TEST

START_TEST(reset_forgets_what_was_collected)
{
	start(ALL);
	fill(FIRST, BLOCK);
	send_pages(INFLATE, FIRST, 100);
	balloon_device.reset(balloon);
	start(ALL);
	let_settle();
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
}
END_TEST

START_TEST(nothing_goes_back_while_the_machine_is_paused)
{
	start(ALL);
	fill(FIRST, BLOCK);
	send_pages(INFLATE, FIRST, 100);
	ck_assert_int_eq(balloon_device.pause(balloon, 5000, NULL), 0);
	let_settle();
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
	balloon_device.resume(balloon);
	expect_given(100);
}
END_TEST

/* ---- Nonsense ------------------------------------------------------------------------------------ */

START_TEST(pages_that_are_no_memory_are_passed_over)
{
	start(ALL);
	send_pages(INFLATE, FAKE_RAM_BYTES - 5 * GMIG_PAGE_BYTES, 1000);
	send_pages(INFLATE, (uint64_t)UINT32_MAX * GMIG_PAGE_BYTES, 1);
	send_pages(DEFLATE, FAKE_RAM_BYTES, 1000);
	expect_given(5);
	ck_assert_uint_eq(state().strange_pages, 996);
	ck_assert(state().driver);
}
END_TEST

START_TEST(list_of_odd_or_no_length_is_read_as_far_as_it_goes)
{
	const struct driver_piece odd = {LIST_GPA, 7, false}, none = {LIST_GPA, 64, true};

	start(ALL);
	*(uint32_t *)vmm_guest_ptr(&vmm, LIST_GPA, 4) = FIRST / GMIG_PAGE_BYTES;
	driver_add(&driver, INFLATE, &odd, 1);
	driver_add(&driver, INFLATE, &none, 1);
	driver_notify(&driver, INFLATE);
	driver_wait_used(&driver, INFLATE);
	driver_wait_used(&driver, INFLATE);
	expect_given(1);
}
END_TEST

START_TEST(list_that_is_too_long_asks_for_a_reset)
{
	const struct driver_piece piece = {LIST_GPA, 16388, false};

	start(ALL);
	driver_add(&driver, INFLATE, &piece, 1);
	driver_notify(&driver, INFLATE);
	for (unsigned int i = 0; state().driver; i++) {
		ck_assert_uint_lt(i, 20000);
		poll(NULL, 0, 1);
	}
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	ck_assert_uint_eq(state().given_bytes, 0);
	start(ALL);
	send_pages(INFLATE, FIRST, BLOCK);
	ck_assert_uint_eq(state().given_bytes, GMIG_BLOCK_BYTES);
}
END_TEST

/* The list that send_pages() has left, 16 times at once. */
static void send_again(unsigned int queue)
{
	const struct driver_piece piece = {LIST_GPA, 2 * BLOCK * 4, false};

	for (unsigned int i = 0; i < DRIVER_QUEUE_SIZE; i++)
		driver_add(&driver, queue, &piece, 1);
	driver_notify(&driver, queue);
	for (unsigned int i = 0; i < DRIVER_QUEUE_SIZE; i++)
		driver_wait_used(&driver, queue);
}

START_TEST(million_pages_to_and_fro_are_served)
{
	start(ALL);
	send_pages(INFLATE, FIRST, 2 * BLOCK);
	for (unsigned int i = 0; i < 32; i++) {
		send_again(INFLATE);
		send_again(DEFLATE);
	}
	ck_assert_uint_eq(state().given_bytes, (1 + 32 * 16) * 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(state().kept_bytes, 0);
}
END_TEST

/* ---- Free page reporting --------------------------------------------------------------------------- */

static void report(unsigned int queue, uint64_t gpa, uint32_t bytes)
{
	const struct driver_piece pieces[] = {{gpa, bytes, true},
					      {gpa + GMIG_BLOCK_BYTES, bytes, true}};

	driver_add(&driver, queue, pieces, 2);
	driver_notify(&driver, queue);
	driver_wait_used(&driver, queue);
}

START_TEST(free_pages_go_back_before_the_driver_has_them_again)
{
	/* Where drivers look for the queue: by number, without a gap, without the statistics'. */
	static const unsigned int queues[] = {4, 3, 2};

	start(_i == 2 ? ALL & ~BIT(VIRTIO_BALLOON_F_STATS_VQ) : ALL);
	fill(FIRST, 2 * BLOCK);
	refuse_next(5, -EBUSY);
	report(queues[_i], FIRST, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(page(FIRST)[9], 0);
	ck_assert_uint_eq(page(FIRST + GMIG_BLOCK_BYTES)[9], 0);
	ck_assert_uint_eq(state().reported_bytes, 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(state().given_bytes, 2 * GMIG_BLOCK_BYTES);
}
END_TEST

START_TEST(free_pages_that_stay_busy_are_left_alone)
{
	start(ALL);
	fill(FIRST, 2 * BLOCK);
	refuse_next(INT32_MAX, -EBUSY);
	report(REPORT, FIRST, GMIG_BLOCK_BYTES);
	refuse_next(0, 0);
	let_settle();
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
	ck_assert_uint_eq(state().kept_bytes, 2 * GMIG_BLOCK_BYTES);
}
END_TEST

START_TEST(free_pages_that_are_not_whole_stay)
{
	start(ALL);
	fill(FIRST, 2 * BLOCK);
	report(REPORT, FIRST + 100, 3 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(page(FIRST)[100], 0x77);
	ck_assert_uint_eq(page(FIRST + GMIG_PAGE_BYTES)[0], 0);
	ck_assert_uint_eq(page(FIRST + 3 * GMIG_PAGE_BYTES - 1)[0], 0);
	ck_assert_uint_eq(page(FIRST + 3 * GMIG_PAGE_BYTES)[0], 0x77);
	report(REPORT, FIRST + 100, 200);
	ck_assert_uint_eq(state().reported_bytes, 4 * GMIG_PAGE_BYTES);
}
END_TEST

START_TEST(free_pages_that_are_poisoned_keep_their_content)
{
	start(ALL);
	fill(FIRST, 2 * BLOCK);
	fake_write(&vmm, driver.device + POISON, 4, 0xaaaaaaaa);
	report(REPORT, FIRST, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
	fake_write(&vmm, driver.device + POISON, 4, 0);
	report(REPORT, FIRST, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(page(FIRST)[9], 0);
}
END_TEST

START_TEST(queue_of_reports_without_the_feature_does_nothing)
{
	start(ALL & ~BIT(VIRTIO_BALLOON_F_REPORTING));
	fill(FIRST, 2 * BLOCK);
	report(REPORT, FIRST, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(page(FIRST)[9], 0x77);
}
END_TEST

/* ---- What the guest tells -------------------------------------------------------------------------- */

static void give_stats(uint64_t available)
{
	const struct virtio_balloon_stat stats[] = {
	    {VIRTIO_BALLOON_S_AVAIL, available}, {VIRTIO_BALLOON_S_MEMTOT, 1234}, {999, 7}};
	const struct driver_piece piece = {LIST_GPA, sizeof(stats), false};

	memcpy(vmm_guest_ptr(&vmm, LIST_GPA, sizeof(stats)), stats, sizeof(stats));
	driver_add(&driver, STATS, &piece, 1);
	driver_notify(&driver, STATS);
}

static void await_available(uint64_t wanted)
{
	for (unsigned int i = 0; state().stats[VIRTIO_BALLOON_S_AVAIL] != wanted; i++) {
		ck_assert_uint_lt(i, 20000);
		poll(NULL, 0, 1);
	}
}

START_TEST(statistics_are_kept_and_asked_for_again)
{
	struct vring_used_elem elem;

	start(ALL);
	ck_assert_uint_eq(state().stats_known, 0);
	give_stats(1000);
	await_available(1000);
	ck_assert_uint_eq(state().stats_known,
			  1u << VIRTIO_BALLOON_S_AVAIL | 1u << VIRTIO_BALLOON_S_MEMTOT);
	ck_assert_uint_eq(state().stats[VIRTIO_BALLOON_S_MEMTOT], 1234);
	ck_assert(!driver_take_used(&driver, STATS, &elem)); /* they are new */
	for (unsigned int i = 0; state().stats_age_ns < 1000000000; i++)
		poll(NULL, 0, 10);
	driver_wait_used(&driver, STATS);
	give_stats(2000);
	await_available(2000);
	ck_assert_uint_lt(state().stats_age_ns, 1000000000);
	balloon_device.reset(balloon);
	ck_assert_uint_eq(state().stats_known, 0);
}
END_TEST

START_TEST(clients_hear_of_the_size_but_not_of_each)
{
	uint64_t since_ns = deadline_now_ns();

	start(ALL);
	balloon_listen(balloon, hear);
	for (unsigned int i = 0; i < 1000; i++) {
		fake_write(&vmm, driver.device + ACTUAL, 4, i + 1);
		if (i % 10 == 0)
			poll(NULL, 0, 1);
	}
	for (unsigned int i = 0;
	     atomic_load(&told_bytes) != FAKE_RAM_BYTES - 1000 * GMIG_PAGE_BYTES; i++) {
		ck_assert_uint_lt(i, 20000);
		poll(NULL, 0, 1);
	}
	ck_assert_uint_le(atomic_load(&told), 2 + (deadline_now_ns() - since_ns) / 250000000);
	ck_assert_uint_eq(state().actual_bytes, FAKE_RAM_BYTES - 1000 * GMIG_PAGE_BYTES);
	fake_write(&vmm, driver.device + ACTUAL, 4, UINT32_MAX); /* more than there is */
	ck_assert_uint_eq(state().actual_bytes, 0);
	balloon_device.reset(balloon);
	for (unsigned int i = 0; atomic_load(&told_bytes) != FAKE_RAM_BYTES; i++) {
		ck_assert_uint_lt(i, 20000);
		poll(NULL, 0, 1);
	}
}
END_TEST

/* ---- What is collected ------------------------------------------------------------------------------- */

static struct balloon_pages pages;

START_TEST(collected_blocks_are_found_by_page_and_leave_by_age)
{
	struct balloon_block *block;

	balloon_pages_clear(&pages);
	ck_assert_ptr_null(balloon_pages_oldest(&pages));
	for (uint64_t i = 0; i < 3; i++) /* of one bucket */
		ck_assert_ptr_nonnull(balloon_pages_add(&pages, i * BALLOON_BLOCKS * BLOCK + 7, i));
	balloon_pages_add(&pages, 8, 10);
	block = balloon_pages_oldest(&pages);
	ck_assert_uint_eq(block->gfn, BALLOON_BLOCKS * BLOCK);
	balloon_pages_renew(&pages, block, 11);
	ck_assert_uint_eq(balloon_pages_oldest(&pages)->gfn, 2 * BALLOON_BLOCKS * BLOCK);
	balloon_pages_take(&pages, 2 * BALLOON_BLOCKS * BLOCK + 7);
	block = balloon_pages_oldest(&pages);
	ck_assert_uint_eq(block->gfn, 0);
	ck_assert_uint_eq(bits_count(&block->pages), 2);
	balloon_pages_drop(&pages, block);
	balloon_pages_take(&pages, 7); /* it is not there any more */
	ck_assert_uint_eq(pages.count, 1);
	balloon_pages_take(&pages, BALLOON_BLOCKS * BLOCK + 7);
	ck_assert_ptr_null(balloon_pages_oldest(&pages));
	ck_assert_uint_eq(pages.count, 0);
}
END_TEST

START_TEST(collection_that_is_full_has_no_place_until_one_leaves)
{
	balloon_pages_clear(&pages);
	for (uint64_t i = 0; i < BALLOON_BLOCKS; i++)
		ck_assert_ptr_nonnull(balloon_pages_add(&pages, i * 3 * BLOCK, i));
	ck_assert_ptr_null(balloon_pages_add(&pages, BLOCK, 5000));
	ck_assert_ptr_nonnull(balloon_pages_add(&pages, 3 * BLOCK + 1, 5000)); /* of one that is */
	balloon_pages_drop(&pages, balloon_pages_oldest(&pages));
	ck_assert_ptr_nonnull(balloon_pages_add(&pages, BLOCK, 5000));
	ck_assert_ptr_null(balloon_pages_add(&pages, 0, 5000));
	while (balloon_pages_oldest(&pages))
		balloon_pages_drop(&pages, balloon_pages_oldest(&pages));
	ck_assert_uint_eq(pages.count, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("virtio_balloon");
	TCase *tcase = tcase_create("virtio_balloon");

	tcase_set_timeout(tcase, 60);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, only_the_drivers_own_members_can_be_written);
	tcase_add_test(tcase, new_size_interrupts_and_is_a_new_generation);
	tcase_add_test(tcase, new_size_while_paused_is_told_after_the_pause);
	tcase_add_test(tcase, size_that_the_guest_cannot_have_is_refused);
	tcase_add_test(tcase, features_follow_the_options);
	tcase_add_test(tcase, words_of_the_option_are_taken_or_refused);
	tcase_add_test(tcase, block_that_is_whole_goes_back_at_once);
	tcase_add_test(tcase, part_of_a_block_goes_back_when_nothing_more_comes);
	tcase_add_test(tcase, page_that_was_taken_back_in_time_is_never_given);
	tcase_add_test(tcase, driver_that_does_not_tell_has_its_pages_given_at_once);
	tcase_add_test(tcase, block_that_is_busy_goes_back_later);
	tcase_add_test(tcase, pages_that_the_host_does_not_take_are_counted);
	tcase_add_test(tcase, reset_forgets_what_was_collected);
	tcase_add_test(tcase, nothing_goes_back_while_the_machine_is_paused);
	tcase_add_test(tcase, pages_that_are_no_memory_are_passed_over);
	tcase_add_test(tcase, list_of_odd_or_no_length_is_read_as_far_as_it_goes);
	tcase_add_test(tcase, list_that_is_too_long_asks_for_a_reset);
	tcase_add_test(tcase, million_pages_to_and_fro_are_served);
	tcase_add_loop_test(tcase, free_pages_go_back_before_the_driver_has_them_again, 0, 3);
	tcase_add_test(tcase, free_pages_that_stay_busy_are_left_alone);
	tcase_add_test(tcase, free_pages_that_are_not_whole_stay);
	tcase_add_test(tcase, free_pages_that_are_poisoned_keep_their_content);
	tcase_add_test(tcase, queue_of_reports_without_the_feature_does_nothing);
	tcase_add_test(tcase, statistics_are_kept_and_asked_for_again);
	tcase_add_test(tcase, clients_hear_of_the_size_but_not_of_each);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("balloon_pages");
	tcase_add_test(tcase, collected_blocks_are_found_by_page_and_leave_by_age);
	tcase_add_test(tcase, collection_that_is_full_has_no_place_until_one_leaves);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return run_suite(suite());
}
