/* The journal of a domain's moves (move_journal.h), as its other files write and read it. All under move_lock. */
#include "domain_inside.h"

#include <errno.h>
#include <string.h>

int domain_journal_write(struct domain *domain, const struct gmig_node_set *keep,
			 struct gmig_error *err)
{
	struct move_journal journal = {.name = domain->name,
				       .memory_bytes = atomic_load(&domain->memory_bytes),
				       .uid = domain->qemu.uid,
				       .pid = domain->qemu.pid,
				       .start_time = domain->qemu.start_time,
				       .job = domain->job,
				       .job_count = domain->jobs,
				       .narrowing = keep != NULL,
				       .completed = domain->completed,
				       .kept = domain->kept,
				       .scope = domain->scope};
	int ret;

	memcpy(journal.uuid, domain->uuid, sizeof(journal.uuid));
	if (keep)
		journal.keep = *keep;
	ret = move_journal_write(domain->host->journals, &journal, err);
	domain->journaled |= !ret;
	return ret;
}

int domain_journal_read(struct domain *domain, struct move_journal *journal, struct gmig_error *err)
{
	struct gmig_error why = {0};
	int ret = move_journal_read(domain->host->journals, domain->uuid, journal, &why);

	if (!ret || ret == -ENOENT)
		return ret;
	/* One that cannot be read yet is said to be so once. */
	if (!domain->unread[0] || ret == -EBADMSG)
		domain_set_aside(domain, ".json", &why);
	/* One that cannot be read now is read before the next move. */
	domain->journaled = ret != -EBADMSG;
	if (err)
		*err = why;
	return ret;
}

void domain_journal_remove(struct domain *domain)
{
	if (domain->journaled)
		move_journal_remove(domain->host->journals, domain->uuid);
	domain->journaled = false;
}

void domain_journal_kept(struct domain *domain)
{
	struct gmig_error err = {0};
	struct move_journal journal;
	struct cpuset_scope scope;
	int ret;

	/* What is said of one that is not read yet is remembered in `chosen`. */
	if (!domain->journaled || domain->unread[0])
		return;
	if (domain->scope) {
		ret = domain_journal_write(domain, NULL, &err);
	} else {
		/* One of which the narrowing has failed: all else in it stays. */
		ret = move_journal_read(domain->host->journals, domain->uuid, &journal, &err);
		if (!ret) {
			scope =
			    (struct cpuset_scope){.group = journal.group, .count = journal.count};
			journal.kept = domain->kept;
			journal.scope = &scope;
			ret = move_journal_write(domain->host->journals, &journal, &err);
			move_journal_free(&journal);
		}
	}
	if (ret)
		domain_log(domain, GMIG_LOG_WARNING, "%s", err.text);
}
