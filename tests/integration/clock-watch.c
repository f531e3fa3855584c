/*
 * In a Linux guest: where KVM's own pages of guest memory are, then whether its clocks go on.
 *   clock-watch
 * First a line `KVM-PAGE CPU NAME ADDRESS` for each page by which KVM and this kernel talk, read from the MSR that names it
 * (/dev/cpu/N/msr; Documentation/virt/kvm/x86/msr.rst). Then, with a thread on each CPU that reads the clocks, a line
 * `CLOCKS seconds=N reads=N backwards=N silent=MS steal_backwards=N source=NAME` every two seconds, for ever. `backwards`: a clock
 * was behind what it had been before, on whichever CPU; `silent`: the longest time in ms that a CPU did not read, since the last line.
 * Static, libc alone: it goes into an initrd.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX 64

/* Bits below the address are flags. */
static const struct {
	const char *name;
	uint32_t msr;
	uint64_t flags;
} pages[] = {
    {"kvm-clock", 0x4b564d01, 1},
    {"async-pf", 0x4b564d02, 63},
    {"steal-time", 0x4b564d03, 63},
    {"pv-eoi", 0x4b564d04, 3},
};

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME};

#define CLOCKS (sizeof(clocks) / sizeof(clocks[0]))

static _Atomic uint64_t latest[CLOCKS];
static atomic_ullong reads, backwards, silent_ns;

static uint64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void name_pages(int cpu)
{
	char path[64];
	uint64_t value;
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, O_RDONLY);
	for (size_t i = 0; fd >= 0 && i < sizeof(pages) / sizeof(pages[0]); i++)
		if (pread(fd, &value, sizeof(value), pages[i].msr) == sizeof(value) && value & 1)
			printf("KVM-PAGE %d %s 0x%llx\n", cpu, pages[i].name,
			       (unsigned long long)(value & ~pages[i].flags));
	if (fd >= 0)
		close(fd);
}

static void raise_to(_Atomic uint64_t *most, uint64_t value)
{
	uint64_t old = atomic_load(most);

	while (old < value && !atomic_compare_exchange_weak(most, &old, value))
		;
}

/* Time before the read is no later than the read, whoever read it. */
static void read_clocks(void)
{
	for (size_t i = 0; i < CLOCKS; i++) {
		uint64_t before = atomic_load(&latest[i]), time = now(clocks[i]);

		if (time < before)
			atomic_fetch_add(&backwards, 1);
		raise_to(&latest[i], time);
	}
	atomic_fetch_add(&reads, 1);
}

static void *watch(void *arg)
{
	cpu_set_t set;
	uint64_t last;

	CPU_ZERO(&set);
	CPU_SET((int)(intptr_t)arg, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		return NULL;
	last = now(CLOCK_MONOTONIC);
	for (;;) {
		uint64_t time;

		for (unsigned int i = 0; i < 100; i++)
			read_clocks();
		time = now(CLOCK_MONOTONIC);
		raise_to((_Atomic uint64_t *)&silent_ns, time - last);
		last = time;
		usleep(1000); /* the timer's interrupt, and its end */
	}
}

/* The eighth figure of /proc/stat's first line. */
static uint64_t steal(void)
{
	unsigned long long value[8] = {0};
	FILE *file = fopen("/proc/stat", "r");

	if (!file)
		return 0;
	if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &value[0], &value[1],
		   &value[2], &value[3], &value[4], &value[5], &value[6], &value[7]) != 8)
		value[7] = 0;
	fclose(file);
	return value[7];
}

static void source(char *name, size_t bytes)
{
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");

	if (!file || !fgets(name, (int)bytes, file))
		snprintf(name, bytes, "unknown");
	name[strcspn(name, "\n")] = 0;
	if (file)
		fclose(file);
}

int main(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int steal_backwards = 0;
	uint64_t stolen = steal();
	char name[64];
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (long cpu = 0; cpu < cpus && cpu < CPUS_MAX; cpu++)
		name_pages((int)cpu);
	for (long cpu = 0; cpu < cpus && cpu < CPUS_MAX; cpu++)
		if (pthread_create(&thread, NULL, watch, (void *)(intptr_t)cpu))
			return 1;
	for (unsigned int seconds = 0;; seconds += 2) {
		uint64_t more = steal();

		steal_backwards += more < stolen;
		stolen = more;
		source(name, sizeof(name));
		printf("CLOCKS seconds=%u reads=%llu backwards=%llu silent=%llu steal_backwards=%u "
		       "source=%s\n",
		       seconds, atomic_load(&reads), atomic_load(&backwards),
		       atomic_exchange(&silent_ns, 0) / 1000000, steal_backwards, name);
		sleep(2);
	}
}
