/*
 * What gmigd may do once it has started: capabilities that it keeps, and why.
 *
 *   CAP_SYS_PTRACE       QEMU runs as another user: its mappings and where they lie (smaps, numa_maps), move_pages(2) on it
 *   CAP_SYS_NICE         move_pages(2) with MPOL_MF_MOVE_ALL: guest memory that a second process maps (vhost-user, virtiofsd)
 *   CAP_DAC_READ_SEARCH  /proc/PID/pagemap belongs to QEMU's user and is for nobody else
 *
 * Cgroups, libvirt's socket and our own files belong to root, as we do: no capability is needed for them. All else goes, from the bounding
 * set, too, and no program that we might start could get it back (no_new_privs).
 *
 * CAP_SYS_PTRACE would also let it trace QEMU and write to its memory, and CAP_DAC_READ_SEARCH open files by their handles. rights_filter()
 * takes the system calls for that away, and others by which a program that was taken over goes on: other programs and processes,
 * the network, code made at run time, the kernel itself. It is a list of what is refused: libvirt's library and libc may do the rest, in
 * whatever version. What it cannot refuse are paths: /proc/PID/mem stays, since a filter does not see what a pointer points to.
 *
 * Sources: capabilities(7), move_pages(2), ptrace(2), seccomp(2).
 */
#ifndef RIGHTS_H
#define RIGHTS_H

#include "../migrate/gmig_error.h"

/* For the calling thread and those that it starts: before any others. Not root: only no_new_privs. -EPERM.. and a text. */
int rights_drop(struct gmig_error *err);

/* For the calling thread and those that it starts, for ever; before any others. Nothing in builds with sanitizers, which trace themselves.
 * -errno of seccomp(2) and a text. */
int rights_filter(struct gmig_error *err);

#endif
