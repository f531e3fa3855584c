/* gmig list: the guests whose sockets lie in the socket directory. */
#include "../control/text.h"
#include "cli.h"
#include "commands.h"
#include "daemon.h"
#include "units.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* So many guests are asked at once, as far as the process may have threads and files; those behind them wait for these. */
#define LIST_AT_ONCE	1024
#define LIST_FILES	2 /* of each: the socket, and what tells who is behind it */
#define LIST_FILES_ELSE 64
#define LIST_STACK	(512 * 1024)

bool cli_is_guest_socket(const char *name)
{
	size_t length = strlen(name);

	/* gmigd's is no guest: it is asked for its own. */
	return name[0] != '.' && strcmp(name, "gmigd.sock") != 0 && length > strlen(".sock") &&
	       !strcmp(name + length - strlen(".sock"), ".sock");
}

static int is_socket_name(const struct dirent *entry)
{
	return cli_is_guest_socket(entry->d_name);
}

static uint64_t sum_bytes(const json_t *vnodes)
{
	uint64_t bytes = 0;
	size_t i;
	json_t *vnode;

	json_array_foreach (vnodes, i, vnode)
		bytes += cli_number(vnode, "bytes");
	return bytes;
}

static int call_until(struct control_client *client, int64_t deadline_ms, const char *command,
		      json_t **result, struct gmig_error *err)
{
	int64_t left_ms = deadline_ms - cli_now_ms();

	control_client_set_limit(client, left_ms > 0 ? (int)left_ms : 0);
	return control_call(client, command, NULL, result, err);
}

/*
 * What the guest says about itself, added to `entry`. It may refuse what takes memory of its cgroup: why is "refused" then, and what
 * else it has said stands.
 */
static int describe(struct control_client *client, int64_t deadline_ms, json_t *entry)
{
	CLI_JSON status = NULL;
	CLI_JSON numa = NULL;
	struct gmig_error err = {0};
	const json_t *vnodes;
	int rc;

	rc = call_until(client, deadline_ms, "query-status", &status, NULL);
	if (!rc)
		rc = call_until(client, deadline_ms, "query-numa", &numa, &err);
	if (rc && (!status || rc == -EPIPE || rc == -ETIMEDOUT))
		return rc;
	/* It may not say that it is another guest, or a domain of gmigd's. */
	json_object_update_missing(entry, status);
	json_object_del(entry, "uri");
	json_object_del(entry, "refused");
	if (rc) {
		json_object_set_new(entry, "refused", control_text_json(err.text));
		return 0;
	}
	vnodes = json_object_get(numa, "vnodes");
	json_object_set_new(entry, "vnodes", json_integer((json_int_t)json_array_size(vnodes)));
	json_object_set_new(entry, "bytes", json_integer((json_int_t)sum_bytes(vnodes)));
	return 0;
}

static json_t *list_one(const char *directory, const char *file)
{
	int64_t deadline_ms = cli_now_ms() + cli_limits.list_ms;
	char path[PATH_MAX + NAME_MAX + 2], name[NAME_MAX + 1];
	CLI_CLIENT client = NULL;
	json_t *entry;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".sock")), file);
	/* A name that is not UTF-8 must not hide the guest. */
	entry = json_pack("{s:o, s:o}", "name", control_text_json(name), "socket",
			  control_text_json(path));
	if (!entry)
		return NULL;
	rc = control_connect(path, cli_limits.list_ms, &client, NULL);
	if (!rc)
		rc = describe(client, deadline_ms, entry);
	if (rc)
		json_object_set_new(entry, "state", json_string(cli_state_of(rc)));
	return entry;
}

/* One guest and the thread that asks it, so that one that hangs delays no other. */
struct question {
	const char *directory, *file;
	json_t *entry; /* the answer */
	pthread_t thread;
	bool has_thread;
};

static void *list_thread(void *opaque)
{
	struct question *question = opaque;

	question->entry = list_one(question->directory, question->file);
	return NULL;
}

/*
 * How many files may be open decides how many guests can be asked: one that is not asked for want of a file would look as if it
 * had gone. The limit that programs begin with is a low one, for those that use select(2).
 */
