/*
 * virsh(1) against qemu:///system, as an operator calls it, and what it prints of a domain. Runs a
 * child; one thread.
 */
#ifndef BENCH_VIRSH_H
#define BENCH_VIRSH_H

#include "../../migrate/gmig_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRSH_NAME_BYTES 256

/*
 * `virsh -q -c qemu:///system WORD..`; words end in NULL. Its standard output into text, cut off
 * where there is no room (NULL: not wanted). -EOPNOTSUPP it is not installed; -ETIMEDOUT it was
 * killed after 120 s; -EIO it failed, and the text is what it said on standard error.
 */
int virsh_run(const char *const *words, char *text, size_t bytes, struct gmig_error *err);

struct virsh_info {
	char name[VIRSH_NAME_BYTES], uuid[64];
	unsigned int vcpus;
	uint64_t mem_bytes;
	bool running;
	char state[32];
};

/* What `virsh dominfo` prints. -EPROTO: something is missing. */
int virsh_parse_info(const char *text, struct virsh_info *out, struct gmig_error *err);

struct virsh_numatune {
	char mode[32], nodeset[128]; /* nodeset: "0", "0-1,3"; empty: none is set */
};

/* What `virsh numatune DOMAIN` prints. -EPROTO. */
int virsh_parse_numatune(const char *text, struct virsh_numatune *out, struct gmig_error *err);

/* The lines of virsh's errors as one, without "error: ". */
void virsh_plain_error(const char *said, char *text, size_t bytes);

#endif
