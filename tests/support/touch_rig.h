/*
 * First touches, call by call, on an engine whose blocks are empty. The kernel is the real one but for calls that a test has fail, and
 * for a clock that stands still. What was asked of it is noted as text, with the guest's page and how many: P makes a frame, M moves
 * some in, C brings pages of zeros, D throws some away; ! when it failed. Static, for one test program.
 */
#ifndef TEST_TOUCH_RIG_H
#define TEST_TOUCH_RIG_H

#include "../../migrate/core/log_limit.h"
#include "../../migrate/core/room.h"
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/first_touch.h"
#include "../../migrate/memory/frame.h"
#include "../../migrate/memory/region.h"
#include "no_tables.h"
#include "rig.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK  GMIG_BLOCK_PAGES
#define BYTES  (4 * GMIG_BLOCK_BYTES)
#define WORKER 3
#define MS     1000000ull
#define ALWAYS 1000000
#define NODES  4
#define NONE   GMIG_NO_NODE

static struct rig rig;
static struct gmig_sys sys;
static struct region *region;
static struct region_kind kind;
static struct first_touch from;
static _Thread_local bool driven; /* this thread's calls are noted */

/* ---- The kernel --------------------------------------------------------------------------------- */

static char said[4000], line[512];
static unsigned int lines;
static uint64_t clock_ns, room_bytes;

/* A call that is about that page of the guest fails, so many times; pages before it go. Of P: any call. */
static struct {
	char op;
	uint64_t page;
	int error;
	unsigned int times;
} rule;
static bool no_huge; /* frames come as small pages */

static inline void say(char op, uint64_t page, uint64_t count, const char *how)
{
	size_t at = strlen(said);

	snprintf(said + at, sizeof(said) - at, "%s%c%llu+%llu%s", at ? " " : "", op,
		 (unsigned long long)page, (unsigned long long)count, how);
}

static inline void say_frame(const char *how)
{
	size_t at = strlen(said);

	snprintf(said + at, sizeof(said) - at, "%s%s", at ? " " : "", how);
}

static inline bool page_of(uint64_t address, uint64_t *page)
{
	uint64_t at = address - (uintptr_t)region->hva;

	*page = at / GMIG_PAGE_BYTES;
	return at < BYTES;
}

/* How many of these pages go before the one that does not; UINT64_MAX: all do. */
static inline uint64_t goes(char op, uint64_t page, uint64_t count)
{
	if (rule.op != op || !rule.times || rule.page - page >= count)
		return UINT64_MAX;
	if (rule.page == page)
		rule.times -= rule.times != ALWAYS;
	return rule.page - page;
}

/* A call over *len bytes from this page on, which tells in *done how many it has done: as far as the rule lets it, and noted. */
static inline int noted(char what, int fd, unsigned long request, void *arg, uint64_t page,
			__u64 *len, __s64 *done)
{
	uint64_t count = *len / GMIG_PAGE_BYTES, fit = goes(what, page, count);
	int ret;

	if (!fit) {
		say(what, page, count, "!");
		*done = rule.error;
		return rule.error;
	}
	if (fit < count)
		*len = fit * GMIG_PAGE_BYTES;
	do
		ret = gmig_sys_real.ioctl(fd, request, arg);
	while (ret == -EAGAIN && *done <= 0);
	if (ret && ret != -EAGAIN) {
		say(what, page, count, "!");
		return ret;
	}
	if (!ret)
		*done = (__s64)*len;
	say(what, page, (uint64_t)*done / GMIG_PAGE_BYTES, "");
	return fit < count ? -EAGAIN : ret;
}

static inline int move_noted(int fd, struct uffdio_move *arg)
{
	uint64_t page;

	if (!page_of(arg->dst, &page))
		return gmig_sys_real.ioctl(fd, UFFDIO_MOVE, arg);
	ck_assert_uint_eq(arg->mode, UFFDIO_MOVE_MODE_DONTWAKE);
	return noted('M', fd, UFFDIO_MOVE, arg, page, &arg->len, &arg->move);
}

