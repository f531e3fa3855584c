/* The allow-list, see conf.h. */
#include "conf.h"

#include "../control/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONF_BYTES 65536

/* ---- Reading --------------------------------------------------------------------------------- */

/* Without the white space at both ends. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t\r");
	length = strlen(text);
	while (length && strchr(" \t\r", text[length - 1]))
		text[--length] = '\0';
	return text;
}

static int set_words(char **words, const char *key, const char *value, unsigned int line,
		     struct gmig_error *err)
{
	if (*words)
		return gmig_fail(err, -EINVAL, "line %u: '%s' is there twice", line, key);
	if (!*value)
		return gmig_fail(err, -EINVAL, "line %u: '%s' needs a value: all, or names", line,
				 key);
	*words = strdup(value);
	return *words ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}

/* "all" stays as a word until the end, so that a second line is noticed. */
static void forget_all(char **words)
{
	if (!*words || strcmp(*words, "all") != 0)
		return;
	free(*words);
	*words = NULL;
}

static int check_words(const char *words, const char *key, bool (*good)(const char *word),
		       struct gmig_error *err)
{
	char word[256];
	size_t length;

	for (const char *at = words; at && *at; at += length) {
		at += strspn(at, " \t");
		length = strcspn(at, " \t");
		if (!length)
			break;
		snprintf(word, sizeof(word), "%.*s", (int)(length < 255 ? length : 255), at);
		if (!good(word))
			return gmig_fail(err, -EINVAL, "%s: '%.60s' is not allowed there", key,
					 word);
	}
	return 0;
}

static bool good_user(const char *word)
{
	return strspn(word, "0123456789") == strlen(word) && strlen(word) < 10;
}

static bool good_cgroup(const char *word)
{
	return word[0] == '/';
}

static int parse_size(const char *value, unsigned int line, uint64_t *bytes, struct gmig_error *err)
{
	int rc = control_size_parse(value, 1, bytes);

	if (rc == -ERANGE)
		return gmig_fail(err, rc, "line %u: '%.40s' is too big", line, value);
	if (rc)
		return gmig_fail(err, rc, "line %u: '%.40s' is no size like 500M or 1.5G", line,
				 value);
	return 0;
}

static int parse_line(char *text, unsigned int line, struct agent_conf *conf,
		      struct gmig_error *err)
{
	char *value = strchr(text, '='), *key;

	if (!value)
		return gmig_fail(err, -EINVAL, "line %u is not of the form KEY = VALUE", line);
	*value++ = '\0';
	key = trim(text);
	value = trim(value);
	if (!strcmp(key, "commands"))
		return set_words(&conf->commands, key, value, line, err);
	if (!strcmp(key, "users"))
		return set_words(&conf->users, key, value, line, err);
	if (!strcmp(key, "cgroups"))
		return set_words(&conf->cgroups, key, value, line, err);
	if (!strcmp(key, "programs"))
		return set_words(&conf->programs, key, value, line, err);
	if (!strcmp(key, "max-rate"))
		return parse_size(value, line, &conf->max_rate, err);
	return gmig_fail(err, -EINVAL,
			 "line %u: there is no '%.40s'; there are commands, users, cgroups, "
			 "programs and max-rate",
			 line, key);
}

int agent_conf_parse(char *text, struct agent_conf *conf, struct gmig_error *err)
{
	unsigned int line = 0;
	char *next;
	int rc = 0;

	memset(conf, 0, sizeof(*conf));
	for (; !rc && text; text = next) {
		char *comment;

		line++;
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		comment = strchr(text, '#');
		if (comment)
			*comment = '\0';
		text = trim(text);
		if (*text)
			rc = parse_line(text, line, conf, err);
	}
	forget_all(&conf->commands);
	forget_all(&conf->users);
	forget_all(&conf->cgroups);
	forget_all(&conf->programs);
	if (!rc)
		rc = check_words(conf->users, "users", good_user, err);
	if (!rc)
		rc = check_words(conf->cgroups, "cgroups", good_cgroup, err);
	if (rc)
		agent_conf_free(conf);
	return rc;
}

