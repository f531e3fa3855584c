/*
 * Frame pools over a kernel that is an array: which pages are there, on which node, and which blocks are huge. What is asked of it is
 * written down, and a test compares the words: A0.5+3 are three pages of the first slot of the first mapping, from page 5 on; B2 is the
 * whole third slot of the second mapping. Static, for one test program.
 */
#ifndef TEST_FRAME_RIG_H
#define TEST_FRAME_RIG_H

#include "../../migrate/core/copy.h"
#include "../../migrate/core/room.h"
#include "../../migrate/core/uffd.h"
#include "../../migrate/memory/frame_pool.h"
#include "../../migrate/memory/ledger.h"
#include "suite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#define FD	7
#define PAGEMAP 8
#define MAPS	8
#define BLOCKS	40
#define ALWAYS	1000000u
#define ALL	GMIG_BLOCK_PAGES

struct block {
	struct bits present;
	bool huge, thp; /* thp: huge pages were advised */
	bool table;	/* a page table of small pages */
	uint16_t node[GMIG_BLOCK_PAGES];
};

static struct {
	struct {
		uint8_t *start;
		unsigned int blocks;
		struct block block[BLOCKS];
	} map[MAPS];
	unsigned int maps;
	char said[65536];
	size_t length;
	uint64_t now;
	uint64_t room_bytes;
	uint16_t small_node, huge_node; /* where new memory comes from */
	unsigned int stray; /* this page, counted from 1, comes from the node behind it */
	bool no_huge;
	bool
	    tables_stay; /* page tables outlive their pages, and no huge page comes in their place */
	bool cold_is_no_use; /* it splits no huge page */
	bool stays;	     /* migration moves nothing */
	bool migration_splits;
	size_t asked_count; /* of the last query */
	void *asked[GMIG_BLOCK_PAGES];
	unsigned int marks; /* pages that did not begin with a 0 when they were called cold */
	/* Calls whose word is this fail: first `after` of them do not, then `times` do. */
	struct rule {
		const char *word;
		unsigned int after, times;
		int error;
	} rules[4];
	/* UFFDIO_MOVE, call by call: pages that move, and are told; then pages that move without a word; then the error. */
	struct step {
		unsigned int told, untold;
		int error;
	} steps[8];
	unsigned int step, steps_end;
	void (*at_scan)(void);
} kernel;

static struct gmig_sys sys;
static struct ledger *ledger;
static struct policy *policy;
static struct frames *frames;

/* ---- What was asked ----------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	kernel.length += (size_t)vsnprintf(kernel.said + kernel.length,
					   sizeof(kernel.said) - kernel.length, format, list);
	va_end(list);
	ck_assert_uint_lt(kernel.length, sizeof(kernel.said));
}

/* What was said since the last time. */
static inline void assert_said(const char *words)
{
	ck_assert_str_eq(kernel.said, words);
	kernel.length = 0;
	kernel.said[0] = '\0';
}

static inline void forget(void)
{
	kernel.length = 0;
	kernel.said[0] = '\0';
}

/* The block that an address is in, of all mappings; *page: of the block. */
static inline struct block *block_at(uint64_t address, unsigned int *map, unsigned int *number,
				     unsigned int *page)
{
	for (unsigned int i = 0; i < kernel.maps; i++) {
		uint64_t at = address - (uintptr_t)kernel.map[i].start;

		if (at >= kernel.map[i].blocks * GMIG_BLOCK_BYTES)
			continue;
		*map = i;
		*number = (unsigned int)(at / GMIG_BLOCK_BYTES);
		*page = (unsigned int)(at / GMIG_PAGE_BYTES % GMIG_BLOCK_PAGES);
		return &kernel.map[i].block[*number];
	}
	ck_abort_msg("no mapping has %llx", (unsigned long long)address);
	return NULL;
}

static inline int error_of(const char *word)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct rule *rule = &kernel.rules[i];

		if (!rule->times || strcmp(rule->word, word) != 0)
			continue;
		if (rule->after) {
			rule->after--;
			continue;
		}
		rule->times -= rule->times != ALWAYS;
		return rule->error;
	}
	return 0;
}

