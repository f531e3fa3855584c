/* A call to libvirt with a limit, see virt.h. */
#ifndef VIRT_CALL_H
#define VIRT_CALL_H

#include "virt.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdatomic.h>

#define VIRT_CALLS_MAX 8 /* that hang at a time */

struct virt_call {
	const char *what; /* for texts: "list the domains" */
	/* On the call's thread. connection is NULL only for the call that opens one. 0 or -errno and a text. */
	int (*run)(struct virt_call *call, virConnectPtr connection, struct gmig_error *err);
	/* Frees what is behind `arguments`, the call's own: it was given up, or virt_call has taken the result out. */
	void (*release)(void *arguments);
	void *arguments; /* in, and what came out */
};

/* What all calls share; counted, since a call that hangs may be the last one to use it. */
struct virt_calls;
struct virt_calls *virt_calls_create(const struct virt_options *options);
void virt_calls_put(struct virt_calls *calls);
/* From now on all calls together end within `ms`; at once if the last one was not answered. */
void virt_calls_end(struct virt_calls *calls, int ms);

/*
 * Run it with a reference to `connection` (may be NULL) for at most `ms`. With 0 the caller owns call->arguments again; otherwise they are
 * released, now or when the call returns. -ETIMEDOUT, -EBUSY, -EAGAIN no thread to be had, what run returned.
 */
int virt_call(struct virt_calls *calls, virConnectPtr connection, const struct virt_call *call,
	      int ms, struct gmig_error *err);

/* The same over virt's own connection, with its limit. -ENOTCONN there is none: the arguments are released, too. */
int virt_call_connected(struct virt *virt, const struct virt_call *call, struct gmig_error *err);

/* What libvirt said last on this thread, as -errno and a text that begins with `what`. */
int virt_error(const char *what, struct gmig_error *err);

#endif
