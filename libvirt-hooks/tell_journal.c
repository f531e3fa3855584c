#include "tell_journal.h"
#include "state_file.h"

#include <string.h>

#define SUFFIX ".tell"

int tell_journal_write(const char *directory, const struct tell_journal *journal,
		       struct gmig_error *err)
{
	char nodes[4096];
	json_t *json = json_pack("{s:i, s:s, s:i, s:I, s:s}", "version", STATE_FILE_VERSION, "uuid",
				 journal->uuid, "pid", (int)journal->pid, "start_time",
				 (json_int_t)journal->start_time, "nodes",
				 gmig_node_set_print(&journal->nodes, nodes, sizeof(nodes)));

	return state_file_save(directory, journal->uuid, SUFFIX, json,
			       "a note of what libvirt is to be told", err);
}

void tell_journal_remove(const char *directory, const char *uuid)
{
	state_file_remove(directory, uuid, SUFFIX);
}

static bool read_journal(const json_t *json, void *into)
{
	struct tell_journal *journal = into;
	const char *nodes = json_string_value(json_object_get(json, "nodes"));

	return nodes && !gmig_node_set_parse(nodes, &journal->nodes, NULL) &&
	       state_file_owner(json, journal->uuid, &journal->pid, &journal->start_time);
}

int tell_journal_read(const char *directory, const char *uuid, struct tell_journal *journal,
		      struct gmig_error *err)
{
	memset(journal, 0, sizeof(*journal));
	return state_file_read(directory, uuid, SUFFIX, read_journal, journal, err);
}

int tell_journal_list(const char *directory, char (**uuids)[QEMU_UUID_TEXT])
{
	return state_file_list(directory, SUFFIX, uuids);
}
