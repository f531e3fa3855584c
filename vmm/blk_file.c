/* See blk_file.h. */
#include "blk_file.h"
#include "../migrate/core/shortage.h"
#include "virtio_queue.h"
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SECTOR_BYTES 512u
#define ZERO_BYTES   65536u

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80 /* Linux 6.14 */
#endif

/* ---- Open, close ----------------------------------------------------------------------------- */

/*
 * Two guests on one disk destroy it. The lock belongs to the open file, so it is released even if we are killed. A file system
 * without locks, or without its lock server, is the operator's to know; what may go at the next try is no reason to do without.
 */
static int lock_file(const struct blk_file *file, struct gmig_error *err)
{
	struct flock lock = {.l_type = file->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	int ret;

	do
		ret = fcntl(file->fd, F_OFD_SETLK, &lock);
	while (ret && errno == EINTR);
	if (!ret)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return gmig_fail(err, -EBUSY, "disk %s is in use by another process", file->path);
	if (is_shortage(errno))
		return gmig_fail(err, -errno, "disk %s cannot be locked: %s", file->path,
				 strerror(errno));
	vmm_log(GMIG_LOG_WARNING,
		"device=blk file=%s lock=none reason=\"%s\": another guest can be started on it",
		file->path, strerror(errno));
	return 0;
}

/*
 * A guest caches its disk itself, so a second copy on the host only costs memory. A disk that is
 * read by several guests is kept. Linux 6.14 and 6.15 have the flag, too, but may drop a page that
 * was written again in the meantime (fixed in 6.16: "gate dropbehind invalidate on folio !dirty").
 */
static bool may_drop_cache(bool readonly)
{
	struct utsname name;
	unsigned long major, minor = 0;
	char *end;

	if (readonly || uname(&name))
		return false;
	major = strtoul(name.release, &end, 10);
	if (*end == '.')
		minor = strtoul(end + 1, NULL, 10);
	return major > 6 || (major == 6 && minor >= 16);
}

int blk_file_open(struct blk_file *file, const char *path, bool readonly, struct gmig_error *err)
{
	struct stat stat;
	off_t bytes;

	*file = (struct blk_file){.path = path,
				  .readonly = readonly,
				  .drop_cache = may_drop_cache(readonly),
				  .direct.fd = -1};
	file->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file->fd < 0)
		return gmig_fail(err, -errno, "disk %s: %s", path, strerror(errno));
	if (fstat(file->fd, &stat))
		return gmig_fail(err, -errno, "disk %s: %s", path, strerror(errno));
	file->block_device = S_ISBLK(stat.st_mode);
	if (!S_ISREG(stat.st_mode) && !file->block_device)
		return gmig_fail(err, -EINVAL, "disk %s is neither a file nor a block device",
				 path);
	bytes = lseek(file->fd, 0, SEEK_END);
	if (bytes < 0)
		return gmig_fail(err, -errno, "disk %s: %s", path, strerror(errno));
	if (bytes < (off_t)SECTOR_BYTES)
		return gmig_fail(err, -EINVAL, "disk %s is smaller than a sector", path);
	if (bytes % SECTOR_BYTES)
		vmm_log(GMIG_LOG_WARNING,
			"disk %s: the last %u bytes are no whole sector and left out", path,
			(unsigned int)(bytes % SECTOR_BYTES));
	file->bytes = (uint64_t)bytes / SECTOR_BYTES * SECTOR_BYTES;
	return lock_file(file, err);
}

void blk_file_close(struct blk_file *file)
{
	if (file->fd < 0)
		return;
	blk_file_flush(file);
	blk_direct_close(&file->direct);
	close(file->fd);
	file->fd = -1;
}

/* ---- Transfers ------------------------------------------------------------------------------- */

