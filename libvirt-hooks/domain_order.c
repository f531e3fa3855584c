/*
 * Orders to pin vCPUs of a domain to a node, as a plan gives them (gmig rebalance, gmig drain). Libvirt may take its time, and orders come
 * from the thread that serves all clients: each is carried out on a thread of its own, one at a time for a domain, and asked about afterwards.
 */
#include "domain_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

bool domain_can_pin(const struct domain *domain)
{
	return domain->host->get_pins && domain->host->set_pin;
}

/* The vCPUs of the order get the node's CPUs, all others keep theirs. */
static int plan(const struct domain *domain, struct pin_set *set, struct gmig_error *err)
{
	struct gmig_topology *topology;
	struct pin_cpus cpus = {{0}};
	int ret = gmig_topology_refresh(domain->host->topology, &topology, err);

	if (ret)
		return ret;
	ret = pin_check_node(topology, domain->order.node, err);
	gmig_topology_cpus(topology, domain->order.node, cpus.word, PIN_CPU_WORDS);
	gmig_topology_put(topology);
	for (size_t i = 0; i < set->count; i++)
		set->pin[i].after = set->pin[i].before;
	for (size_t i = 0; i < domain->order.count && !ret; i++) {
		struct pin *pin = pin_set_find(set, PIN_VCPU, domain->order.vcpus[i]);

		if (!pin)
			return gmig_fail(err, -ESRCH, "there is no vCPU %u",
					 domain->order.vcpus[i]);
		pin->after = cpus;
	}
	return ret;
}

static void carry_out(struct domain *domain, struct domain_pins *pins)
{
	const struct domain_host *host = domain->host;
	struct gmig_error err = {0};
	struct pin_set *set = NULL;
	int ret = domain_pins_are_left(domain, &err);

	pins->state = DOMAIN_PINS_KEPT;
	if (!ret)
		ret = host->get_pins(host->opaque, domain->uuid, &set, &err);
	/* Behind the question: the process lives, so the answer was about it. */
	if (!ret)
		ret = qemu_process_check(&domain->qemu, &err);
	if (!ret)
		ret = plan(domain, set, &err);
	if (!ret)
		domain_pins_apply(domain, set, pins);
	else
		snprintf(pins->why, sizeof(pins->why), "%s", err.text);
	pin_set_free(set);
}

static void *order_thread(void *opaque)
{
	struct domain *domain = opaque;
	struct domain_pins pins = {.job = domain->order.pins.job};

	pthread_setname_np(pthread_self(), "gmigd-pins");
	pthread_mutex_lock(&domain->move_lock);
	carry_out(domain, &pins);
	pthread_mutex_lock(&domain->pins_lock);
	domain->order.pins = pins;
	pthread_mutex_unlock(&domain->pins_lock);
	pthread_mutex_unlock(&domain->move_lock);
	domain_log(domain, pins.state == DOMAIN_PINS_KEPT ? GMIG_LOG_WARNING : GMIG_LOG_INFO,
		   "vcpus node=%u pins=%s threads=%u%s%.200s", domain->order.node,
		   domain_pins_state_name(pins.state), pins.pinned, pins.why[0] ? " why=" : "",
		   pins.why);
	return NULL;
}

/* Signals are for main. */
static int start(struct domain *domain)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&domain->order.thread, NULL, order_thread, domain);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	domain->order.started = !ret;
	return -ret;
}

static bool is_pending(struct domain *domain)
{
	bool pending;

	pthread_mutex_lock(&domain->pins_lock);
	pending = domain->order.started && domain->order.pins.state == DOMAIN_PINS_PENDING;
	pthread_mutex_unlock(&domain->pins_lock);
	return pending;
}

void domain_order_end(struct domain *domain)
{
	if (domain->order.started)
		pthread_join(domain->order.thread, NULL);
	domain->order.started = false;
	free(domain->order.vcpus);
	domain->order.vcpus = NULL;
}

/* What is wrong with it for sure, before anything is begun. */
static int check(const struct domain *domain, unsigned int node, struct gmig_error *err)
{
	struct gmig_topology *topology;
	int ret = qemu_process_check(&domain->qemu, err);

	if (ret)
		return ret;
	if (!domain_can_pin(domain))
		return gmig_fail(err, -EOPNOTSUPP, "nobody here can pin a domain's vCPUs");
	ret = gmig_topology_refresh(domain->host->topology, &topology, err);
	if (ret)
		return ret;
	ret = pin_check_node(topology, node, err);
	gmig_topology_put(topology);
	return ret;
}

int domain_order_pins(struct domain *domain, const uint16_t *vcpus, size_t count, unsigned int node,
		      uint64_t *order, struct gmig_error *err)
{
	int ret = check(domain, node, err);

	if (ret)
		return ret;
	if (is_pending(domain))
		return gmig_fail(err, -EBUSY, "vCPUs of domain %.60s are being pinned: try again",
				 domain->name);
	domain_order_end(domain);
	domain->order.vcpus = calloc(count + 1, sizeof(*vcpus));
	if (!domain->order.vcpus)
		return gmig_fail(err, -ENOMEM, "out of memory");
	memcpy(domain->order.vcpus, vcpus, count * sizeof(*vcpus));
	domain->order.count = count;
	domain->order.node = node;
	pthread_mutex_lock(&domain->pins_lock);
	*order = domain->order.pins.job + 1;
	domain->order.pins = (struct domain_pins){.job = *order};
	pthread_mutex_unlock(&domain->pins_lock);
	ret = start(domain);
	return ret ? gmig_fail(err, ret, "no thread to pin vCPUs: %s", strerror(-ret)) : 0;
}

int domain_order_state(struct domain *domain, uint64_t order, struct domain_pins *pins,
		       struct gmig_error *err)
{
	pthread_mutex_lock(&domain->pins_lock);
	*pins = domain->order.pins;
	pthread_mutex_unlock(&domain->pins_lock);
	if (order && pins->job == order)
		return 0;
	return gmig_fail(err, -ESRCH,
			 "there is no order %llu of domain %.60s, or a later one was given",
			 (unsigned long long)order, domain->name);
}
