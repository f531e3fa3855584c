#include "daemon.h"
#include "cli.h"

#include "../control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DAEMON_SOCKET "/run/gmig/gmigd.sock"

const char *cli_daemon_socket(void)
{
	const char *path = getenv("GMIGD_SOCKET");

	return path && *path ? path : DAEMON_SOCKET;
}

bool cli_is_domain(const char *vm)
{
	return strstr(vm, "://") != NULL;
}

/* The name by which gmigd knows it: its events carry that one. */
static int enter(struct control_client *client, const char *domain, struct gmig_error *err)
{
	CLI_JSON status = NULL;
	int rc = control_client_set_guest(client, domain);

	if (!rc)
		rc = control_call(client, "query-status", NULL, &status, err);
	if (!rc)
		rc = control_client_set_guest(client, cli_text(status, "name"));
	if (rc == -ENOMEM)
		gmig_error_set(err, rc, "out of memory");
	return rc;
}

int cli_daemon_connect(const char *domain, int limit_ms, struct control_client **client,
		       struct gmig_error *err)
{
	struct gmig_error what = {0};
	int rc = control_connect(cli_daemon_socket(), limit_ms, client, &what);

	if (rc && err)
		gmig_error_set(err, rc,
			       rc == -ENOENT || rc == -ECONNREFUSED
				   ? "%.240s; gmigd serves domains: systemctl status gmigd"
				   : "%.240s",
			       what.text);
	if (rc)
		return rc;
	control_client_set_limit(*client, limit_ms);
	rc = enter(*client, domain, err);
	if (rc) {
		control_client_destroy(*client);
		*client = NULL;
	}
	return rc;
}

/* ---- gmig drain ------------------------------------------------------------------------------ */

static json_t *nodes_json(const struct gmig_node_set *nodes)
{
	json_t *list = json_array();

	gmig_node_set_each (node, nodes)
		json_array_append_new(list, json_integer(node));
	return list;
}

int cli_daemon_close_nodes(const struct gmig_node_set *close_these,
			   const struct gmig_node_set *open_these, int limit_ms, bool *asked,
			   struct gmig_error *err)
{
	CLI_CLIENT client = NULL;
	int rc = control_connect(cli_daemon_socket(), limit_ms, &client, err);

	*asked = !rc;
	if (rc)
		return rc;
	control_client_set_limit(client, limit_ms);
	return control_call(client, "close-nodes",
			    json_pack("{s:o, s:o}", "close", nodes_json(close_these), "open",
				      nodes_json(open_these)),
			    NULL, err);
}

/* ---- gmig list ------------------------------------------------------------------------------- */

bool cli_daemon_list(json_t *list, int limit_ms)
{
	CLI_CLIENT client = NULL;
	CLI_JSON answer = NULL;
	size_t i;
	json_t *guest;
	int rc = control_connect(cli_daemon_socket(), limit_ms, &client, NULL);

	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return false;
	if (!rc) {
		control_client_set_limit(client, limit_ms);
		rc = control_call(client, "query-guests", NULL, &answer, NULL);
	}
	if (rc)
		json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "name", "gmigd", "socket",
						      control_text_json(cli_daemon_socket()),
						      "state", cli_state_of(rc)));
	json_array_foreach (json_object_get(answer, "guests"), i, guest) {
		json_object_set_new(guest, "socket", control_text_json(cli_daemon_socket()));
		json_array_append(list, guest);
	}
	return true;
}
