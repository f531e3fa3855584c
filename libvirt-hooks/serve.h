/*
 * gmigd's control socket: the commands of control/guest.h over the table of domains, and `query-guests`. Every command but that
 * one names its domain in `guest`: web1, qemu:///system/web1, or a uuid.
 *
 * Commands run on the control server's thread; none waits for libvirt, and none for a look at memory for longer than a second
 * (ten, if a fresh one was asked for). Events of jobs carry "guest": the domain's name.
 */
#ifndef SERVE_H
#define SERVE_H

#include "../control/control.h"
#include "domains.h"
#include "keeping.h"

struct serve;

struct serve_options {
	struct domains *domains;
	struct keeping *keeping; /* NULL: nothing is kept */
	const char *path;	 /* of the socket */
	bool has_group;		 /* its group may use it, see control.h */
	gid_t group;
	/* Is libvirt connected now? For query-guests. */
	bool (*is_connected)(void *opaque);
	/* What a peer has changed for others. NULL: nobody is told. */
	void (*log)(void *opaque, enum gmig_log_level level, const char *line);
	void *opaque;
};

/* -EADDRINUSE another gmigd serves there; others as control_server_create(). */
int serve_create(const struct serve_options *options, struct serve **out, struct gmig_error *err);
/* NULL is legal. Afterwards events go nowhere. */
void serve_destroy(struct serve *serve);
/* For domain_host.job_event: tell all clients. serve NULL: nobody. */
void serve_job_event(struct serve *serve, struct domain *domain, const struct gmig_job_info *info);

#endif
