/* gmigd.conf and its folder, see conf.h. */
#include "conf.h"

#include "../control/size.h"
#include "../control/text.h"
#include "conf_file.h"
#include "hook_message.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define SECOND_NS     1000000000ull
#define DOMAIN_PREFIX "domain "

enum setting {
	SET_URI,
	SET_SOCKET,
	SET_GROUP,
	SET_STATE,
	SET_METRICS,
	SET_SCAN_INTERVAL,
	SET_LIBVIRT_TIMEOUT,
	SETTINGS,
};

/* A conf that is being read. */
struct building {
	struct gmigd_conf *conf;
	unsigned int file;	      /* the one that is being read, from 1 */
	unsigned int given[SETTINGS]; /* in which file each of [gmigd] was last given; 0: nowhere */
};

static int set_string(char **string, const char *value, struct gmig_error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return gmig_fail(err, -ENOMEM, "no memory for the configuration");
	free(*string);
	*string = copy;
	return 0;
}

static int set_word(char **string, const char *value, struct gmig_error *err)
{
	for (const char *at = value; *at; at++)
		if (isspace((unsigned char)*at) || iscntrl((unsigned char)*at))
			return gmig_fail(err, -EINVAL, "it has no spaces or control characters");
	if (!*value)
		return gmig_fail(err, -EINVAL, "it is empty");
	return set_string(string, value, err);
}

static int set_path(char **path, const char *value, size_t max, struct gmig_error *err)
{
	if (*value != '/' || strlen(value) > max)
		return gmig_fail(err, -EINVAL, "it is an absolute path of at most %zu bytes", max);
	for (const char *at = value; *at; at++)
		if (iscntrl((unsigned char)*at))
			return gmig_fail(err, -EINVAL, "it has control characters");
	return set_string(path, value, err);
}

static int set_seconds(uint64_t *ns, const char *value, unsigned int max, struct gmig_error *err)
{
	uint64_t time_ns = 0;

	if (control_time_parse(value, 0, max * SECOND_NS, &time_ns) || time_ns < SECOND_NS)
		return gmig_fail(err, -EINVAL, "it is a time from 1s to %us, as 30s", max);
	*ns = time_ns;
	return 0;
}

static int set_metrics(struct gmigd_conf *conf, const char *value, struct gmig_error *err)
{
	if (!strcmp(value, "none")) {
		free(conf->metrics);
		conf->metrics = NULL;
		return 0;
	}
	return set_path(&conf->metrics, value, 4000, err);
}

static const char *const settings[SETTINGS] = {
    [SET_URI] = "uri",
    [SET_SOCKET] = "socket",
    [SET_GROUP] = "group",
    [SET_STATE] = "state",
    [SET_METRICS] = "metrics",
    [SET_SCAN_INTERVAL] = "scan-interval",
    [SET_LIBVIRT_TIMEOUT] = "libvirt-timeout",
};
#define SETTING_NAMES "uri, socket, group, state, metrics, scan-interval, libvirt-timeout"

static int set(struct gmigd_conf *conf, enum setting setting, const char *value,
	       struct gmig_error *err)
{
	const size_t socket_bytes = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	switch (setting) {
	case SET_URI:
		return set_word(&conf->uri, value, err);
	case SET_SOCKET:
		return set_path(&conf->socket, value, socket_bytes, err);
	case SET_GROUP:
		return set_word(&conf->group, value, err);
	case SET_STATE:
		return set_path(&conf->state, value, 4000, err);
	case SET_METRICS:
		return set_metrics(conf, value, err);
	case SET_SCAN_INTERVAL:
		return set_seconds(&conf->scan_interval_ns, value, 3600, err);
	case SET_LIBVIRT_TIMEOUT:
		return set_seconds(&conf->libvirt_timeout_ns, value, 600, err);
	case SETTINGS:
		break;
	}
	return gmig_fail(err, -EINVAL, "no such setting");
}

static int fail_twice(const char *where, const char *key, struct gmig_error *err)
{
	return gmig_fail(err, -EINVAL, "%s: %.40s is given twice in this file", where, key);
}

static int fail_key(const char *where, const char *key, const char *names, struct gmig_error *err)
{
	char shown[41];

	snprintf(shown, sizeof(shown), "%s", key);
	return gmig_fail(err, -EINVAL, "%s: no key '%s' in this section; there are %s", where,
			 control_text_safe(shown), names);
}

static int read_setting(struct building *building, const char *where, const char *key,
			const char *value, struct gmig_error *err)
{
	struct gmig_error why = {0, ""};
	char shown[61];
	int i = 0, ret;

	while (i < SETTINGS && strcmp(key, settings[i]) != 0)
		i++;
	if (i == SETTINGS)
		return fail_key(where, key, SETTING_NAMES, err);
	if (building->given[i] == building->file)
		return fail_twice(where, key, err);
	building->given[i] = building->file;
	ret = set(building->conf, (enum setting)i, value, &why);
	if (!ret)
		return 0;
	snprintf(shown, sizeof(shown), "%s", value);
	return gmig_fail(err, ret, "%s: %s = '%s': %s", where, key, control_text_safe(shown),
			 why.text);
}

