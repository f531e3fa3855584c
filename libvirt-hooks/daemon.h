/*
 * gmigd: what it is made of, from its options to its end. main() is in gmigd.c.
 *
 * The main thread updates the table of domains when libvirt has told of a change, and every `rescan_ms` without; it answers systemd's
 * watchdog, and hears signals: SIGHUP has it read its configuration again. All else runs on threads of the parts: libvirt's (virt.h), the control server's (serve.h), jobs', looks', and the one
 * that keeps placements (keeping.h).
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "conf.h"

#include <stdbool.h>
#include <sys/types.h>

struct daemon_options {
	const char *config;	       /* path, for SIGHUP */
	const struct gmigd_conf *conf; /* what it says now */
	const char *uri;	       /* of libvirt */
	const char *socket;	       /* path of the control socket */
	const char *state;	       /* directory of journals */
	const char *group;	       /* that may use the socket; NULL: root alone */
	const char *run_dir;	       /* libvirt's pid files */
	const char *hook_socket;       /* path; NULL: none */
	bool verbose;
	/* Only put right what a gmigd that was killed has left in journals, then end. libvirt is asked only if it is to be told something, and not for long. */
	bool finish;
	unsigned int call_ms;	/* of a call to libvirt; 0: 5 s */
	unsigned int rescan_ms; /* 0: 10 s */
};

/*
 * Runs until SIGTERM or SIGINT. 0, or -errno: it could not start, and the text says why. -EADDRINUSE: another gmigd runs. Signals
 * must be blocked by the caller, in all threads. With `finish` it runs until that is done; -EBUSY: something is left.
 */
int daemon_run(const struct daemon_options *options, struct gmig_error *err);

#endif
