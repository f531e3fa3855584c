/* Jobs that were watched, and of which no more is heard. */
#include "cli.h"

#include "../control/text.h"

#include <errno.h>

/* It ended with its server, or was forgotten. Of one that is only silent, or refuses, nothing is known. */
static bool has_ended(int code)
{
	return code == -EPIPE || code == -ESRCH;
}

void cli_job_mark_lost(json_t *job, const struct gmig_error *err)
{
	json_object_set_new(job, "state", json_string(has_ended(err->code) ? "failed" : "unknown"));
	json_object_set_new(job, "error", control_text_json(err->text));
}

int cli_job_lost(const char *vm, bool json, json_t *job, const struct gmig_error *err)
{
	cli_job_mark_lost(job, err);
	if (has_ended(err->code))
		cli_complain("job %s: %s", cli_text(job, "id"), err->text);
	else
		cli_complain("job %s: %s; it may go on: gmig jobs %s", cli_text(job, "id"),
			     err->text, vm);
	if (json) {
		CLI_JSON result = cli_job_result(job);

		cli_print_json(result);
	}
	return CLI_FAILED;
}

int cli_job_not_started(const char *vm, bool json, const struct gmig_error *err)
{
	struct gmig_error longer;

	if (err->code == -ESRCH) {
		gmig_error_set(&longer, err->code, "%.200s; gmig jobs %.64s lists them", err->text,
			       vm);
		return cli_fail(json, &longer);
	}
	if (err->code != -ETIMEDOUT)
		return cli_fail(json, err);
	gmig_error_set(&longer, err->code,
		       "%.150s; the migration may start or go on all the same: gmig jobs %.64s",
		       err->text, vm);
	return cli_fail(json, &longer);
}
