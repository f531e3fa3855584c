/*
 * Asks all guests of this host at once, and gmigd for its domains, for `gmig top`: one connection to each socket, which stays; one
 * question at a time on each; nothing ever waits for one of them. A guest that does not answer within cli_limits.list_ms is shown as `no
 * answer`, and is not asked again until it has answered. One thread.
 *
 * Which guest a command goes to: a guest of gmig-vmm is asked over a connection that ends with its process, so a command never
 * gets to another guest of its name. A domain of gmigd is named by its uuid, and its process must be the same as before, by its
 * number and the time at which it began.
 */
#ifndef CLI_TOP_ASK_H
#define CLI_TOP_ASK_H

#include "top_model.h"

#include "../migrate/gmig_error.h"

struct top_ask;

/* The model is the one that answers go to, and must outlive it. -ENOMEM, or as control_socket_dir(). */
int top_ask_create(struct top_model *model, struct top_ask **out, struct gmig_error *err);
void top_ask_destroy(struct top_ask *ask);

/* Begin a round: find sockets that came, let go those that went, and ask everybody who has answered the last time. */
void top_ask_round(struct top_ask *ask);
/* Handle what comes from guests, or from `also` (a descriptor, or -1: none), for at most `ms`. True: `also` is readable. */
bool top_ask_wait(struct top_ask *ask, int also, int ms);
/* Does anybody owe an answer that is not late? */
bool top_ask_is_open(const struct top_ask *ask);

/* A guest without a job is asked in every other round only, and not in each. */
void top_ask_spare(struct top_ask *ask, bool spare);
/* The maps of this guest are wanted in each round from now on; 0: of none. */
void top_ask_maps(struct top_ask *ask, uint64_t serial);
/*
 * Give a guest a command, which steals arguments; its outcome is to be had by top_ask_outcome(). -ESRCH the guest is not there any
 * more, whatever its name is now; -EBUSY the last command has not been answered.
 */
int top_ask_command(struct top_ask *ask, uint64_t serial, const char *command, json_t *arguments,
		    struct gmig_error *err);
/* What became of the last command, once: NULL nothing new. */
const char *top_ask_outcome(struct top_ask *ask);

#endif
