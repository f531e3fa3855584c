/*
 * Keeps placements: reads each domain's policy (its metadata over gmigd.conf), looks where vCPUs may run and where memory lies, has
 * keeper.h decide, starts its moves, and writes metrics. All of it on one thread of its own, in rounds: every scan-interval, and when
 * something has changed. XML is read there, never within a callback of libvirt, and each call to libvirt has its limit.
 *
 * What a round costs is bounded: of each domain the files of its threads; its memory is counted again only after scan-interval, and so late
 * that all counting takes KEEPING_CPU_SHARE of a CPU at most. Only when memory may have to follow, and after a move, it is counted at once.
 *
 * Lock: keeping->lock, a leaf; held for lookups and copies. Nothing here holds it while it calls libvirt, counts memory or starts a job.
 */
#ifndef KEEPING_H
#define KEEPING_H

#include "conf.h"
#include "domains.h"

#include <jansson.h>

#define KEEPING_CPU_SHARE 250 /* 1/250: 0.4% of a CPU; all else of a round needs a tenth of that */

struct keeping;

struct keeping_options {
	struct domains *domains;
	const struct domain_host *host; /* as the table's */
	/* The XML of a running domain, as virt_domain_xml(). May take as long as a call to libvirt may. */
	int (*read_xml)(void *opaque, const char *uuid, char **xml, struct gmig_error *err);
	/* Optional, for tests: in ns, forward only; the local time. NULL: the system's. */
	uint64_t (*now_ns)(void *opaque);
	void (*local_time)(void *opaque, struct tm *now);
	void *opaque;
};

/* conf is used until another one is set, or the end. -ENOMEM. */
int keeping_create(const struct keeping_options *options, const struct gmigd_conf *conf,
		   struct keeping **out, struct gmig_error *err);
/* Starts the thread. Without it, rounds are the caller's. -EAGAIN. */
int keeping_start(struct keeping *keeping, struct gmig_error *err);
/* Waits for a round that runs: as long as libvirt's call or a count of memory takes. Jobs go on. NULL is legal. */
void keeping_destroy(struct keeping *keeping);

/* One round: in how many ms the next one is due. One thread at a time. */
int keeping_round(struct keeping *keeping);

/* ---- Any thread; none blocks for long. keeping NULL is legal: nothing is done. ----------------- */

/* Another configuration from the next round on; the old one is not used any more when it returns. */
void keeping_set_conf(struct keeping *keeping, const struct gmigd_conf *conf);
/* There may be other domains. */
void keeping_wake(struct keeping *keeping);
/* The domain's XML or pins may have changed; uuid NULL: any. */
void keeping_domain_changed(struct keeping *keeping, const char *uuid);
/* A job of a domain has changed. */
void keeping_job_event(struct keeping *keeping, const struct gmig_job_info *info);
/* Adds "placement" to what is said of a domain: policy, where it is from, state, reason; or "wrong": why. */
void keeping_describe(struct keeping *keeping, const char *uuid, json_t *object);
/* Adds "reason" to a job that was started by itself. */
void keeping_describe_job(struct keeping *keeping, const char *uuid, uint64_t id, json_t *job);

#endif
