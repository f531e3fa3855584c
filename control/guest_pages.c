#include "guest_pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Lists that are not complete ----------------------------------------------------------------- */

struct gathered {
	uint64_t id; /* 0: free */
	char guest[128];
	time_t used; /* CLOCK_MONOTONIC, s */
	struct gmig_move_range *ranges;
	size_t count, room;
};

static struct gathered lists[GUEST_PAGES_LISTS];
static uint64_t next_id = 1;

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void drop(struct gathered *list)
{
	free(list->ranges);
	*list = (struct gathered){.id = 0};
}

static void drop_idle(void)
{
	for (unsigned int i = 0; i < GUEST_PAGES_LISTS; i++)
		if (lists[i].id && now_s() - lists[i].used > GUEST_PAGES_IDLE_S)
			drop(&lists[i]);
}

static struct gathered *begin(const char *guest)
{
	struct gathered *list = &lists[0];

	for (unsigned int i = 1; i < GUEST_PAGES_LISTS && list->id; i++)
		if (!lists[i].id || lists[i].used < list->used)
			list = &lists[i];
	drop(list);
	list->id = next_id++;
	snprintf(list->guest, sizeof(list->guest), "%s", guest);
	return list;
}

static struct gathered *find(const char *guest, const char *id)
{
	for (unsigned int i = 0; i < GUEST_PAGES_LISTS; i++) {
		char text[24];

		snprintf(text, sizeof(text), "%llu", (unsigned long long)lists[i].id);
		if (lists[i].id && !strcmp(text, id) && !strcmp(lists[i].guest, guest))
			return &lists[i];
	}
	return NULL;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

static int read_number(const json_t *pages, size_t i, json_int_t max, json_int_t *value,
		       struct gmig_error *err)
{
	const json_t *item = json_array_get(pages, i);

	*value = json_integer_value(item);
	if (json_is_integer(item) && *value >= 0 && *value <= max)
		return 0;
	return gmig_fail(err, -EINVAL, "pages: item %zu is no number from 0 to %lld", i,
			 (long long)max);
}

static int add_entry(struct gathered *list, const json_t *pages, size_t at, struct gmig_error *err)
{
	json_int_t gpa = 0, bytes = 0, node = 0;
	int ret = read_number(pages, at, INT64_MAX, &gpa, err);

	if (!ret)
		ret = read_number(pages, at + 1, INT64_MAX, &bytes, err);
	if (!ret)
		ret = read_number(pages, at + 2, INT32_MAX, &node, err);
	if (!ret)
		list->ranges[list->count++] = (struct gmig_move_range){
		    .gpa = (uint64_t)gpa, .bytes = (uint64_t)bytes, .node = (int)node};
	return ret;
}

static int make_room(struct gathered *list, size_t more, struct gmig_error *err)
{
	size_t room = list->count + more;
	struct gmig_move_range *ranges;

	if (room > GUEST_PAGES_MAX)
		return gmig_fail(err, -E2BIG, "pages: more than %u entries in one list",
				 GUEST_PAGES_MAX);
	if (room <= list->room)
		return 0;
	room = room < 2 * list->room ? 2 * list->room : room;
	ranges = reallocarray(list->ranges, room, sizeof(*ranges));
	if (!ranges)
		return gmig_fail(err, -ENOMEM, "no memory for %zu entries", room);
	list->ranges = ranges;
	list->room = room;
	return 0;
}

static int add_pages(struct gathered *list, const json_t *arguments, struct gmig_error *err)
{
	const json_t *pages = json_object_get(arguments, "pages");
	size_t count = json_array_size(pages);
	int ret;

	if (count % 3)
		return gmig_fail(err, -EINVAL,
				 "pages: %zu items are no entries of three: gpa, bytes, node",
				 count);
	ret = make_room(list, count / 3, err);
	for (size_t i = 0; i < count && !ret; i += 3)
		ret = add_entry(list, pages, i, err);
	return ret;
}

int guest_pages_gather(const char *guest, const json_t *arguments, struct gmig_move *move,
		       json_t **answer, struct gmig_error *err)
{
	const char *id = json_string_value(json_object_get(arguments, "list"));
	struct gathered *list;
	char text[24];
	int ret;

	drop_idle();
	list = id ? find(guest, id) : begin(guest);
	if (!list)
		return gmig_fail(err, -ESRCH, "there is no list '%.32s' to go on with", id);
	list->used = now_s();
	ret = add_pages(list, arguments, err);
	if (ret) {
		drop(list);
		return ret;
	}
	if (json_is_true(json_object_get(arguments, "more"))) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)list->id);
		*answer = json_pack("{s:s, s:I}", "list", text, "entries", (json_int_t)list->count);
		return *answer ? 1 : gmig_fail(err, -ENOMEM, "no memory for the answer");
	}
	move->ranges = list->ranges;
	move->count = list->count;
	list->ranges = NULL;
	drop(list);
	return 0;
}

/* ---- Asking ------------------------------------------------------------------------------------ */

static int ask(const struct guest *guest, struct gmig_job *job, const struct gmig_pages *pages,
	       struct gmig_error *err)
{
	int ret;

	if (!job && guest->process)
		return (int)gmig_process_move_pages(guest->process, pages, err);
	if (!job)
		return (int)gmig_move_pages(guest->gmig, pages, err);
	ret = gmig_job_pages(job, pages->count, pages->gpas, pages->status);
	return ret ? gmig_fail(err, ret, "the memory is gone") : 0;
}

static int report(const struct gmig_pages *pages, json_t **answer, struct gmig_error *err)
{
	json_t *status = json_array();

	for (size_t i = 0; i < pages->count; i++)
		json_array_append_new(status, json_integer(pages->status[i]));
	*answer = status ? json_pack("{s:o}", "status", status) : NULL;
	return *answer ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

int guest_pages_query(const struct guest *guest, struct gmig_job *job, const json_t *arguments,
		      json_t **answer, struct gmig_error *err)
{
	const json_t *list = json_object_get(arguments, "pages");
	size_t count = json_array_size(list);
	uint64_t *gpas = calloc(count + 1, sizeof(*gpas));
	int *status = calloc(count + 1, sizeof(*status));
	const struct gmig_pages pages = {.count = count, .gpas = gpas, .status = status};
	json_int_t gpa = 0;
	int ret = 0;

	if (count > GUEST_PAGES_ONE_LINE)
		ret = gmig_fail(err, -E2BIG, "pages: at most %d at a time", GUEST_PAGES_ONE_LINE);
	else if (!gpas || !status)
		ret = gmig_fail(err, -ENOMEM, "no memory for the answer");
	for (size_t i = 0; gpas && i < count && !ret; i++) {
		ret = read_number(list, i, INT64_MAX, &gpa, err);
		gpas[i] = (uint64_t)gpa;
	}
	if (!ret)
		ret = ask(guest, job, &pages, err);
	if (!ret)
		ret = report(&pages, answer, err);
	free(gpas);
	free(status);
	return ret;
}
