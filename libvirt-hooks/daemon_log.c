#include "daemon_log.h"
#include "../control/text.h"

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
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

#define FIELD_BYTES (2 * GMIG_ERROR_TEXT + 32)
#define FIELDS_MAX  8

struct fields {
	char text[FIELDS_MAX][FIELD_BYTES];
	struct iovec io[FIELDS_MAX];
	int count;
};

__attribute__((format(printf, 2, 3))) static void add_field(struct fields *fields,
							    const char *format, ...)
{
	char *text = fields->text[fields->count];
	va_list args;

	va_start(args, format);
	vsnprintf(text, FIELD_BYTES, format, args);
	va_end(args);
	fields->io[fields->count++] = (struct iovec){text, strlen(text)};
}

static const struct {
	const char *key, *name;
	bool rest;
} keys[] = {{" job=", "GMIG_JOB", false},
	    {" state=", "GMIG_STATE", false},
	    {" reason=", "GMIG_REASON", true}};

/* How long the value is. */
static size_t value_length(const char *value, bool rest)
{
	return rest ? strlen(value) : strcspn(value, " ");
}

/* The name, which may be in quotation marks; `line` is behind it then. */
static bool take_name(const char **line, const char **name, size_t *length)
{
	bool quoted;

	if (strncmp(*line, "domain=", 7) != 0)
		return false;
	*name = *line + 7;
	quoted = **name == '"';
	*name += quoted;
	*length = strcspn(*name, quoted ? "\"" : " ");
	*line = *name + *length + (quoted && (*name)[*length]);
	return true;
}

bool daemon_log_field(const char *line, size_t i, char *text, size_t bytes)
{
	const char *value = NULL, *name = "GMIG_DOMAIN";
	size_t length = 0;
	bool is_domain = take_name(&line, &value, &length);

	if (i) {
		const char *at = strstr(line, keys[i - 1].key), *reason = strstr(line, " reason=");

		/* A reason is anybody's words. */
		if (!at || (reason && at > reason))
			return false;
		name = keys[i - 1].name;
		value = at + strlen(keys[i - 1].key);
		length = value_length(value, keys[i - 1].rest);
	} else if (!is_domain) {
		return false;
	}
	snprintf(text, bytes, "%s=%.*s", name, (int)length, value);
	return true;
}

static void add_keys(struct fields *fields, const char *line)
{
	char text[FIELD_BYTES];

	for (size_t i = 0; i < DAEMON_LOG_FIELDS; i++)
		if (daemon_log_field(line, i, text, sizeof(text)))
			add_field(fields, "%s", text);
}

void daemon_log(enum gmig_log_level level, const char *line)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	char safe[2 * GMIG_ERROR_TEXT];
	struct fields fields = {.count = 0};

	if (level == GMIG_LOG_DEBUG && !is_verbose)
		return;
	/* Names of domains are in it, and those are anybody's text. */
	snprintf(safe, sizeof(safe), "%s", line);
	control_text_safe(safe);
	if (!to_journal) {
		fprintf(stderr, "gmigd: %s %s\n", names[level], safe);
		return;
	}
	add_field(&fields, "MESSAGE=%s", safe);
	add_field(&fields, "PRIORITY=%i", priorities[level]);
	add_field(&fields, "SYSLOG_IDENTIFIER=gmigd");
	add_keys(&fields, safe);
	sd_journal_sendv(fields.io, fields.count);
}
