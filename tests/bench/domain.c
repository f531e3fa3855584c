#include "domain.h"
#include "clocks.h"
#include "qemu.h"
#include "virsh.h"

#include <errno.h>
#include <math.h>
#include <numa.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTLED_BYTES (1u << 20) /* less than this is the guest, not the move */
#define LOOK_NS	      100000000
#define LOOKS	      50

struct domain {
	struct virsh_info info;
	struct domain_facts facts;
	char before[sizeof(((struct virsh_numatune *)NULL)->nodeset)]; /* the nodeset as it was */
	struct kernel_memory memory;
	int pidfd;
	unsigned int node; /* where the memory is, once gathered */
};

/* ---- virsh ----------------------------------------------------------------------------------- */

static bool ended(const struct domain *domain)
{
	struct pollfd poll_fd = {.fd = domain->pidfd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

/* Whatever else went wrong: it was its end. */
static int unless_ended(const struct domain *domain, int rc, struct gmig_error *err)
{
	if (rc && ended(domain))
		return gmig_fail(err, -ESRCH, "the domain '%s' ended meanwhile", domain->info.name);
	return rc;
}

static int set_nodeset(const struct domain *domain, const char *nodeset, struct gmig_error *err)
{
	const char *const words[] = {
	    "numatune", "--domain", domain->info.name, "--nodeset", nodeset, "--live", NULL};

	return unless_ended(domain, virsh_run(words, NULL, 0, err), err);
}

static int read_numatune(const struct domain *domain, struct virsh_numatune *out,
			 struct gmig_error *err)
{
	const char *const words[] = {"numatune", "--domain", domain->info.name, NULL};
	char text[1024];
	int rc = virsh_run(words, text, sizeof(text), err);

	if (!rc)
		rc = virsh_parse_numatune(text, out, err);
	return unless_ended(domain, rc, err);
}

static int read_info(struct domain *domain, const char *name, struct gmig_error *err)
{
	const char *const words[] = {"dominfo", "--domain", name, NULL};
	char text[4096];
	int rc = virsh_run(words, text, sizeof(text), err);

	if (!rc)
		rc = virsh_parse_info(text, &domain->info, err);
	if (!rc && !domain->info.running)
		rc = gmig_fail(err, -EINVAL, "the domain '%s' is not running: it is '%s'",
			       domain->info.name, domain->info.state);
	return rc;
}

/* Asks libvirt to set what is set: it refuses what it would refuse later, and changes nothing. */
static int check_numatune(struct domain *domain, struct gmig_error *err)
{
	struct virsh_numatune numatune;
	int rc = read_numatune(domain, &numatune, err);

	if (rc)
		return rc;
	if (strcmp(numatune.mode, "restrictive"))
		return gmig_fail(
		    err, -EINVAL,
		    "the domain '%s' has numatune mode '%s': virsh numatune --live moves only "
		    "the memory of `restrictive` ones",
		    domain->info.name, numatune.mode);
	if (!*numatune.nodeset)
		return gmig_fail(err, -EINVAL,
				 "the domain '%s' has no nodeset that could be put back",
				 domain->info.name);
	snprintf(domain->before, sizeof(domain->before), "%s", numatune.nodeset);
	return set_nodeset(domain, domain->before, err);
}

/* ---- Its memory ---------------------------------------------------------------------------- */

static int find_place(struct domain *domain, unsigned int node, struct kernel_place *place,
		      struct gmig_error *err)
{
	int rc = kernel_place(&domain->memory, node, place);

	if (rc)
		gmig_fail(err, rc, "where the memory of the domain '%s' lies cannot be asked: %s%s",
			  domain->info.name, strerror(-rc), rc == -EPERM ? " (it needs root)" : "");
	return unless_ended(domain, rc, err);
}

static int look_at_memory(struct domain *domain, struct gmig_error *err)
{
	struct kernel_place place;
	double all, huge;
	int rc = find_place(domain, 0, &place, err);

	if (rc)
		return rc;
	all = place.on_bytes + place.elsewhere_bytes;
	if (all <= 0)
		return gmig_fail(err, -EINVAL,
				 "the guest of the domain '%s' has touched no memory yet",
				 domain->info.name);
	huge = place.huge_bytes / all;
	domain->facts = (struct domain_facts){.name = domain->info.name,
					      .page = huge >= 0.9   ? "2M"
						      : huge <= 0.1 ? "4K"
								    : "mix",
					      .mem_bytes = domain->info.mem_bytes,
					      .vcpus = domain->info.vcpus};
	domain->node = place.on_bytes < place.elsewhere_bytes;
	return 0;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static int check_nodes(struct gmig_error *err)
{
	if (numa_available() >= 0 && numa_node_size64(0, NULL) > 0 && numa_node_size64(1, NULL) > 0)
		return 0;
	return gmig_fail(err, -EOPNOTSUPP,
			 "--domain: this host has no memory nodes 0 and 1 between which a domain "
			 "could be moved");
}

static int open_steps(struct domain *domain, const char *name, struct gmig_error *err)
{
	int rc = check_nodes(err);

	if (!rc)
		rc = read_info(domain, name, err);
	if (!rc)
		rc = qemu_open(domain->info.name, domain->info.uuid, &domain->memory.pid,
			       &domain->pidfd, err);
	if (!rc)
		rc = check_numatune(domain, err);
	if (!rc)
		rc = qemu_find_memory(domain->info.mem_bytes, &domain->memory, err);
	return rc ? rc : look_at_memory(domain, err);
}

static void destroy(struct domain *domain)
{
	if (domain->pidfd >= 0)
		close(domain->pidfd);
	free(domain);
}

int domain_open(const char *name, struct domain **out, struct gmig_error *err)
{
	struct domain *domain = calloc(1, sizeof(*domain));
	int rc;

	if (!domain)
		return gmig_fail(err, -ENOMEM, "no memory for a domain");
	domain->pidfd = -1;
	rc = open_steps(domain, name, err);
	if (rc)
		destroy(domain);
	else
		*out = domain;
	return rc;
}

int domain_close(struct domain *domain, struct gmig_error *err)
{
	struct virsh_numatune now;
	int rc;

	if (!domain)
		return 0;
	rc = ended(domain) ? 0 : read_numatune(domain, &now, err);
	if (!rc && !ended(domain) && strcmp(now.nodeset, domain->before))
		rc = set_nodeset(domain, domain->before, err);
	if (rc && err && !ended(domain)) {
		char text[GMIG_ERROR_TEXT];

		snprintf(text, sizeof(text), "%s", err->text);
		gmig_fail(err, rc,
			  "the nodeset of the domain '%.64s' is not put back to '%.32s': %.160s",
			  domain->info.name, domain->before, text);
	}
	rc = ended(domain) ? 0 : rc;
	destroy(domain);
	return rc;
}

const struct domain_facts *domain_facts(const struct domain *domain)
{
	return &domain->facts;
}

/* ---- Moving ---------------------------------------------------------------------------------- */

static int set_node(const struct domain *domain, unsigned int node, struct gmig_error *err)
{
	return set_nodeset(domain, node ? "1" : "0", err);
}

/* Back and forth, as guests of our own are: both nodes have been seen. */
int domain_gather(struct domain *domain, struct gmig_error *err)
{
	int rc = set_node(domain, domain->node, err);

	if (!rc)
		rc = set_node(domain, !domain->node, err);
	return rc ? rc : set_node(domain, domain->node, err);
}

int domain_prepare(struct domain *domain, const char *mover, struct gmig_error *err)
{
	return kernel_mover_is(mover) ? set_nodeset(domain, "0-1", err) : 0;
}

/* Memory may still be on its way when virsh has ended: until it does not get less. *last: when it
 * last did. */
static int await_settled(struct domain *domain, struct kernel_place *after, double *last,
			 struct gmig_error *err)
{
	int rc = find_place(domain, !domain->node, after, err);

	for (unsigned int i = 0; !rc && i < LOOKS; i++) {
		double left = after->elsewhere_bytes;

		sleep_ns(LOOK_NS);
		rc = find_place(domain, !domain->node, after, err);
		if (rc || after->elsewhere_bytes > left - SETTLED_BYTES)
			break;
		*last = now_seconds();
	}
	return rc;
}

static int move_by_virsh(struct domain *domain, struct kernel_move *out, struct gmig_error *err)
{
	struct kernel_place before, after;
	double begin, end;
	int rc = find_place(domain, !domain->node, &before, err);

	if (rc)
		return rc;
	begin = now_seconds();
	rc = set_node(domain, !domain->node, err);
	end = now_seconds();
	if (!rc)
		rc = await_settled(domain, &after, &end, err);
	if (rc)
		return rc;
	*out = (struct kernel_move){.seconds = end - begin, .cpu_seconds = NAN};
	kernel_move_judge(&before, &after, out);
	return 0;
}

int domain_move(struct domain *domain, const char *mover, struct kernel_move *out,
		struct gmig_error *err)
{
	const struct kernel_order order = {
	    .mover = mover, .memory = &domain->memory, .from = domain->node, .to = !domain->node};
	int rc;

	if (!kernel_mover_is(mover)) {
		rc = move_by_virsh(domain, out, err);
	} else {
		rc = unless_ended(domain, kernel_move(&order, out, err), err);
		if (!rc)
			rc = set_node(domain, !domain->node, err);
	}
	if (!rc)
		domain->node = !domain->node;
	return rc;
}

/* ---- Cells and samples ----------------------------------------------------------------------- */

size_t domain_add_cells(const struct domain_facts *facts, const struct cell_axes *axes,
			struct cell *cells, size_t count, size_t max)
{
	const char *const all[] = {cell_mover_virsh, kernel_mover_move_pages,
				   kernel_mover_migratepages};
	const char *const *movers = axes->movers ? axes->mover : all;
	unsigned int length = axes->movers ? axes->movers : sizeof(all) / sizeof(all[0]);

	for (unsigned int m = 0; m < length && count < max; m++) {
		if (strcmp(movers[m], cell_mover_virsh) && !kernel_mover_is(movers[m]))
			continue;
		cells[count++] = (struct cell){.mover = movers[m],
					       .mode = movers[m],
					       .page = facts->page,
					       .load = "own",
					       .frames = "kernel",
					       .threads = 1,
					       .vcpus = facts->vcpus,
					       .jobs = 1,
					       .mem_bytes = facts->mem_bytes,
					       .domain = facts->name};
	}
	return count;
}

void domain_fill_sample(const struct kernel_move *move, struct sample *sample)
{
	sample_set_rate(sample, move->moved_bytes, move->seconds, move->seconds);
	sample->value[METRIC_MOVED_RATIO] = move->moved_ratio;
	sample->value[METRIC_THP_SPLIT] = move->thp_split;
	if (move->moved_bytes > 0)
		sample->value[METRIC_CPU_SECONDS_PER_GB] =
		    move->cpu_seconds * 1e9 / move->moved_bytes;
}
