/* What the engine asks the owner of a region, run by run, and what it makes of each answer. */
#include "../../migrate/gmig_region.h"
#include "../../migrate/memory/region.h"
#include "rig.h"

#include <errno.h>
#include <string.h>

#define BLOCKS 3u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define GPA    (1ull << 30)
#define FIRST  (GPA / GMIG_PAGE_BYTES)

static struct gmig_topology *topology;
static struct gmig *gmig;
static struct region *region;
static struct gmig_error err;
static void *memory;

/* What was asked for: offset and pages of each call. */
static struct {
	uint64_t offset;
	size_t pages;
} asked[64];
static unsigned int calls;
static int answer, says; /* of a call; of each page. 1000: page i is on node i % 3 */

static int query(void *opaque, uint64_t offset, size_t pages, int *status)
{
	ck_assert_ptr_eq(opaque, &answer);
	ck_assert_uint_lt(calls, 64);
	asked[calls].offset = offset;
	asked[calls++].pages = pages;
	for (size_t i = 0; i < pages; i++)
		status[i] = says == 1000 ? (int)((offset / GMIG_PAGE_BYTES + i) % 3) : says;
	return answer;
}

static int discard(void *opaque, uint64_t offset, size_t pages)
{
	ck_assert_ptr_eq(opaque, &answer);
	asked[calls].offset = offset;
	asked[calls++].pages = pages;
	return answer;
}

static void start(bool tells)
{
	const struct gmig_region_ops ops = {.query = tells ? query : NULL,
					    .discard = tells ? discard : NULL};
	struct gmig_region_own own = {.ops = &ops, .opaque = &answer};
	struct gmig_region_spec spec = {
	    .gpa = GPA, .bytes = BYTES, .kind = GMIG_REGION_OWN, .own = &own};
	struct gmig_options options = {.unsafe_kernel = true};
	void *hva;

	ck_assert_int_eq(posix_memalign(&memory, GMIG_BLOCK_BYTES, BYTES), 0);
	memset(memory, 1, BYTES);
	ck_assert_int_eq(gmig_topology_create(3, &topology, NULL), 0);
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	own.memory = memory;
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	region = &gmig->regions[0];
	answer = 0;
	says = 1000;
	calls = 0;
}

static void end(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	free(memory);
}

static void assert_asked(unsigned int i, uint64_t page, size_t pages)
{
	ck_assert_uint_lt(i, calls);
	ck_assert_uint_eq(asked[i].offset, page * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(asked[i].pages, pages);
}

START_TEST(owner_is_asked_for_runs_within_a_block)
{
	const uint64_t gfns[8] = {FIRST + 3,   FIRST + 4,   FIRST + 5,	 FIRST + 9,
				  FIRST + 510, FIRST + 511, FIRST + 512, FIRST + 100};
	int status[8];

	start(true);
	ck_assert_int_eq(region_own.query(gmig, region, 8, gfns, status), 0);
	ck_assert_uint_eq(calls, 5);
	assert_asked(0, 3, 3);
	assert_asked(1, 9, 1);
	assert_asked(2, 510, 2);
	assert_asked(3, 512, 1);
	assert_asked(4, 100, 1);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_int_eq(status[i], (int)((gfns[i] - FIRST) % 3));
	ck_assert_int_eq(region_own.query(gmig, region, 0, gfns, status), 0);
	ck_assert_uint_eq(calls, 5);
	end();
}
END_TEST

START_TEST(answer_is_a_node_or_an_errno)
{
	static const struct {
		int says, means;
	} pages[] = {{0, 0},
		     {GMIG_MAX_NODES - 1, GMIG_MAX_NODES - 1},
		     {GMIG_MAX_NODES, -EIO},
		     {-ENOENT, -ENOENT},
		     {-4095, -4095},
		     {-4096, -EIO}};
	const uint64_t gfns[2] = {FIRST, FIRST + 7};
	int status[2];

	start(true);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		says = pages[i].says;
		ck_assert_int_eq(region_own.query(gmig, region, 2, gfns, status), 0);
		ck_assert_int_eq(status[0], pages[i].means);
		ck_assert_int_eq(status[1], pages[i].means);
	}
	/* Of the whole call: the first run that fails is the last that is asked for. */
	calls = 0;
	answer = -EAGAIN;
	ck_assert_int_eq(region_own.query(gmig, region, 2, gfns, status), -EAGAIN);
	ck_assert_uint_eq(calls, 1);
	answer = 1;
	ck_assert_int_eq(region_own.query(gmig, region, 2, gfns, status), -EIO);
	answer = -4096;
	ck_assert_int_eq(region_own.query(gmig, region, 2, gfns, status), -EIO);
	end();
}
END_TEST

START_TEST(scan_shows_what_the_owner_has_and_nothing_that_is_protected)
{
	struct uffd_scan scan;

	start(true);
	memset(&scan, 0xff, sizeof(scan));
	ck_assert_int_eq(region_own.scan(gmig, region, FIRST + 512, &scan), 0);
	ck_assert_uint_eq(calls, 1);
	assert_asked(0, 512, 512);
	ck_assert(bits_full(&scan.present));
	ck_assert(bits_empty(&scan.protected) && bits_empty(&scan.swapped) && !scan.huge);
	says = -ENOENT;
	ck_assert_int_eq(region_own.scan(gmig, region, FIRST, &scan), 0);
	ck_assert(bits_empty(&scan.present));
	says = 0;
	answer = -EBUSY;
	ck_assert_int_eq(region_own.scan(gmig, region, FIRST, &scan), -EBUSY);
	ck_assert(bits_empty(&scan.present));
	end();
	/* One who says nothing: the kernel is asked. */
	start(false);
	ck_assert_int_eq(region_own.scan(gmig, region, FIRST, &scan), 0);
	ck_assert(bits_full(&scan.present) && bits_empty(&scan.protected));
	ck_assert_uint_eq(calls, 0);
	end();
}
END_TEST

START_TEST(owner_gives_back_what_the_guest_gives_back)
{
	start(true);
	ck_assert_int_eq(region_own.discard(gmig, region, FIRST + 5, 7), 0);
	assert_asked(0, 5, 7);
	answer = -ENOMEM;
	ck_assert_int_eq(region_own.discard(gmig, region, FIRST, 1), -ENOMEM);
	ck_assert_int_eq(region_own.populate(gmig, region, FIRST), 0);
	ck_assert_int_eq(region_own.prefer(gmig, region, 2, &err), 0);
	ck_assert_uint_eq(calls, 2);
	end();
	start(false);
	ck_assert_int_eq(region_own.discard(gmig, region, FIRST, 1), -EOPNOTSUPP);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    owner_is_asked_for_runs_within_a_block,
	    answer_is_a_node_or_an_errno,
	    scan_shows_what_the_owner_has_and_nothing_that_is_protected,
	    owner_gives_back_what_the_guest_gives_back,
	};
	Suite *suite = suite_create("own_calls");
	TCase *tcase = tcase_create("own_calls");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
