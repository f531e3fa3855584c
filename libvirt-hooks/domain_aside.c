/*
 * Journals of a domain that cannot be understood: damaged, or of another version. Each is kept under another name, so that no later one overwrites it; it is
 * said in the log and by gmig show for as long as it is there and the process runs for which it was written. What it said of the cpusets is not known: so they
 * are looked at before the domain is moved again, and it is not moved unasked.
 */
#include "domain_inside.h"
#include "state_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLACK_S 2 /* of clocks: the process was there before its journal */

static const char *const suffixes[] = {".json", ".pins", ".tell"};

/* When the process began, by CLOCK_REALTIME, and no later. */
static int64_t began_s(const struct domain *domain)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (int64_t)real.tv_sec - (int64_t)boot.tv_sec - SLACK_S +
	       (int64_t)(domain->qemu.start_time / (uint64_t)sysconf(_SC_CLK_TCK));
}

static bool find(const struct domain *domain, char kept[PATH_MAX])
{
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (state_file_find_aside(domain->host->journals, domain->uuid, suffixes[i],
					  began_s(domain), kept))
			return true;
	return false;
}

void domain_set_aside(struct domain *domain, const char *suffix, const struct gmig_error *why)
{
	char kept[PATH_MAX];
	int ret;

	domain_log(domain, GMIG_LOG_ERROR, "%s", why->text);
	if (why->code != -EBADMSG)
		return;
	ret = state_file_set_aside(domain->host->journals, domain->uuid, suffix, kept);
	if (ret)
		domain_log(domain, GMIG_LOG_ERROR, "it cannot be kept as '%.150s': %s", kept,
			   strerror(-ret));
	else
		domain_log(domain, GMIG_LOG_WARNING, "it is kept as '%.200s'", kept);
}

bool domain_aside_note(const struct domain *domain, char *text, size_t bytes)
{
	char kept[PATH_MAX];

	if (!find(domain, kept))
		return false;
	snprintf(text, bytes,
		 "a journal of an earlier move cannot be understood: its cpusets and pins may be "
		 "what that move left; when they are as they should be, remove '%.120s'",
		 kept);
	return true;
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
	char note[GMIG_ERROR_TEXT];

	if (!domain_aside_note(domain, note, sizeof(note)))
		return 0;
	if (unasked)
		return gmig_fail(err, -EBUSY, "%s", note);
	return domain->aside_looked ? 0 : look(domain, err);
}
