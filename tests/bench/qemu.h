/* The QEMU process of a running domain: which one it is, and where it keeps the guest's memory. By
 * what libvirt leaves in /run and the kernel tells in /proc. One thread. */
#ifndef BENCH_QEMU_H
#define BENCH_QEMU_H

#include "kernel_mover.h"

/*
 * The process of that name with that UUID on its command line, and a pidfd of it (owned: close).
 * -ENOENT, -EACCES the file with its number; -ESRCH no such process, or another one.
 */
int qemu_open(const char *name, const char *uuid, pid_t *pid, int *pidfd, struct gmig_error *err);
/* Fills in the ranges of memory->pid that hold so much guest memory. What qemu_parse_maps says;
 * -errno. */
int qemu_find_memory(uint64_t bytes, struct kernel_memory *memory, struct gmig_error *err);
/* The same from the text of /proc/PID/maps: the largest private anonymous mappings. -EINVAL: there
 * are too few. */
int qemu_parse_maps(FILE *maps, uint64_t bytes, struct kernel_memory *out, struct gmig_error *err);

#endif