int agent_conf_read(const char *path, struct agent_conf *conf, struct gmig_error *err)
{
	struct gmig_error reason = {0};
	char *text = malloc(CONF_BYTES);
	ssize_t got;
	int rc;

	memset(conf, 0, sizeof(*conf));
	if (!text)
		return gmig_fail(err, -ENOMEM, "out of memory");
	got = agent_read_text(path, text, CONF_BYTES);
	if (got == -ENOENT)
		rc = 0;
	else if (got < 0)
		rc = gmig_fail(err, (int)got, "%s: %s", path, strerror((int)-got));
	else if (got == CONF_BYTES - 1)
		rc = gmig_fail(err, -EFBIG, "%s: over %d bytes", path, CONF_BYTES - 2);
	else {
		rc = agent_conf_parse(text, conf, &reason);
		if (rc)
			gmig_fail(err, rc, "%s: %s", path, reason.text);
	}
	free(text);
	return rc;
}

void agent_conf_free(struct agent_conf *conf)
{
	free(conf->commands);
	free(conf->users);
	free(conf->cgroups);
	free(conf->programs);
	memset(conf, 0, sizeof(*conf));
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static bool same_word(const char *word, size_t length, const char *wanted)
{
	return strlen(wanted) == length && !strncmp(word, wanted, length);
}

/* /a allows /a and /a/b, not /ab. */
static bool below(const char *word, size_t length, const char *cgroup)
{
	while (length && word[length - 1] == '/')
		length--;
	return !strncmp(word, cgroup, length) && (!cgroup[length] || cgroup[length] == '/');
}

/* NULL: all. */
static bool any_word(const char *words, const char *wanted,
		     bool (*fits)(const char *word, size_t length, const char *wanted))
{
	size_t length;

	if (!words)
		return true;
	for (const char *at = words; *at; at += length) {
		at += strspn(at, " \t");
		length = strcspn(at, " \t");
		if (length && fits(at, length, wanted))
			return true;
	}
	return false;
}

bool agent_conf_allows_command(const struct agent_conf *conf, const char *name)
{
	return !strncmp(name, "guest-", 6) || any_word(conf->commands, name, same_word);
}

int agent_conf_check_process(const struct agent_conf *conf, const struct agent_process *process,
			     struct gmig_error *err)
{
	char user[16];

	snprintf(user, sizeof(user), "%u", (unsigned int)process->uid);
	if (process->tgid == getpid())
		return gmig_fail(err, -EPERM,
				 "process %d is the agent itself, which it does not touch",
				 (int)process->pid);
	if (process->kernel)
		return gmig_fail(err, -EPERM,
				 "process %d (%s) is a kernel thread or has no memory of its own",
				 (int)process->pid, process->comm);
	if (!any_word(conf->users, user, same_word) ||
	    !any_word(conf->programs, process->comm, same_word) ||
	    !any_word(conf->cgroups, process->cgroup, below))
		return gmig_fail(err, -EPERM,
				 "process %d (%s) of user %s in cgroup %.80s is not on the guest's "
				 "allow-list: see users, programs and cgroups in " AGENT_CONF_PATH,
				 (int)process->pid, process->comm, user, process->cgroup);
	return 0;
}

int agent_conf_check_cgroup(const struct agent_conf *conf, const char *cgroup,
			    struct gmig_error *err)
{
	if (any_word(conf->cgroups, cgroup, below))
		return 0;
	return gmig_fail(
	    err, -EPERM,
	    "cgroup %.80s is not on the guest's allow-list: see cgroups in " AGENT_CONF_PATH,
	    cgroup);
}

uint64_t agent_conf_rate(const struct agent_conf *conf, uint64_t rate)
{
	if (!conf->max_rate)
		return rate;
	return !rate || rate > conf->max_rate ? conf->max_rate : rate;
}
