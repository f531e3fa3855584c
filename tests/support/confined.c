/*
 * Runs COMMAND with no system calls but those of a list, as SystemCallFilter= and SystemCallErrorNumber=EPERM of systemd.exec(5)
 * have it: what a unit forbids fails in the tests, too, where no systemd runs.
 * usage: confined FILE COMMAND [ARG..]
 * FILE: names of system calls, one a line; those that this machine does not have are passed over, as systemd does.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int allow(scmp_filter_ctx filter, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);
	int ret = number < 0 ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);

	if (ret)
		fprintf(stderr, "confined: %s: %s\n", name, strerror(-ret));
	return ret;
}

static int allow_all_of(scmp_filter_ctx filter, const char *path)
{
	FILE *file = fopen(path, "re");
	char name[128];
	int ret = 0;

	if (!file) {
		perror(path);
		return -errno;
	}
	while (!ret && fscanf(file, "%127s", name) == 1)
		ret = allow(filter, name);
	fclose(file);
	return ret;
}

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (argc < 3 || !filter) {
		fprintf(stderr, "usage: confined FILE COMMAND [ARG..]\n");
		return 2;
	}
	if (allow_all_of(filter, argv[1]) || seccomp_load(filter)) {
		fprintf(stderr, "confined: no filter\n");
		return 2;
	}
	seccomp_release(filter);
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
