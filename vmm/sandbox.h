/*
 * What each thread may still ask of the kernel once the guest runs: a list of system calls by what the thread does, and no files
 * but those that are opened later (docs/vmm.md, "Sandbox"). Off until sandbox_turn_on(); then every thread enters for itself as it
 * begins, and for ever. Threads inherit it from the one that starts them.
 */
#ifndef VMM_SANDBOX_H
#define VMM_SANDBOX_H

#include "options.h"

enum sandbox_kind {
	SANDBOX_LOG,	/* the log's thread: writes what is ready, and no more */
	SANDBOX_DEVICE, /* vCPUs, io, blk: they work on what the guest says, and open nothing */
	SANDBOX_ENGINE, /* main, faults: memory, placement, threads, files to read */
	SANDBOX_CONTROL, /* control, and the jobs that it starts: bad frames leave the host, too (gmig_retire.h) */
};

/* Main thread, before any other. False: this build cannot have it (*why: a sanitizer's needs). */
bool sandbox_turn_on(const char **why);

/*
 * What may be opened from now on by threads that enter: /proc/self, nodes and cgroups to read; files in the directories of these
 * sockets to remove; by the kernel, where core dumps go, if they are on. control: the path of the control socket. After
 * sandbox_turn_on, whose result it goes by, and before a thread that is not SANDBOX_LOG enters; the directories are there.
 * *abi: Landlock's version; 0: this kernel has none, files are not confined. -errno; -EMFILE, -ENFILE, -ENOMEM and the like: what the guest may open cannot be
 * told now.
 */
int sandbox_choose_files(const struct vmm_options *options, const char *control, int *abi,
			 struct gmig_error *err);

/* The calling thread, from now on. Nothing while it is off. -errno of seccomp(2), landlock_restrict_self(2). */
int sandbox_enter(enum sandbox_kind kind, struct gmig_error *err);

#endif
