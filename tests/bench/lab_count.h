/*
 * The lab's own count of instructions, of the whole machine: tests/lab/lab --count-instructions answers at a virtio port. One
 * thread.
 */
#ifndef BENCH_LAB_COUNT_H
#define BENCH_LAB_COUNT_H

#include <stdint.h>

#define LAB_COUNT_PORTS "/sys/class/virtio-ports"

/* The port, to be closed; ports: LAB_COUNT_PORTS. -ENOENT: there is none, this is no lab that counts; -EBUSY: another asks. */
int lab_count_open(const char *ports);
/* What all CPUs executed so far. -ETIMEDOUT, -EPROTO: no answer, or none that is one. */
int lab_count_ask(int fd, uint64_t *instructions);

#endif
