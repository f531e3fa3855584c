#include "daemon_log.h"
#include "../control/text.h"

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

static bool to_journal, is_verbose;

/* JOURNAL_STREAM names the device and inode of what systemd has connected. */
void daemon_log_start(bool verbose)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	is_verbose = verbose;
	to_journal = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
		     !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

/* "domain=web1 .." as a name of its own. */
static void domain_of(const char *line, char name[256])
{
	const char *at = strncmp(line, "domain=", 7) ? "" : line + 7;

	snprintf(name, 256, "%.*s", (int)strcspn(at, " "), at);
}

void daemon_log(enum gmig_log_level level, const char *line)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	char safe[2 * GMIG_ERROR_TEXT], domain[256];

	if (level == GMIG_LOG_DEBUG && !is_verbose)
		return;
	/* Names of domains are in it, and those are anybody's text. */
	snprintf(safe, sizeof(safe), "%s", line);
	control_text_safe(safe);
	domain_of(safe, domain);
	if (to_journal)
		sd_journal_send("MESSAGE=%s", safe, "PRIORITY=%i", priorities[level],
				"SYSLOG_IDENTIFIER=gmigd", *domain ? "GMIG_DOMAIN=%s" : NULL,
				domain, NULL);
	else
		fprintf(stderr, "gmigd: %s %s\n", names[level], safe);
}
