#include "move_journal.h"
#include "state_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".json"

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *set_json(const struct gmig_node_set *set)
{
	char text[4096];

	return json_string(gmig_node_set_print(set, text, sizeof(text)));
}

static json_t *nodes_json(const uint16_t *nodes, unsigned int count)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(list, json_integer(nodes[i]));
	return list;
}

static json_t *job_json(const struct move_journal_job *job)
{
	const struct gmig_job_spec *spec = &job->spec;

	return json_pack(
	    "{s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i}", "unasked", (int)job->unasked,
	    "from", nodes_json(spec->from, spec->from_count), "to",
	    nodes_json(spec->to, spec->to_count), "rate", (json_int_t)spec->rate_bytes_per_second,
	    "max", (json_int_t)spec->max_bytes, "max-stall", (json_int_t)spec->max_stall_ns,
	    "max-slowdown", (json_int_t)spec->max_slowdown_ppm, "vcpus", (int)spec->user, "threads",
	    (int)spec->threads, "huge", (int)spec->huge, "swapped", (int)spec->swapped);
}

static json_t *journal_json(const struct move_journal *journal)
{
	static const struct move_journal_job none;
	/* An older gmigd knows of one, the last. */
	const struct move_journal_job *last =
	    journal->job_count ? &journal->job[journal->job_count - 1] : &none;
	json_t *groups = json_array(), *jobs = json_array();

	for (size_t i = 0; i < journal->job_count; i++)
		json_array_append_new(jobs, job_json(&journal->job[i]));

	for (size_t i = 0; journal->scope && i < journal->scope->count; i++) {
		const struct cpuset_group *group = &journal->scope->group[i];

		/* A path that is not UTF-8 is no group that libvirt makes: the whole journal is refused then. */
		if (json_array_append_new(
			groups, json_pack("{s:s, s:o, s:o, s:b}", "path", group->path, "before",
					  set_json(&group->before), "wide", set_json(&group->wide),
					  "migrates", (int)group->migrates))) {
			json_decref(groups);
			json_decref(jobs);
			return NULL;
		}
	}
	return json_pack(
	    "{s:i, s:s, s:s, s:I, s:I, s:i, s:I, s:o, s:o, s:b, s:b, s:b, s:o, s:o, s:o}",
	    "version", STATE_FILE_VERSION, "uuid", journal->uuid, "name", journal->name, "memory",
	    (json_int_t)journal->memory_bytes, "uid", (json_int_t)journal->uid, "pid",
	    (int)journal->pid, "start_time", (json_int_t)journal->start_time, "job", job_json(last),
	    "jobs", jobs, "unasked", (int)last->unasked, "narrowing", (int)journal->narrowing,
	    "completed", (int)journal->completed, "keep", set_json(&journal->keep), "kept",
	    set_json(&journal->kept), "groups", groups);
}

int move_journal_write(const char *directory, const struct move_journal *journal,
		       struct gmig_error *err)
{
	return state_file_save(directory, journal->uuid, SUFFIX, journal_json(journal),
			       "the journal of a move", err);
}

void move_journal_remove(const char *directory, const char *uuid)
{
	state_file_remove(directory, uuid, SUFFIX);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool read_nodes(const json_t *job, const char *name, uint16_t *nodes, unsigned int *count)
{
	const json_t *list = json_object_get(job, name), *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > GMIG_MAX_NODES)
		return false;
	json_array_foreach (list, i, item) {
		json_int_t node = json_integer_value(item);

		if (!json_is_integer(item) || node < 0 || node >= (json_int_t)GMIG_MAX_NODES)
			return false;
		nodes[i] = (uint16_t)node;
	}
	*count = (unsigned int)json_array_size(list);
	return true;
}

static bool read_spec(const json_t *job, struct gmig_job_spec *spec)
{
	json_int_t huge = json_integer_value(json_object_get(job, "huge"));
	json_int_t swapped = json_integer_value(json_object_get(job, "swapped"));
	json_int_t slowdown = json_integer_value(json_object_get(job, "max-slowdown"));

	spec->rate_bytes_per_second = (uint64_t)json_integer_value(json_object_get(job, "rate"));
	spec->max_bytes = (uint64_t)json_integer_value(json_object_get(job, "max"));
	spec->max_stall_ns = (uint64_t)json_integer_value(json_object_get(job, "max-stall"));
	spec->max_slowdown_ppm = (uint32_t)slowdown;
	spec->user = (unsigned int)json_integer_value(json_object_get(job, "vcpus"));
	spec->threads = (unsigned int)json_integer_value(json_object_get(job, "threads"));
	/* Their names are looked up by them. */
	if (json_integer_value(json_object_get(job, "rate")) < 0 ||
	    json_integer_value(json_object_get(job, "max")) < 0 ||
	    json_integer_value(json_object_get(job, "max-stall")) < 0 || huge < 0 ||
	    huge > GMIG_HUGE_SPLIT || swapped < 0 || swapped > GMIG_SWAPPED_SKIP || slowdown < 0 ||
	    slowdown > 1000000)
		return false;
	spec->huge = (enum gmig_huge)huge;
	spec->swapped = (enum gmig_swapped)swapped;
	return read_nodes(job, "from", spec->from, &spec->from_count) &&
	       read_nodes(job, "to", spec->to, &spec->to_count);
}