static inline void refuse(const char *word, unsigned int after, unsigned int times, int error)
{
	unsigned int i = 0;

	while (kernel.rules[i].times)
		i++;
	ck_assert_uint_lt(i, 4);
	kernel.rules[i] = (struct rule){word, after, times, error};
}

static inline void say_range(uint64_t address, size_t bytes)
{
	unsigned int map, number, page, count = (unsigned int)(bytes / GMIG_PAGE_BYTES);

	block_at(address, &map, &number, &page);
	say("%c%u", (int)('A' + map), number);
	if (page || count != GMIG_BLOCK_PAGES)
		say(".%u+%u", page, count);
}

/* The call about these pages, and what is answered. */
static inline int asked(const char *word, const void *memory, size_t bytes)
{
	int error = error_of(word);

	say("%s ", word);
	say_range((uintptr_t)memory, bytes);
	say(error ? "!\n" : "\n");
	return error;
}

/* ---- Memory ------------------------------------------------------------------------------------- */

static inline void put_page(struct block *block, unsigned int page, unsigned int node)
{
	bits_set(&block->present, page);
	block->node[page] = (uint16_t)(node + (kernel.stray == page + 1));
}

static inline void populate_page(uint64_t address)
{
	unsigned int map, number, page;
	struct block *block = block_at(address, &map, &number, &page);

	if (bits_get(&block->present, page))
		return;
	if (block->thp && !kernel.no_huge && !block->table && bits_empty(&block->present)) {
		for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
			put_page(block, i, kernel.huge_node);
		block->huge = true;
		return;
	}
	put_page(block, page, kernel.small_node);
	block->table = kernel.tables_stay;
}

static inline void discard_page(uint64_t address)
{
	unsigned int map, number, page;
	struct block *block = block_at(address, &map, &number, &page);

	bits_clear_range(&block->present, page, 1);
	block->huge = false;
}

static inline void each_page(const void *memory, size_t bytes, void (*what)(uint64_t address))
{
	for (size_t at = 0; at < bytes; at += GMIG_PAGE_BYTES)
		what((uintptr_t)memory + at);
}

static inline void advise_huge(const void *memory, size_t bytes, bool on)
{
	for (size_t at = 0; at < bytes; at += GMIG_BLOCK_BYTES) {
		unsigned int map, number, page;

		block_at((uintptr_t)memory + at, &map, &number, &page)->thp = on;
	}
}

static inline unsigned int count_marks(const uint8_t *block)
{
	unsigned int marks = 0;

	for (size_t at = 0; at < GMIG_BLOCK_BYTES; at += GMIG_PAGE_BYTES)
		marks += *(const uint64_t *)(block + at) != 0;
	return marks;
}

static inline int advise(void *memory, size_t bytes, int advice)
{
	unsigned int map, number, page;
	struct block *block = block_at((uintptr_t)memory, &map, &number, &page);
	int ret = 0;

	if (advice == MADV_POPULATE_WRITE) {
		ret = asked("populate", memory, bytes);
		if (!ret)
			each_page(memory, bytes, populate_page);
	} else if (advice == MADV_DONTNEED) {
		ret = asked("discard", memory, bytes);
		if (!ret)
			each_page(memory, bytes, discard_page);
	} else if (advice == MADV_HUGEPAGE || advice == MADV_NOHUGEPAGE) {
		ret = asked(advice == MADV_HUGEPAGE ? "thp" : "no-thp", memory, bytes);
		if (!ret)
			advise_huge(memory, bytes, advice == MADV_HUGEPAGE);
	} else if (advice == MADV_COLD && !bits_empty(&block->present)) {
		/* Of empty memory it is only asked whether it is locked. */
		kernel.marks = count_marks(memory);
		ret = asked("cold", memory, bytes);
		if (!ret && !kernel.cold_is_no_use) {
			block->huge = false;
			block->table = kernel.tables_stay;
		}
	} else if (advice == MADV_SOFT_OFFLINE) {
		ret = asked("offline", memory, bytes);
	} else if (advice == MADV_DONTFORK) {
		ret = asked("dontfork", memory, bytes);
	} else if (advice == MADV_DONTDUMP) {
		ret = asked("dontdump", memory, bytes);
	}
	return ret;
}