/* One system call's worth, as preadv2 and pwritev2 return it. */
static ssize_t transfer_some(struct blk_file *file, off_t offset, const struct iovec *iov,
			     int pieces, bool write, int flags)
{
	for (;;) {
		int all = flags | (file->drop_cache ? RWF_DONTCACHE : 0);
		ssize_t done = write ? pwritev2(file->fd, iov, pieces, offset, all)
				     : preadv2(file->fd, iov, pieces, offset, all);

		if (done >= 0)
			return done;
		if (errno == EOPNOTSUPP && file->drop_cache)
			file->drop_cache = false;
		else if (errno != EINTR)
			return -errno;
	}
}

static ssize_t some(struct blk_file *file, const struct blk_transfer *transfer)
{
	int flags = transfer->write && transfer->through ? RWF_DSYNC : 0;

	if (blk_direct_can(&file->direct, transfer)) {
		ssize_t done = blk_direct_some(&file->direct, transfer);

		if (done != -EINVAL)
			return done;
	}
	return transfer_some(file, (off_t)transfer->offset, transfer->iov, (int)transfer->pieces,
			     transfer->write, flags);
}

int blk_file_transfer(struct blk_file *file, struct blk_transfer *transfer)
{
	while (transfer->bytes) {
		ssize_t done = some(file, transfer);

		if (done <= 0)
			return done ? (int)done : -EIO;
		transfer->bytes -= (uint64_t)done;
		transfer->offset += (uint64_t)done;
		transfer->pieces = virtio_cut_pieces(transfer->iov, transfer->pieces, (size_t)done,
						     transfer->bytes, &transfer->iov);
	}
	return 0;
}

int blk_file_flush(struct blk_file *file)
{
	int ret;

	if (file->readonly)
		return 0;
	if (file->sync_failed)
		return -EIO;
	if (!fdatasync(file->fd))
		return 0;
	ret = -errno;
	file->sync_failed = true;
	vmm_log(GMIG_LOG_ERROR,
		"device=blk file=%s fdatasync failed: %s; written data may be lost, and no flush "
		"succeeds until gmig-vmm is started again",
		file->path, strerror(-ret));
	return ret;
}

/* ---- Discard, zeros -------------------------------------------------------------------------- */

static int allocate(const struct blk_file *file, int mode, uint64_t offset, uint64_t bytes)
{
	int ret;

	do
		ret = fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
	while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

int blk_file_discard(struct blk_file *file, uint64_t offset, uint64_t bytes)
{
	uint64_t range[2] = {offset, bytes};
	int ret;

	if (file->block_device)
		ret = ioctl(file->fd, BLKDISCARD, range) ? -errno : 0;
	else
		ret = allocate(file, FALLOC_FL_PUNCH_HOLE, offset, bytes);
	return ret == -EOPNOTSUPP || ret == -ENOSYS ? 0 : ret;
}

static int write_zeros(struct blk_file *file, uint64_t offset, uint64_t bytes)
{
	static uint8_t zeros[ZERO_BYTES]; /* never written */
	int ret = 0;

	while (!ret && bytes) {
		uint64_t part = bytes < sizeof(zeros) ? bytes : sizeof(zeros);
		struct iovec iov = {zeros, part};
		struct blk_transfer transfer = {
		    .offset = offset, .bytes = part, .iov = &iov, .pieces = 1, .write = true};

		ret = blk_file_transfer(file, &transfer);
		offset += part;
		bytes -= part;
	}
	return ret;
}

int blk_file_zero(struct blk_file *file, uint64_t offset, uint64_t bytes, bool unmap)
{
	int ret = -EOPNOTSUPP;

	if (unmap)
		ret = allocate(file, FALLOC_FL_PUNCH_HOLE, offset, bytes);
	if (ret == -EOPNOTSUPP)
		ret = allocate(file, FALLOC_FL_ZERO_RANGE, offset, bytes);
	return ret == -EOPNOTSUPP || ret == -ENOSYS ? write_zeros(file, offset, bytes) : ret;
}