static inline int copy_noted(int fd, struct uffdio_copy *arg)
{
	uint64_t page;

	ck_assert(page_of(arg->dst, &page));
	ck_assert_uint_eq(arg->mode, UFFDIO_COPY_MODE_DONTWAKE);
	return noted('C', fd, UFFDIO_COPY, arg, page, &arg->len, &arg->copy);
}

static inline int ioctl_noted(int fd, unsigned long request, void *arg)
{
	if (driven && request == UFFDIO_MOVE)
		return move_noted(fd, arg);
	if (driven && request == UFFDIO_COPY)
		return copy_noted(fd, arg);
	return gmig_sys_real.ioctl(fd, request, arg);
}

static inline int advise_noted(void *memory, size_t bytes, int advice)
{
	uint64_t page, count = bytes / GMIG_PAGE_BYTES;
	int ret;

	if (!driven)
		return gmig_sys_real.advise(memory, bytes, advice);
	if (advice == MADV_DONTNEED && page_of((uintptr_t)memory, &page))
		say('D', page, count, "");
	if (advice != MADV_POPULATE_WRITE)
		return gmig_sys_real.advise(memory, bytes, advice);
	if (rule.op == 'P' && rule.times) {
		rule.times -= rule.times != ALWAYS;
		say_frame("P!");
		return rule.error;
	}
	if (count == 1) /* the others follow when it is where it should be */
		say_frame("P");
	if (!no_huge)
		return gmig_sys_real.advise(memory, bytes, advice);
	madvise((void *)((uintptr_t)memory & ~(GMIG_BLOCK_BYTES - 1)), GMIG_BLOCK_BYTES, // NOLINT
		MADV_NOHUGEPAGE);
	ret = gmig_sys_real.advise(memory, bytes, advice);
	madvise((void *)((uintptr_t)memory & ~(GMIG_BLOCK_BYTES - 1)), GMIG_BLOCK_BYTES, // NOLINT
		MADV_HUGEPAGE);
	return ret;
}

static inline uint64_t now_told(void)
{
	return driven ? clock_ns : gmig_sys_real.now_ns();
}

static inline void room_told(struct room *room)
{
	*room = (struct room){.bytes = driven ? room_bytes : UINT64_MAX, .total_bytes = 1ull << 40};
}

/* Where the kernel put pages: status of the i-th that is asked about. */
static int query_says, where[4];
static uint64_t queried_gfn;
static size_t queried;

static inline int query_told(struct gmig *gmig, const struct region *of, size_t count,
			     const uint64_t *gfns, int *status)
{
	ck_assert_ptr_eq(gmig, rig.gmig);
	ck_assert_ptr_eq(of, region);
	queried = count;
	queried_gfn = gfns[0];
	for (size_t i = 0; i < count && !query_says; i++) {
		ck_assert_uint_eq(gfns[i], gfns[0] + i);
		status[i] = where[i % 4];
	}
	return query_says;
}

static inline void note_line(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque;
	ck_assert_int_eq(level, GMIG_LOG_ERROR);
	snprintf(line, sizeof(line), "%s", text);
	lines++;
}

/* ---- Steps -------------------------------------------------------------------------------------- */

