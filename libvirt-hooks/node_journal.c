#include "node_journal.h"
#include "state_file.h"

#include <string.h>

static const struct {
	const char *suffix, *what;
} of_kind[NODE_JOURNAL_KINDS] = {
    [NODE_JOURNAL_TELL] = {".tell", "a note of what libvirt is to be told"},
    [NODE_JOURNAL_KEPT] = {".kept", "a note of nodes that cpusets keep"},
};

const char *node_journal_suffix(enum node_journal_kind kind)
{
	return of_kind[kind].suffix;
}

int node_journal_write(const char *directory, enum node_journal_kind kind,
		       const struct node_journal *journal, struct gmig_error *err)
{
	char nodes[4096];
	json_t *json = json_pack("{s:i, s:s, s:i, s:I, s:s}", "version", STATE_FILE_VERSION, "uuid",
				 journal->uuid, "pid", (int)journal->pid, "start_time",
				 (json_int_t)journal->start_time, "nodes",
				 gmig_node_set_print(&journal->nodes, nodes, sizeof(nodes)));

	return state_file_save(directory, journal->uuid, of_kind[kind].suffix, json,
			       of_kind[kind].what, err);
}

void node_journal_remove(const char *directory, enum node_journal_kind kind, const char *uuid)
{
	state_file_remove(directory, uuid, of_kind[kind].suffix);
}

static bool read_journal(const json_t *json, void *into)
{
	struct node_journal *journal = into;
	const char *nodes = json_string_value(json_object_get(json, "nodes"));

	return nodes && !gmig_node_set_parse(nodes, &journal->nodes, NULL) &&
	       state_file_owner(json, journal->uuid, &journal->pid, &journal->start_time);
}

int node_journal_read(const char *directory, enum node_journal_kind kind, const char *uuid,
		      struct node_journal *journal, struct gmig_error *err)
{
	memset(journal, 0, sizeof(*journal));
	return state_file_read(directory, uuid, of_kind[kind].suffix, read_journal, journal, err);
}

void node_journal_drop(const char *directory, enum node_journal_kind kind, const char *uuid,
		       pid_t pid, uint64_t start_time)
{
	struct node_journal journal;

	if (!node_journal_read(directory, kind, uuid, &journal, NULL) && journal.pid == pid &&
	    journal.start_time == start_time)
		node_journal_remove(directory, kind, uuid);
}

int node_journal_list(const char *directory, enum node_journal_kind kind,
		      char (**uuids)[QEMU_UUID_TEXT])
{
	return state_file_list(directory, of_kind[kind].suffix, uuids);
}
