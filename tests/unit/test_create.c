/*
 * An engine whose N-th call of the system fails while it and its memory are made, for each N: what was made is gone again, to
 * the last mapping and descriptor, and the second attempt serves.
 */
#include "../../migrate/core/sys.h"
#include "../../migrate/gmig.h"
#include "open_files.h"
#include "rig.h"

#include <errno.h>
#include <string.h>

#define BYTES (2 * GMIG_BLOCK_BYTES)

/* ---- A system that fails, and counts ------------------------------------------------------- */

static atomic_int calls, fail_at; /* from 1; 0: none */
static atomic_bool met;
static atomic_llong mapped; /* bytes of own mappings */

static bool fails(void)
{
	if (atomic_fetch_add(&calls, 1) + 1 != atomic_load(&fail_at))
		return false;
	atomic_store(&met, true);
	return true;
}

static int failing_map(size_t bytes, int protection, void *fixed, void **out)
{
	int ret = fails() ? -ENOMEM : gmig_sys_real.map(bytes, protection, fixed, out);

	if (!ret && !fixed)
		atomic_fetch_add(&mapped, (long long)bytes);
	return ret;
}

static int failing_window(int fd, size_t bytes, void **out)
{
	int ret = fails() ? -ENOMEM : gmig_sys_real.map_window(fd, bytes, out);

	if (!ret)
		atomic_fetch_add(&mapped, (long long)bytes);
	return ret;
}

static int counting_unmap(void *memory, size_t bytes)
{
	atomic_fetch_sub(&mapped, (long long)bytes);
	return gmig_sys_real.unmap(memory, bytes);
}

static int failing_protect(void *memory, size_t bytes, int protection)
{
	return fails() ? -ENOMEM : gmig_sys_real.protect(memory, bytes, protection);
}

static int failing_memfd(const char *name, uint64_t bytes, uint64_t huge_bytes)
{
	return fails() ? -EMFILE : gmig_sys_real.memfd(name, bytes, huge_bytes);
}

static int failing_map_file(int fd, size_t bytes, void *fixed)
{
	return fails() ? -ENOMEM : gmig_sys_real.map_file(fd, bytes, fixed);
}

static int failing_userfaultfd(void)
{
	return fails() ? -EMFILE : gmig_sys_real.userfaultfd();
}

static int failing_pagemap(void)
{
	return fails() ? -EMFILE : gmig_sys_real.pagemap();
}

static int failing_ioctl(int fd, unsigned long request, void *arg)
{
	return (request == UFFDIO_API || request == UFFDIO_REGISTER) && fails()
		   ? -ENOMEM
		   : gmig_sys_real.ioctl(fd, request, arg);
}

static struct gmig_sys sys;

static void setup(void)
{
	sys = gmig_sys_real;
	sys.map = failing_map;
	sys.map_window = failing_window;
	sys.unmap = counting_unmap;
	sys.protect = failing_protect;
	sys.memfd = failing_memfd;
	sys.map_file = failing_map_file;
	sys.userfaultfd = failing_userfaultfd;
	sys.pagemap = failing_pagemap;
	sys.ioctl = failing_ioctl;
}

/* ---- Cases --------------------------------------------------------------------------------- */

static void ck_serves(struct gmig *gmig, uint8_t *ram)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ram[0] = ram[BYTES - 1] = 7;
	engine_settle_faults(gmig, 0);
	ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	ck_assert_uint_gt(bytes[0], 0);
	ck_assert_int_eq(ram[0] + ram[BYTES - 1] + ram[1], 14);
}

/* 0: it was made and served; else what the first failure was, which is told with words. */
static int make(struct gmig_topology *topology, enum gmig_region_kind kind)
{
	struct gmig_options options = {.topology = topology, .unsafe_kernel = true, .sys = &sys};
	struct gmig_region_spec spec = {.bytes = BYTES, .kind = kind};
	struct gmig_error err = {0};
	struct gmig *gmig = NULL;
	int ret, again;
	void *ram;

	ret = gmig_create(&options, &gmig, &err);
	if (ret) {
		ck_assert_ptr_null(gmig);
		ck_assert_uint_gt(strlen(err.text), 0);
		return ret;
	}
	ret = again = gmig_region_add(gmig, &spec, &ram, &err);
	if (ret) {
		ck_assert_uint_gt(strlen(err.text), 0);
		again = gmig_region_add(gmig, &spec, &ram, &err);
	}
	ck_assert_msg(!again, "%s", err.text);
	atomic_store(&fail_at, 0);
	ck_serves(gmig, ram);
	gmig_destroy(gmig);
	return ret;
}

START_TEST(engine_that_cannot_be_made_leaves_nothing_behind)
{
	struct gmig_topology *topology;
	unsigned int before;
	int failures = 0;

	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	make(topology, (enum gmig_region_kind)_i); /* what is made once a process */
	before = open_files();
	for (int n = 1;; n++) {
		atomic_store(&met, false);
		atomic_store(&calls, 0);
		atomic_store(&fail_at, n);
		failures += make(topology, (enum gmig_region_kind)_i) != 0;
		ck_assert_msg(open_files() == before, "call %d: %u descriptors, %u before", n,
			      open_files(), before);
		ck_assert_msg(!atomic_load(&mapped), "call %d: %lld bytes are mapped", n,
			      atomic_load(&mapped));
		if (!atomic_load(&met))
			break;
	}
	ck_assert_int_gt(failures, 3);
	gmig_topology_put(topology);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("create");
	TCase *tcase = tcase_create("create");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_loop_test(tcase, engine_that_cannot_be_made_leaves_nothing_behind,
			    GMIG_REGION_RAM, GMIG_REGION_MEMFD + 1);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
