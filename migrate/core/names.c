/* Names of the public enums and of error numbers, as users see them. */
#include "../gmig.h"

#include <stdlib.h>
#include <string.h>

const char *gmig_job_state_name(enum gmig_job_state state)
{
	static const char *const names[] = {
	    [GMIG_JOB_CREATED] = "created",	[GMIG_JOB_RUNNING] = "running",
	    [GMIG_JOB_PAUSED] = "paused",	[GMIG_JOB_CANCELLING] = "cancelling",
	    [GMIG_JOB_COMPLETED] = "completed", [GMIG_JOB_FAILED] = "failed",
	    [GMIG_JOB_CANCELLED] = "cancelled",
	};

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

const char *gmig_mode_name(enum gmig_mode mode)
{
	static const char *const names[] = {
	    [GMIG_MODE_READABLE] = "readable",
	    [GMIG_MODE_BLOCK] = "block",
	};

	return (unsigned int)mode < sizeof(names) / sizeof(names[0]) ? names[mode] : "unknown";
}

const char *gmig_errno_name(int error)
{
	static _Thread_local char unknown[16];
	const char *name;

	/* Widened: -INT_MIN does not fit. */
	long long number = llabs((long long)error);

	name = number <= 4095 ? strerrorname_np((int)number) : NULL;
	if (name && number)
		return name;
	snprintf(unknown, sizeof(unknown), "E%lld", number);
	return unknown;
}
