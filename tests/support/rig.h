/*
 * A guest that is only threads: they write to a region while it moves, and check that each page
 * still holds what they wrote last. Shared by the tests of the engine; needs userfaultfd, but no
 * KVM.
 *
 * Every page holds its number, a counter (words 0 and 1), and a pattern made of the number in all
 * other words.
 */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include "../../migrate/gmig.h"
#include "../../migrate/memory/engine.h"
#include "suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RIG_THREADS 4
#define RIG_WORDS   (GMIG_PAGE_BYTES / sizeof(uint64_t))

/* Volatile, atomic and unknown to sanitizers: the engine copies these words behind the compiler's
 * back. */
typedef _Atomic uint64_t rig_word;

struct rig;

struct rig_thread {
	struct rig *rig;
	unsigned int index;
	pthread_t thread;
	bool started;
	atomic_ullong sweeps, errors;
	atomic_ullong longest_ns;
};

struct rig {
	struct gmig_topology *topology;
	struct gmig *gmig;
	rig_word *ram;
	uint64_t pages;
	uint64_t
	    *counter; /* what each page's counter must be; owned by the thread index % threads */
	struct rig_thread threads[RIG_THREADS];
	unsigned int writers;
	bool read_only;
	atomic_bool stop;
	atomic_int fatal;
	atomic_int warnings; /* lines that the engine logged as error or warning */
};

struct rig_options {
	uint64_t bytes;
	bool small_pages;
	unsigned int nodes; /* fake; 0 = 2 */
	bool real;	    /* the host's own nodes */
	bool untouched;	    /* leave the memory NONE */
	bool dump_memory;
	bool lock_memory;
	enum gmig_region_kind kind;
	uint64_t extra_bytes_max; /* 0: the default */
	/* As in gmig_options; opaque is the rig */
	void (*thread)(void *opaque, const struct gmig_thread *thread, bool begins);
	const struct gmig_sys *sys;
	void (*hold_vcpus)(void *opaque, bool on);
	void (*job_event)(void *opaque, const struct gmig_job_info *info);
	void (*memory_broke)(void *opaque, uint64_t gpa);
};

rig_word *rig_page(const struct rig *rig, uint64_t page);

/* Write the whole page as its counter says. */
void rig_write_page(struct rig *rig, uint64_t page);

/* Wrong words in the page, in all pages. */
uint64_t rig_check_page(const struct rig *rig, uint64_t page);
uint64_t rig_check_all(const struct rig *rig);

/*
 * What a test has changed in a running engine, or in the hooks it calls, is seen by its fault threads from here on, and what
 * these have done, by the test. For ThreadSanitizer: a message of the kernel tells it nothing.
 */
void rig_publish(struct rig *rig);

/*
 * What was touched so far is in the books: a thread that touches a page goes on when the page is there, which is before the
 * fault thread has noted it.
 */
void rig_settle(struct rig *rig);

/* A topology, an engine and a region of its memory, written unless `untouched`. */
void rig_create(struct rig *rig, const struct rig_options *options);
void rig_destroy(struct rig *rig);

/* Before there is an engine: would it have huge pages? Where not, the case that asks is skipped. */
#define thp_or_skip() (rig_host_has_thp() || skip_case(NO_HUGE_PAGES))
bool rig_host_has_thp(void);

/* Start threads that sweep over the pages, each over its own, until rig_stop. */
void rig_start(struct rig *rig, unsigned int writers);

/* Stops the threads and returns the errors that they saw. They must all come back: nobody may sleep
 * for ever. */
uint64_t rig_stop(struct rig *rig);

struct gmig_job_spec rig_spec(unsigned int from, unsigned int to);

/* It has moved so much; else the failure says what became of the rest. */
void rig_assert_moved_all(const struct gmig_job_info *info, uint64_t bytes);
/* Run a job to its end. */
void rig_move(struct rig *rig, const struct gmig_job_spec *spec, struct gmig_job_info *info);

/* No invariant is broken, nothing was fatal, and nothing was logged as warning or error. */
void rig_assert_clean(struct rig *rig);

/* 77 when this machine cannot, after saying why. */
int rig_main(Suite *suite);

#endif
