/*
 * A page leaves a bad frame. That the kernel takes the frame out of use is lost memory for the whole host, until it boots again:
 * the kernel asks CAP_SYS_ADMIN of its caller for that, and who that is, is the peer: the server may have more rights.
 */
#include "guest_retire.h"

#include "../migrate/gmig_retire.h"
#include "guest_held.h"

const struct control_argument guest_retire_arguments[] = {{"guest", CONTROL_STRING, false},
							  {"gpa", CONTROL_INTEGER, true},
							  {"keep", CONTROL_BOOL, false},
							  {0}};

static json_t *report_retired(const struct gmig_retired *retired)
{
	json_t *report =
	    json_pack("{s:I, s:i, s:b, s:b, s:b}", "gpa", (json_int_t)retired->gpa, "node",
		      (int)retired->node, "huge", (int)retired->huge, "thp_split",
		      (int)retired->thp_split, "offlined", !retired->offline);

	if (report && retired->offline)
		json_object_set_new(report, "reason",
				    json_string(gmig_errno_name(retired->offline)));
	return report;
}

static int retire(struct gmig *gmig, const struct gmig_retire_spec *asked,
		  struct gmig_retired *retired, struct gmig_error *err)
{
	bool may = control_peer_is_administrator();
	struct gmig_retire_spec spec = *asked;
	int ret;

	spec.keep |= !may;
	ret = gmig_retire(gmig, &spec, retired, err);
	if (may || asked->keep)
		return ret;
	retired->offline = -EPERM;
	if (ret != -EOPNOTSUPP)
		return ret;
	return gmig_fail(
	    err, -EPERM,
	    "page 0x%llx: only the kernel can take this kind of memory out of use, for "
	    "which the caller needs CAP_SYS_ADMIN",
	    (unsigned long long)asked->gpa);
}

int guest_retire_page(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	struct gmig_retire_spec spec = {.keep = json_is_true(json_object_get(arguments, "keep"))};
	struct gmig_retired retired;
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = guest_read_integer(arguments, "gpa", INT64_MAX, &spec.gpa, err);
	if (!ret && held.guest.process)
		ret = gmig_fail(err, -EOPNOTSUPP,
				"the frames of '%.64s' are the kernel's to take out of use: "
				"/sys/devices/system/memory/soft_offline_page",
				held.guest.name);
	if (!ret)
		ret = retire(held.guest.gmig, &spec, &retired, err);
	return ret ? ret : answer(report_retired(&retired), result, err);
}
