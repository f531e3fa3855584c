/*
 * Nodes that a domain's cpusets keep after a move, since guest memory lay there when it ended. That is said to whoever asks until it is not so any more, and it
 * is on disk (node_journal.h) for the next gmigd: nothing else on the host says why these cpusets are wide. See domain.h.
 */
#include "domain_inside.h"
#include "node_journal.h"

#include <errno.h>
#include <string.h>

#define KIND NODE_JOURNAL_KEPT

static void say(struct domain *domain)
{
	char text[80];

	domain->note[0] = '\0';
	if (!gmig_node_set_empty(&domain->kept))
		snprintf(domain->note, sizeof(domain->note),
			 "its cpusets keep nodes %s: guest memory lay there when the last move "
			 "ended, which the kernel would have moved without a limit; a move that is "
			 "completed narrows them",
			 gmig_node_set_print(&domain->kept, text, sizeof(text)));
}

/* Without it the note is said all the same, as long as we run. */
static void save(struct domain *domain)
{
	struct node_journal journal = {
	    .pid = domain->qemu.pid, .start_time = domain->qemu.start_time, .nodes = domain->kept};
	struct gmig_error err = {0};

	domain->kept_unsaved = false;
	if (gmig_node_set_empty(&domain->kept)) {
		node_journal_remove(domain->host->journals, KIND, domain->uuid);
		return;
	}
	memcpy(journal.uuid, domain->uuid, sizeof(journal.uuid));
	if (!node_journal_write(domain->host->journals, KIND, &journal, &err))
		return;
	domain->kept_unsaved = true;
	domain_log(domain, GMIG_LOG_WARNING, "%s", err.text);
}

void domain_kept_set(struct domain *domain, const struct gmig_node_set *nodes)
{
	bool changes = memcmp(nodes, &domain->kept, sizeof(*nodes)) != 0;

	domain->kept = *nodes;
	if (changes || domain->kept_unsaved)
		save(domain);
	say(domain);
}

/* What an earlier gmigd has left; one that cannot be read now is read later, and said to be so once. */
static void recall(struct domain *domain)
{
	struct gmig_error err = {0};
	struct node_journal journal;
	bool again = domain->kept_unread;
	int ret = node_journal_read(domain->host->journals, KIND, domain->uuid, &journal, &err);

	domain->kept_unread = ret && ret != -ENOENT && ret != -EBADMSG;
	if (ret == -ENOENT || (again && domain->kept_unread))
		return;
	if (ret) {
		domain_set_aside(domain, node_journal_suffix(KIND), &err);
	} else if (journal.pid == domain->qemu.pid &&
		   journal.start_time == domain->qemu.start_time) {
		gmig_node_set_or(&domain->kept, &journal.nodes);
		say(domain);
	} else {
		node_journal_remove(
		    domain->host->journals, KIND,
		    domain->uuid); /* of one that has gone, and its cgroups with it */
	}
}

void domain_kept_recall(struct domain *domain)
{
	if (domain->kept_unread)
		recall(domain);
}

/* Which of them are kept by cpusets that allow these? Where no other node is allowed they are not what makes the sets wide: none. */
static struct gmig_node_set kept_by(const struct domain *domain,
				    const struct gmig_node_set *allowed)
{
	struct gmig_node_set kept = domain->kept, others = *allowed;

	gmig_node_set_minus(&others, &kept);
	gmig_node_set_and(&kept, gmig_node_set_empty(&others) ? &others : allowed);
	return kept;
}

void domain_kept_hear(struct domain *domain, const struct gmig_node_set *now)
{
	struct cpuset_scope *scope = NULL;
	struct gmig_node_set nodes;

	domain_kept_recall(domain);
	nodes = kept_by(domain, now);
	if (!memcmp(&nodes, &domain->kept, sizeof(nodes)) ||
	    cpuset_scope_read(&domain->host->cpusets, domain->qemu.pid, &scope, NULL))
		return;
	nodes = cpuset_scope_nodes(scope);
	cpuset_scope_free(scope);
	nodes = kept_by(domain, &nodes);
	domain_kept_set(domain, &nodes);
}

void domain_kept_recover(struct domain *domain)
{
	const struct gmig_node_set not_known = {{0}};

	recall(domain);
	domain_kept_hear(domain, &not_known);
	if (domain->note[0])
		domain_log(domain, GMIG_LOG_WARNING, "%s", domain->note);
}
