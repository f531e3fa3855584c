/* The allow-list, see conf.h. */
#include "conf.h"

#include "../control/size.h"
#include "cgroup.h"

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

/* The next word of *text, which moves behind it: without spaces, or in "quotes", in which a
 * backslash takes the next character as it is. It is written to `word`, whose room is that of the
 * text. 0: there is none; -EINVAL: a quote is not closed, or something follows it without a space. */
static int next_word(const char **text, char *word)
{
	const char *at = *text + strspn(*text, " \t");
	bool quoted = *at == '"';

	*word = '\0';
	if (!*at)
		return 0;
	at += quoted;
	while (*at && (quoted ? *at != '"' : !strchr(" \t\"", *at))) {
		if (quoted && *at == '\\' && at[1])
			at++;
		*word++ = *at++;
	}
	*word = '\0';
	if (quoted && *at++ != '"')
		return -EINVAL;
	if (*at && *at != ' ' && *at != '\t')
		return -EINVAL;
	*text = at;
	return 1;
}

/* The words one behind the other, each with its NUL, and an empty one at the end. */
static int set_words(char **words, const char *key, const char *value, unsigned int line,
		     struct gmig_error *err)
{
	/* Each word is shorter than its text with the space or quotes around it. */
	char *to = *words ? NULL : calloc(1, strlen(value) + 2);
	int got;

	if (*words)
		return gmig_fail(err, -EINVAL, "line %u: '%s' is there twice", line, key);
	if (!to)
		return gmig_fail(err, -ENOMEM, "out of memory");
	*words = to;
	*to = '\0';
	while ((got = next_word(&value, to)) > 0) {
		if (!*to)
			return gmig_fail(err, -EINVAL, "line %u: '%s' has an empty name", line,
					 key);
		to += strlen(to) + 1;
		*to = '\0';
	}
	if (got < 0)
		return gmig_fail(err, got,
				 "line %u: '%s': a name with spaces is written \"in quotes\"", line,
				 key);
	if (!**words)
		return gmig_fail(err, -EINVAL, "line %u: '%s' needs a value: all, or names", line,
				 key);
	return 0;
}

/* To walk a list: for (word = words; word && *word; word = after(word)). */
static const char *after(const char *word)
{
	return word + strlen(word) + 1;
}

/* "all" stays as a word until the end, so that a second line is noticed. */
static void forget_all(char **words)
{
	if (!*words || strcmp(*words, "all") != 0 || (*words)[sizeof("all")])
		return;
	free(*words);
	*words = NULL;
}

static int check_words(const char *words, const char *key, const char *(*fault)(const char *word),
		       struct gmig_error *err)
{
	for (const char *word = words; word && *word; word = after(word)) {
		const char *what = strcmp(word, "all") ? fault(word) : "stands alone";

		if (what)
			return gmig_fail(err, -EINVAL, "%s: '%.60s' %s", key, word, what);
	}
	return 0;
}

/* Each says what is wrong with a word, or NULL. */
static const char *user_fault(const char *word)
{
	bool good = strspn(word, "0123456789") == strlen(word) && strlen(word) < 10;

	return good ? NULL : "is not the number of a user";
}

static const char *cgroup_fault(const char *word)
{
	if (word[0] != '/')
		return "is no cgroup: it begins with '/', as in /proc/PID/cgroup";
	return agent_has_parent_step(word) ? "is no cgroup: it has a '..'" : NULL;
}

/* A longer one would never be met: the kernel cuts names of processes. */
static const char *program_fault(const char *word)
{
	return strlen(word) <= AGENT_COMM_LENGTH
		   ? NULL
		   : "is longer than the 15 characters that the kernel "
		     "keeps of a name, see /proc/PID/comm";
}

static int check_commands(const char *words, bool (*knows_command)(const char *name),
			  struct gmig_error *err)
{
	for (const char *word = words; word && *word; word = after(word))
		if (!strcmp(word, "all"))
			return gmig_fail(err, -EINVAL, "commands: 'all' stands alone");
		else if (!knows_command(word))
			return gmig_fail(err, -EINVAL,
					 "commands: '%.60s' is no command of this agent", word);
	return 0;
}

static int set_rate(struct agent_conf *conf, const char *value, unsigned int line,
		    struct gmig_error *err)
{
	int rc = control_size_parse(value, 1, &conf->max_rate);

	if (conf->has_rate)
		return gmig_fail(err, -EINVAL, "line %u: 'max-rate' is there twice", line);
	conf->has_rate = true;

	if (rc == -ERANGE)
		return gmig_fail(err, rc, "line %u: '%.40s' is too big", line, value);
	if (rc)
		return gmig_fail(err, rc, "line %u: '%.40s' is no size like 500M or 1.5G", line,
				 value);
	return 0;
}

