#include "job_slowdown.h"

/* Of a block, before anything is known: some more than was ever seen. */
#define COST_SMALL_NS 600000u
#define COST_HUGE_NS  200000u
#define STUCK_NS      10000000000ull /* without a block, and the budget leaves no progress */
#define COPY_SHARE    8 /* of the time that is spent copying, one part in so many is lost */
#define COST_WEIGHT   8 /* of the last block: one in so many */

void job_slowdown_begin(struct gmig_job *job)
{
	struct memory *memory = job->memory;

	job->cost_ns[0] = COST_SMALL_NS;
	job->cost_ns[1] = COST_HUGE_NS;
	pthread_mutex_lock(&memory->slowdown_lock);
	slowdown_join(&memory->slowdown, &job->budget, job->work.spec.max_slowdown_ppm,
		      memory->sys->now_ns());
	pthread_mutex_unlock(&memory->slowdown_lock);
}

void job_slowdown_end(struct gmig_job *job)
{
	struct memory *memory = job->memory;

	pthread_mutex_lock(&memory->slowdown_lock);
	slowdown_leave(&memory->slowdown, &job->budget);
	pthread_mutex_unlock(&memory->slowdown_lock);
}

static uint64_t of_pages(uint64_t block_ns, unsigned int pages)
{
	return block_ns * pages / GMIG_BLOCK_PAGES;
}

uint64_t job_expected_ns(struct gmig_job *job, const struct mover_ticket *tickets,
			 unsigned int count)
{
	uint64_t ns = 0;

	pthread_mutex_lock(&job->lock);
	for (unsigned int i = 0; i < count; i++)
		ns += of_pages(job->cost_ns[tickets[i].huge], bits_count(&tickets[i].pages));
	pthread_mutex_unlock(&job->lock);
	return ns;
}

static uint64_t turn(struct gmig_job *job, uint64_t expected_ns)
{
	struct memory *memory = job->memory;
	uint64_t wait;

	pthread_mutex_lock(&memory->slowdown_lock);
	wait = slowdown_turn(&memory->slowdown, &job->budget, expected_ns, memory->sys->now_ns());
	pthread_mutex_unlock(&memory->slowdown_lock);
	return wait;
}

enum job_admission job_afford(struct gmig_job *job, uint64_t expected_ns, bool (*wanted)(void *),
			      void *arg)
{
	const struct gmig_sys *sys = job->memory->sys;
	enum job_admission admission = JOB_UNWANTED;
	uint64_t wait;

	pthread_mutex_lock(&job->lock);
	do {
		if (job->state == GMIG_JOB_CANCELLING) {
			admission = JOB_REFUSED;
		} else if (job->state == GMIG_JOB_PAUSED) {
			pthread_cond_wait(&job->changed, &job->lock);
		} else if (!(wait = turn(job, expected_ns))) {
			admission = JOB_ADMITTED;
		} else {
			sys->wait_until(&job->changed, &job->lock, sys->now_ns() + wait);
			if (wait == SLOWDOWN_WAIT_MAX && job->state == GMIG_JOB_RUNNING &&
			    !wanted(arg))
				break;
		}
	} while (admission == JOB_UNWANTED);
	pthread_mutex_unlock(&job->lock);
	return admission;
}

uint64_t job_lost_ns(struct gmig_job *job, const struct mover_ticket *ticket)
{
	struct memory *memory = job->memory;
	unsigned int vcpus = memory->ops->vcpus ? memory->ops->vcpus(memory) : 0;
	unsigned int pages = bits_count(&ticket->pages);
	uint64_t lost = ticket->claim.slept.ns / (vcpus ? vcpus : 1) + ticket->held_ns +
			ticket->copy_ns / COPY_SHARE;

	if (!pages)
		return lost;
	pthread_mutex_lock(&job->lock);
	job->cost_ns[ticket->huge] -= job->cost_ns[ticket->huge] / COST_WEIGHT;
	job->cost_ns[ticket->huge] += lost * GMIG_BLOCK_PAGES / pages / COST_WEIGHT;
	pthread_mutex_unlock(&job->lock);
	return lost;
}

void job_charge(struct gmig_job *job, uint64_t expected_ns, uint64_t lost_ns)
{
	struct memory *memory = job->memory;

	pthread_mutex_lock(&memory->slowdown_lock);
	slowdown_charge(&memory->slowdown, expected_ns, lost_ns, memory->sys->now_ns());
	pthread_mutex_unlock(&memory->slowdown_lock);
}

/* At what the blocks so far have cost, by the pages that nobody has begun with. */
static uint64_t left_ns(const struct slowdown_budget *budget, uint64_t done, uint64_t unreached)
{
	if (!done || !budget->limit_ppm)
		return 0;
	return (uint64_t)((double)budget->lost_ns / (double)done * (double)unreached /
			  ((double)budget->limit_ppm / SLOWDOWN_PPM));
}

void job_slowdown_info(struct gmig_job *job, uint64_t done, uint64_t unreached,
		       struct gmig_job_info *info)
{
	struct memory *memory;
	const struct slowdown_budget *budget = &job->budget;
	bool is_over;

	pthread_mutex_lock(&job->lock);
	memory = job->memory;
	/* Once it has ended nobody writes there any more, and its memory may be gone. */
	is_over = job_is_over(job->state);
	if (!is_over)
		pthread_mutex_lock(&memory->slowdown_lock);
	info->slowdown_ppm = slowdown_share_ppm(budget, info->elapsed_ns);
	info->slowdown_worst_ppm = slowdown_worst_ppm(budget);
	info->max_slowdown_met = budget->limit_ppm && slowdown_is_met(budget);
	if (!is_over) {
		info->max_slowdown_stuck =
		    slowdown_waits_ns(budget, memory->sys->now_ns()) > STUCK_NS;
		info->max_slowdown_left_ns = left_ns(budget, done, unreached);
		pthread_mutex_unlock(&memory->slowdown_lock);
	}
	pthread_mutex_unlock(&job->lock);
}
