/* Jobs of a guest: their events, and their end. */
#include "guest.h"

#include <errno.h>
#include <time.h>

#define MAX_JOBS 256
#define STEP_MS	 5

static bool state_is_new(struct guest_job_states *states, const struct gmig_job_info *info)
{
	_Atomic uint64_t *last = &states->last[info->id % GUEST_JOB_STATES];
	uint64_t now = info->id << 8 | info->state;

	return atomic_exchange(last, now) != now;
}

const char *guest_job_event(struct guest_job_states *states, const struct gmig_job_info *info,
			    json_t **data)
{
	*data = json_pack("{s:o}", "job", guest_report_job(info));
	return state_is_new(states, info) ? "JOB_STATUS_CHANGE" : "JOB_PROGRESS";
}

static bool any_job_lives(struct gmig *gmig, bool cancel)
{
	uint64_t ids[MAX_JOBS];
	size_t count = gmig_job_list(gmig, ids, MAX_JOBS);
	bool lives = false;

	for (size_t i = 0; i < count && i < MAX_JOBS; i++) {
		struct gmig_job *job = gmig_job_find(gmig, ids[i]);
		struct gmig_job_info info;

		if (!job)
			continue;
		if (cancel)
			gmig_job_cancel(job);
		gmig_job_info(job, &info);
		lives |= info.state < GMIG_JOB_COMPLETED;
		gmig_job_put(job);
	}
	return lives;
}

int guest_jobs_end(struct gmig *gmig, int timeout_ms, struct gmig_error *err)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000};

	any_job_lives(gmig, true);
	for (int waited = 0; any_job_lives(gmig, false); waited += STEP_MS) {
		if (waited >= timeout_ms)
			return gmig_fail(err, -ETIMEDOUT, "a job does not end within %d ms",
					 timeout_ms);
		nanosleep(&step, NULL);
	}
	return 0;
}

int guest_answer_with_job(const struct guest *guest, struct gmig_job *job, json_t **result,
			  struct gmig_error *err)
{
	struct gmig_job_info info;
	json_t *report;

	gmig_job_info(job, &info);
	gmig_job_put(job);
	report = guest_report_job(&info);
	if (report && guest->describe_job)
		guest->describe_job(guest, &info, report);
	*result = report;
	return report ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}
