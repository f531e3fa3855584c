/*
 * One ticket of mover uffd, driven call by call. The kernel is the real one, but for calls that a test has fail and for a clock that
 * only calls move on. What was asked of it is noted as text: P takes the right to write, U gives it back, < takes pages out of the
 * region, > brings some in, D discards; then the first page of the block and how many; ! when it failed.
 */
#ifndef TEST_UFFD_RIG_H
#define TEST_UFFD_RIG_H

#include "../../migrate/core/uffd.h"
#include "../../migrate/memory/frame.h"
#include "../../migrate/memory/region.h"
#include "../../migrate/movers/mover.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

#define BYTES  (4ull << 20)
#define FIRST  GMIG_BLOCK_PAGES /* of the block that moves: the second one */
#define ALWAYS 1000000

/* What calls take. */
#define PROTECT_NS   7
#define UNPROTECT_NS 20
#define OUT_NS	     100
#define IN_NS	     3000

static struct rig rig;
static struct gmig_sys sys;
static struct mover_job job;
static struct mover_worker worker;
static struct mover_ticket ticket;

/* ---- The kernel --------------------------------------------------------------------------------- */

static _Thread_local bool driven; /* this thread is the mover's */
static uint64_t clock_ns, cpu_reads;
static unsigned int naps;
static char calls[4000];

/*
 * A call that touches that page of the block fails, so many times; pages before it move. op: P protects, U takes that back, < is out of
 * the region, > into it, S asks for the block's pages, D discards.
 */
static struct rule {
	char op;
	unsigned int page;
	int error;
	unsigned int times;
} rules[4];

static inline void note(char op, unsigned int first, unsigned int count, const char *how)
{
	size_t at = strlen(calls);

	snprintf(calls + at, sizeof(calls) - at, "%s%c%u+%u%s", at ? " " : "", op, first, count,
		 how);
}

static inline struct rule *rule_of(char op, unsigned int first, unsigned int count)
{
	for (unsigned int i = 0; i < 4; i++)
		if (rules[i].op == op && rules[i].times && rules[i].page - first < count)
			return &rules[i];
	return NULL;
}

/* The number of the page in the block; false: it is not the region's. */
static inline bool page_of(uint64_t address, unsigned int *page)
{
	uint64_t at = address - (uint64_t)(uintptr_t)rig.ram;

	*page = (unsigned int)(at / GMIG_PAGE_BYTES) - (unsigned int)FIRST;
	return at < BYTES;
}

static inline int until_it_has_time(int fd, unsigned long request, void *arg)
{
	int ret;

	do
		ret = gmig_sys_real.ioctl(fd, request, arg);
	while (ret == -EAGAIN);
	return ret;
}

static inline int protect(int fd, struct uffdio_writeprotect *arg)
{
	bool on = arg->mode & UFFDIO_WRITEPROTECT_MODE_WP;
	unsigned int page, count = (unsigned int)(arg->range.len / GMIG_PAGE_BYTES);
	struct rule *rule;

	ck_assert(page_of(arg->range.start, &page));
	rule = rule_of(on ? 'P' : 'U', page, count);
	clock_ns += on ? PROTECT_NS : UNPROTECT_NS;
	if (!rule || rule->times != ALWAYS)
		note(on ? 'P' : 'U', page, count, rule ? "!" : "");
	if (!rule)
		return until_it_has_time(fd, UFFDIO_WRITEPROTECT, arg);
	rule->times -= rule->times != ALWAYS;
	return rule->error;
}

/* All of it, though the kernel may do it in parts: how much, and why no more. */
static inline uint64_t move_really(int fd, const struct uffdio_move *whole, int *error)
{
	uint64_t done = 0;

	*error = 0;
	while (done < whole->len) {
		struct uffdio_move part = *whole;

		part.dst += done;
		part.src += done;
		part.len -= done;
		*error = gmig_sys_real.ioctl(fd, UFFDIO_MOVE, &part);
		if (!*error)
			return whole->len;
		if (*error != -EAGAIN)
			break;
		done += part.move > 0 ? (uint64_t)part.move : 0;
	}
	return done;
}

/* What breaks when pages have gone that way. */
static struct {
	char op;
	unsigned int page;
} breaks;

static inline void break_page(int fd, uint64_t address)
{
	struct uffdio_poison poison = {.range = {address, GMIG_PAGE_BYTES}};

	madvise((void *)(uintptr_t)address, GMIG_PAGE_BYTES, MADV_DONTNEED); // NOLINT
	ck_assert_int_eq(ioctl(fd, UFFDIO_POISON, &poison), 0);
}