static inline void start(bool small)
{
	const struct shadow_alloc alloc = {table_alloc, table_release};
	void *zeros = mmap(NULL, GMIG_BLOCK_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(zeros, MAP_FAILED);
	sys = gmig_sys_real;
	sys.ioctl = ioctl_noted;
	sys.advise = advise_noted;
	sys.now_ns = now_told;
	sys.room = room_told;
	room_bytes = UINT64_MAX;
	clock_ns = gmig_sys_real.now_ns();
	rig_create(&rig, &(struct rig_options){.bytes = BYTES,
					       .nodes = NODES,
					       .small_pages = small,
					       .untouched = true,
					       .sys = &sys});
	region = &rig.gmig->regions[0];
	rig.gmig->options.log = note_line;
	shadow_destroy(rig.gmig->shadow);
	ck_assert_int_eq(shadow_create(&alloc, &rig.gmig->shadow), 0);
	ck_assert_int_eq(shadow_reserve(rig.gmig->shadow, 0, rig.pages), 0);
	from = (struct first_touch){
	    .gmig = rig.gmig, .uffd = rig.gmig->vnodes[0].uffd, .worker = WORKER, .zeros = zeros};
	kind = *region->kind;
	kind.query = query_told;
	rig_publish(&rig);
}

/* All that the books say is so. */
static inline void end(void)
{
	memset(&rule, 0, sizeof(rule));
	munmap((void *)(uintptr_t)from.zeros, GMIG_BLOCK_BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static inline void begin_step(void)
{
	said[0] = '\0';
	lines = 0;
	driven = true;
	pthread_mutex_lock(&engine_stripe(rig.gmig, BLOCK)->lock);
}

static inline void end_step(const char *expected)
{
	pthread_mutex_unlock(&engine_stripe(rig.gmig, BLOCK)->lock);
	driven = false;
	ck_assert_str_eq(said, expected);
}

static inline struct shadow_entry entry_of(uint64_t gfn)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, gfn, &entry), 0);
	return entry;
}

/* A hole of the second block is touched. */
static inline void fill(unsigned int page, int wanted, const char *expected)
{
	struct shadow_entry entry = entry_of(BLOCK + page);

	begin_step();
	ck_assert_int_eq(first_touch_fill(&from, region, BLOCK + page, &entry), wanted);
	end_step(expected);
}

/* Pages of the second block are small ones there; NONE: they have no memory. */
static inline void expect(unsigned int first, unsigned int count, unsigned int node)
{
	for (unsigned int i = first; i < first + count; i++) {
		struct shadow_entry entry = entry_of(BLOCK + i);

		ck_assert_msg(entry.node == node && !entry.order &&
				  entry.state == (node == NONE ? SHADOW_NONE : SHADOW_PRESENT),
			      "page %u is %s on node %u", i, shadow_state_name(entry.state),
			      entry.node);
	}
}

static inline void expect_huge(unsigned int node)
{
	struct shadow_entry entry = entry_of(BLOCK);

	ck_assert_uint_eq(entry.order, 9);
	ck_assert_uint_eq(entry.node, node);
	ck_assert_int_eq(entry.state, node == NONE ? SHADOW_NONE : SHADOW_PRESENT);
	for (unsigned int block = 0; block < 4; block++)
		ck_assert(block == 1 || entry_of((uint64_t)block * BLOCK).state == SHADOW_NONE);
}

static inline void split_block(void)
{
	ck_assert_int_eq(books_split(rig.gmig, region, BLOCK), 0);
}

static inline void refuse(char op, unsigned int page, int error, unsigned int times)
{
	rule.op = op;
	rule.page = BLOCK + page;
	rule.error = error;
	rule.times = times;
}

static inline bool hopeless(unsigned int node, bool huge)
{
	bool is;

	driven = true;
	is = policy_is_hopeless(rig.gmig->policy, node, huge);
	driven = false;
	return is;
}

/* It has refused some just now. */
static inline void has_none(unsigned int node, bool huge)
{
	driven = true;
	policy_note(rig.gmig->policy, node, huge, false);
	driven = false;
}

/* The host has room for so many pages from now on. */
static inline void has_room(unsigned int pages)
{
	room_bytes = pages * GMIG_PAGE_BYTES;
	driven = true;
	policy_look(rig.gmig->policy);
	driven = false;
}

/* So many pages could be asked for, and not one more: nothing is reserved for ever. */
static inline void expect_room(unsigned int pages)
{
	struct policy *policy = rig.gmig->policy;

	driven = true;
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, pages + 1), -EDQUOT);
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, pages), 0);
	policy_release(policy, pages);
	driven = false;
}

static inline struct slot *take(bool huge, unsigned int first, unsigned int count,
				unsigned int node)
{
	struct frame_want want = {.node = node, .worker = WORKER, .huge = huge, .clean = true};
	struct slot *slot;

	bits_set_range(&want.need, first, count);
	ck_assert_int_eq(frame_take(rig.gmig->frames, &want, &slot), 0);
	return slot;
}

#endif