static int read_policy(struct building *building, struct conf_domain *domain, const char *where,
		       const char *key, const char *value, struct gmig_error *err)
{
	int found = policy_key_find(key);

	if (found < 0)
		return fail_key(where, key, policy_key_names(), err);
	if (domain->file[found] == building->file)
		return fail_twice(where, key, err);
	domain->file[found] = building->file;
	return policy_set(&domain->policy, (enum policy_key)found, value, where, err);
}

/* The section of this pattern, new when there is none; NULL: no memory, or too many of them. */
static struct conf_domain *find_domain(struct gmigd_conf *conf, const char *pattern)
{
	uint64_t hash = hook_digest(HOOK_DIGEST_START, pattern, strlen(pattern));
	struct conf_domain *grown;

	for (size_t i = 0; i < conf->domain_count; i++)
		if (conf->domains[i].hash == hash && !strcmp(conf->domains[i].pattern, pattern))
			return &conf->domains[i];
	if (conf->domain_count == GMIGD_CONF_DOMAINS)
		return NULL;
	/* Room for 1, 2, 4.. of them. */
	if (!(conf->domain_count & (conf->domain_count - 1))) {
		grown = reallocarray(conf->domains, conf->domain_count ? 2 * conf->domain_count : 1,
				     sizeof(*grown));
		if (!grown)
			return NULL;
		conf->domains = grown;
	}
	grown = &conf->domains[conf->domain_count++];
	memset(grown, 0, sizeof(*grown));
	snprintf(grown->pattern, sizeof(grown->pattern), "%s", pattern);
	grown->hash = hash;
	return grown;
}

/* key NULL: the section begins. */
static int read_domain(struct building *building, const char *where, const char *pattern,
		       const char *key, const char *value, struct gmig_error *err)
{
	struct conf_domain *domain;

	pattern += strspn(pattern, " \t");
	if (!*pattern)
		return gmig_fail(err, -EINVAL, "%s: a name or pattern is missing: [domain web*]",
				 where);
	domain = find_domain(building->conf, pattern);
	if (!domain && building->conf->domain_count == GMIGD_CONF_DOMAINS)
		return gmig_fail(err, -E2BIG, "%s: more than %u sections of domains", where,
				 GMIGD_CONF_DOMAINS);
	if (!domain)
		return gmig_fail(err, -ENOMEM, "no memory for the configuration");
	return key ? read_policy(building, domain, where, key, value, err) : 0;
}

static int read_value(void *user, const char *where, const char *section, const char *key,
		      const char *value, struct gmig_error *err)
{
	struct building *building = user;
	const size_t prefix = strlen(DOMAIN_PREFIX);

	if (!strcmp(section, "gmigd"))
		return key ? read_setting(building, where, key, value, err) : 0;
	if (!strcmp(section, "default"))
		return key ? read_policy(building, &building->conf->defaults, where, key, value,
					 err)
			   : 0;
	if (!strncmp(section, DOMAIN_PREFIX, prefix))
		return read_domain(building, where, section + prefix, key, value, err);
	return gmig_fail(err, -EINVAL,
			 "%s: there are the sections [gmigd], [default] and [domain NAME]", where);
}

static int read_file(struct building *building, const char *path, const char *name,
		     struct gmig_error *err)
{
	int ret;

	building->file++;
	ret = conf_file_read(path, name, read_value, building, err);
	building->conf->files += !ret;
	return ret < 0 ? ret : 0;
}

static int is_conf(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 &&
	       !strcmp(entry->d_name + length - 5, ".conf");
}

/* Not alphasort(), whose order is the locale's. */
static int by_name(const struct dirent **one, const struct dirent **other)
{
	return strcmp((*one)->d_name, (*other)->d_name);
}

static int read_folder(struct building *building, const char *folder, struct gmig_error *err)
{
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, is_conf, by_name), ret = 0;
	char *path;

	if (count < 0)
		return errno == ENOENT ? 0
				       : gmig_fail(err, -errno, "%s: %s", folder, strerror(errno));
	for (int i = 0; i < count; i++) {
		if (!ret && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0)
			ret = gmig_fail(err, -ENOMEM, "no memory for the configuration");
		else if (!ret) {
			ret = read_file(building, path, entries[i]->d_name, err);
			free(path);
		}
		free(entries[i]);
	}
	free(entries);
	return ret;
}

