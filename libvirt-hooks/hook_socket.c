#include "hook_socket.h"
#include "../control/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_MAX 4096

/* Only root writes: libvirt runs hooks as root. */
static int bind_at(int fd, const struct sockaddr_un *address)
{
	if (unlink(address->sun_path) && errno != ENOENT)
		return -errno;
	if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return -errno;
	return 0;
}

int hook_socket_open(const char *path, struct gmig_error *err)
{
	struct sockaddr_un address;
	int fd, ret = control_address(path, &address, err);

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ret = fd < 0 ? -errno : bind_at(fd, &address);
	if (!ret)
		return fd;
	if (fd >= 0)
		close(fd);
	return gmig_fail(err, ret, "the hook's socket '%.100s': %s", path, strerror(-ret));
}

void hook_socket_drain(int fd)
{
	char byte;

	/* Whoever writes without end gets his turn again later. */
	for (int i = 0; i < DRAIN_MAX && (recv(fd, &byte, 1, 0) >= 0 || errno == EINTR); i++)
		continue;
}

void hook_socket_close(int fd, const char *path)
{
	if (fd < 0)
		return;
	close(fd);
	unlink(path);
}
