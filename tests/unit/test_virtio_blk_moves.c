/*
 * A disk without the host's cache (cache=none) under constant I/O, while the memory of its driver, of its rings and of all
 * buffers moves back and forth: the device of virtio_blk.c, with its own thread, at the engine's memory.
 *
 * Page n of the file has n in all of its words. The driver reads pages to places in the guest, and looks at what is there
 * before it has the next one read to the same place: what the device wrote last, or a transfer was lost.
 */
#include "../../migrate/gmig_dma.h"
#include "direct_io.h"
#include "fake_machine.h"
#include "rig.h"
#include "virtio_driver.h"

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <sched.h>
#include <unistd.h>

#define BYTES	   (8ull << 20)
#define BLOCKS	   (BYTES / GMIG_BLOCK_BYTES)
#define FILE_PAGES 64u
#define AT_ONCE	   4u	      /* requests in flight: one for each block */
#define HEADER_GPA 0x30000ull /* those of the requests, 16 bytes each; then their status bytes */
#define PLACE_PAGE 3u	      /* of its block: where the copy is early */
#define NO_STAMP   UINT64_MAX

static struct rig rig;
static struct vmm vmm;
static struct vmm_options options;
static struct device_context context;
static struct driver driver;
static void *bus, *blk, *own_ram;
static uint64_t stamp[BLOCKS], lost;
static unsigned int rounds;
static atomic_bool enough; /* was moved, and more rounds are not needed */
static atomic_bool done;

static void make_file(char *path)
{
	int fd = mkstemp(path);
	uint64_t *page = NULL;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(posix_memalign((void **)&page, GMIG_PAGE_BYTES, GMIG_PAGE_BYTES), 0);
	for (uint64_t n = 0; n < FILE_PAGES; n++) {
		for (unsigned int i = 0; i < RIG_WORDS; i++)
			page[i] = n;
		ck_assert_int_eq(pwrite(fd, page, GMIG_PAGE_BYTES, (off_t)(n * GMIG_PAGE_BYTES)),
				 GMIG_PAGE_BYTES);
	}
	free(page);
	close(fd);
}

/* The machine's first region is the engine's. */
static void start(bool small_pages, bool announced)
{
	static char path[32];

	snprintf(path, sizeof(path), "disk-XXXXXX");
	make_file(path);
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = small_pages});
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	own_ram = vmm.region[0].hva;
	vmm.region[0].hva = (uint8_t *)rig.ram;
	vmm.region[0].bytes = vmm.region[1].gpa = BYTES;
	vmm.gmig = rig.gmig;
	vmm.dma_begin = announced ? gmig_dma_begin : NULL;
	vmm.dma_end = announced ? gmig_dma_end : NULL;
	options = (struct vmm_options){
	    .disk = {path}, .disk_direct = {true}, .disk_readonly = {true}, .disk_count = 1};
	context = (struct device_context){.vmm = &vmm, .options = &options};
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(blk_device.create(&context, 0, &blk, NULL), 0);
	unlink(path);
	driver_probe(&driver, &vmm, VIRTIO_ID_BLOCK);
	driver_start(&driver, 1ull << VIRTIO_BLK_F_FLUSH, 1);
	for (unsigned int i = 0; i < BLOCKS; i++)
		stamp[i] = NO_STAMP;
	lost = 0;
	atomic_store(&enough, false);
	atomic_store(&done, false);
}

static void end(void)
{
	blk_device.destroy(blk);
	pci_device.destroy(bus);
	vmm.region[0].hva = own_ram;
	fake_vmm_destroy(&vmm);
	rig_destroy(&rig);
}

/* ---- The driver -------------------------------------------------------------------------------- */

static uint64_t place_gpa(unsigned int block)
{
	return block * GMIG_BLOCK_BYTES + PLACE_PAGE * GMIG_PAGE_BYTES;
}

static void look(unsigned int block)
{
	const rig_word *words = rig_page(&rig, block * GMIG_BLOCK_PAGES + PLACE_PAGE);

	lost += stamp[block] != NO_STAMP && words[17] != stamp[block];
}

static uint8_t *status_of(unsigned int block)
{
	return vmm_guest_ptr(&vmm, HEADER_GPA + 512 + block, 1);
}

