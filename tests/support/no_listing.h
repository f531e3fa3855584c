/* Directories that open and cannot be listed, as of a disk that breaks: getdents64(2) fails with EIO in a child, and for nobody else. */
#ifndef TEST_NO_LISTING_H
#define TEST_NO_LISTING_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_LISTING_SKIP 1000 /* no filter is to be had here */

static inline int refuse_listing(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getdents64, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}

/* What act() returns where nothing can be listed: 0, or -errno. */
static inline int without_listing(int (*act)(void))
{
	pid_t child = fork();
	int status = 0;

	if (!child)
		_exit(refuse_listing() ? 255 : -act());
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -ECHILD;
	return WEXITSTATUS(status) == 255 ? NO_LISTING_SKIP : -WEXITSTATUS(status);
}

#endif
