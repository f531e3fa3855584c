/*
 * Nodes that a domain's cpusets keep after a move, since guest memory lay there when it ended. That is said to whoever asks until it is not so any more, and it
 * is on disk for the next gmigd: nothing else on the host says why these cpusets are wide. While there is a journal of moves they are in it, and change with it
 * (move_journal.h); in a file of their own (node_journal.h) before that one goes. See domain.h.
 */
#include "domain_inside.h"
#include "node_journal.h"

#include <errno.h>
#include <string.h>

#define KIND NODE_JOURNAL_KEPT

static bool same(const struct gmig_node_set *a, const struct gmig_node_set *b)
{
	return !memcmp(a, b, sizeof(*a));
}

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

void domain_kept_note(struct domain *domain, const struct gmig_node_set *nodes)
{
	if (!same(nodes, &domain->kept)) {
		domain->kept_unsaved = true;
		domain->kept_unread = false; /* whatever it says, it is of before */
	}
	domain->kept = *nodes;
	say(domain);
}

/* What cannot be written is said as long as we run; said to be so once, and tried again. What is there instead would be false. */
static void unsaved(struct domain *domain, const struct gmig_error *why)
{
	node_journal_remove(domain->host->journals, KIND, domain->uuid);
	if (!domain->kept_told)
		domain_log(domain, GMIG_LOG_WARNING, "%s", why->text);
	domain->kept_told = true;
}

void domain_kept_save(struct domain *domain)
{
	struct node_journal journal = {
	    .pid = domain->qemu.pid, .start_time = domain->qemu.start_time, .nodes = domain->kept};
	struct gmig_error err = {0};
	int ret = 0;

	if (!domain->kept_unsaved || qemu_process_check(&domain->qemu, NULL) == -ESRCH)
		return;
	memcpy(journal.uuid, domain->uuid, sizeof(journal.uuid));
	if (gmig_node_set_empty(&domain->kept))
		node_journal_remove(domain->host->journals, KIND, domain->uuid);
	else
		ret = node_journal_write(domain->host->journals, KIND, &journal, &err);
	if (ret) {
		unsaved(domain, &err);
		return;
	}
	domain->kept_unsaved = domain->kept_told = false;
}

/* What an earlier gmigd has left, without what was chosen while it could not be read. */
static void take_left(struct domain *domain, const struct gmig_node_set *left)
{
	domain->kept = *left;
	gmig_node_set_minus(&domain->kept, &domain->chosen);
	domain->kept_unsaved |= !same(&domain->kept, left);
	say(domain);
}

static void recall(struct domain *domain)
{
	struct gmig_node_set left = {{0}};

	if (domain_recall_nodes(domain, KIND, &domain->kept_unread, &left))
		take_left(domain, &left);
}

void domain_kept_recall(struct domain *domain)
{
	if (domain->kept_unread)
		recall(domain);
}

void domain_kept_moved(struct domain *domain, const struct cpuset_map *map)
{
	struct gmig_node_set nodes;

	domain_kept_recall(domain);
	nodes = domain->kept;
	for (unsigned int i = 0; i < map->to_count; i++)
		gmig_node_set_remove(&nodes, map->to[i]);
	domain_kept_note(domain, &nodes);
	/* What could not be read is of before this move. */
	domain->kept_unsaved |= domain->kept_unread;
	domain->kept_unread = false;
}

void domain_kept_chosen(struct domain *domain, const struct gmig_node_set *nodes)
{
	struct gmig_node_set kept;

	domain_kept_recall(domain);
	gmig_node_set_or(&domain->chosen, nodes);
	kept = domain->kept;
	gmig_node_set_minus(&kept, nodes);
	if (!same(&kept, &domain->kept)) {
		domain_kept_note(domain, &kept);
		/* Ahead of the file, since the next gmigd believes the journal. */
		domain_journal_kept(domain);
	}
	domain_kept_save(domain);
}

struct gmig_node_set domain_kept_by(const struct gmig_node_set *nodes,
				    const struct gmig_node_set *allowed)
{
	struct gmig_node_set kept = *nodes, others = *allowed;

	gmig_node_set_minus(&others, nodes);
	gmig_node_set_and(&kept, gmig_node_set_empty(&others) ? &others : allowed);
	return kept;
}

void domain_kept_hear(struct domain *domain, const struct gmig_node_set *now)
{
	struct cpuset_scope *scope = NULL;
	struct gmig_node_set nodes;

	domain_kept_recall(domain);
	nodes = domain_kept_by(&domain->kept, now);
	if (!same(&nodes, &domain->kept) &&
	    !cpuset_scope_read(&domain->host->cpusets, domain->qemu.pid, &scope, NULL)) {
		nodes = cpuset_scope_nodes(scope);
		cpuset_scope_free(scope);
		nodes = domain_kept_by(&domain->kept, &nodes);
		domain_kept_note(domain, &nodes);
	}
	domain_kept_save(domain);
}

void domain_kept_recover(struct domain *domain, const struct gmig_node_set *of_journal)
{
	const struct gmig_node_set not_known = {{0}};

	if (of_journal) {
		take_left(domain, of_journal);
		domain->kept_unsaved = true; /* whatever is there */
		domain->kept_unread = false;
		return;
	}
	recall(domain);
	if (domain->journaled)
		return;
	domain_kept_hear(domain, &not_known);
	if (domain->note[0])
		domain_log(domain, GMIG_LOG_WARNING, "%s", domain->note);
}
