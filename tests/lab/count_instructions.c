/*
 * A plugin for QEMU: counts the instructions that the CPUs of the lab execute, and tells them to the lab.
 *
 * Each CPU has a counter of its own in a cache line of its own, which only its thread writes, at the beginning of each block of
 * translated code. A string instruction with a repeat prefix is one instruction, as a real CPU's counter has it, although QEMU
 * executes it as a block for each step. What is counted too much: the rest of a block that a fault cuts short, and
 * a string instruction once more for each interrupt in it.
 *
 * QEMU connects a port of the lab with two fifos, PATH.out and PATH.in. Whoever writes a line there reads
 * "LINE TOTAL": his own line, and the instructions of all CPUs since the start. A thread of the plugin answers.
 */
#include "qemu_plugin.h"
#include "x86_repeat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_LINE 64

int qemu_plugin_version = GMIG_PLUGIN_API;

struct cpu {
	_Alignas(CACHE_LINE) uint64_t
	    instructions; /* written by its CPU's thread alone, read by answer() */
	bool repeating;	  /* its last block ended in a step of a string instruction */
};

static struct cpu *cpus;
static int cpu_count;
static FILE *questions;
static int answers = -1;

/* What block_executed is told of a block: how many instructions, and these. */
enum { ENDS_IN_REPEAT = 1, ONLY_REPEAT = 2, COUNT_SHIFT = 2 };

static void block_executed(unsigned int cpu, void *opaque)
{
	uintptr_t block = (uintptr_t)opaque;
	struct cpu *own = &cpus[cpu];

	/* Not an atomic addition: nobody else writes it. */
	if (!own->repeating || !(block & ONLY_REPEAT))
		__atomic_store_n(&own->instructions, own->instructions + (block >> COUNT_SHIFT),
				 __ATOMIC_RELAXED);
	own->repeating = block & ENDS_IN_REPEAT;
}

static bool repeats(const struct qemu_plugin_insn *instruction)
{
	size_t bytes = qemu_plugin_insn_size(instruction);
#if GMIG_PLUGIN_API < 3
	const uint8_t *code = qemu_plugin_insn_data(instruction);
#else
	uint8_t code[16];

	bytes =
	    qemu_plugin_insn_data(instruction, code, bytes < sizeof(code) ? bytes : sizeof(code));
#endif
	return x86_repeats(code, bytes);
}

static void block_translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);
	uintptr_t block = count << COUNT_SHIFT;

	(void)id;
	if (count && repeats(qemu_plugin_tb_get_insn(tb, count - 1)))
		block |= count == 1 ? ENDS_IN_REPEAT | ONLY_REPEAT : ENDS_IN_REPEAT;
	qemu_plugin_register_vcpu_tb_exec_cb(
	    tb, block_executed, QEMU_PLUGIN_CB_NO_REGS,
	    (void *)block); /* NOLINT(performance-no-int-to-ptr): a number */
}

static uint64_t total(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < cpu_count; i++)
		sum += __atomic_load_n(&cpus[i].instructions, __ATOMIC_RELAXED);
	return sum;
}

static void *answer(void *unused)
{
	char line[64];

	(void)unused;
	while (fgets(line, sizeof(line), questions)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (dprintf(answers, "%s %" PRIu64 "\n", line, total()) < 0)
			break;
	}
	return NULL;
}

/* Both ways, so that neither side waits for the other to open it, and there is no end of file. */
static int open_fifo(const char *path, const char *suffix)
{
	char name[4096];
	int fd;

	if (snprintf(name, sizeof(name), "%s%s", path, suffix) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	fd = open(name, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The signals are QEMU's own threads'. */
static int start_thread(void)
{
	pthread_t thread;
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, answer, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static int start(const struct qemu_plugin_info *info, const char *path)
{
	int fd;

	cpu_count = info->max_vcpus;
	cpus = aligned_alloc(CACHE_LINE, (size_t)cpu_count * sizeof(*cpus));
	if (!cpus)
		return -ENOMEM;
	memset(cpus, 0, (size_t)cpu_count * sizeof(*cpus));
	fd = open_fifo(path, ".out");
	if (fd < 0)
		return fd;
	questions = fdopen(fd, "r");
	answers = open_fifo(path, ".in");
	if (answers < 0)
		return answers;
	return questions ? start_thread() : -ENOMEM;
}

int qemu_plugin_install(uint64_t id, const struct qemu_plugin_info *info, int argc, char **argv)
{
	int rc;

	if (argc != 1 || strncmp(argv[0], "pipe=", 5) || !info->system_emulation ||
	    info->max_vcpus < 1) {
		fprintf(stderr,
			"count-instructions: one argument, pipe=PATH, and a whole machine\n");
		return -EINVAL;
	}
	rc = start(info, argv[0] + 5);
	if (rc) {
		fprintf(stderr, "count-instructions: %s: %s\n", argv[0] + 5, strerror(-rc));
		return rc;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
	return 0;
}