/* A mapping of its own, or the same one, empty again. */
static inline int map_memory(size_t bytes, int protection, void *fixed, void **out)
{
	unsigned int map, number, page;
	uint8_t *memory;

	(void)protection;
	if (fixed) {
		*block_at((uintptr_t)fixed, &map, &number, &page) = (struct block){0};
		*out = fixed;
		return asked("renew", fixed, bytes);
	}
	say("map %zu\n", (size_t)(bytes / GMIG_BLOCK_BYTES));
	if (error_of("map"))
		return -ENOMEM;
	ck_assert_uint_lt(kernel.maps, MAPS);
	ck_assert_uint_le(bytes / GMIG_BLOCK_BYTES, BLOCKS);
	memory = mmap(NULL, bytes + GMIG_BLOCK_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	madvise(memory, bytes + GMIG_BLOCK_BYTES, MADV_NOHUGEPAGE);
	memory += -(uintptr_t)memory % GMIG_BLOCK_BYTES;
	kernel.map[kernel.maps].start = memory + GMIG_BLOCK_BYTES;
	kernel.map[kernel.maps].blocks =
	    (unsigned int)((bytes - GMIG_SYS_GUARD_BYTES) / GMIG_BLOCK_BYTES);
	kernel.maps++;
	*out = memory;
	return 0;
}

static inline int unmap(void *memory, size_t bytes)
{
	say("unmap ");
	for (unsigned int i = 0; i < kernel.maps; i++)
		if (kernel.map[i].start == (uint8_t *)memory + GMIG_BLOCK_BYTES)
			say("%c", (int)('A' + i));
	say(" %zu\n", (size_t)(bytes / GMIG_BLOCK_BYTES));
	return 0;
}

static inline int protect(void *memory, size_t bytes, int protection)
{
	(void)memory, (void)bytes, (void)protection;
	return 0;
}

static inline int lock(void *memory, size_t bytes, bool on)
{
	return asked(on ? "lock" : "unlock", memory, bytes);
}

static inline int prefer_node(void *memory, size_t bytes, int node)
{
	int error = error_of("prefer");

	say("prefer %d ", node);
	say_range((uintptr_t)memory, bytes);
	say(error ? "!\n" : "\n");
	return error;
}

/* ---- Where it lies ------------------------------------------------------------------------------ */

static inline int query_nodes(size_t count, void **pages, int *status)
{
	int error = error_of("ask");

	say("ask %zu%s\n", count, error ? "!" : "");
	ck_assert_uint_le(count, GMIG_BLOCK_PAGES);
	kernel.asked_count = count;
	for (size_t i = 0; i < count && !error; i++) {
		unsigned int map, number, page;
		const struct block *block = block_at((uintptr_t)pages[i], &map, &number, &page);

		kernel.asked[i] = pages[i];
		status[i] = bits_get(&block->present, page) ? block->node[page] : -ENOENT;
	}
	return error;
}

static inline void migrate_page(void *at, int node)
{
	unsigned int map, number, page;
	struct block *block = block_at((uintptr_t)at, &map, &number, &page);

	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (block->huge || i == page)
			block->node[i] = (uint16_t)node;
	block->huge &= !kernel.migration_splits;
}

static inline long move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes,
			      int *status, int flags)
{
	(void)pid, (void)flags;
	if (!nodes)
		return query_nodes(count, pages, status);
	say("migrate %lu>%d\n", count, nodes[0]);
	for (unsigned long i = 0; i < count; i++) {
		ck_assert_int_eq(nodes[i], nodes[0]);
		if (!kernel.stays)
			migrate_page(pages[i], nodes[i]);
		status[i] = kernel.stays ? -ENOMEM : nodes[i];
	}
	return 0;
}

/* ---- userfaultfd, and the page map -------------------------------------------------------------- */

