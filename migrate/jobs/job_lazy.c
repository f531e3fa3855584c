#include "job_lazy.h"
#include "job_info.h"
#include "job_slowdown.h"

#include <errno.h>
#include <stdlib.h>

/* A ticket that waits. Its claim is listed with the memory: it stays where it is. */
struct waiting {
	struct lazy_block block; /* first */
	struct mover_ticket ticket;
};

/* When a sweep has to begin, by what is left. */
static void expect(struct gmig_job *job)
{
	struct job_account pages;
	uint64_t rate;

	if (!job->work.spec.deadline_ns)
		return;
	job_account(job, &pages);
	pthread_mutex_lock(&job->lock);
	rate = job->rate.bytes_per_second;
	pthread_mutex_unlock(&job->lock);
	lazy_expect(job->lazy, (pages.unreached + pages.remaining) * GMIG_PAGE_BYTES, rate,
		    job->work.spec.threads);
}

/* ---- Taking out ---------------------------------------------------------------------------------- */

/* Nothing of it waits. */
static void drop(struct job_worker *worker, struct waiting *waiting, uint64_t begin_ns, int ret)
{
	round_trace(worker, &waiting->ticket, begin_ns, ret);
	free(waiting);
}

static unsigned int take(struct job_worker *worker, struct waiting *waiting)
{
	struct gmig_job *job = worker->job;
	struct mover_ticket *ticket = &waiting->ticket;
	uint64_t begin_ns = job->memory->sys->now_ns();
	int ret = round_prepare(worker, ticket);
	unsigned int pages;

	if (ret) {
		round_note(job, ticket->block_gfn, &ticket->pages, ret);
		drop(worker, waiting, begin_ns, ret);
		return 0;
	}
	if (!round_claim(worker, ticket)) {
		job->mover->finish(&worker->mover, ticket);
		drop(worker, waiting, begin_ns, 0);
		return 0;
	}
	pages = bits_count(&ticket->pages);
	job->mover->move(&worker->mover, &ticket, 1);
	worker->lost_ns += ticket->held_ns;
	if (bits_empty(&ticket->out) || ticket->lost) {
		round_settle(worker, ticket);
		job->mover->finish(&worker->mover, ticket);
		drop(worker, waiting, begin_ns, 0);
		return pages;
	}
	waiting->block.bytes = bits_count(&ticket->out) * GMIG_PAGE_BYTES;
	lazy_keep(job->lazy, ticket->block_gfn);
	job->memory->ops->wait(&ticket->claim, &ticket->out, &ticket->gone);
	lazy_add(&waiting->block);
	return pages;
}

unsigned int job_lazy_take(struct job_worker *worker)
{
	struct gmig_job *job = worker->job;
	const struct mover_ticket *picked = &worker->tickets[0];
	struct waiting *waiting = calloc(1, sizeof(*waiting));
	unsigned int pages;

	if (!waiting) {
		round_note(job, picked->block_gfn, &picked->pages, -ENOMEM);
		return 0;
	}
	waiting->block = (struct lazy_block){.lazy = job->lazy, .block_gfn = picked->block_gfn};
	waiting->ticket = *picked;
	waiting->ticket.mode = GMIG_MODE_LAZY;
	waiting->ticket.claim.touched = lazy_touch;
	waiting->ticket.claim.touched_arg = &waiting->block;
	waiting->ticket.claim.in_place = job->work.spec.lazy == GMIG_LAZY_WRITE;
	pages = take(worker, waiting);
	expect(job);
	return pages;
}

/* ---- Touched --------------------------------------------------------------------------------------- */

/* Or has a later command spoken of it since it was taken out? */
static bool is_planned(const struct gmig_job *job, const struct mover_ticket *ticket)
{
	const struct plan *plan = &job->plan;

	if (ticket->huge)
		return plan_target(plan, ticket->block_gfn, 9, ticket->from) == ticket->to;
	if (plan->ops->by_node && !later_generation(job->later))
		return true;
	for (unsigned int i = bits_next(&ticket->out, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&ticket->out, i + 1, true))
		if (plan_target(plan, ticket->block_gfn + i, 0, ticket->from) != ticket->to)
			return false;
	return true;
}

/* What is to be done with it: `move`; else it goes back with `result`, and (again) is taken out once more. */
struct verdict {
	bool move, again;
	int result;
};

/* It goes to whoever has touched it; ticket->to becomes that node. */
static struct verdict judge_toucher(const struct gmig_job *job, struct waiting *waiting)
{
	struct mover_ticket *ticket = &waiting->ticket;
	unsigned int node;

	if (waiting->block.why == LAZY_SWEPT)
		return (struct verdict){.result = -ETIMEDOUT};
	if (waiting->block.why == LAZY_WANTED)
		return (struct verdict){.result = STATUS_BY_OTHERS(ticket->from)};
	node = job->memory->ops->toucher(job->memory, ticket->block_gfn, waiting->block.tid);
	if (node == ticket->from) {
		waiting->block.in_place_bytes = waiting->block.bytes;
		return (struct verdict){.result = STATUS_BY_OTHERS(node)};
	}
	if (!gmig_node_set_has(&job->plan.targets, node))
		return (struct verdict){.result = -EACCES};
	ticket->to = node;
	return (struct verdict){.move = true};
}

static struct verdict judge(struct gmig_job *job, struct waiting *waiting)
{
	enum lazy_why why = waiting->block.why;

	if (why == LAZY_HELD && job_is_cancelled(job))
		return (struct verdict){.again = true, .result = STATUS_WANTED};
	if (why == LAZY_HELD || why == LAZY_TURN || !is_planned(job, &waiting->ticket))
		return (struct verdict){.again = true, .result = -EAGAIN};
	return job->plan.by_touch ? judge_toucher(job, waiting) : (struct verdict){.move = true};
}

static void serve(struct job_worker *worker, struct waiting *waiting)
{
	struct gmig_job *job = worker->job;
	struct mover_ticket *ticket = &waiting->ticket;
	const struct gmig_sys *sys = job->memory->sys;
	const struct verdict verdict = judge(job, waiting);
	uint64_t begin_ns = sys->now_ns(), took_ns;

	job->memory->ops->pick(&ticket->claim, &ticket->out, ticket->to);
	if (verdict.move) {
		job_pace(job, ticket);
		ticket->first_page = waiting->block.page;
		job->mover->bring(&worker->mover, ticket);
	} else {
		job->mover->give_back(&worker->mover, ticket, -EAGAIN);
	}
	took_ns = sys->now_ns() - begin_ns;
	round_settle(worker, ticket);
	if (!bits_empty(&ticket->moved))
		job_note_cost(job, ticket, took_ns);
	else
		job_unspent(job, waiting->block.bytes);
	if (!verdict.move && !ticket->lost)
		round_note(job, ticket->block_gfn, &ticket->out, verdict.result);
	job_charge(job, 0, job_lost_ns(job, ticket));
	job->mover->finish(&worker->mover, ticket);
	round_trace(worker, ticket, begin_ns, 0);
	round_finish_results(job, ticket->block_gfn);
	lazy_done(&waiting->block, bits_count(&ticket->moved) * GMIG_PAGE_BYTES, took_ns,
		  verdict.again);
	free(waiting);
	expect(job);
}

void job_lazy_serve(struct job_worker *worker, bool leaves)
{
	struct lazy_block *block;

	while ((block = lazy_next(worker->job->lazy, leaves)))
		serve(worker, (struct waiting *)block);
}
