/*
 * `gmig migrate pid:N` and `gmig move pid:N`: the memory of a process that is no guest of gmig-vmm. There is no server: the
 * job runs in this program, and ends with it.
 */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include "../migrate/gmig.h"
#include "page_list.h"

#include <jansson.h>

struct cli_process_request {
	const char *command;		 /* for usage errors */
	const char *target;		 /* "pid:1234" */
	const json_t *arguments;	 /* as of migrate-pages, control/guest.h */
	const struct page_ranges *pages; /* these, as of move-pages; NULL: by nodes */
	bool query;			 /* only ask where they are */
	bool private_only, json;
};

bool cli_is_process(const char *word);
/*
 * Move, watch, report; the exit status. While the job runs SIGINT and SIGTERM cancel it, a second one ends gmig at once;
 * SIGUSR1 pauses it and SIGUSR2 resumes it; SIGTSTP pauses it while gmig is stopped.
 */
int cli_process_migrate(const struct cli_process_request *request);

/* Where it runs. Tests put in their own. */
struct cli_process_host {
	const struct gmig_sys *sys; /* NULL: the system's */
	int (*topology)(struct gmig_topology **out, struct gmig_error *err);
};
extern struct cli_process_host cli_process_host;

#endif
