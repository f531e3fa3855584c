/*
 * A machine of gmig-vmm in the test's own process, with a guest of a few instructions in ring 0.
 * The guest tells what it does by writes to NATIVE_PORT; a test looks at them in order, and may make
 * the guest's next access wait.
 */
#ifndef NATIVE_H
#define NATIVE_H

#include "../../vmm/machine.h"

#include <check.h>

#define NATIVE_PORT	0x510u	    /* out: a byte for the record; in: held, then 0 */
#define NATIVE_MMIO_GPA 0xd0000000u /* two pages: reads and writes are held, reads give 0 */

/* 0, or 77 with the reason printed: no machine can be made here. */
int native_missing(void);

/* The path of a bzImage with this code, valid in this process and in children that inherit its
 * descriptors. */
const char *native_image(const uint8_t *code, size_t bytes);
/* A running guest: `code` is entered in long mode with memory mapped one to one. options: words for
 * gmig-vmm, NULL-ended; memory is plain unless they say otherwise. Fails the test when it cannot be started. */
struct vmm *native_start(const uint8_t *code, size_t bytes, const char *const *options);
void native_end(struct vmm *vmm);

enum native_hold {
	NATIVE_HOLD_NOT,
	NATIVE_HOLD_UNTIL_PARK, /* until the gate's order is to park: the vCPU then has I/O that KVM
				   must complete */
	NATIVE_HOLD_UNTIL_FREE, /* until native_free(): the vCPU does not park */
};
/* How long a held access lasts from now on; the record begins anew. */
void native_hold(enum native_hold hold);
void native_free(void);
/* Wait until an access is held that no earlier call has waited for. */
void native_await_held(void);
/* Wait until the record has `count` bytes, at most 10 s, and return it, NUL-ended. */
const char *native_record(size_t count);

#endif
