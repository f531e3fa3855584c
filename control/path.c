/* Where the control sockets are. */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int control_socket_dir(char *path, size_t bytes, struct gmig_error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int length;

	if (runtime && *runtime)
		length = snprintf(path, bytes, "%s/gmig", runtime);
	else if (geteuid() == 0)
		length = snprintf(path, bytes, "/run/gmig");
	else
		return gmig_fail(
		    err, -ENOENT,
		    "XDG_RUNTIME_DIR is not set: there is no place for the control socket; export "
		    "XDG_RUNTIME_DIR=/run/user/$(id -u), or a directory of your own");
	if (length < 0 || (size_t)length >= bytes)
		return gmig_fail(err, -ENAMETOOLONG,
				 "the path of the control socket's directory is too long");
	return 0;
}

int control_socket_path(const char *name, char *path, size_t bytes, struct gmig_error *err)
{
	size_t length = strlen(name);
	int rc;

	if (!length || length > 64)
		return gmig_fail(err, -EINVAL, "a guest's name has 1 to 64 bytes, this one has %zu",
				 length);
	if (name[0] == '.' || strchr(name, '/'))
		return gmig_fail(err, -EINVAL,
				 "a guest's name has no '/' and does not begin with '.': '%s'",
				 name);
	if (!strcmp(name, "gmigd"))
		return gmig_fail(err, -EINVAL, "'gmigd' is the daemon's name, not a guest's");
	rc = control_socket_dir(path, bytes, err);
	if (rc)
		return rc;
	if (strlen(path) + length + sizeof("/.sock") > bytes)
		return gmig_fail(err, -ENAMETOOLONG, "the path of the control socket is too long");
	strcat(path, "/");
	strcat(path, name);
	strcat(path, ".sock");
	return 0;
}
