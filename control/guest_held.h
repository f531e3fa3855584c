/* Inside of the commands over libgmig: the guest that a command is about, held while it runs, and its answer. */
#ifndef GUEST_HELD_H
#define GUEST_HELD_H

#include "guest.h"

#include <errno.h>

struct held_guest {
	const struct guest_ops *ops;
	struct guest guest;
};

static inline int hold(void *opaque, const json_t *arguments, struct held_guest *held,
		       struct gmig_error *err)
{
	const struct guest_server *server = opaque;
	int ret = server->ops->get(server->opaque, arguments, &held->guest, err);

	if (!ret)
		held->ops = server->ops;
	return ret;
}

static inline void release(struct held_guest *held)
{
	if (held->ops && held->ops->put)
		held->ops->put(&held->guest);
}

#define HELD_GUEST __attribute__((cleanup(release))) struct held_guest

static inline int answer(json_t *json, json_t **result, struct gmig_error *err)
{
	*result = json;
	return json ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

#endif
