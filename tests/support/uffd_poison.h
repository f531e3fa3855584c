/* UFFDIO_POISON, for headers that are older than Linux 6.6. */
#ifndef TEST_UFFD_POISON_H
#define TEST_UFFD_POISON_H

#include <linux/userfaultfd.h>

#ifndef UFFDIO_POISON
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

#endif
