/* --disk, --net, --port, --balloon. */
#include "options_parse.h"
#include "options_text.h"

#include <errno.h>
#include <string.h>

/* One word after the file's name. 0: it is not a word of ours, but part of the name. */
static int disk_word(struct vmm_options *options, const char *word, struct gmig_error *err)
{
	static const char on_full[] = "on-full=", cache[] = "cache=";
	unsigned int i = options->disk_count;
	int ret;

	if (!strcmp(word, "readonly")) {
		options->disk_readonly[i] = true;
		return 1;
	}
	if (!strncmp(word, cache, sizeof(cache) - 1)) {
		ret = gmig_name_index("--disk: cache",
				      (const char *const[]){"writeback", "none", NULL},
				      word + sizeof(cache) - 1, err);
		options->disk_direct[i] = ret > 0;
		return ret < 0 ? ret : 1;
	}
	if (strncmp(word, on_full, sizeof(on_full) - 1) != 0)
		return 0;
	ret = gmig_name_index("--disk: on-full", (const char *const[]){"pause", "error", NULL},
			      word + sizeof(on_full) - 1, err);
	if (ret < 0)
		return ret;
	options->disk_on_full[i] = (enum vmm_on_full)ret;
	return 1;
}

int options_disk(struct parse *parse, char *text, struct gmig_error *err)
{
	struct vmm_options *options = parse->options;
	char *comma;
	int ret = 1;

	if (options->disk_count == VMM_MAX_DISKS)
		return gmig_fail(err, -EINVAL, "--disk: more than %d disks", VMM_MAX_DISKS);
	/* From the end: a file's name may have commas. */
	while (ret > 0 && (comma = strrchr(text, ','))) {
		ret = disk_word(options, comma + 1, err);
		if (ret > 0)
			*comma = '\0';
	}
	if (ret < 0)
		return ret;
	if (!*text)
		return gmig_fail(err, -EINVAL, "--disk: the file name is empty");
	options->disk[options->disk_count++] = text;
	return 0;
}

static int net_tap(void *into, const char *value, struct gmig_error *err)
{
	struct vmm_options *options = into;

	if (strlen(value) > 15)
		return gmig_fail(err, -EINVAL, "--net: interface name '%s' is over 15 characters",
				 value);
	options->tap[options->net_count] = value;
	return 0;
}

int options_net(struct parse *parse, char *text, struct gmig_error *err)
{
	static const struct options_key keys[] = {{"tap", true, false, net_tap}, {0}};
	int ret;

	if (parse->options->net_count == VMM_MAX_NETS)
		return gmig_fail(err, -EINVAL, "--net: more than %d interfaces", VMM_MAX_NETS);
	ret = options_list("--net", text, keys, parse->options, err);
	if (!ret)
		parse->options->net_count++;
	return ret;
}

static int port_name(void *into, const char *value, struct gmig_error *err)
{
	struct vmm_options *options = into;
	char *name = options->port[options->port_count].name;

	if (strlen(value) >= sizeof(options->port[0].name))
		return gmig_fail(err, -EINVAL, "--port: name '%s' is over 31 characters", value);
	for (unsigned int i = 0; i < options->port_count; i++)
		if (!strcmp(options->port[i].name, value))
			return gmig_fail(err, -EINVAL, "--port: two ports are named '%s'", value);
	snprintf(name, sizeof(options->port[0].name), "%s", value);
	return 0;
}

static int port_path(void *into, const char *value, struct gmig_error *err)
{
	struct vmm_options *options = into;

	if (strlen(value) > 107)
		return gmig_fail(err, -EINVAL,
				 "--port: a socket's path has at most 107 characters: '%s'", value);
	for (unsigned int i = 0; i < options->port_count; i++)
		if (!strcmp(options->port[i].path, value))
			return gmig_fail(err, -EINVAL, "--port: two ports have the path '%s'",
					 value);
	options->port[options->port_count].path = value;
	return 0;
}

int options_port(struct parse *parse, char *text, struct gmig_error *err)
{
	static const struct options_key keys[] = {
	    {"name", true, false, port_name}, {"path", true, false, port_path}, {0}};
	int ret;

	if (parse->options->port_count == VMM_MAX_PORTS)
		return gmig_fail(err, -EINVAL, "--port: more than %d ports", VMM_MAX_PORTS);
	ret = options_list("--port", text, keys, parse->options, err);
	if (!ret)
		parse->options->port_count++;
	return ret;
}

int options_balloon(struct parse *parse, char *text, struct gmig_error *err)
{
	static const char *const words[] = {"deflate-on-oom", "reporting", NULL};
	struct vmm_options *options = parse->options;
	char *word, *rest = text;

	options->balloon = true;
	while ((word = strsep(&rest, ","))) {
		int i = gmig_name_index("--balloon", words, word, err);

		if (i < 0)
			return i;
		options->balloon_on_oom |= i == 0;
		options->balloon_reporting |= i == 1;
	}
	return 0;
}
