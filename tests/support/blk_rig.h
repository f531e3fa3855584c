/*
 * A virtual disk with a driver, for the tests of virtio_blk.c: system calls on its file are counted
 * and made to fail. Each program includes it once, since the functions below take the place of the C
 * library's.
 */
#ifndef BLK_RIG_H
#define BLK_RIG_H

#include "../../vmm/sandbox.h"
#include "fake_machine.h"
#include "fake_ring.h"
#include "suite.h"
#include "virtio_driver.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTORS	   64
#define HEADER_GPA 0x200000ull
#define DATA_GPA   0x201000ull
#define STATUS_GPA 0x20f000ull
#define NO_STATUS  0xee
#define FLUSH	   (1ull << VIRTIO_BLK_F_FLUSH)
#define CHANGES	   (1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES)
#define DONTCACHE  0x80 /* RWF_DONTCACHE */

static struct vmm vmm;
static struct vmm_options options;
static struct device_context context;
static void *bus, *blk;
static struct driver driver;
static char path[] = "/tmp/gmig-test-blk-XXXXXX";
/* fail_transfer, fail_write, fail_direct (past the cache), fail_allocate: an errno; refuse_flags: RWF_ that the file cannot. */
static atomic_int syncs, fail_sync, fail_transfer, fail_write, fail_direct, fail_allocate,
    short_transfers, hold, held, refuse_flags, refusals, last_write_flags, allocate_mode;

/* These stand before the C library's. */
int fdatasync(int fd)
{
	(void)fd;
	syncs++;
	if (!fail_sync)
		return 0;
	errno = fail_sync;
	return -1;
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	allocate_mode = mode;
	if (fail_allocate) {
		errno = fail_allocate;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
}

/* One byte short of a piece, so that the rest has to be asked for. */
static inline int shorten(const struct iovec *iov, int count, struct iovec *first)
{
	if (!short_transfers || iov->iov_len < 8)
		return count;
	*first = *iov;
	first->iov_len -= 7;
	return 1;
}

static inline void wait_while_held(void)
{
	while (hold) {
		held = 1;
		poll(NULL, 0, 1);
	}
	held = 0;
}

static inline void wait_until_held(void)
{
	while (!held)
		poll(NULL, 0, 1);
}

static inline ssize_t transfer(const struct iovec *iov, int count, int fd, off_t offset, bool write)
{
	struct iovec first;
	int pieces = shorten(iov, count, &first);
	const struct iovec *use = pieces == count ? iov : &first;
	ssize_t total = 0;

	wait_while_held();
	if (fail_transfer || (write && fail_write)) {
		errno = fail_transfer ? fail_transfer : fail_write;
		return -1;
	}
	if (fail_direct && fcntl(fd, F_GETFL) & O_DIRECT) {
		errno = fail_direct;
		return -1;
	}
	for (int i = 0; i < pieces; i++) {
		ssize_t done = write ? pwrite(fd, use[i].iov_base, use[i].iov_len, offset + total)
				     : pread(fd, use[i].iov_base, use[i].iov_len, offset + total);

		if (done < 0)
			return -1;
		total += done;
		if ((size_t)done < use[i].iov_len)
			break;
	}
	return total;
}

static inline bool refused(int flags)
{
	if (!(flags & refuse_flags))
		return false;
	refusals++;
	errno = EOPNOTSUPP;
	return true;
}

ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (refused(flags))
		return -1;
	return transfer(iov, count, fd, offset, false);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (refused(flags))
		return -1;
	last_write_flags = flags;
	return transfer(iov, count, fd, offset, true);
}

/* What the file system says of O_DIRECT; -1: what it really says, 0: it has none. */
static atomic_int dio_align = -1;

int statx(int fd, const char *restrict name, int flags, unsigned int mask,
	  struct statx *restrict st)
{
	int ret = (int)syscall(SYS_statx, fd, name, flags, mask, st);

