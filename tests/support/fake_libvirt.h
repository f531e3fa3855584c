/*
 * The libvirt of a domain of domain_rig.h, as far as pins go: it refuses, hangs, is late or away, and lives on when gmigd is killed. Static, for one test program.
 */
#ifndef TEST_FAKE_LIBVIRT_H
#define TEST_FAKE_LIBVIRT_H

#include "../../control/guest.h"
#include "domain_rig.h"

#include <sys/mman.h>

#define THREADS 4 /* vCPUs 0 to 2, and the emulator */

/* libvirt: it lives on when gmigd is killed. */
struct fake_libvirt {
	int domain;
	struct pin pin[THREADS];		 /* before: what it has pinned now */
	unsigned int calls, fail_at, fail_until; /* set_pin number fail_at.. fails with: */
	int failure;
	bool late; /* what fails with a time-out is done all the same */
	atomic_int get_failure;
	unsigned int die_at; /* the call in which gmigd is killed; UINT_MAX: none */
	const char *kernel;  /* what the kernel says of the emulator; NULL: as pinned */
};
static struct fake_libvirt *libvirt;

static void pin_cpus(struct pin_cpus *cpus, unsigned int first, unsigned int last)
{
	*cpus = (struct pin_cpus){{0}};
	for (unsigned int cpu = first; cpu <= last; cpu++)
		cpus->word[cpu / 64] |= 1ull << (cpu % 64);
}

static void maybe_die(void)
{
	if (libvirt->calls++ == libvirt->die_at)
		_exit(9);
}

static int get_pins(void *opaque, const char *uuid, struct pin_set **set, struct gmig_error *error)
{
	(void)opaque;
	ck_assert_str_eq(uuid, FAKE_UUID);
	if (libvirt->get_failure)
		return gmig_fail(error, libvirt->get_failure, "libvirt is asked in vain");
	maybe_die();
	*set = pin_set_create(THREADS);
	(*set)->domain = libvirt->domain;
	memcpy((*set)->pin, libvirt->pin, sizeof(libvirt->pin));
	return 0;
}

static void tell_kernel(const struct pin_cpus *cpus)
{
	char *text = malloc(PIN_CPU_TEXT);

	fake_file("77/task/77/status",
		  "Name:\tqemu\nCpus_allowed_list:\t%s\nMems_allowed_list:\t0-3\n",
		  libvirt->kernel ? libvirt->kernel : pin_cpus_print(cpus, text));
	free(text);
}

static int set_pin(void *opaque, const char *uuid, int id, const struct pin *pin,
		   const struct pin_cpus *cpus, struct gmig_error *error)
{
	unsigned int now = libvirt->calls;
	bool fails = now >= libvirt->fail_at && now < libvirt->fail_until;

	(void)opaque, (void)uuid;
	if (id != libvirt->domain)
		return gmig_fail(error, -ESRCH, "the domain has ended");
	maybe_die();
	if (fails && !libvirt->late)
		return gmig_fail(error, libvirt->failure, "libvirt says no");
	for (unsigned int i = 0; i < THREADS; i++)
		if (libvirt->pin[i].kind == pin->kind && libvirt->pin[i].id == pin->id)
			libvirt->pin[i].before = *cpus;
	if (pin->kind == PIN_EMULATOR)
		tell_kernel(cpus);
	return fails ? gmig_fail(error, libvirt->failure, "libvirt is late") : 0;
}

/* vCPU 0 on CPU 1, vCPU 1 on CPU 2, vCPU 2 on node 1 already; the emulator on all of node 0. */
static inline void reset_libvirt(void)
{
	*libvirt = (struct fake_libvirt){.get_failure = 0,
					 .domain = 5,
					 .fail_at = UINT_MAX,
					 .fail_until = UINT_MAX,
					 .die_at = UINT_MAX};
	for (unsigned int i = 0; i < 3; i++)
		libvirt->pin[i] = (struct pin){.kind = PIN_VCPU, .id = i};
	libvirt->pin[3] = (struct pin){.kind = PIN_EMULATOR};
	pin_cpus(&libvirt->pin[0].before, 1, 1);
	pin_cpus(&libvirt->pin[1].before, 2, 2);
	pin_cpus(&libvirt->pin[2].before, 7, 7);
	pin_cpus(&libvirt->pin[3].before, 0, 3);
}

static inline void setup_pins(void)
{
	setup();
	libvirt =
	    mmap(NULL, sizeof(*libvirt), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(libvirt, MAP_FAILED);
	reset_libvirt();
	tell_kernel(&libvirt->pin[3].before);
	host.get_pins = get_pins;
	host.set_pin = set_pin;
}

/* "5 6 7 4-7" */
static inline const char *pinned(void)
{
	static char all[256];
	char *text = malloc(PIN_CPU_TEXT);

	*all = '\0';
	for (unsigned int i = 0; i < THREADS; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? " " : "",
			 pin_cpus_print(&libvirt->pin[i].before, text));
	free(text);
	return all;
}

#define BEFORE "1 2 7 0-3"
#define AFTER  "5 6 7 4-7"

static inline struct gmig_job_spec with_vcpus(void)
{
	struct gmig_job_spec spec = to_1;

	spec.user = GUEST_VCPUS_ALL;
	return spec;
}

#endif