static void ask(unsigned int block)
{
	const uint64_t header_gpa = HEADER_GPA + block * sizeof(struct virtio_blk_outhdr);
	const struct driver_piece pieces[] = {
	    {header_gpa, sizeof(struct virtio_blk_outhdr), false},
	    {place_gpa(block), GMIG_PAGE_BYTES, true},
	    {HEADER_GPA + 512 + block, 1, true},
	};
	struct virtio_blk_outhdr *header = vmm_guest_ptr(&vmm, header_gpa, sizeof(*header));

	stamp[block] = (stamp[block] + 1 + block) % FILE_PAGES;
	*header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN,
					     .sector = stamp[block] * GMIG_PAGE_BYTES / 512};
	*status_of(block) = 0xee;
	driver_add(&driver, 0, pieces, 3);
}

/* Returns how many requests it has made. */
static unsigned int batch(void)
{
	struct vring_used_elem elem;

	for (unsigned int block = 0; block < AT_ONCE; block++) {
		look(block);
		ask(block);
	}
	driver_notify(&driver, 0);
	for (unsigned int count = 0; count < AT_ONCE; count++)
		while (!driver_take_used(&driver, 0, &elem))
			sched_yield();
	for (unsigned int block = 0; block < AT_ONCE; block++)
		ck_assert_uint_eq(*status_of(block), VIRTIO_BLK_S_OK);
	return AT_ONCE;
}

static void *driver_thread(void *arg)
{
	const bool until_lost = arg;

	for (unsigned int made = 0;
	     !(until_lost && lost) && (made < rounds || !atomic_load(&enough));)
		made += batch();
	for (unsigned int block = 0; block < AT_ONCE; block++)
		look(block);
	atomic_store(&done, true);
	return NULL;
}

/* ---- Tests ------------------------------------------------------------------------------------- */

/* Returns how many bytes were moved meanwhile. */
static uint64_t move_while_it_works(bool until_lost)
{
	struct gmig_job_spec there = rig_spec(0, 1), back = rig_spec(1, 0);
	struct gmig_job_info info;
	struct vmm_disk disk;
	uint64_t moved = 0;
	pthread_t thread;

	there.mode = back.mode = GMIG_MODE_READABLE;
	ck_assert_int_eq(pthread_create(&thread, NULL, driver_thread, until_lost ? &rig : NULL), 0);
	for (bool home = false; !atomic_load(&done); home = !home) {
		rig_move(&rig, home ? &back : &there, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		moved += info.moved_bytes;
		blk_device.report(blk, &disk);
		atomic_store(&enough, moved >= BYTES && disk.bounced);
	}
	pthread_join(thread, NULL);
	return moved;
}

/* The soak asks for more. */
static unsigned int rounds_or(unsigned int usual)
{
	const char *asked = getenv("GMIG_DMA_ROUNDS");

	return asked ? (unsigned int)strtoul(asked, NULL, 10) : usual;
}

START_TEST(disk_without_cache_loses_nothing_while_its_memory_moves)
{
	struct vmm_disk disk;
	uint64_t moved;

	start(_i, true);
	rounds = rounds_or(_i ? 1000 : 10000);
	moved = move_while_it_works(false);
	blk_device.report(blk, &disk);
	if (strcmp(disk.aio, "io_uring") != 0)
		printf("note: no io_uring here, one transfer at a time\n");
	ck_assert_uint_eq(lost, 0);
	ck_assert_uint_gt(disk.straight, 0);
	ck_assert_uint_gt(disk.bounced, 0);
	ck_assert_uint_ge(moved, BYTES);
	ck_assert_uint_eq(vmm.dma_now, 0);
	rig_assert_clean(&rig);
	end();
}
END_TEST

/* What the first test is worth. */
START_TEST(disk_that_does_not_announce_its_transfers_loses_some)
{
	start(false, false);
	rounds = 1000000;
	move_while_it_works(true);
	ck_assert_uint_gt(lost, 0);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_blk_moves");
	TCase *tcase = tcase_create("moves");

	if (!has_direct()) {
		printf("skipped: this directory's file system has no O_DIRECT\n");
		return 77;
	}
	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, disk_without_cache_loses_nothing_while_its_memory_moves, 0, 2);
	tcase_add_test(tcase, disk_that_does_not_announce_its_transfers_loses_some);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