	if (ret || dio_align < 0 || !(mask & STATX_DIOALIGN))
		return ret;
	st->stx_mask |= STATX_DIOALIGN;
	st->stx_dio_offset_align = st->stx_dio_mem_align = (unsigned int)dio_align;
	return 0;
}

/* With these features accepted by the driver. */
static inline void start_with(bool readonly, off_t bytes, uint64_t features)
{
	ck_assert_int_eq(truncate(path, bytes), 0);
	options.disk[0] = path;
	options.disk_readonly[0] = readonly;
	options.disk_count = 1;
	ck_assert_int_eq(blk_device.create(&context, 0, &blk, NULL), 0);
	driver_probe(&driver, &vmm, VIRTIO_ID_BLOCK);
	driver_start(&driver, features, 1);
}

static inline void start(bool readonly, off_t bytes)
{
	start_with(readonly, bytes, FLUSH);
}

/* As in gmig-vmm; the test's own threads stay outside. */
static inline void enter_sandbox(void)
{
	struct gmig_error err;
	const char *why;

	if (sandbox_turn_on(&why))
		ck_assert_msg(!sandbox_enter(SANDBOX_DEVICE, &err), "%s", err.text);
}

static inline void setup(void)
{
	int fd = mkstemp(path);

	fake_helper_begins = enter_sandbox;

	ck_assert_int_ge(fd, 0);
	close(fd);
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	context = (struct device_context){.vmm = &vmm, .options = &options};
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
}

static inline void teardown(void)
{
	if (blk)
		blk_device.destroy(blk);
	pci_device.destroy(bus);
	fake_vmm_destroy(&vmm);
	unlink(path);
}

static inline bool carries_data(uint32_t type)
{
	return type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD ||
	       type == VIRTIO_BLK_T_WRITE_ZEROES;
}

static inline void put_request(uint32_t type, uint64_t sector, uint32_t bytes)
{
	const struct driver_piece pieces[] = {
	    {HEADER_GPA, sizeof(struct virtio_blk_outhdr), false},
	    {DATA_GPA, bytes, !carries_data(type)},
	    {STATUS_GPA, 1, true},
	};
	const struct driver_piece flush[] = {pieces[0], pieces[2]};
	struct virtio_blk_outhdr *header = vmm_guest_ptr(&vmm, HEADER_GPA, sizeof(*header));

	*header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	*(uint8_t *)vmm_guest_ptr(&vmm, STATUS_GPA, 1) = NO_STATUS;
	driver_add(&driver, 0, bytes ? pieces : flush, bytes ? 3 : 2);
	driver_notify(&driver, 0);
}

/* Returns the status; *bytes (may be NULL): what the device says it wrote. */
static inline uint8_t request(uint32_t type, uint64_t sector, uint32_t bytes, uint32_t *used_bytes)
{
	struct vring_used_elem elem;

	put_request(type, sector, bytes);
	elem = driver_wait_used(&driver, 0);
	if (used_bytes)
		*used_bytes = elem.len;
	return *(uint8_t *)vmm_guest_ptr(&vmm, STATUS_GPA, 1);
}

static inline uint8_t *data(void)
{
	return vmm_guest_ptr(&vmm, DATA_GPA, 0x8000);
}

static inline void put_change(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes range = {sector, sectors, flags};

	memcpy(data(), &range, sizeof(range));
	put_request(type, 0, sizeof(range));
}

static inline uint8_t change(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	put_change(type, sector, sectors, flags);
	driver_wait_used(&driver, 0);
	return *(uint8_t *)vmm_guest_ptr(&vmm, STATUS_GPA, 1);
}

static inline void file_fill(char with, size_t bytes)
{
	FILE *file = fopen(path, "r+");

	while (bytes--)
		fputc(with, file);
	ck_assert_int_eq(fclose(file), 0);
}

static inline void file_read(char *into, long offset, size_t bytes)
{
	FILE *file = fopen(path, "r");

	ck_assert_int_eq(fseek(file, offset, SEEK_SET), 0);
	ck_assert_uint_eq(fread(into, 1, bytes, file), bytes);
	fclose(file);
}

#endif