static inline int scan(struct pm_scan_arg *arg)
{
	struct page_region *regions = (void *)(uintptr_t)arg->vec; // NOLINT
	unsigned int map, number, page, found = 0;
	struct block *block = block_at(arg->start, &map, &number, &page);
	uint64_t start = arg->start - page * GMIG_PAGE_BYTES;
	unsigned int first = page, count;
	int error = error_of("scan");

	if (kernel.at_scan)
		kernel.at_scan();
	if (error)
		return error;
	while (found < arg->vec_len && (count = bits_run(&block->present, &first))) {
		regions[found++] = (struct page_region){
		    start + first * GMIG_PAGE_BYTES, start + (first + count) * GMIG_PAGE_BYTES,
		    PAGE_IS_PRESENT | PAGE_IS_WRITTEN | (block->huge ? PAGE_IS_HUGE : 0)};
		first += count;
	}
	arg->walk_end = found < arg->vec_len ? arg->end : regions[found - 1].end;
	return (int)found;
}

static inline void move_page(uint64_t from, uint64_t to)
{
	unsigned int map, number, page;
	struct block *block = block_at(from, &map, &number, &page);
	uint16_t node = block->node[page];

	ck_assert(bits_get(&block->present, page));
	bits_clear_range(&block->present, page, 1);
	block->huge = false;
	block = block_at(to, &map, &number, &page);
	ck_assert(!bits_get(&block->present, page));
	bits_set(&block->present, page);
	block->node[page] = node;
}

static inline int move(int fd, struct uffdio_move *arg)
{
	unsigned int pages = (unsigned int)(arg->len / GMIG_PAGE_BYTES);
	struct step step = {.told = pages};

	if (kernel.step < kernel.steps_end)
		step = kernel.steps[kernel.step++];
	ck_assert_uint_le(step.told + step.untold, pages);
	say("move/%d ", fd);
	say_range(arg->src, arg->len);
	say(">");
	say_range(arg->dst, arg->len);
	say(step.told == pages ? "%s\n" : "%s! %u\n", arg->mode ? "" : " wake", step.told);
	for (size_t i = 0; i < step.told + step.untold; i++)
		move_page(arg->src + i * GMIG_PAGE_BYTES, arg->dst + i * GMIG_PAGE_BYTES);
	arg->move = step.told ? (__s64)(step.told * GMIG_PAGE_BYTES) : step.error;
	return step.error;
}

static inline int control(int fd, unsigned long request, void *arg)
{
	if (request == UFFDIO_API) {
		const struct uffdio_api *api = arg;

		say("api %llx\n", (unsigned long long)api->features);
		return error_of("api");
	}
	if (request == PAGEMAP_SCAN) {
		ck_assert_int_eq(fd, PAGEMAP);
		return scan(arg);
	}
	if (request == UFFDIO_MOVE)
		return move(fd, arg);
	if (request == UFFDIO_WAKE) {
		const struct uffdio_range *range = arg;

		say("wake/%d ", fd);
		say_range(range->start, range->len);
		say("\n");
		return 0;
	}
	if (request == UFFDIO_REGISTER) {
		const struct uffdio_register *reg = arg;

		ck_assert_int_eq(fd, FD);
		ck_assert_uint_eq(reg->mode, UFFDIO_REGISTER_MODE_WP);
		return asked("register", (void *)(uintptr_t)reg->range.start, // NOLINT
			     reg->range.len);
	}
	ck_abort_msg("ioctl %lx", request);
	return -ENOTTY;
}

static inline int open_uffd(void)
{
	int error = error_of("userfaultfd");

	return error ? error : FD;
}

static inline int close_noted(int fd)
{
	say("close %d\n", fd);
	return 0;
}

/* ---- Time, and room ----------------------------------------------------------------------------- */

static inline uint64_t now(void)
{
	return kernel.now;
}

static inline void rest(uint64_t ns)
{
	say("rest %llu\n", (unsigned long long)(ns / 1000));
	kernel.now += ns;
}

static inline int wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	(void)cond, (void)mutex;
	say("wait %llu\n", (unsigned long long)((deadline_ns - kernel.now) / 1000));
	kernel.now = deadline_ns;
	return -ETIMEDOUT;
}

static inline void host_room(struct room *room)
{
	*room = (struct room){.bytes = kernel.room_bytes, .total_bytes = 1ull << 40};
}

/* ---- Pools -------------------------------------------------------------------------------------- */

