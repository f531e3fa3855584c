/*
 * The fault thread, message by message: what it asks of the kernel and of the region's kind, both made up. What was asked is noted as
 * text, with the page's number: A gets ahead what it takes, F fills (h: a huge page), L leaves; W wakes, U gives the right to write
 * back, Z fills with a page of zeros that may not be written. Static, for one test program, which wraps malloc (no_memory.h).
 */
#ifndef TEST_FAULT_RIG_H
#define TEST_FAULT_RIG_H

#include "../../migrate/core/log_limit.h"
#include "../../migrate/memory/first_touch.h"
#include "../../migrate/memory/region.h"
#include "no_memory.h"
#include "rig.h"

#include <poll.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BLOCK	 GMIG_BLOCK_PAGES
#define BYTES	 (4 * GMIG_BLOCK_BYTES)
#define MS	 1000000ull
#define A_READ	 32 /* messages */
#define STARVED	 64
#define NOT_TOLD 99
#define WRITE	 UFFD_PAGEFAULT_FLAG_WRITE
#define PROTECT	 UFFD_PAGEFAULT_FLAG_WP

static struct rig rig;
static struct gmig_sys sys;
static struct region_kind kind; /* the region's own, but for what is noted */
static const struct region_kind *real_kind;
static struct region *region;
static _Thread_local bool serves; /* this is the fault thread */

/* ---- What is noted ------------------------------------------------------------------------------ */

static char said[4000], line[512]; /* line: the last of the log */
static enum gmig_log_level level;
static unsigned int lines;

static inline void say(const char *what, uint64_t page, const char *more)
{
	size_t at = strlen(said);

	snprintf(said + at, sizeof(said) - at, "%s%s%llu%s", at ? " " : "", what,
		 (unsigned long long)page, more);
}

static inline void note_line(void *opaque, enum gmig_log_level at, const char *text)
{
	(void)opaque;
	level = at;
	snprintf(line, sizeof(line), "%s", text);
	lines++;
}

static struct gmig_thread begun = {.vnode = NOT_TOLD}, ended = {.vnode = NOT_TOLD};

static inline void note_thread(void *opaque, const struct gmig_thread *thread, bool begins)
{
	(void)opaque;
	if (thread->kind != GMIG_THREAD_FAULT)
		return;
	serves = begins;
	*(begins ? &begun : &ended) = *thread;
}

/* ---- The kernel --------------------------------------------------------------------------------- */

/* What the next poll(2) says, and the read(2) behind it; `polled` is what the last one was asked. */
static struct {
	int ready;
	short revents;
	ssize_t got;
	unsigned int count;
	struct uffd_msg message[A_READ + 1];
} turn;
static struct {
	int timeout_ms;
	unsigned int count;
	struct pollfd fds[2];
} polled;
static size_t read_bytes; /* that the last read(2) had room for; 0: there was none */
static sem_t idle;
static int go = -1; /* eventfd */
static sem_t gone;  /* the same for ThreadSanitizer, to which an eventfd says nothing */
static uint64_t clock_ns;
static bool no_sleepers; /* there is no memory to list them */

static inline int poll_turn(struct pollfd *fds, unsigned int count, int timeout_ms)
{
	struct pollfd mine[2] = {{.fd = go, .events = POLLIN}, fds[count - 1]};
	uint64_t word;
	int ret;

	if (!serves)
		return gmig_sys_real.poll(fds, count, timeout_ms);
	polled.timeout_ms = timeout_ms;
	polled.count = count;
	memcpy(polled.fds, fds, sizeof(polled.fds));
	sem_post(&idle);
	do
		ret = gmig_sys_real.poll(mine, 2, -1);
	while (ret == -EINTR);
	fds[0].revents = 0;
	fds[1].revents = mine[1].revents;
	if (!(mine[0].revents & POLLIN))
		return ret;
	ck_assert_int_eq(read(go, &word, sizeof(word)), sizeof(word));
	sem_wait(&gone);
	fds[0].revents = turn.revents;
	return turn.ready;
}

