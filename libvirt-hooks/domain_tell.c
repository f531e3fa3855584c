/*
 * libvirt's own view of where a domain's memory is to be, after a move. What it is to be told is on disk (node_journal.h) from before the journal of the move
 * goes until it has answered: whichever of us is killed in between, libvirt is told in the end. See domain.h.
 */
#include "domain_inside.h"
#include "node_journal.h"

#include <errno.h>
#include <string.h>

#define TELLS 5 /* so often libvirt is told, if it does not answer */

static bool same(const struct gmig_node_set *a, const struct gmig_node_set *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Have all the lowest groups one set? libvirt knows one for the whole domain. */
static bool is_uniform(const struct cpuset_scope *scope)
{
	const struct gmig_node_set nodes = cpuset_scope_nodes(scope);

	for (size_t i = 0; i < scope->count; i++)
		if (!cpuset_scope_is_above(scope, i) && !same(&scope->group[i].before, &nodes))
			return false;
	return scope->count;
}

static void set_note(struct domain *domain, const struct gmig_node_set *nodes, const char *why)
{
	char text[80];

	domain->tell_nodes = *nodes;
	snprintf(domain->tell_note, sizeof(domain->tell_note),
		 "its memory may lie on nodes %.60s, but virsh numatune says otherwise: %.180s",
		 gmig_node_set_print(nodes, text, sizeof(text)), why);
}

void domain_tell_forget(struct domain *domain)
{
	if (!gmig_node_set_empty(&domain->untold))
		node_journal_remove(domain->host->journals, NODE_JOURNAL_TELL, domain->uuid);
	memset(&domain->untold, 0, sizeof(domain->untold));
	domain->tells = 0;
}

bool domain_tell_intend(struct domain *domain, const struct cpuset_scope *scope)
{
	struct node_journal journal = {.pid = domain->qemu.pid,
				       .start_time = domain->qemu.start_time,
				       .nodes = cpuset_scope_nodes(scope)};
	struct gmig_error err = {0};

	if (!domain->host->set_nodeset || !is_uniform(scope) || gmig_node_set_empty(&journal.nodes))
		return false;
	memcpy(journal.uuid, domain->uuid, sizeof(journal.uuid));
	/* Without it libvirt is told all the same, unless we are killed. */
	if (node_journal_write(domain->host->journals, NODE_JOURNAL_TELL, &journal, &err))
		domain_log(domain, GMIG_LOG_WARNING, "%s", err.text);
	domain->untold = journal.nodes;
	domain->tell_unread = false; /* whatever it says, it is of before */
	domain->tells = 0;
	return true;
}

/* It does not change a domain whose mode is `strict` while it runs. */
int domain_tell(struct domain *domain)
{
	const struct gmig_node_set nodes = domain->untold;
	struct gmig_error err = {0};
	int ret = domain->host->set_nodeset(domain->host->opaque, domain->uuid, &nodes, &err);

	/* Only what was asked and not answered counts: a libvirtd that is away for long has not been told even once. */
	domain->tells += ret == -ETIMEDOUT;
	if (!domain_is_silent(ret) || domain->tells >= TELLS)
		domain_tell_forget(domain);
	if (!ret)
		domain->libvirts = nodes;
	/* What it does not change may be what it says anyway: of a domain that has come back. */
	if (same(&domain->libvirts, &nodes))
		domain->tell_note[0] = '\0';
	else
		set_note(domain, &nodes, err.text);
	return ret;
}

void domain_tell_skip(struct domain *domain, const struct cpuset_scope *scope)
{
	const struct gmig_node_set nodes = cpuset_scope_nodes(scope);

	if (domain->tell_note[0])
		set_note(domain, &nodes, "it was not told of the last move");
}

void domain_hear_nodeset(struct domain *domain, const struct gmig_node_set *nodes)
{
	/* A move begins or ends: it is heard again. */
	if (pthread_mutex_trylock(&domain->move_lock))
		return;
	/* What it says first is what it said before. */
	if (!gmig_node_set_empty(&domain->libvirts) && !same(nodes, &domain->libvirts))
		domain_kept_chosen(domain, nodes);
	domain->libvirts = *nodes;
	if (domain->tell_note[0] && same(nodes, &domain->tell_nodes)) {
		domain->tell_note[0] = '\0';
		domain_tell_forget(domain);
	}
	pthread_mutex_unlock(&domain->move_lock);
}

/* Do the cpusets still say so? Somebody who has written to them since, libvirt's operator perhaps, knows better. -errno: it cannot be told. */
static int holds(const struct domain *domain)
{
	struct cpuset_scope *scope = NULL;
	struct gmig_node_set nodes;
	int ret = cpuset_scope_read(&domain->host->cpusets, domain->qemu.pid, &scope, NULL);

	if (ret)
		return ret;
	nodes = cpuset_scope_nodes(scope);
	ret = is_uniform(scope) && same(&nodes, &domain->untold);
	cpuset_scope_free(scope);
	return ret;
}

int domain_tell_again(struct domain *domain)
{
	int ret = 0;

	if (pthread_mutex_trylock(&domain->move_lock))
		return 0;
	if (domain->tell_unread)
		domain_recall_nodes(domain, NODE_JOURNAL_TELL, &domain->tell_unread,
				    &domain->untold);
	if (!gmig_node_set_empty(&domain->untold) && !domain->scope && !domain->journaled &&
	    domain->host->set_nodeset) {
		int still = holds(domain);

		if (still > 0)
			ret = domain_tell(domain);
		if (!still) {
			domain_log(
			    domain, GMIG_LOG_INFO,
			    "libvirt is not told of its nodes: its cpusets have others since");
			domain_tell_forget(domain);
			domain->tell_note[0] = '\0';
		}
	}
	pthread_mutex_unlock(&domain->move_lock);
	return ret;
}

void domain_tell_recover(struct domain *domain)
{
	domain_recall_nodes(domain, NODE_JOURNAL_TELL, &domain->tell_unread, &domain->untold);
}
