#include "daemon_conf.h"
#include "daemon_log.h"
#include "keeper.h"

#include <string.h>

static void warn_policy(const struct placement_policy *policy)
{
	char text[GMIG_ERROR_TEXT];

	if (keeper_warning(policy, text, sizeof(text)))
		daemon_log(GMIG_LOG_WARNING, text);
}

void daemon_conf_warn(const struct gmigd_conf *conf)
{
	warn_policy(&conf->defaults.policy);
	for (size_t i = 0; i < conf->domain_count; i++)
		warn_policy(&conf->domains[i].policy);
}

static void say_restart(const char *key)
{
	char line[128];

	snprintf(line, sizeof(line), "configuration: %s has changed: that needs a restart of gmigd",
		 key);
	daemon_log(GMIG_LOG_WARNING, line);
}

void daemon_conf_compare(const struct gmigd_conf *before, const struct gmigd_conf *after)
{
	const struct {
		const char *key, *before, *after;
	} texts[] = {{"uri", before->uri, after->uri},
		     {"socket", before->socket, after->socket},
		     {"group", before->group, after->group},
		     {"state", before->state, after->state}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].before, texts[i].after) != 0)
			say_restart(texts[i].key);
	if (before->libvirt_timeout_ns != after->libvirt_timeout_ns)
		say_restart("libvirt-timeout");
}