static int files_for(int wanted)
{
	const rlim_t needed = (rlim_t)wanted * LIST_FILES + LIST_FILES_ELSE;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return 1;
	if (files.rlim_cur < needed && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = needed < files.rlim_max ? needed : files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		getrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur >= needed)
		return wanted;
	return files.rlim_cur > LIST_FILES_ELSE + LIST_FILES
		   ? (int)(files.rlim_cur - LIST_FILES_ELSE) / LIST_FILES
		   : 1;
}

/*
 * The first of `count` guests, at most LIST_AT_ONCE, as many as threads can be had for, and at least one; what they answer is added
 * to the list in their order. How many that were.
 */
static int ask_at_once(const char *directory, struct dirent **entries, int count, json_t *list)
{
	struct question questions[LIST_AT_ONCE];
	pthread_attr_t attr;
	int asked = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, LIST_STACK);
	while (asked < count) {
		struct question *question = &questions[asked];

		*question =
		    (struct question){.directory = directory, .file = entries[asked]->d_name};
		question->has_thread =
		    !pthread_create(&question->thread, &attr, list_thread, question);
		if (!question->has_thread)
			break;
		asked++;
	}
	pthread_attr_destroy(&attr);
	if (!asked) {
		questions[0] =
		    (struct question){.directory = directory, .file = entries[0]->d_name};
		list_thread(&questions[0]);
		asked = 1;
	}
	for (int i = 0; i < asked; i++) {
		if (questions[i].has_thread)
			pthread_join(questions[i].thread, NULL);
		json_array_append_new(list, questions[i].entry);
	}
	return asked;
}

int cli_list_guests(json_t *list, struct gmig_error *err)
{
	struct dirent **entries;
	char directory[PATH_MAX];
	int count, most, rc;

	rc = control_socket_dir(directory, sizeof(directory), err);
	if (rc)
		return rc;
	count = scandir(directory, &entries, is_socket_name, alphasort);
	if (count < 0 && errno == ENOENT)
		return 0;
	if (count < 0)
		return gmig_fail(err, -errno, "cannot read the directory '%.200s': %s", directory,
				 strerror(errno));
	most = files_for(count < LIST_AT_ONCE ? count : LIST_AT_ONCE);
	for (int first = 0; first < count;) {
		int some = count - first < most ? count - first : most;

		first += ask_at_once(directory, entries + first, some, list);
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return 0;
}

static void print_list(const json_t *guests)
{
	CLI_JSON list = control_json_safe(guests);
	char *rows = NULL;
	size_t bytes, i;
	FILE *memory = open_memstream(&rows, &bytes);
	json_t *entry;

	if (!memory)
		return;
	fputs("name\t>pid\tstate\tguest\t>vnodes\t>memory\n", memory);
	json_array_foreach (list, i, entry) {
		char size[UNITS_TEXT];

		if (!json_object_get(entry, "pid")) {
			fprintf(memory, "%s\t-\t%s\t-\t-\t-\n", cli_text(entry, "name"),
				cli_text(entry, "state"));
			continue;
		}
		fprintf(memory, "%s\t%llu\t%s\t%s\t", cli_text(entry, "name"),
			(unsigned long long)cli_number(entry, "pid"), cli_text(entry, "state"),
			cli_text(entry, "guest"));
		if (json_object_get(entry, "refused"))
			fputs("-\t-\n", memory);
		else
			fprintf(memory, "%llu\t%s\n",
				(unsigned long long)cli_number(entry, "vnodes"),
				units_size(cli_number(entry, "bytes"), size));
	}
	fclose(memory);
	if (json_array_size(list))
		cli_print_table(stdout, rows);
	else
		puts("no guests run here");
	json_array_foreach (list, i, entry)
		if (json_object_get(entry, "refused"))
			printf("%s: %s\n", cli_text(entry, "name"), cli_text(entry, "refused"));
	free(rows);
}

int cmd_list(int argc, char **argv)
{
	struct cli_args args = {.json_help = "print an array of guests"};
	CLI_JSON list = json_array();
	struct gmig_error err = {0};
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	/* Without a directory of sockets there may be domains of libvirt's. */
	if (cli_list_guests(list, &err) && err.code != -ENOENT)
		return cli_fail(args.json, &err);
	cli_daemon_list(list, cli_limits.list_ms);
	if (args.json)
		return cli_print_json(list);
	print_list(list);
	return CLI_OK;
}
