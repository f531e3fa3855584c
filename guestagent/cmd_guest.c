/* guest-sync, guest-sync-delimited, guest-ping, guest-info: as the QEMU guest agent has them. */
#include "agent.h"

#include <errno.h>
#include <sys/utsname.h>

AGENT_RUN(agent_run_sync)
{
	(void)agent;
	(void)err;
	*result = json_incref(json_object_get(arguments, "id"));
	return 0;
}

AGENT_RUN(agent_run_ping)
{
	(void)agent;
	(void)arguments;
	(void)result;
	(void)err;
	return 0;
}

AGENT_RUN(agent_run_info)
{
	struct utsname kernel = {0};
	json_t *list = json_array();

	(void)arguments;
	uname(&kernel);
	for (const struct agent_command *command = agent->commands; command->name; command++)
		json_array_append_new(
		    list, json_pack("{s:s, s:b, s:b}", "name", command->name, "enabled",
				    agent_conf_allows_command(&agent->conf, command->name),
				    "success-response", true));
	*result = json_pack("{s:s, s:s, s:s, s:I, s:o}", "version", GMIG_VERSION, "agent",
			    "gmig-agent", "kernel", kernel.release, "max_rate",
			    (json_int_t)agent->conf.max_rate, "supported_commands", list);
	return *result ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}