static bool read_jobs(const json_t *json, struct move_journal *journal)
{
	const json_t *list = json_object_get(json, "jobs"), *item;
	size_t i;

	journal->job = calloc(json_array_size(list) + 1, sizeof(*journal->job));
	if (!journal->job)
		return false;
	json_array_foreach (list, i, item) {
		journal->job[i].unasked = json_is_true(json_object_get(item, "unasked"));
		if (!read_spec(item, &journal->job[i].spec))
			return false;
		journal->job_count++;
	}
	if (list)
		return json_is_array(list);
	/* An older gmigd's. */
	journal->job_count = 1;
	journal->job[0].unasked = json_is_true(json_object_get(json, "unasked"));
	return read_spec(json_object_get(json, "job"), &journal->job[0].spec);
}

static bool read_group(const json_t *json, struct cpuset_group *group)
{
	const char *path = json_string_value(json_object_get(json, "path"));
	const char *before = json_string_value(json_object_get(json, "before"));
	const char *wide = json_string_value(json_object_get(json, "wide"));

	/* As cpuset_paths_each() tells them: below the hierarchy, and not out of it. */
	if (!path || *path != '/' || strstr(path, "/../") || !before || !wide ||
	    gmig_node_set_parse(before, &group->before, NULL) ||
	    gmig_node_set_parse(wide, &group->wide, NULL))
		return false;
	group->migrates = json_is_true(json_object_get(json, "migrates"));
	group->path = strdup(path);
	return group->path;
}

static bool read_groups(const json_t *list, struct move_journal *journal)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list))
		return false;
	journal->group = calloc(json_array_size(list) + 1, sizeof(*journal->group));
	if (!journal->group)
		return false;
	json_array_foreach (list, i, item) {
		if (!read_group(item, &journal->group[i]))
			return false;
		journal->count++;
	}
	return true;
}

static bool read_journal(const json_t *json, void *into)
{
	struct move_journal *journal = into;
	const char *keep = json_string_value(json_object_get(json, "keep"));
	const char *name = json_string_value(json_object_get(json, "name"));
	const json_t *kept = json_object_get(json, "kept");

	journal->has_kept = kept;
	if (!keep || !name || gmig_node_set_parse(keep, &journal->keep, NULL) ||
	    (kept && (!json_is_string(kept) ||
		      gmig_node_set_parse(json_string_value(kept), &journal->kept, NULL))))
		return false;
	journal->name = strdup(name);
	journal->memory_bytes = (uint64_t)json_integer_value(json_object_get(json, "memory"));
	journal->uid = (uid_t)json_integer_value(json_object_get(json, "uid"));
	journal->narrowing = json_is_true(json_object_get(json, "narrowing"));
	journal->completed = json_is_true(json_object_get(json, "completed"));
	return journal->name &&
	       state_file_owner(json, journal->uuid, &journal->pid, &journal->start_time) &&
	       read_jobs(json, journal) && read_groups(json_object_get(json, "groups"), journal);
}

int move_journal_read(const char *directory, const char *uuid, struct move_journal *journal,
		      struct gmig_error *err)
{
	int ret;

	memset(journal, 0, sizeof(*journal));
	ret = state_file_read(directory, uuid, SUFFIX, read_journal, journal, err);
	if (ret)
		move_journal_free(journal);
	return ret;
}

void move_journal_free(struct move_journal *journal)
{
	for (size_t i = 0; i < journal->count; i++)
		free(journal->group[i].path);
	free(journal->group);
	free(journal->job);
	free(journal->name);
	memset(journal, 0, sizeof(*journal));
}

int move_journal_list(const char *directory, char (**uuids)[QEMU_UUID_TEXT])
{
	return state_file_list(directory, SUFFIX, uuids);
}

void move_journal_apply(const struct move_journal *journal, struct cpuset_scope *scope)
{
	for (size_t i = 0; i < scope->count; i++)
		for (size_t j = 0; j < journal->count; j++)
			if (!strcmp(scope->group[i].path, journal->group[j].path)) {
				scope->group[i].before = journal->group[j].before;
				scope->group[i].wide = journal->group[j].wide;
				scope->group[i].migrates = journal->group[j].migrates;
			}
}
