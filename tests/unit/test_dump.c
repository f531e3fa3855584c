/* What of a guest's memory a core dump of the VMM would have: the flag `dd` of proc_pid_smaps(5). */
#include "../../migrate/memory/frame_pool.h"
#include "rig.h"

#include <stdio.h>
#include <string.h>

#define BYTES (8ull << 20)

/* Has the mapping at this address the flag? */
static bool has_flag(const void *address, const char *flag)
{
	unsigned long begin, end, at = (unsigned long)address;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool inside = false, has = false, found = false;
	char line[512];

	ck_assert_ptr_nonnull(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = at >= begin && at < end;
		else if (inside && !strncmp(line, "VmFlags:", 8)) {
			found = true;
			has = strstr(line, flag);
		}
	}
	fclose(smaps);
	ck_assert_msg(found, "%p is not mapped", address);
	return has;
}

/* After a move, so that frames have been in use. */
START_TEST(guest_memory_is_left_out_of_core_dumps_unless_asked_for_and_frames_always)
{
	struct rig_options options = {.bytes = BYTES, .dump_memory = _i};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	unsigned int pools = 0;
	struct rig rig;

	rig_create(&rig, &options);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_int_eq(has_flag(rig.ram, " dd"), !_i);
	ck_assert_int_eq(has_flag((uint8_t *)rig.ram + BYTES - 1, " dd"), !_i);
	for (unsigned int i = 0; i < 2 * FRAME_WORKERS; i++) {
		struct pool *pool = pool_at(rig.gmig->frames, 0, i / 2, i % 2);

		if (!pool)
			continue;
		pools++;
		ck_assert(has_flag(pool->slots[0].hva, " dd"));
	}
	ck_assert_uint_gt(pools, 0);
	ck_assert(!has_flag(&options, " dd"));
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dump");
	TCase *tcase = tcase_create("dump");

	tcase_add_loop_test(
	    tcase, guest_memory_is_left_out_of_core_dumps_unless_asked_for_and_frames_always, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
