/* gmigd.conf and one drop-in: a zero byte twice divides them. What is read is asked for domains of odd names. */
#include "../../libvirt-hooks/conf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/dev/shm/gmig-fuzz-XXXXXX";
static char path[64], drop_in[64];

static void need(bool holds)
{
	if (!holds)
		abort();
}

static void clean(void)
{
	char drop_ins[64];

	snprintf(drop_ins, sizeof(drop_ins), "%s.d", path);
	(void)unlink(drop_in);
	(void)unlink(path);
	(void)rmdir(drop_ins);
	(void)rmdir(folder);
}

static void make_folder(void)
{
	need(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/c.conf", folder);
	snprintf(drop_in, sizeof(drop_in), "%s/c.conf.d", folder);
	need(mkdir(drop_in, 0700) == 0);
	snprintf(drop_in, sizeof(drop_in), "%s/c.conf.d/a.conf", folder);
	need(atexit(clean) == 0);
	umask(077);
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
	FILE *file = fopen(name, "w");

	need(file && fwrite(data, 1, size, file) == size);
	need(fclose(file) == 0);
}

static void ask(const struct gmigd_conf *conf, const char *name)
{
	struct placement_policy policy;
	struct gmig_error err;

	if (!gmigd_conf_policy(conf, name, NULL, &policy, &err))
		need(!policy_validate(&policy, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *divide = size ? memmem(data, size, "\0\0", 2) : NULL;
	size_t first = divide ? (size_t)(divide - data) : size;
	struct gmigd_conf *conf = NULL;
	struct gmig_error err = {0, ""};
	int ret;

	if (!*path)
		make_folder();
	write_file(path, data, first);
	write_file(drop_in, divide ? divide + 2 : data, divide ? size - first - 2 : 0);
	ret = gmigd_conf_read(path, &conf, &err);
	need(ret == err.code && !ret == (conf != NULL));
	for (const char *at = err.text; *at; at++)
		need((unsigned char)*at >= ' ');
	if (conf) {
		need(conf->uri[0] && conf->socket[0] == '/' && conf->state[0] == '/');
		need(!conf->metrics || conf->metrics[0] == '/');
		ask(conf, "web1");
		ask(conf, "");
		ask(conf, "[*]?\\");
		for (size_t i = 0; i < conf->domain_count; i++)
			ask(conf, conf->domains[i].pattern);
	}
	gmigd_conf_destroy(conf);
	return 0;
}