static inline ssize_t read_turn(int fd, void *buffer, size_t bytes)
{
	if (!serves)
		return gmig_sys_real.read(fd, buffer, bytes);
	read_bytes = bytes;
	no_memory_in = no_sleepers ? 0 : -1;
	memcpy(buffer, turn.message, turn.count * sizeof(turn.message[0]));
	return turn.got;
}

static inline int ioctl_noted(int fd, unsigned long request, void *arg)
{
	const struct uffdio_range *range = arg;
	const struct uffdio_writeprotect *protect = arg;
	const struct uffdio_copy *copy = arg;
	char count[32] = "";

	if (!serves)
		return gmig_sys_real.ioctl(fd, request, arg);
	if (request == UFFDIO_COPY) {
		say(copy->mode & UFFDIO_COPY_MODE_WP ? "Z" : "C",
		    (copy->dst - (uintptr_t)region->hva) / GMIG_PAGE_BYTES + region->gfn,
		    copy->len == GMIG_PAGE_BYTES ? "" : "+");
		return 0;
	}
	if (range->len != GMIG_PAGE_BYTES)
		snprintf(count, sizeof(count), "+%llu", range->len / GMIG_PAGE_BYTES);
	say(request == UFFDIO_WAKE				     ? "W"
	    : request == UFFDIO_WRITEPROTECT && !(protect->mode & 1) ? "U"
								     : "?",
	    (range->start - (uintptr_t)region->hva) / GMIG_PAGE_BYTES + region->gfn, count);
	return 0;
}

static inline uint64_t now_told(void)
{
	return serves ? clock_ns : gmig_sys_real.now_ns();
}

/* ---- The region's kind -------------------------------------------------------------------------- */

static int fill_says, scan_says;
static struct uffd_scan shown;
static uint64_t scanned_gfn;		     /* the block that was asked about last */
static unsigned int not_locked, not_serving; /* calls that should have been */

static inline void look_at(uint64_t gfn, bool locked)
{
	struct stripe *stripe = engine_stripe(rig.gmig, gfn);
	bool free = !pthread_mutex_trylock(&stripe->lock);

	if (free)
		pthread_mutex_unlock(&stripe->lock);
	not_locked += free == locked;
	not_serving += !(atomic_load(&rig.gmig->vnodes[0].serving) & 1);
}

/* As a kind does: what is filled is in the books. */
static inline int fill_noted(struct first_touch *from, struct region *of, uint64_t gfn,
			     const struct shadow_entry *entry)
{
	const struct books_event event = {
	    .region = of,
	    .change = {.gfn = entry->order ? gfn / BLOCK * BLOCK : gfn,
		       .order = entry->order,
		       .event = SHADOW_TOUCH},
	    .memory = BOOKS_KERNEL,
	};

	ck_assert_ptr_eq(of, region);
	ck_assert_int_eq(entry->state, SHADOW_NONE);
	look_at(gfn, true);
	say("F", gfn, entry->order ? "h" : "");
	if (!fill_says)
		first_touch_note(from, &event);
	return fill_says;
}

static inline int scan_shown(struct gmig *gmig, const struct region *of, uint64_t block_gfn,
			     struct uffd_scan *scan)
{
	ck_assert_ptr_eq(gmig, rig.gmig);
	ck_assert_ptr_eq(of, region);
	scanned_gfn = block_gfn;
	*scan = shown;
	return scan_says;
}

static inline void ahead_noted(struct first_touch *from, struct region *of, uint64_t gfn)
{
	ck_assert_ptr_eq(from->gmig, rig.gmig);
	ck_assert_ptr_eq(of, region);
	look_at(gfn, false);
	say("A", gfn, "");
}

static inline void leave_noted(struct first_touch *from, const struct region *of)
{
	ck_assert_ptr_eq(from->gmig, rig.gmig);
	ck_assert_ptr_eq(of, region);
	look_at(of->gfn, false);
	say("L", of->gfn, "");
}

/* ---- Steps -------------------------------------------------------------------------------------- */

