#include "tell_journal.h"
#include "state_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION 1
#define SUFFIX	".tell"

int tell_journal_write(const char *directory, const struct tell_journal *journal,
		       struct gmig_error *err)
{
	char nodes[4096], path[PATH_MAX], *text;
	json_t *json =
	    json_pack("{s:i, s:s, s:i, s:I, s:s}", "version", VERSION, "uuid", journal->uuid, "pid",
		      (int)journal->pid, "start_time", (json_int_t)journal->start_time, "nodes",
		      gmig_node_set_print(&journal->nodes, nodes, sizeof(nodes)));
	int ret = -ENAMETOOLONG;

	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!text)
		return gmig_fail(err, -ENOMEM,
				 "no memory for a note of what libvirt is to be told");
	if (state_file_path(path, directory, journal->uuid, SUFFIX))
		ret = state_file_write(directory, path, text);
	free(text);
	return ret ? gmig_fail(err, ret,
			       "a note of what libvirt is to be told cannot be written in "
			       "'%.150s': %s",
			       directory, strerror(-ret))
		   : 0;
}

void tell_journal_remove(const char *directory, const char *uuid)
{
	char path[PATH_MAX];

	if (state_file_path(path, directory, uuid, SUFFIX))
		unlink(path);
}

static bool read_journal(const json_t *json, void *into)
{
	struct tell_journal *journal = into;
	const char *uuid = json_string_value(json_object_get(json, "uuid"));
	const char *nodes = json_string_value(json_object_get(json, "nodes"));

	if (!uuid || !nodes || strlen(uuid) >= sizeof(journal->uuid) ||
	    gmig_node_set_parse(nodes, &journal->nodes, NULL) ||
	    json_integer_value(json_object_get(json, "version")) != VERSION)
		return false;
	strcpy(journal->uuid, uuid);
	return state_file_process(json, &journal->pid, &journal->start_time);
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