/* fake_nodes: 0: pools ask where memory lies. */
static inline int create(unsigned int fake_nodes, uint64_t extra_bytes_max,
			 uint64_t watermark_bytes)
{
	struct gmig_topology *topology;
	struct gmig_error err = {0};
	int ret;

	memset(&kernel, 0, sizeof(kernel));
	kernel.now = 5000000000ull;
	kernel.room_bytes = UINT64_MAX;
	sys = gmig_sys_real;
	sys.map = map_memory;
	sys.unmap = unmap;
	sys.protect = protect;
	sys.lock = lock;
	sys.advise = advise;
	sys.prefer_node = prefer_node;
	sys.query_nodes = query_nodes;
	sys.move_pages = move_pages;
	sys.userfaultfd = open_uffd;
	sys.ioctl = control;
	sys.close = close_noted;
	sys.now_ns = now;
	sys.sleep_ns = rest;
	sys.wait_until = wait_until;
	sys.room = host_room;
	copy_guard();
	ck_assert_int_eq(gmig_topology_create(fake_nodes, &topology, &err), 0);
	ck_assert_int_eq(ledger_create(&ledger), 0);
	ck_assert_int_eq(
	    policy_create(&(struct policy_config){&sys, ledger, extra_bytes_max}, &policy), 0);
	ret = frame_create(
	    &(struct frame_config){&sys, ledger, policy, topology, PAGEMAP, watermark_bytes},
	    &frames, &err);
	gmig_topology_put(topology);
	return ret;
}

static inline void start(unsigned int fake_nodes)
{
	ck_assert_int_eq(create(fake_nodes, 256 * GMIG_BLOCK_BYTES, 0), 0);
	forget();
}

static inline void assert_account(unsigned int node, enum ledger_account account, long pages)
{
	ck_assert_int_eq(ledger_pages(ledger, node, account), pages);
}

/* All that the pools have is what the books say, and no slot is missing. */
static inline void stop(void)
{
	struct frame_audit audit;

	memset(kernel.rules, 0, sizeof(kernel.rules));
	kernel.at_scan = NULL;
	frame_audit(frames, FRAME_COUNT, &audit);
	ck_assert_uint_eq(audit.differing_node, GMIG_NO_NODE);
	ck_assert_uint_eq(audit.flying_node, GMIG_NO_NODE);
	ck_assert_uint_eq(audit.busy_slots, 0);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		assert_account(node, LEDGER_FLIGHT, 0);
	frame_destroy(frames);
	policy_destroy(policy);
	ledger_destroy(ledger);
}

/* New memory comes from there. */
static inline void lies_on(uint16_t node)
{
	kernel.small_node = kernel.huge_node = node;
}

/* Small pages first..first+count. */
static inline struct frame_want want_small(unsigned int node, unsigned int first,
					   unsigned int count)
{
	struct frame_want want = {.node = node};

	bits_set_range(&want.need, first, count);
	return want;
}

static inline struct frame_want want_huge(unsigned int node)
{
	return (struct frame_want){.node = node, .huge = true};
}

static inline struct slot *take(const struct frame_want *want)
{
	struct slot *slot = NULL;

	ck_assert_int_eq(frame_take(frames, want, &slot), 0);
	ck_assert_ptr_nonnull(slot);
	return slot;
}

/* What a slot has is these pages, in the books and in the kernel. */
static inline void assert_has(const struct slot *slot, unsigned int first, unsigned int count)
{
	unsigned int map, number, page;
	const struct block *block = block_at((uintptr_t)slot->hva, &map, &number, &page);
	struct bits pages = {{0}};

	bits_set_range(&pages, first, count);
	ck_assert_mem_eq(&slot->have, &pages, sizeof(pages));
	ck_assert_mem_eq(&block->present, &pages, sizeof(pages));
}

static inline struct block *block_of(const struct slot *slot)
{
	unsigned int map, number, page;

	return block_at((uintptr_t)slot->hva, &map, &number, &page);
}

/* Slots with that memory, given back in the order of their numbers. */
static inline void give_some(const struct frame_want *want, struct slot **slots, unsigned int count,
			     bool clean)
{
	for (unsigned int i = 0; i < count; i++)
		slots[i] = take(want);
	for (unsigned int i = 0; i < count; i++) {
		slots[i]->clean = clean;
		frame_give(frames, slots[i]);
	}
	forget();
}

#endif