static inline int move(int fd, struct uffdio_move *arg)
{
	unsigned int page = 0, count = (unsigned int)(arg->len / GMIG_PAGE_BYTES);
	bool out = page_of(arg->src, &page);
	char op = out ? '<' : '>';
	struct rule *rule;
	int ret;

	ck_assert(out || page_of(arg->dst, &page));
	ck_assert_uint_eq(arg->mode, out ? UFFDIO_MOVE_MODE_DONTWAKE : 0);
	clock_ns += out ? OUT_NS : IN_NS;
	rule = rule_of(op, page, count);
	if (rule && rule->page == page) {
		if (rule->times != ALWAYS)
			note(op, page, count, "!");
		rule->times -= rule->times != ALWAYS;
		arg->move = rule->error;
		return rule->error;
	}
	if (rule)
		arg->len = (rule->page - page) * GMIG_PAGE_BYTES;
	arg->move = (int64_t)move_really(fd, arg, &ret);
	if (!arg->move) {
		note(op, page, count, "!");
		arg->move = ret;
		return ret;
	}
	note(op, page, (unsigned int)((uint64_t)arg->move / GMIG_PAGE_BYTES), "");
	if (breaks.op == op && breaks.page - page < count) {
		break_page(fd, arg->dst + (breaks.page - page) * GMIG_PAGE_BYTES);
		breaks.op = '\0';
	}
	return ret || rule ? -EAGAIN : 0;
}

