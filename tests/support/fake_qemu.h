/*
 * A process that looks like a domain's QEMU: its command line, its threads' names, its memory. It is the test program itself, started
 * again: main() begins with `if (fake_qemu_is(argc, argv)) return fake_qemu_main(argc, argv);`.
 */
#ifndef FAKE_QEMU_H
#define FAKE_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* For domains of a tree of files. A process that is started has a UUID of this test alone: others run beside it. */
#define FAKE_UUID  "6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11"
#define FAKE_UUID2 "7a1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c22"

#define FAKE_QEMU_UUIDS 3
const char *fake_qemu_uuid(unsigned int number);

struct fake_qemu {
	const char *name, *uuid;
	size_t anon_mib, memfd_mib; /* guest memory, all of it written to */
	unsigned int vcpus;	    /* threads that do nothing */
};

bool fake_qemu_is(int argc, char **argv);
int fake_qemu_main(int argc, char **argv);
/* Its pid, when memory and threads are there. */
pid_t fake_qemu_start(const struct fake_qemu *fake);
/* Killed and waited for. */
void fake_qemu_end(pid_t pid);

#endif
