/*
 * Journals of a domain that cannot be understood: damaged, or of another version. Each is kept under another name, so that no later one overwrites it; it is
 * said in the log and by gmig show for as long as it is there and the process runs for which it was set aside. Which one that is stands in UUID.aside, with the
 * boot of the host: by no clock, since that of the files may jump. What it said of the cpusets is not known: so they are looked at before the domain is moved
 * again, and it is not moved unasked.
 */
#include "../migrate/core/shortage.h"
#include "domain_inside.h"
#include "node_journal.h"
#include "state_boot.h"
#include "state_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORD ".aside"

struct record {
	char uuid[QEMU_UUID_TEXT], boot[STATE_BOOT_TEXT];
	pid_t pid;
	uint64_t start_time;
};

/* Whose they are, from now on. Where that cannot be written, or the boot not be read, they are said to be anybody's: see is_ours(). */
static void write_record(const struct domain *domain)
{
	const char *directory = domain->host->journals;
	struct gmig_error err = {0};
	char boot[STATE_BOOT_TEXT];
	int ret = state_boot_id(domain->host->qemu.root, boot);

	if (is_shortage(ret))
		gmig_fail(&err, ret, "of which boot a journal is cannot be noted: %s",
			  strerror(-ret));
	else if (!state_file_save(directory, domain->uuid, RECORD,
				  json_pack("{s:i, s:s, s:i, s:I, s:s}", "version",
					    STATE_FILE_VERSION, "uuid", domain->uuid, "pid",
					    (int)domain->qemu.pid, "start_time",
					    (json_int_t)domain->qemu.start_time, "boot", boot),
				  "a note of a journal", &err))
		return;
	state_file_remove(directory, domain->uuid, RECORD);
	domain_log(domain, GMIG_LOG_WARNING, "%s", err.text);
}

static bool read_record(const json_t *json, void *into)
{
	const char *boot = json_string_value(json_object_get(json, "boot"));
	struct record *record = into;

	if (!boot || strlen(boot) >= sizeof(record->boot))
		return false;
	strcpy(record->boot, boot);
	return state_file_owner(json, record->uuid, &record->pid, &record->start_time);
}

/* Were they set aside for this process? Not known: yes, since one that was widened and is not said to be is worse than one that is said for nothing. */
static bool is_ours(const struct domain *domain)
{
	struct record record;
	char boot[STATE_BOOT_TEXT];

	if (state_file_read(domain->host->journals, domain->uuid, RECORD, read_record, &record,
			    NULL) ||
	    is_shortage(state_boot_id(domain->host->qemu.root, boot)))
		return true;
	return record.pid == domain->qemu.pid && record.start_time == domain->qemu.start_time &&
	       (!*record.boot || !strcmp(record.boot, boot));
}

/* notes: also of what is only said, and changes nothing of what may be done. */
static bool find(const struct domain *domain, bool notes, char kept[PATH_MAX])
{
	const char *of_kept = node_journal_suffix(NODE_JOURNAL_KEPT);

	for (const char *const *suffix = state_file_suffixes; *suffix; suffix++)
		if ((notes || strcmp(*suffix, of_kept) != 0) &&
		    state_file_find_aside(domain->host->journals, domain->uuid, *suffix, kept))
			return is_ours(domain);
	return false;
}

void domain_set_aside(struct domain *domain, const char *suffix, const struct gmig_error *why)
{
	char kept[PATH_MAX];
	int ret;

	domain_log(domain, GMIG_LOG_ERROR, "%s", why->text);
	if (why->code != -EBADMSG)
		return;
	write_record(domain);
	ret = state_file_set_aside(domain->host->journals, domain->uuid, suffix, kept);
	if (ret)
		domain_log(domain, GMIG_LOG_ERROR, "it cannot be kept as '%.150s': %s", kept,
			   strerror(-ret));
	else
		domain_log(domain, GMIG_LOG_WARNING, "it is kept as '%.200s'", kept);
}

bool domain_recall_nodes(struct domain *domain, enum node_journal_kind kind, bool *unread,
			 struct gmig_node_set *nodes)
{
	struct gmig_error err = {0};
	struct node_journal journal;
	bool again = *unread;
	int ret = node_journal_read(domain->host->journals, kind, domain->uuid, &journal, &err);

	*unread = ret && ret != -ENOENT && ret != -EBADMSG;
	if (ret == -ENOENT || (again && *unread))
		return false;
	if (ret) {
		domain_set_aside(domain, node_journal_suffix(kind), &err);
		return false;
	}
	if (journal.pid != domain->qemu.pid || journal.start_time != domain->qemu.start_time) {
		node_journal_remove(domain->host->journals, kind,
				    domain->uuid); /* of one that has gone */
		return false;
	}
	*nodes = journal.nodes;
	return true;
}

static bool note(const struct domain *domain, bool notes, char *text, size_t bytes)
{
	char kept[PATH_MAX];

	if (!find(domain, notes, kept))
		return false;
	snprintf(text, bytes,
		 "a journal of an earlier move cannot be understood: its cpusets and pins may be "
		 "what that move left; when they are as they should be, remove '%.120s'",
		 kept);
	return true;
}

bool domain_aside_note(const struct domain *domain, char *text, size_t bytes)
{
	return note(domain, true, text, bytes);
}

/* What its cpusets allow, and where its memory lies: once, for whoever reads the log. */
static int look(struct domain *domain, struct gmig_error *err)
{
	struct domain_look *now = malloc(sizeof(*now));
	struct gmig_node_set allowed, holding = {{0}};
	char allowed_text[80], holding_text[80];
	struct cpuset_scope *scope = NULL;
	int ret = now ? domain_look(domain, now, err) : gmig_fail(err, -ENOMEM, "out of memory");

	if (!ret)
		ret = cpuset_scope_read(&domain->host->cpusets, domain->qemu.pid, &scope, err);
	for (unsigned int node = 0; !ret && node < GMIG_MAX_NODES; node++)
		if (now->usage.ram_bytes[node])
			gmig_node_set_add(&holding, node);
	free(now);
	if (ret)
		return ret;
	allowed = cpuset_scope_nodes(scope);
	domain_log(
	    domain, GMIG_LOG_WARNING,
	    "moved although a journal cannot be understood: its cpusets allow nodes %s, its memory "
	    "lies on %s",
	    scope->count ? gmig_node_set_print(&allowed, allowed_text, sizeof(allowed_text))
			 : "all",
	    gmig_node_set_print(&holding, holding_text, sizeof(holding_text)));
	cpuset_scope_free(scope);
	domain->aside_looked = true;
	return 0;
}

int domain_aside_check(struct domain *domain, bool unasked, struct gmig_error *err)
{
	char text[GMIG_ERROR_TEXT];

	if (!note(domain, false, text, sizeof(text)))
		return 0;
	if (unasked)
		return gmig_fail(err, -EBUSY, "%s", text);
	return domain->aside_looked ? 0 : look(domain, err);
}
