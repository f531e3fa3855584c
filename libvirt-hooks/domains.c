#include "domains.h"
#include "log_name.h"
#include "move_journal.h"
#include "node_journal.h"
#include "state_boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS	    100
#define WAIT_MS_MAX 60000
#define SHORTAGE_MS 1000 /* want of memory passes soon */
/* libvirt lists a domain a moment before its process is there: who is not found for longer is worth a word. */
#define QUIET_MS 1600

struct entry {
	char *name;
	char uuid[QEMU_UUID_TEXT];
	struct domain *domain; /* NULL: its process is not found */
	char why[GMIG_ERROR_TEXT];
	bool said;		    /* `why`, in the log */
	uint64_t wait_ms, retry_ms; /* not found: how long to wait now, until when */
};

struct domains {
	const struct domain_host *host;
	char *uri;
	uid_t users[QEMU_UIDS - 1];
	unsigned int user_count;
	pthread_mutex_t lock;
	struct entry
	    *entry; /* guarded by lock, as count; by name; only domains_update changes it */
	size_t count;
	char hung[QEMU_UUID_TEXT]; /* whose call libvirt has let hang last; domains_update's */
};

int domains_create(const struct domain_host *host, const char *uri, const uid_t *users,
		   unsigned int user_count, struct domains **out, struct gmig_error *err)
{
	struct domains *domains = calloc(1, sizeof(*domains));

	if (!domains || !(domains->uri = strdup(uri))) {
		free(domains);
		return gmig_fail(err, -ENOMEM, "out of memory");
	}
	domains->host = host;
	for (unsigned int i = 0; i < user_count && i < QEMU_UIDS - 1; i++)
		domains->users[domains->user_count++] = users[i];
	pthread_mutex_init(&domains->lock, NULL);
	*out = domains;
	return 0;
}

static void drop_entries(struct entry *entry, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		domain_put(entry[i].domain);
		free(entry[i].name);
	}
	free(entry);
}

void domains_destroy(struct domains *domains)
{
	if (!domains)
		return;
	drop_entries(domains->entry, domains->count);
	pthread_mutex_destroy(&domains->lock);
	free(domains->uri);
	free(domains);
}

const char *domains_uri(const struct domains *domains)
{
	return domains->uri;
}

/* ---- Updating -------------------------------------------------------------------------------- */

static struct domain_facts facts_of(const struct domains *domains, const struct virt_domain *from)
{
	struct domain_facts facts = {.name = from->name,
				     .uuid = from->uuid,
				     .memory_bytes = from->memory_bytes,
				     .vcpus = from->vcpus,
				     .paused = from->paused};

	/* Whom libvirt names, and nobody else; where it names nobody, whom the host has for that. */
	if (from->has_uid)
		facts.uids[facts.uid_count++] = from->uid;
	for (unsigned int i = 0; i < domains->user_count && !from->has_uid; i++)
		facts.uids[facts.uid_count++] = domains->users[i];
	return facts;
}

/* Among the entries of the table, which only the caller changes. */
static const struct entry *find_uuid(const struct domains *domains, const char *uuid)
{
	for (size_t i = 0; i < domains->count; i++)
		if (!strcmp(domains->entry[i].uuid, uuid))
			return &domains->entry[i];
	return NULL;
}

static bool lives(const struct entry *entry)
{
	return entry && entry->domain && !domain_has_ended(entry->domain);
}

/* Each reason once; error: what it is. */
static void say_why(const struct domains *domains, const struct entry *old, struct entry *fresh,
		    int error)
{
	char line[2 * GMIG_ERROR_TEXT];

	fresh->said = old && old->said && !strcmp(old->why, fresh->why);
	if (!domains->host->log || fresh->said || (error == -ESRCH && fresh->wait_ms < QUIET_MS))
		return;
	fresh->said = true;
	snprintf(line, sizeof(line), "domain=%s %s", log_name(fresh->name).text, fresh->why);
	domains->host->log(domains->host->opaque, GMIG_LOG_WARNING, line);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void try_again_later(const struct entry *old, struct entry *entry)
{
	uint64_t wait_ms = old && old->wait_ms ? 2 * old->wait_ms : WAIT_MS;

	entry->wait_ms = wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : wait_ms;
	entry->retry_ms = now_ms() + entry->wait_ms;
}

/* One that libvirt lists. */
static void take_listed(struct domains *domains, const struct virt_domain *from,
			struct entry *entry)
{
	const struct domain_facts facts = facts_of(domains, from);
	const struct entry *old = find_uuid(domains, from->uuid);
	struct gmig_error err = {0};
	int ret;

	memcpy(entry->uuid, from->uuid, sizeof(entry->uuid));
	if (lives(old) && !strcmp(old->name, from->name)) {
		entry->domain = domain_get(old->domain);
		if (!domain_set_facts(entry->domain, &facts))
			memcpy(domains->hung, from->uuid, sizeof(domains->hung));
	} else if (old && !old->domain && now_ms() < old->retry_ms) {
		memcpy(entry->why, old->why, sizeof(entry->why));
		entry->said = old->said;
		entry->wait_ms = old->wait_ms;
		entry->retry_ms = old->retry_ms;
	} else {
		if (from->uid_untold)
			ret = gmig_fail(&err, -EAGAIN,
					"libvirt could not say as whom it runs the domain");
		else
			ret = domain_open(domains->host, &facts, &entry->domain, &err);
		if (!ret)
			return;
		entry->domain = NULL;
		memcpy(entry->why, err.text, sizeof(entry->why));
		try_again_later(old, entry);
		say_why(domains, old, entry, ret);
	}
}

static bool is_listed(const struct virt_domain *list, int count, const char *uuid)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(list[i].uuid, uuid))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int next_retry_ms(const struct entry *entry, size_t count)
{
	uint64_t now = now_ms(), soonest = UINT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (!entry[i].domain && entry[i].retry_ms < soonest)
			soonest = entry[i].retry_ms;
	if (soonest == UINT64_MAX)
		return -1;
	return soonest > now ? (int)(soonest - now) : 0;
}

