#include "fake_qemu.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB   (1ul << 20)
#define READY 3 /* the descriptor that is written to */

/* ---- In the process -------------------------------------------------------------------------- */

bool fake_qemu_is(int argc, char **argv)
{
	return argc > 1 && !strcmp(argv[1], "-name");
}

static const char *option(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], name))
			return argv[i + 1];
	return "0";
}

/* A guard on each side, so that the kernel merges it with nothing; as QEMU does it. */
static void map_ram(size_t mib, int fd)
{
	size_t bytes = mib * MIB;
	char *area;

	if (!bytes)
		return;
	area = mmap(NULL, bytes + 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	area = mmap(area + MIB, bytes, PROT_READ | PROT_WRITE,
		    MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), fd, 0);
	if (area == MAP_FAILED)
		_exit(3);
	madvise(area, bytes, MADV_NOHUGEPAGE);
	madvise(area, bytes, MADV_DONTFORK);
	memset(area, 7, bytes);
}

struct thread_name {
	char text[32];
	pthread_barrier_t *named;
};

static void *idle(void *opaque)
{
	struct thread_name *name = opaque;

	pthread_setname_np(pthread_self(), name->text);
	pthread_barrier_wait(name->named);
	for (;;)
		pause();
	return NULL;
}

static void start_threads(unsigned int vcpus)
{
	static struct thread_name names[64];
	static pthread_barrier_t named;
	pthread_t thread;

	pthread_barrier_init(&named, NULL, vcpus + 2);
	for (unsigned int i = 0; i <= vcpus; i++) {
		if (i < vcpus)
			snprintf(names[i].text, sizeof(names[i].text), "CPU %u/KVM", i);
		else
			snprintf(names[i].text, sizeof(names[i].text), "IO iothread1");
		names[i].named = &named;
		if (pthread_create(&thread, NULL, idle, &names[i]))
			_exit(4);
	}
	pthread_barrier_wait(&named);
}

int fake_qemu_main(int argc, char **argv)
{
	size_t memfd_mib = strtoul(option(argc, argv, "-memfd"), NULL, 10);
	int fd = -1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (memfd_mib) {
		fd = memfd_create("memory-backend-memfd", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)(memfd_mib * MIB)))
			return 2;
	}
	map_ram(strtoul(option(argc, argv, "-anon"), NULL, 10), -1);
	map_ram(memfd_mib, fd);
	start_threads((unsigned int)strtoul(option(argc, argv, "-vcpus"), NULL, 10));
	if (write(READY, "r", 1) != 1)
		return 5;
	for (;;)
		pause();
}

/* ---- In the test ----------------------------------------------------------------------------- */

const char *fake_qemu_uuid(unsigned int number)
{
	static char text[FAKE_QEMU_UUIDS][40];

	ck_assert_uint_lt(number, FAKE_QEMU_UUIDS);
	snprintf(text[number], sizeof(text[0]), "%08x-0f1b-4d1a-9d5c-2f6f3a0b7c%02x",
		 (unsigned int)getpid(), number);
	return text[number];
}

pid_t fake_qemu_start(const struct fake_qemu *fake)
{
	char guest[128], anon[16], memfd[16], vcpus[16], ready;
	int pipe_fds[2];
	pid_t pid;

	snprintf(guest, sizeof(guest), "guest=%s,debug-threads=on", fake->name);
	snprintf(anon, sizeof(anon), "%zu", fake->anon_mib);
	snprintf(memfd, sizeof(memfd), "%zu", fake->memfd_mib);
	snprintf(vcpus, sizeof(vcpus), "%u", fake->vcpus);
	ck_assert_int_eq(pipe(pipe_fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		int out =
		    dup(pipe_fds[1]); /* not READY itself, which dup2() would leave as it is */

		dup2(out, READY);
		close(pipe_fds[0]);
		execl("/proc/self/exe", "qemu-system-x86_64", "-name", guest, "-anon", anon,
		      "-memfd", memfd, "-vcpus", vcpus, "-uuid", fake->uuid, (char *)NULL);
		_exit(1);
	}
	close(pipe_fds[1]);
	ck_assert_int_eq(read(pipe_fds[0], &ready, 1), 1);
	close(pipe_fds[0]);
	return pid;
}

void fake_qemu_end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
