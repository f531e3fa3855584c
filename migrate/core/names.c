/* Names of the public enums and of error numbers, as users see them. */
#include "../gmig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const job_states[] = {
    [GMIG_JOB_CREATED] = "created",	[GMIG_JOB_RUNNING] = "running",
    [GMIG_JOB_PAUSED] = "paused",	[GMIG_JOB_CANCELLING] = "cancelling",
    [GMIG_JOB_COMPLETED] = "completed", [GMIG_JOB_FAILED] = "failed",
    [GMIG_JOB_CANCELLED] = "cancelled", [GMIG_JOB_CANCELLED + 1] = NULL,
};

static const char *const modes[] = {
    [GMIG_MODE_AUTO] = "auto", [GMIG_MODE_READABLE] = "readable", [GMIG_MODE_BLOCK] = "block",
    [GMIG_MODE_LAZY] = "lazy", [GMIG_MODE_LAZY + 1] = NULL,
};

static const char *const lazies[] = {
    [GMIG_LAZY_ANY] = "any",
    [GMIG_LAZY_WRITE] = "write",
    [GMIG_LAZY_WRITE + 1] = NULL,
};

static const char *const frames[] = {
    [GMIG_FRAMES_AUTO] = "auto",
    [GMIG_FRAMES_FRESH] = "fresh",
    [GMIG_FRAMES_RECYCLED] = "recycled",
    [GMIG_FRAMES_RECYCLED + 1] = NULL,
};

static const char *const huge[] = {
    [GMIG_HUGE_PREFER] = "prefer",
    [GMIG_HUGE_KEEP] = "keep",
    [GMIG_HUGE_SPLIT] = "split",
    [GMIG_HUGE_SPLIT + 1] = NULL,
};

static const char *const swapped[] = {
    [GMIG_SWAPPED_MOVE] = "move", [GMIG_SWAPPED_SKIP] = "skip", [GMIG_SWAPPED_SKIP + 1] = NULL};

const char *const *gmig_huge_names(void)
{
	return huge;
}

const char *const *gmig_swapped_names(void)
{
	return swapped;
}

const char *const *gmig_job_state_names(void)
{
	return job_states;
}

const char *const *gmig_lazy_names(void)
{
	return lazies;
}

const char *const *gmig_lazy_to_names(void)
{
	static const char *const names[] = {
	    [GMIG_LAZY_TO_PLAN] = "plan",
	    [GMIG_LAZY_TO_TOUCHER] = "toucher",
	    [GMIG_LAZY_TO_TOUCHER + 1] = NULL,
	};

	return names;
}

const char *const *gmig_mode_names(void)
{
	return modes;
}

const char *const *gmig_order_names(void)
{
	static const char *const names[] = {
	    [GMIG_ORDER_ADDRESS] = "address",
	    [GMIG_ORDER_RANDOM] = "random",
	    [GMIG_ORDER_HOT_FIRST] = "hot-first",
	    [GMIG_ORDER_COLD_FIRST] = "cold-first",
	    NULL,
	};

	return names;
}

const char *const *gmig_frames_names(void)
{
	return frames;
}

static const char *name_of(const char *const *names, unsigned int index)
{
	for (unsigned int i = 0; names[i]; i++)
		if (i == index)
			return names[i];
	return "unknown";
}

const char *gmig_job_state_name(enum gmig_job_state state)
{
	return name_of(job_states, (unsigned int)state);
}

const char *gmig_mode_name(enum gmig_mode mode)
{
	return name_of(modes, (unsigned int)mode);
}

int gmig_name_index(const char *what, const char *const *names, const char *word,
		    struct gmig_error *err)
{
	char list[GMIG_ERROR_TEXT / 2] = "";

	for (int i = 0; names[i]; i++) {
		size_t used = strlen(list);

		if (!strcmp(names[i], word))
			return i;
		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", names[i]);
	}
	return gmig_fail(err, -EINVAL, "%s: '%.60s' is none of %s", what, word, list);
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