/* After a call that hangs no other one is made in that round (virt.h): the next one begins behind that domain, so that each gets its turn. */
static int first_of(const struct domains *domains, const struct virt_domain *list, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(list[i].uuid, domains->hung))
			return i + 1;
	return 0;
}

/*
 * The table to come: first what is listed, named alone, then what lives or may live beside that. NULL: no memory. Names before all else: a domain whose name is
 * dropped would be put for the last time, and its jobs end with it; one that was opened only now, too.
 */
static struct entry *copy_table(const struct domains *domains, const struct virt_domain *list,
				int count, int first, size_t *used)
{
	struct entry *fresh = calloc((size_t)count + domains->count + 1, sizeof(*fresh));
	bool named = fresh != NULL;
	size_t n = 0;

	for (int i = 0; named && i < count; i++) {
		fresh[n].name = strdup(list[(first + i) % count].name);
		named = fresh[n++].name != NULL;
	}
	for (size_t i = 0; named && i < domains->count; i++) {
		const struct entry *entry = &domains->entry[i];
		bool keep = lives(entry) || (!list && !entry->domain);

		if (!keep || is_listed(list, count, entry->uuid))
			continue;
		fresh[n] = *entry;
		fresh[n].name = strdup(entry->name);
		if (entry->domain)
			domain_go_on(domain_get(entry->domain));
		named = fresh[n++].name != NULL;
	}
	*used = n;
	if (named || !fresh)
		return fresh;
	drop_entries(fresh, n);
	return NULL;
}

int domains_update(struct domains *domains, const struct virt_domain *list, int count)
{
	struct entry *fresh, *old;
	size_t used, old_count;
	int first;

	count = list ? count : 0;
	first = first_of(domains, list, count);
	fresh = copy_table(domains, list, count, first, &used);
	if (!fresh)
		return SHORTAGE_MS; /* the old one stands */
	for (int i = 0; i < count; i++)
		take_listed(domains, &list[(first + i) % count], &fresh[i]);
	qsort(fresh, used, sizeof(*fresh), by_name);
	pthread_mutex_lock(&domains->lock);
	old = domains->entry;
	old_count = domains->count;
	domains->entry = fresh;
	domains->count = used;
	pthread_mutex_unlock(&domains->lock);
	drop_entries(old, old_count);
	return next_retry_ms(fresh, used);
}

/* ---- What another gmigd left ------------------------------------------------------------------ */

/* As libvirt would list it. False: there is nothing to be done, or it cannot be told. */
static bool recall(const struct domains *domains, const char *uuid, struct virt_domain *out)
{
	const char *directory = domains->host->journals;
	struct move_journal journal;
	uint64_t start_time;
	int ret;

	if (move_journal_read(directory, uuid, &journal, NULL))
		return false;
	ret = qemu_process_start_time(&domains->host->qemu, journal.pid, &start_time);
	if (ret && ret != -ESRCH) {
		move_journal_free(
		    &journal); /* not known now: its domain is asked for again when libvirt lists it */
		return false;
	}
	if (ret || start_time != journal.start_time) {
		move_journal_remove(directory, uuid); /* its process has gone, and its cgroups */
		move_journal_free(&journal);
		return false;
	}
	out->name = journal.name;
	journal.name = NULL;
	memcpy(out->uuid, journal.uuid, sizeof(out->uuid));
	out->memory_bytes = journal.memory_bytes;
	out->has_uid = true;
	out->uid = journal.uid;
	move_journal_free(&journal);
	return true;
}

/* To what its cpusets keep still: somebody may have narrowed them while no gmigd ran, and nobody may ask. */
static void cut_kept(const struct domain_host *host, struct node_journal *journal)
{
	struct cpuset_scope *scope = NULL;
	struct gmig_node_set kept;

	if (cpuset_scope_read(&host->cpusets, journal->pid, &scope, NULL))
		return;
	kept = cpuset_scope_nodes(scope);
	cpuset_scope_free(scope);
	kept = domain_kept_by(&journal->nodes, &kept);
	if (gmig_node_set_empty(&kept)) {
		node_journal_remove(host->journals, NODE_JOURNAL_KEPT, journal->uuid);
	} else if (memcmp(&kept, &journal->nodes, sizeof(kept)) != 0) {
		journal->nodes = kept;
		(void)node_journal_write(host->journals, NODE_JOURNAL_KEPT, journal, NULL);
	}
}