static int set_defaults(struct gmigd_conf *conf, struct gmig_error *err)
{
	static const char *const values[SETTINGS] = {
	    [SET_URI] = "qemu:///system",
	    [SET_SOCKET] = "/run/gmig/gmigd.sock",
	    [SET_GROUP] = "libvirt",
	    [SET_STATE] = "/var/lib/gmig",
	    [SET_METRICS] = "/var/lib/prometheus/node-exporter/gmig.prom",
	    [SET_SCAN_INTERVAL] = "30s",
	    [SET_LIBVIRT_TIMEOUT] = "10s",
	};
	int ret = 0;

	for (int i = 0; i < SETTINGS && !ret; i++)
		ret = set(conf, (enum setting)i, values[i], err);
	return ret;
}

/* What contradicts itself whatever a domain's metadata says is refused when it is read. */
static int validate(const struct gmigd_conf *conf, struct gmig_error *err)
{
	int ret = policy_validate(&conf->defaults.policy, err);

	for (size_t i = 0; i < conf->domain_count && !ret; i++) {
		struct placement_policy policy = conf->defaults.policy;

		policy_merge(&policy, &conf->domains[i].policy);
		ret = policy_validate(&policy, err);
	}
	return ret;
}

int gmigd_conf_read(const char *path, struct gmigd_conf **conf, struct gmig_error *err)
{
	struct building building = {calloc(1, sizeof(**conf)), 0, {0}};
	const char *name = strrchr(path, '/');
	char *folder = NULL;
	int ret;

	if (!building.conf || asprintf(&folder, "%s.d", path) < 0) {
		free(building.conf);
		return gmig_fail(err, -ENOMEM, "no memory for the configuration");
	}
	ret = set_defaults(building.conf, err);
	if (!ret)
		ret = read_file(&building, path, name ? name + 1 : path, err);
	if (!ret)
		ret = read_folder(&building, folder, err);
	if (!ret)
		ret = validate(building.conf, err);
	free(folder);
	/* A file's name may be anything. */
	if (ret && err)
		control_text_safe(err->text);
	if (ret)
		gmigd_conf_destroy(building.conf);
	else
		*conf = building.conf;
	return ret;
}

void gmigd_conf_destroy(struct gmigd_conf *conf)
{
	if (!conf)
		return;
	free(conf->uri);
	free(conf->socket);
	free(conf->group);
	free(conf->state);
	free(conf->metrics);
	free(conf->domains);
	free(conf);
}

/* Patterns that match, merged; two that give the same key cannot both be meant, unless `over` gives it anyway. */
static int merge_patterns(const struct gmigd_conf *conf, const char *name,
			  const struct placement_policy *over, struct placement_policy *merged,
			  struct gmig_error *err)
{
	for (size_t i = 0; i < conf->domain_count; i++) {
		const struct conf_domain *domain = &conf->domains[i];

		if (!strcmp(domain->pattern, name) || fnmatch(domain->pattern, name, 0) != 0)
			continue;
		for (int key = 0; key < POLICY_KEYS; key++)
			if (merged->where[key][0] && domain->policy.where[key][0] &&
			    !over->where[key][0])
				return gmig_fail(
				    err, -EINVAL,
				    "%s is given by two patterns that match: %s and %s",
				    policy_key_name((enum policy_key)key), merged->where[key],
				    domain->policy.where[key]);
		policy_merge(merged, &domain->policy);
	}
	return 0;
}

int gmigd_conf_policy(const struct gmigd_conf *conf, const char *name,
		      const struct placement_policy *metadata, struct placement_policy *policy,
		      struct gmig_error *err)
{
	struct placement_policy merged = conf->defaults.policy, patterns, over;
	int ret;

	policy_init(&patterns);
	policy_init(&over);
	for (size_t i = 0; i < conf->domain_count; i++)
		if (!strcmp(conf->domains[i].pattern, name))
			policy_merge(&over, &conf->domains[i].policy);
	if (metadata)
		policy_merge(&over, metadata);
	ret = merge_patterns(conf, name, &over, &patterns, err);
	if (ret)
		return ret;
	policy_merge(&merged, &patterns);
	policy_merge(&merged, &over);
	ret = policy_validate(&merged, err);
	if (!ret)
		*policy = merged;
	return ret;
}

int gmigd_conf_check(const char *path, FILE *out)
{
	struct gmig_error err = {0, ""};
	struct gmigd_conf *conf;

	if (gmigd_conf_read(path, &conf, &err)) {
		fprintf(out, "error: %s\n", control_text_safe(err.text));
		return 1;
	}
	fprintf(out, "%s: %u file%s read, default placement %s, sections for %zu domains\n", path,
		conf->files, conf->files == 1 ? "" : "s",
		policy_placement_name(conf->defaults.policy.placement), conf->domain_count);
	gmigd_conf_destroy(conf);
	return 0;
}