static inline void start(void)
{
	sys = gmig_sys_real;
	sys.poll = poll_turn;
	sys.read = read_turn;
	sys.ioctl = ioctl_noted;
	sys.now_ns = now_told;
	clock_ns = 1000 * MS;
	go = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(go, 0);
	sem_init(&idle, 0, 0);
	sem_init(&gone, 0, 0);
	rig_create(&rig,
		   &(struct rig_options){
		       .bytes = BYTES, .untouched = true, .thread = note_thread, .sys = &sys});
	sem_wait(&idle);
	rig.gmig->options.log = note_line;
	region = &rig.gmig->regions[0];
	real_kind = region->kind;
	kind = *real_kind;
	kind.fill = fill_noted;
	kind.scan = scan_shown;
	region->kind = &kind;
	memset(&shown, 0, sizeof(shown));
}

static inline void end(void)
{
	ck_assert_uint_eq(not_locked, 0);
	ck_assert_uint_eq(not_serving, 0);
	ck_assert_uint_eq(atomic_load(&rig.gmig->vnodes[0].serving) & 1, 0);
	region->kind = real_kind;
	rig_destroy(&rig);
	sem_destroy(&idle);
	sem_destroy(&gone);
	close(go);
}

/* The thread goes round once. */
static inline void go_round(int ready, short revents, ssize_t got)
{
	const uint64_t one = 1;

	turn.ready = ready;
	turn.revents = revents;
	turn.got = got;
	read_bytes = 0;
	said[0] = '\0';
	lines = 0;
	sem_post(&gone);
	ck_assert_int_eq(write(go, &one, sizeof(one)), sizeof(one));
	sem_wait(&idle);
}

static inline void add(uint64_t gfn, int tid, uint64_t flags)
{
	struct uffd_msg *message = &turn.message[turn.count++];

	*message = (struct uffd_msg){.event = UFFD_EVENT_PAGEFAULT};
	message->arg.pagefault.address = (uintptr_t)region_hva(region, gfn);
	message->arg.pagefault.flags = flags;
	message->arg.pagefault.feat.ptid = (__u32)tid;
}

static inline void deliver(const char *expected)
{
	go_round(1, POLLIN, (ssize_t)(turn.count * sizeof(turn.message[0])));
	turn.count = 0;
	ck_assert_str_eq(said, expected);
}

static inline void touch_by(uint64_t gfn, int tid, uint64_t flags, const char *expected)
{
	add(gfn, tid, flags);
	deliver(expected);
}

static inline void touch(uint64_t gfn, const char *expected)
{
	touch_by(gfn, 1, 0, expected);
}

/* Time goes on, and nothing comes. */
static inline void pass(uint64_t ns, const char *expected)
{
	clock_ns += ns;
	go_round(0, 0, 0);
	ck_assert_str_eq(said, expected);
	ck_assert_uint_eq(read_bytes, 0);
}

static inline void change(uint64_t gfn, unsigned int order, enum shadow_event event)
{
	const struct books_event event_of = {
	    .region = region,
	    .change = {.gfn = gfn, .order = order, .event = event, .node = 0},
	    .memory = BOOKS_KERNEL};
	struct stripe *stripe = engine_stripe(rig.gmig, gfn);
	struct gmig_error err;

	pthread_mutex_lock(&stripe->lock);
	ck_assert_msg(!books_change(rig.gmig, &event_of, &err), "%s", err.text);
	pthread_mutex_unlock(&stripe->lock);
}

/* The block is 512 pages, of which these are there. */
static inline void split(uint64_t block_gfn, unsigned int first, unsigned int count)
{
	ck_assert_int_eq(books_split(rig.gmig, region, block_gfn), 0);
	for (unsigned int i = first; i < first + count; i++)
		change(block_gfn + i, 0, SHADOW_TOUCH);
}

static inline void expect(uint64_t gfn, enum shadow_state state, unsigned int order)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, gfn, &entry), 0);
	ck_assert_msg(entry.state == state && entry.order == order, "page %llu is %s, order %u",
		      (unsigned long long)gfn, shadow_state_name(entry.state), entry.order);
}

static inline unsigned int starved(void)
{
	return (unsigned int)atomic_load(&rig.gmig->starved);
}

#endif