/* Its process has gone, and with it whatever libvirt would be told, and its cpusets. */
static void drop_old_notes(const struct domains *domains, enum node_journal_kind kind)
{
	const char *directory = domains->host->journals;
	char(*uuids)[QEMU_UUID_TEXT];
	int count = node_journal_list(directory, kind, &uuids);

	for (int i = 0; i < count; i++) {
		struct node_journal journal;
		uint64_t start_time = 0;
		int ret;

		if (node_journal_read(directory, kind, uuids[i], &journal, NULL))
			continue;
		ret = qemu_process_start_time(&domains->host->qemu, journal.pid, &start_time);
		if (ret == -ESRCH || (!ret && start_time != journal.start_time))
			node_journal_remove(directory, kind, uuids[i]);
		else if (!ret && kind == NODE_JOURNAL_KEPT)
			cut_kept(domains->host, &journal);
	}
	free(uuids);
}

static void drop_earlier_boot(const struct domains *domains)
{
	int count = state_boot_begin(domains->host->journals, domains->host->qemu.root);
	char line[96];

	if (!count || !domains->host->log)
		return;
	if (count < 0)
		snprintf(line, sizeof(line),
			 "journals of before the host was started cannot be looked for: %s",
			 strerror(-count));
	else
		snprintf(line, sizeof(line),
			 "journals of before the host was started: removed count=%d", count);
	domains->host->log(domains->host->opaque, count < 0 ? GMIG_LOG_ERROR : GMIG_LOG_INFO, line);
}

void domains_recover(struct domains *domains)
{
	char(*uuids)[QEMU_UUID_TEXT];
	struct virt_domain *list;
	int count, used = 0;

	drop_earlier_boot(domains);
	count = move_journal_list(domains->host->journals, &uuids);
	if (count < 0 && domains->host->log) {
		char line[PATH_MAX + 128];

		snprintf(line, sizeof(line),
			 "interrupted moves wait until libvirt names their domains: journals in "
			 "'%s' cannot be listed: %s",
			 domains->host->journals, strerror(-count));
		domains->host->log(domains->host->opaque, GMIG_LOG_ERROR, line);
	}
	list = calloc(count > 0 ? (size_t)count : 1, sizeof(*list));

	for (int i = 0; list && i < count; i++)
		used += recall(domains, uuids[i], &list[used]);
	/* Before moves go on: their ends write the same notes, by threads of their own, and what is read here would be written over them. */
	for (enum node_journal_kind kind = 0; kind < NODE_JOURNAL_KINDS; kind++)
		drop_old_notes(domains, kind);
	if (list)
		domains_update(domains, list, used);
	virt_list_free(list, used);
	free(uuids);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* The name behind our URI, "qemu:///system/web1"; NULL: it has another URI. */
static const char *own_name(const struct domains *domains, const char *name)
{
	size_t length = strlen(domains->uri);

	if (!strstr(name, "://"))
		return name;
	return !strncmp(name, domains->uri, length) && name[length] == '/' ? name + length + 1
									   : NULL;
}

int domains_find(struct domains *domains, const char *name, struct domain **out,
		 struct gmig_error *err)
{
	const char *own = own_name(domains, name);
	const struct entry *found = NULL;
	int ret = own ? gmig_fail(err, -ESRCH, "no domain '%.80s' runs here", own)
		      : gmig_fail(err, -ESRCH, "'%.80s' is no domain of %.80s", name, domains->uri);

	pthread_mutex_lock(&domains->lock);
	for (size_t i = 0; own && i < domains->count; i++) {
		const struct entry *entry = &domains->entry[i];

		if (strcmp(entry->name, own) != 0 && strcmp(entry->uuid, own) != 0)
			continue;
		if (found && strcmp(found->uuid, entry->uuid) != 0) {
			/* Whoever may name a domain could have another one moved in its place. */
			ret = gmig_fail(err, -EEXIST,
					"'%.80s' means two domains, by name or uuid: %s and %s",
					own, found->uuid, entry->uuid);
			found = NULL;
			break;
		}
		found = entry;
	}
	if (found && found->domain) {
		*out = domain_get(found->domain);
		ret = 0;
	} else if (found) {
		ret = gmig_fail(err, -ESRCH, "%s", found->why);
	}
	pthread_mutex_unlock(&domains->lock);
	if (!ret && err)
		*err = (struct gmig_error){0};
	return ret;
}

void domains_each(struct domains *domains,
		  void (*each)(void *opaque, const struct domains_entry *entry), void *opaque)
{
	pthread_mutex_lock(&domains->lock);
	for (size_t i = 0; i < domains->count; i++) {
		const struct entry *from = &domains->entry[i];
		const struct domains_entry entry = {.name = from->name,
						    .uuid = from->uuid,
						    .why = from->domain ? NULL : from->why,
						    .domain = from->domain};

		each(opaque, &entry);
	}
	pthread_mutex_unlock(&domains->lock);
}
