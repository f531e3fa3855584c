/*
 * The connection to libvirtd: kept, made again after libvirtd was restarted, and never waited for longer than a call's limit.
 *
 * Threads: one runs libvirt's event loop, one connects and connects again. Each call to libvirt runs on a thread of its own, and whoever asks
 * waits for it until the limit: a call that hangs is given up, keeps what it uses, and is cleaned up by its own thread if it ever
 * returns. While too many hang, new ones are refused at once.
 *
 * Lock: virt->lock guards the connection and the counts; no call to libvirt is made under it. Nothing about domains is asked within a callback
 * of libvirt: the callback only says that something has changed.
 *
 * Sources: libvirt's reference of virConnectOpen, virConnectSetKeepAlive, virConnectRegisterCloseCallback, virEventRunDefaultImpl.
 */
#ifndef VIRT_H
#define VIRT_H

#include "../migrate/gmig.h"
#include "qemu_process.h"

struct virt;

struct virt_options {
	const char *uri; /* qemu:///system; copied */
	int call_ms;	 /* the limit of a call; 0: 5000 */
	/* Domains may have come or gone, or the connection. From threads of libvirt and ours; must not block, nor call virt_*. */
	void (*changed)(void *opaque);
	/* Optional, ahead of `changed`: this domain (by uuid) may have changed, its XML or pins among it; NULL: any may have. Likewise. */
	void (*domain_changed)(void *opaque, const char *uuid);
	/* One line, "level" and text, as the connection comes and goes. From any thread. */
	void (*log)(void *opaque, enum gmig_log_level level, const char *line);
	/* Optional, for tests: on the thread of each call, before libvirt is called. May block as libvirt would. */
	void (*before_call)(void *opaque, const char *what);
	void *opaque;
};

/* Starts the threads and returns; the connection comes later, or never. -ENOMEM, -EAGAIN. */
int virt_create(const struct virt_options *options, struct virt **out, struct gmig_error *err);
/* Does not wait for calls that hang; their threads end by themselves. NULL is legal. */
void virt_destroy(struct virt *virt);
bool virt_is_connected(struct virt *virt);

/*
 * A round of calls by this thread, which must come back in time, whatever hangs: from now on its calls take at most `ms` together, and after one that was not
 * answered, or when no time is left, each fails at once with -EBUSY: it is for the next round. A round begins with a call that asks for little, virt_list(),
 * so that a libvirt that does not answer costs one call. is_over, or NULL, is asked before each call: true: none is made any more. 0 ms: rounds have no limit any more.
 */
void virt_begin_round(unsigned int ms, bool (*is_over)(void));

/*
 * gmigd ends: from now on calls of all threads, also those that run, take together as long as one call may; and if libvirt did not answer the last one, no time at
 * all. What it is not told then must be on disk. Before virt_destroy(); NULL is legal.
 */
void virt_end_calls(struct virt *virt);

struct virt_domain {
	char *name;
	char uuid[QEMU_UUID_TEXT];
	int id;
	uint64_t memory_bytes; /* the most that it may have now: what QEMU has mapped */
	unsigned int vcpus;
	bool paused;
	bool has_uid;	 /* libvirt says as whom it runs the domain */
	bool uid_untold; /* it could not say that: neither him nor "nobody in particular" */
	uid_t uid;
};

/*
 * All running domains, by uuid; *list is to be freed with virt_list_free. How many. -ENOTCONN, -ETIMEDOUT, -EBUSY too many calls
 * hang, -EIO what libvirt says of it.
 */
int virt_list(struct virt *virt, struct virt_domain **list, struct gmig_error *err);
void virt_list_free(struct virt_domain *list, int count);

/*
 * Tell libvirt where the domain's memory is to be from now on (virsh numatune --live), so that its own view agrees with what was moved.
 * It writes the cpusets itself. -EOPNOTSUPP: libvirt does not change that of a running domain (mode `strict`); others as above.
 */
int virt_set_nodeset(struct virt *virt, const char *uuid, const struct gmig_node_set *nodes,
		     struct gmig_error *err);

/* The XML of a running domain; *xml is to be freed. -ESRCH: there is no such domain; others as above. */
int virt_domain_xml(struct virt *virt, const char *uuid, char **xml, struct gmig_error *err);

/* Of the name of a user or "+64055": for tests. False: there is none. */
bool virt_parse_uid(const char *label, uid_t *uid);

#endif