static int set_compact(struct agent_conf *conf, const char *value, unsigned int line,
		       struct gmig_error *err)
{
	if (conf->has_compact)
		return gmig_fail(err, -EINVAL, "line %u: 'compact-hot' is there twice", line);
	conf->has_compact = true;
	conf->compact_hot = !strcmp(value, "yes");
	if (!conf->compact_hot && strcmp(value, "no") != 0)
		return gmig_fail(err, -EINVAL, "line %u: 'compact-hot' is yes or no", line);
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
		return set_rate(conf, value, line, err);
	if (!strcmp(key, "compact-hot"))
		return set_compact(conf, value, line, err);
	return gmig_fail(err, -EINVAL,
			 "line %u: there is no '%.40s'; there are commands, users, cgroups, "
			 "programs, max-rate and compact-hot",
			 line, key);
}

/* From '#' on, unless it stands in quotes. */
static void cut_comment(char *text)
{
	bool quoted = false;

	for (; *text; text++) {
		if (*text == '#' && !quoted)
			break;
		if (*text == '\\' && quoted && text[1])
			text++;
		else if (*text == '"')
			quoted = !quoted;
	}
	*text = '\0';
}

int agent_conf_parse(char *text, bool (*knows_command)(const char *name), struct agent_conf *conf,
		     struct gmig_error *err)
{
	unsigned int line = 0;
	char *next;
	int rc = 0;

	memset(conf, 0, sizeof(*conf));
	for (; !rc && text; text = next) {
		line++;
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		cut_comment(text);
		text = trim(text);
		if (*text)
			rc = parse_line(text, line, conf, err);
	}
	forget_all(&conf->commands);
	forget_all(&conf->users);
	forget_all(&conf->cgroups);
	forget_all(&conf->programs);
	if (!rc)
		rc = check_commands(conf->commands, knows_command, err);
	if (!rc)
		rc = check_words(conf->users, "users", user_fault, err);
	if (!rc)
		rc = check_words(conf->cgroups, "cgroups", cgroup_fault, err);
	if (!rc)
		rc = check_words(conf->programs, "programs", program_fault, err);
	if (rc)
		agent_conf_free(conf);
	return rc;
}

int agent_conf_read(const struct agent_conf_file *file, struct agent_conf *conf,
		    struct gmig_error *err)
{
	const char *path = file->path;
	struct gmig_error reason = {0};
	char *text = malloc(CONF_BYTES);
	ssize_t got;
	int rc;

	memset(conf, 0, sizeof(*conf));
	if (!text)
		return gmig_fail(err, -ENOMEM, "out of memory");
	got = agent_read_text(path, text, CONF_BYTES);
	if (got == -ENOENT && !file->required)
		rc = 0;
	else if (got < 0)
		rc = gmig_fail(err, (int)got, "%s: %s", path, strerror((int)-got));
	else if (got == CONF_BYTES - 1)
		rc = gmig_fail(err, -EFBIG, "%s: over %d bytes", path, CONF_BYTES - 2);
	else if ((size_t)got != strlen(text))
		/* What is behind it would silently not apply. */
		rc = gmig_fail(err, -EINVAL, "%s: it has a NUL in it", path);
	else {
		rc = agent_conf_parse(text, file->knows_command, conf, &reason);
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

static bool same(const char *word, const char *wanted)
{
	return !strcmp(word, wanted);
}

/* NULL: all. */
static bool any_word(const char *words, const char *wanted,
		     bool (*fits)(const char *word, const char *wanted))
{
	for (const char *word = words; word && *word; word = after(word))
		if (fits(word, wanted))
			return true;
	return !words;
}

bool agent_conf_allows_command(const struct agent_conf *conf, const char *name)
{
	if (!strcmp(name, "compact-hot") && !conf->compact_hot)
		return false;
	return !strncmp(name, "guest-", 6) || any_word(conf->commands, name, same);
}

static bool any_cgroup(const struct agent_conf *conf, const struct agent_process *process)
{
	for (const char *word = conf->cgroups; word && *word; word = after(word))
		if (agent_process_in_cgroup(process, word))
			return true;
	return !conf->cgroups;
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
	if (!any_word(conf->users, user, same) || !any_word(conf->programs, process->comm, same) ||
	    !any_cgroup(conf, process))
		return gmig_fail(err, -EPERM,
				 "process %d (%s) of user %s in cgroup %.80s is not on the guest's "
				 "allow-list: see users, programs and cgroups in " AGENT_CONF_PATH,
				 (int)process->pid, process->comm, user,
				 agent_process_cgroup(process));
	return 0;
}

int agent_conf_check_cgroup(const struct agent_conf *conf, const char *cgroup,
			    struct gmig_error *err)
{
	if (any_word(conf->cgroups, cgroup, agent_cgroup_below))
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
