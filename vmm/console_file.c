/*
 * See console_file.h. Appending (O_APPEND) makes rotation by copying and truncating work: the next
 * write goes to the new end.
 */
#include "console_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse_open(const char *path, int error, struct gmig_error *err)
{
	if (error == ELOOP)
		return gmig_fail(err, -ELOOP,
				 "console: %s is a symbolic link, which is not followed: name the "
				 "file itself (for /dev/stdout: stdio)",
				 path);
	if (error == ENXIO)
		return gmig_fail(err, -ENXIO,
				 "console: %s is a FIFO that nobody reads, or a socket", path);
	return gmig_fail(err, -error, "console: %s: %s", path, strerror(error));
}

/*
 * As gmig-vmm and QEMU lock their disks: what a guest works on must not be emptied, nor written to. Where nobody can tell, neither;
 * a file system or a kernel without such locks has none.
 */
static int check_lock(int fd, const char *path, struct gmig_error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int ret;

	do
		ret = fcntl(fd, F_OFD_GETLK, &lock);
	while (ret && errno == EINTR);
	if (ret && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
		return gmig_fail(err, -errno,
				 "console: %s: cannot tell whether it is in use as a disk: %s; a "
				 "file that is new, or of a local file system, would do",
				 path, strerror(errno));
	if (!ret && lock.l_type != F_UNLCK)
		return gmig_fail(err, -EBUSY, "console: %s is in use, as a disk of another guest",
				 path);
	return 0;
}

static int prepare(int fd, const char *path, bool append, struct gmig_error *err)
{
	struct stat stat;
	int ret;

	if (fstat(fd, &stat))
		return gmig_fail(err, -errno, "console: %s: %s", path, strerror(errno));
	if (S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode))
		return 0;
	if (!S_ISREG(stat.st_mode))
		return gmig_fail(err, -EINVAL,
				 "console: %s is neither a file, a FIFO nor a character device",
				 path);
	/* Of an empty one nothing can be lost. */
	ret = stat.st_size ? check_lock(fd, path, err) : 0;
	if (ret)
		return ret;
	if (!append && ftruncate(fd, 0))
		return gmig_fail(err, -errno, "console: %s: %s", path, strerror(errno));
	return 0;
}

int console_file_open(const char *path, bool append, struct gmig_error *err)
{
	int fd = open(
	    path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	    0600);
	int ret;

	if (fd < 0)
		return refuse_open(path, errno, err);
	ret = prepare(fd, path, append, err);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}
