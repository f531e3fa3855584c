#include "virsh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS  120000
#define MAX_WORDS 16

extern char **environ;

/* ---- What it prints -------------------------------------------------------------------------- */

/* The rest of the line that begins with key, which blanks and a colon follow. */
static bool value_of(const char *text, const char *key, char *value, size_t bytes)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length))
			continue;
		line += length;
		line += strspn(line, " ");
		if (*line != ':')
			continue;
		line += 1 + strspn(line + 1, " ");
		snprintf(value, bytes, "%.*s", (int)strcspn(line, "\n"), line);
		return true;
	}
	return false;
}

int virsh_parse_info(const char *text, struct virsh_info *out, struct gmig_error *err)
{
	char vcpus[32], memory[64], *unit;
	unsigned long long kib;

	memset(out, 0, sizeof(*out));
	if (!value_of(text, "Name", out->name, sizeof(out->name)) ||
	    !value_of(text, "UUID", out->uuid, sizeof(out->uuid)) ||
	    !value_of(text, "State", out->state, sizeof(out->state)) ||
	    !value_of(text, "CPU(s)", vcpus, sizeof(vcpus)) ||
	    !value_of(text, "Max memory", memory, sizeof(memory)))
		return gmig_fail(err, -EPROTO,
				 "virsh dominfo prints something else than it did: %.100s", text);
	kib = strtoull(memory, &unit, 10);
	if (!kib || kib > UINT64_MAX >> 10 || strcmp(unit, " KiB"))
		return gmig_fail(err, -EPROTO, "virsh dominfo: '%s' is no size of memory", memory);
	out->mem_bytes = kib << 10;
	out->vcpus = (unsigned int)strtoul(vcpus, NULL, 10);
	out->running = !strcmp(out->state, "running") || !strcmp(out->state, "idle");
	return 0;
}

int virsh_parse_numatune(const char *text, struct virsh_numatune *out, struct gmig_error *err)
{
	memset(out, 0, sizeof(*out));
	if (value_of(text, "numa_mode", out->mode, sizeof(out->mode)) &&
	    value_of(text, "numa_nodeset", out->nodeset, sizeof(out->nodeset)))
		return 0;
	return gmig_fail(err, -EPROTO, "virsh numatune prints something else than it did: %.100s",
			 text);
}

void virsh_plain_error(const char *said, char *text, size_t bytes)
{
	size_t used = 0;

	*text = '\0';
	while (*said && used + 1 < bytes) {
		size_t length = strcspn(said, "\n");
		const char *line = said;

		said += length + (said[length] == '\n');
		if (length >= strlen("error: ") && !strncmp(line, "error: ", strlen("error: "))) {
			line += strlen("error: ");
			length -= strlen("error: ");
		}
		if (!length)
			continue;
		snprintf(text + used, bytes - used, "%s%.*s", used ? ": " : "", (int)length, line);
		used += strlen(text + used);
	}
}

/* ---- Running it ------------------------------------------------------------------------------ */

/* In a process group of its own, which Ctrl-C does not reach. mask: of its signals. */
static int spawn(const char *const *words, const int *fd, const sigset_t *mask, pid_t *pid)
{
	const char *argv[MAX_WORDS + 5] = {"virsh", "-q", "-c", "qemu:///system"};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	size_t count = 4;
	int rc;

	setenv("LC_ALL", "C", 1); /* the words it prints are read */
	for (size_t i = 0; i < MAX_WORDS && words[i]; i++)
		argv[count++] = words[i];
	argv[count] = NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, fd[0], 1);
	posix_spawn_file_actions_adddup2(&actions, fd[1], 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, mask);
	rc = posix_spawnp(pid, argv[0], &actions, &attributes, (char **)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static int await(pid_t pid, int *status)
{
	struct pollfd poll_fd = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int ready = -1;

	if (poll_fd.fd >= 0) {
		ready = poll(&poll_fd, 1, LIMIT_MS);
		close(poll_fd.fd);
	}
	if (ready != 1)
		kill(pid, SIGKILL);
	if (waitpid(pid, status, 0) != pid)
		return -errno;
	return ready == 1 ? 0 : ready ? -EIO : -ETIMEDOUT;
}

static void read_text(int fd, char *text, size_t bytes)
{
	ssize_t got = pread(fd, text, bytes - 1, 0);

	text[got > 0 ? got : 0] = '\0';
}

/* Signals that would end us wait for virsh: whoever puts back what it set must come after it. */
static int spawn_and_await(const char *const *words, const int *fd, int *status)
{
	sigset_t ends, before;
	pid_t pid;
	int rc;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, &before);
	rc = spawn(words, fd, &before, &pid);
	if (!rc)
		rc = await(pid, status);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static int run(const char *const *words, const int *fd, struct gmig_error *err)
{
	char said[1024], plain[200];
	int status = 0, rc = spawn_and_await(words, fd, &status);

	if (rc == -ENOENT)
		return gmig_fail(err, -EOPNOTSUPP,
				 "virsh is not installed (package libvirt-clients)");
	if (rc)
		return gmig_fail(err, rc, "virsh %s: %s", words[0],
				 rc == -ETIMEDOUT ? "no answer within 120 s" : strerror(-rc));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	read_text(fd[1], said, sizeof(said));
	virsh_plain_error(said, plain, sizeof(plain));
	return gmig_fail(err, -EIO, "virsh %s: %s", words[0],
			 *plain ? plain : "it failed and said nothing");
}

int virsh_run(const char *const *words, char *text, size_t bytes, struct gmig_error *err)
{
	int fd[2] = {memfd_create("virsh", MFD_CLOEXEC), memfd_create("virsh-errors", MFD_CLOEXEC)};
	int rc;

	if (fd[0] < 0 || fd[1] < 0)
		rc = gmig_fail(err, -ENOMEM, "no memory for what virsh says");
	else
		rc = run(words, fd, err);
	if (!rc && text)
		read_text(fd[0], text, bytes);
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return rc;
}
