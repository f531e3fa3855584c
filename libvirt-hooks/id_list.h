/*
 * Lists of CPUs, nodes and cells as libvirt's XML has them: "0-3,^2,8" is {0, 1, 3, 8}. They are more than the kernel's lists
 * (migrate/core/nodeset.h): `^N` takes one number out again, spaces may stand around a number. libc only, no state, any thread.
 */
#ifndef ID_LIST_H
#define ID_LIST_H

#include "../migrate/gmig_nodes.h"

#include <stdint.h>

/* As many CPUs as libvirt has (VIR_DOMAIN_CPUMASK_LEN), on the host and in a guest. */
#define ID_LIST_CPUS	  16384u
#define ID_LIST_CPU_WORDS (ID_LIST_CPUS / 64)

/*
 * A set of CPUs, no longer than its highest one needs: bit n % 64 of word n / 64. On little-endian 64-bit hosts `word` is what
 * sched_setaffinity(2) takes, with words * 8 as its size. word NULL: no set was given, which is not an empty one.
 */
struct cpu_mask {
	size_t words;
	uint64_t *word;
};

static inline bool cpu_mask_has(const struct cpu_mask *mask, unsigned int cpu)
{
	return cpu / 64 < mask->words && (mask->word[cpu / 64] >> (cpu % 64) & 1);
}

/*
 * Bit n of words: n is in the list; `limit` (a multiple of 64) bits. `what` names the numbers in error texts ("CPUs"). The rules
 * are virBitmapParse()'s: a list is not empty, `^` takes out one number, and does nothing when that is not in the set; in a range
 * first <= last. -EINVAL: not such a list, or nothing remains of it; -ERANGE: a number from limit on. words is then undefined.
 */
int id_list_parse(const char *text, const char *what, unsigned int limit, uint64_t *words,
		  struct gmig_error *err);
/* The same for nodes of the host. *set is set only on success. */
int id_list_nodes(const char *text, struct gmig_node_set *set, struct gmig_error *err);
/* The same for CPUs. The caller frees mask->word, which is set only on success; -ENOMEM as well. */
int id_list_cpus(const char *text, struct cpu_mask *mask, struct gmig_error *err);

#endif
