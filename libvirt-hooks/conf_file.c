/* An INI file, see conf_file.h. */
#include "conf_file.h"
#include "conf.h"

#include "../control/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
	FILE *file;
	const char *name;
	unsigned int line;
	char *text; /* getline()'s */
	size_t room;
	conf_file_value *value;
	void *user;
	struct gmig_error error; /* the first one; nothing is read after it */
};

/* A section is told when it begins: one without values is seen, too. */
static int tell_section(struct reading *reading, const char *section)
{
	char where[POLICY_WHERE];

	snprintf(where, sizeof(where), "%.36s:%u [%s]", reading->name, reading->line, section);
	return reading->value(reading->user, control_text_safe(where), section, NULL, NULL,
			      &reading->error);
}

/* "[domain a]" with nothing but a comment behind it, and not longer than libinih keeps it. */
static int check_section(struct reading *reading, const char *line)
{
	char section[GMIGD_CONF_SECTION + 1];
	const char *end = strchr(line, ']'), *rest;

	if (!end)
		return 0; /* libinih's error */
	rest = end + 1 + strspn(end + 1, " \t\r\n");
	if (*rest && *rest != ';' && *rest != '#')
		return gmig_fail(&reading->error, -EINVAL,
				 "%s:%u: a section ends at the first ]; in a pattern, ? stands for "
				 "any character",
				 reading->name, reading->line);
	if (end - line - 1 > GMIGD_CONF_SECTION)
		return gmig_fail(&reading->error, -EINVAL,
				 "%s:%u: a section has at most %d bytes between its brackets; a "
				 "pattern with * shortens a name",
				 reading->name, reading->line, GMIGD_CONF_SECTION);
	snprintf(section, sizeof(section), "%.*s", (int)(end - line - 1), line + 1);
	return tell_section(reading, section);
}

static int check_line(struct reading *reading, const char *line, size_t bytes)
{
	if (strlen(line) != bytes)
		return gmig_fail(&reading->error, -EINVAL, "%s:%u: a zero byte", reading->name,
				 reading->line);
	if (bytes > GMIGD_CONF_LINE)
		return gmig_fail(&reading->error, -EINVAL, "%s:%u: more than %d bytes in a line",
				 reading->name, reading->line, GMIGD_CONF_LINE);
	return *line == '[' ? check_section(reading, line) : 0;
}

/*
 * fgets() for libinih, a whole line at a time and without its indentation, which libinih would take for the previous value's
 * second line.
 */
static char *read_line(char *into, int room, void *stream)
{
	struct reading *reading = stream;
	ssize_t bytes =
	    reading->error.code ? -1 : getline(&reading->text, &reading->room, reading->file);
	const char *line = reading->text;

	/* Half of a file is never taken for all of it. */
	if (bytes < 0 && !reading->error.code && !feof(reading->file))
		gmig_error_set(&reading->error, -errno, "%s: cannot be read: %s", reading->name,
			       strerror(errno));
	if (bytes < 0)
		return NULL;
	reading->line++;
	if (line[bytes - 1] == '\n')
		reading->text[--bytes] = '\0';
	while (bytes && isspace((unsigned char)*line)) {
		line++;
		bytes--;
	}
	if (check_line(reading, line, (size_t)bytes))
		return NULL;
	/* A libinih that was built for shorter lines. */
	if (bytes + 2 > room) {
		gmig_error_set(&reading->error, -EINVAL, "%s:%u: more than %d bytes in a line",
			       reading->name, reading->line, room - 2);
		return NULL;
	}
	snprintf(into, (size_t)room, "%s\n", line);
	return into;
}

static int read_value(void *user, const char *section, const char *key, const char *value)
{
	struct reading *reading = user;
	char where[POLICY_WHERE];

	if (*section)
		snprintf(where, sizeof(where), "%.36s:%u [%s]", reading->name, reading->line,
			 section);
	else
		snprintf(where, sizeof(where), "%.80s:%u", reading->name, reading->line);
	/* A libinih that was built to take keys without values, or to tell sections by itself. */
	if (!key || reading->error.code)
		return !reading->error.code;
	if (!value)
		gmig_error_set(&reading->error, -EINVAL, "%s: a key without a value",
			       control_text_safe(where));
	else
		(void)reading->value(reading->user, control_text_safe(where), section, key, value,
				     &reading->error);
	return !reading->error.code;
}

static int open_file(const char *path, FILE **file, struct gmig_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat state;
	int ret = 0;

	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0 || fstat(fd, &state))
		ret = gmig_fail(err, -errno, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(state.st_mode))
		ret = gmig_fail(err, -EPERM, "%s is not a regular file", path);
	else if (state.st_mode & S_IWOTH)
		ret = gmig_fail(err, -EPERM, "%s may be written by everybody: chmod o-w", path);
	else if (state.st_size > GMIGD_CONF_FILE_BYTES)
		ret = gmig_fail(err, -E2BIG, "%s has more than %u bytes", path,
				GMIGD_CONF_FILE_BYTES);
	*file = ret ? NULL : fdopen(fd, "r");
	if (!ret && !*file)
		ret = gmig_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (ret && fd >= 0)
		close(fd);
	return ret;
}

int conf_file_read(const char *path, const char *name, conf_file_value *value, void *user,
		   struct gmig_error *err)
{
	struct reading reading = {.name = name, .value = value, .user = user};
	int ret = open_file(path, &reading.file, err);
	int line;

	if (ret)
		return ret;
	line = ini_parse_stream(read_line, &reading, read_value, &reading);
	if (!reading.error.code && line)
		gmig_error_set(&reading.error, -EINVAL,
			       "%s:%d: neither [section], nor key = value, nor a comment", name,
			       line);
	ret = reading.error.code;
	if (ret && err)
		*err = reading.error;
	free(reading.text);
	(void)fclose(reading.file);
	return ret;
}
