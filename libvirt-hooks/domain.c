#include "domain_inside.h"
#include "node_journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Life ------------------------------------------------------------------------------------ */

static void destroy(struct domain *domain)
{
	domain_order_end(domain);
	gmig_process_close(domain->process);
	if (domain->process && domain_has_ended(domain))
		for (enum node_journal_kind kind = 0; kind < NODE_JOURNAL_KINDS; kind++)
			node_journal_drop(domain->host->journals, kind, domain->uuid,
					  domain->qemu.pid, domain->qemu.start_time);
	process_close(domain->looker);
	qemu_ram_free(&domain->ram);
	free(domain->job);
	cpuset_scope_free(domain->scope);
	qemu_process_drop(&domain->qemu);
	pthread_mutex_destroy(&domain->scan_lock);
	pthread_mutex_destroy(&domain->look_lock);
	pthread_mutex_destroy(&domain->move_lock);
	pthread_mutex_destroy(&domain->pins_lock);
	free(domain->name);
	free(domain);
}

struct domain *domain_get(struct domain *domain)
{
	atomic_fetch_add(&domain->refs, 1);
	return domain;
}

void domain_put(struct domain *domain)
{
	if (domain && atomic_fetch_sub(&domain->refs, 1) == 1)
		destroy(domain);
}

static int find_process(struct domain *domain, const struct domain_facts *facts,
			struct gmig_error *err)
{
	struct qemu_wanted wanted = {
	    .name = facts->name, .uuid = facts->uuid, .uid_count = facts->uid_count};

	memcpy(wanted.uids, facts->uids, sizeof(wanted.uids));
	return qemu_process_find(&domain->host->qemu, &wanted, &domain->qemu, err);
}

/*
 * libgmig opens it by its pid, twice: the pidfd that we hold says afterwards that the process has not ended, and so that both are
 * the one that was checked.
 */
static int open_memory(struct domain *domain, struct gmig_error *err)
{
	const struct gmig_process_options options = {.pid = domain->qemu.pid,
						     .topology = domain->host->topology,
						     .counts = domain_counts,
						     .job_event = domain_on_job,
						     .opaque = domain,
						     .sys = domain->host->sys};
	int ret = gmig_process_open(&options, &domain->process, err);

	if (!ret)
		ret = process_open(domain->host->sys, domain->qemu.pid, &domain->looker, err);
	return ret ? ret : qemu_process_check(&domain->qemu, err);
}

int domain_open(const struct domain_host *host, const struct domain_facts *facts,
		struct domain **out, struct gmig_error *err)
{
	struct domain *domain = calloc(1, sizeof(*domain));
	int ret;

	if (!domain || !(domain->name = strdup(facts->name))) {
		free(domain);
		return gmig_fail(err, -ENOMEM, "out of memory");
	}
	domain->host = host;
	domain->refs = 1;
	pthread_mutex_init(&domain->scan_lock, NULL);
	pthread_mutex_init(&domain->look_lock, NULL);
	pthread_mutex_init(&domain->move_lock, NULL);
	pthread_mutex_init(&domain->pins_lock, NULL);
	snprintf(domain->uuid, sizeof(domain->uuid), "%s", facts->uuid);
	domain_set_facts(domain, facts);
	ret = find_process(domain, facts, err);
	if (!ret)
		ret = open_memory(domain, err);
	if (ret) {
		destroy(domain);
		return ret;
	}
	domain_recover(domain);
	*out = domain;
	return 0;
}

bool domain_set_facts(struct domain *domain, const struct domain_facts *facts)
{
	int ret;

	atomic_store(&domain->memory_bytes, facts->memory_bytes);
	atomic_store(&domain->vcpus, facts->vcpus);
	atomic_store(&domain->paused, facts->paused);
	domain_go_on(domain);
	/* Whoever has facts has heard of libvirt just now. */
	ret = domain_pins_retry(domain);
	return ret != -ETIMEDOUT && domain_tell_again(domain) != -ETIMEDOUT;
}

const char *domain_name(const struct domain *domain)
{
	return domain->name;
}

const char *domain_uuid(const struct domain *domain)
{
	return domain->uuid;
}

pid_t domain_pid(const struct domain *domain)
{
	return domain->qemu.pid;
}

struct guest_job_states *domain_job_states(struct domain *domain)
{
	return &domain->job_states;
}

bool domain_has_ended(const struct domain *domain)
{
	return qemu_process_check(&domain->qemu, NULL) == -ESRCH;
}

bool domain_is_paused(const struct domain *domain)
{
	return atomic_load(&domain->paused);
}

unsigned int domain_vcpus(const struct domain *domain)
{
	return atomic_load(&domain->vcpus);
}

uint64_t domain_memory_bytes(const struct domain *domain)
{
	return atomic_load(&domain->memory_bytes);
}

struct gmig_process *domain_process(struct domain *domain)
{
	return domain->process;
}
