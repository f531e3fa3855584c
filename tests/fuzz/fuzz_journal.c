/* What a killed gmigd has left on disk, or somebody has put there: a journal that is read can be written, and is the same again. */
#include "../../libvirt-hooks/move_journal.h"
#include "../../libvirt-hooks/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

static char folder[] = "/dev/shm/gmig-fuzz-XXXXXX";

static void need(bool holds)
{
	if (!holds)
		abort();
}

static void clean(void)
{
	char path[128];

	for (int i = 1; i <= STATE_FILE_ASIDE; i++) {
		snprintf(path, sizeof(path), "%s/" UUID ".json.bad-%d", folder, i);
		(void)unlink(path);
	}
	move_journal_remove(folder, UUID);
	(void)rmdir(folder);
}

static void put(const uint8_t *data, size_t size)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/" UUID ".json", folder);
	file = fopen(path, "w");
	need(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void check(const struct move_journal *journal)
{
	need(!strcmp(journal->uuid, UUID));
	need(journal->pid > 0);
	for (size_t i = 0; i < journal->job_count; i++) {
		const struct gmig_job_spec *spec = &journal->job[i].spec;

		need(spec->from_count <= GMIG_MAX_NODES && spec->to_count <= GMIG_MAX_NODES);
		need(spec->huge <= GMIG_HUGE_SPLIT && spec->swapped <= GMIG_SWAPPED_SKIP);
		need(spec->max_slowdown_ppm <= 1000000);
		need(spec->rate_bytes_per_second <= INT64_MAX && spec->max_bytes <= INT64_MAX);
	}
	for (size_t i = 0; i < journal->count; i++)
		need(journal->group[i].path && journal->group[i].path[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	struct move_journal journal;
	struct gmig_error err = {0, ""};
	int ret;

	if (!made) {
		made = true;
		need(mkdtemp(folder) != NULL && atexit(clean) == 0);
		umask(077);
	}
	put(data, size);
	ret = move_journal_read(folder, UUID, &journal, &err);
	need(ret == err.code);
	if (ret) {
		need(ret == -EBADMSG || ret == -ENOENT);
		return 0;
	}
	check(&journal);
	move_journal_free(&journal);
	return 0;
}