static inline int ioctl_driven(int fd, unsigned long request, void *arg)
{
	const struct pm_scan_arg *scan = arg;
	struct rule *rule;
	unsigned int page;

	if (!driven)
		return gmig_sys_real.ioctl(fd, request, arg);
	if (request == UFFDIO_WRITEPROTECT)
		return protect(fd, arg);
	if (request == UFFDIO_MOVE)
		return move(fd, arg);
	if (request == PAGEMAP_SCAN && page_of(scan->start, &page) &&
	    (rule = rule_of('S', 0, GMIG_BLOCK_PAGES))) {
		rule->times--;
		return rule->error;
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

static inline int advise_driven(void *memory, size_t bytes, int advice)
{
	unsigned int page;
	struct rule *rule;

	if (!driven || !page_of((uintptr_t)memory, &page))
		return gmig_sys_real.advise(memory, bytes, advice);
	rule = rule_of('D', page, (unsigned int)(bytes / GMIG_PAGE_BYTES));
	note('D', page, (unsigned int)(bytes / GMIG_PAGE_BYTES), rule ? "!" : "");
	return rule ? rule->error : gmig_sys_real.advise(memory, bytes, advice);
}

static inline uint64_t now_driven(void)
{
	return driven ? clock_ns : gmig_sys_real.now_ns();
}

static inline uint64_t ran_driven(void)
{
	return driven ? clock_ns + cpu_reads++ : gmig_sys_real.ran_ns();
}

static inline void sleep_driven(uint64_t ns)
{
	if (!driven) {
		gmig_sys_real.sleep_ns(ns);
	} else if (ns == 1000000) {
		naps++;
	}
}

/* ---- One ticket --------------------------------------------------------------------------------- */

static unsigned int held, holds;

static inline void hold(void *opaque, bool on)
{
	(void)opaque;
	ck_assert_uint_eq(held, !on);
	held = on;
	holds += on;
}

static inline void start(bool small_pages)
{
	sys = gmig_sys_real;
	sys.ioctl = ioctl_driven;
	sys.advise = advise_driven;
	sys.now_ns = now_driven;
	sys.ran_ns = ran_driven;
	sys.sleep_ns = sleep_driven;
	rig_create(
	    &rig, &(struct rig_options){
		      .bytes = BYTES, .small_pages = small_pages, .hold_vcpus = hold, .sys = &sys});
}

static inline void refuse(unsigned int rule, char op, unsigned int page, int error,
			  unsigned int times)
{
	rules[rule] = (struct rule){op, page, error, times};
}

/* The job that the ticket is of, as far as its mover knows it. */
static inline void begin_job(enum gmig_mode mode)
{
	struct gmig_error err = {0};

	job = (struct mover_job){.memory = &rig.gmig->memory,
				 .topology = rig.topology,
				 .spec = rig_spec(0, 1),
				 .id = 4711,
				 .single = true};
	job.spec.mode = mode;
	job.spec.threads = 1;
	ck_assert_int_eq(mover_uffd.begin(&job, &err), 0);
	worker = (struct mover_worker){.job = &job};
	ck_assert_int_eq(mover_uffd.worker_begin(&worker), 0);
	ticket =
	    (struct mover_ticket){.block_gfn = FIRST, .to = 1, .mode = mode, .huge = rig.gmig->thp};
	bits_fill(&ticket.pages);
}

static inline void note_touch(void *arg, const struct claim_touch *touch)
{
	(void)arg, (void)touch;
}

static inline void drive(void (*step)(void))
{
	clock_ns = gmig_sys_real.now_ns();
	cpu_reads = 0;
	naps = 0;
	calls[0] = '\0';
	driven = true;
	step();
	driven = false;
}

static inline void move_ticket(void)
{
	struct mover_ticket *tickets[] = {&ticket};

	mover_uffd.move(&worker, tickets, 1);
}

static inline void prepare_and_claim(void)
{
	struct bits refused;

	ck_assert_int_eq(mover_uffd.prepare(&worker, &ticket), 0);
	ticket.claim = (struct claim){.gmig = rig.gmig,
				      .region = engine_region_of_gfn(rig.gmig, FIRST),
				      .block_gfn = FIRST,
				      .huge = ticket.huge,
				      .to = 1,
				      .owner = job.id,
				      .memory = mover_uffd.memory,
				      .pages = ticket.pages,
				      .touched = note_touch,
				      .in_place = job.spec.lazy == GMIG_LAZY_WRITE};
	claim_take(&ticket.claim, &refused);
	ck_assert(bits_empty(&refused));
}

static inline void run(void)
{
	prepare_and_claim();
	drive(move_ticket);
}

static inline void check_calls(const char *expected)
{
	ck_assert_str_eq(calls, expected);
}

/* Of pages first..first+count: where they are, or why they stayed. */
enum { MOVED = 1, GONE, OUT };

static inline void check_pages(unsigned int first, unsigned int count, int result)
{
	for (unsigned int i = first; i < first + count; i++) {
		ck_assert_msg(bits_get(&ticket.moved, i) == (result == MOVED), "moved %u", i);
		ck_assert_msg(bits_get(&ticket.gone, i) == (result == GONE), "gone %u", i);
		ck_assert_msg(bits_get(&ticket.out, i) == (result == OUT), "out %u", i);
		if (result <= 0)
			ck_assert_msg(ticket.error[i] == result, "page %u: %s", i,
				      gmig_errno_name(ticket.error[i]));
	}
}

static inline uint64_t in_books_on(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	return bytes[node] / GMIG_PAGE_BYTES;
}

static inline void settle(void)
{
	const struct claim_result result = {ticket.moved, ticket.gone, ticket.broken, &job.stall};

	if (ticket.lost)
		claim_abandon(&ticket.claim);
	else
		claim_settle(&ticket.claim, &result);
}

static inline void end_job(void)
{
	mover_uffd.finish(&worker, &ticket);
	mover_uffd.worker_end(&worker);
	mover_uffd.end(&job);
	ck_assert_ptr_null(job.state);
	ck_assert_ptr_null(worker.state);
}

/* The ticket is settled; so many pages are on the target, and all have their content. */
static inline void end(unsigned int moved)
{
	memset(rules, 0, sizeof(rules));
	settle();
	end_job();
	ck_assert_uint_eq(in_books_on(1), moved);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page); /* nobody sleeps on what was forgotten */
	ck_assert_uint_eq(in_books_on(0) + in_books_on(1), rig.pages);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static inline void check_blackouts(unsigned int reads, uint64_t read_ns, unsigned int writes,
				   uint64_t write_ns)
{
	const struct hist *of[] = {&job.blackout_read, &rig.gmig->blackout_read,
				   &job.blackout_write, &rig.gmig->blackout_write};

	for (unsigned int i = 0; i < 4; i++) {
		struct gmig_percentiles all;

		hist_summary(of[i], &all);
		ck_assert_uint_eq(all.count, i < 2 ? reads : writes);
		ck_assert_uint_eq(all.max_ns, i < 2 ? read_ns : write_ns);
	}
	ck_assert_uint_eq(ticket.blackout_read_ns, read_ns);
	ck_assert_uint_eq(ticket.blackout_write_ns, write_ns);
}

/* The CPU time of the calls, and one tick for each copy and for the ticket itself. */
static inline void check_held(uint64_t calls_ns, unsigned int copies)
{
	ck_assert_uint_eq(ticket.copy_ns, copies);
	ck_assert_uint_eq(ticket.held_ns, calls_ns + copies + 1);
}

static inline int stays(int fd, unsigned long request, void *arg)
{
	struct uffdio_move *at = arg;
	unsigned int page;

	if (driven && request == UFFDIO_MOVE && page_of(at->src, &page)) {
		note('<', page, (unsigned int)(at->len / GMIG_PAGE_BYTES), "!");
		at->move = -EBUSY;
		return -EBUSY;
	}
	return ioctl_driven(fd, request, arg);
}

/* An engine with huge pages; false: the host gives it none, and the case is skipped. */
#define start_huge() start_huge_of(__func__)

static inline bool start_huge_of(const char *function)
{
	start(false);
	if (rig.gmig->thp)
		return true;
	rig_destroy(&rig);
	return skip_case_of(function, NO_HUGE_PAGES);
}

#endif
