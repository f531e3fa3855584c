/*
 * The blocks of one round: pick the pages that go from one node to one other, have the mover prepare,
 * claim, move, settle, note. A block whose pages lie on several nodes takes several rounds.
 *
 * Every page that belongs to the work when its block is opened leaves here with a result, or counted
 * as somebody else's doing.
 */
#include "job_block.h"
#include "job_later.h"
#include "job_lazy.h"
#include "job_slowdown.h"

#include <errno.h>

/* Where the pages of a block are, against the plan. */
struct survey {
	struct bits wanted; /* on a node that the plan moves from */
	struct bits none;   /* no memory */
	uint16_t
	    node[GMIG_BLOCK_PAGES]; /* of each page that is not in none; whole: the first says it */
	bool whole;		    /* one huge page */
	bool split;		    /* whose pages do not all go the same way */
};

/* A block that is worked on. */
struct block {
	struct gmig_job *job;
	uint64_t gfn;
	const struct bits *only; /* NULL: all pages */
	struct bits work;	 /* pages that belong to the work and are not done with */
	struct survey survey;	 /* when it was opened */
	bool split;		 /* by us, and not yet known to be so for the kernel */
};

static bool is_retried(int result)
{
	return result == -EAGAIN || result == -EBUSY || result == -ENOMEM;
}

/* ---- What belongs to the work ------------------------------------------------------------------ */

struct surveyor {
	const struct block *block;
	struct survey *survey;
};

static uint16_t survey_node(const struct survey *survey, unsigned int page)
{
	return survey->node[survey->whole ? 0 : page];
}

static int survey_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	const struct surveyor *surveyor = arg;
	const struct block *block = surveyor->block;
	struct survey *survey = surveyor->survey;
	const struct plan *plan = &block->job->plan;
	unsigned int first = (unsigned int)(gfn - block->gfn);
	unsigned int count = entry->order ? GMIG_BLOCK_PAGES : 1;

	survey->node[first] = (uint16_t)entry->node;
	survey->whole = entry->order;
	survey->split = false;
	if (entry->state == SHADOW_NONE)
		return 0;
	survey->split =
	    entry->order && plan_target(plan, gfn, entry->order, entry->node) == PLAN_SPLIT;
	bits_clear_range(&survey->none, first, count);
	if (!block->only || bits_get(block->only, first) ||
	    !gmig_node_set_has(&plan->targets, entry->node))
		plan_select(plan, gfn, entry, &survey->wanted);
	return 0;
}

/* What cannot be asked is not gone: false, and the job fails. What has ended as a whole, a process, is. */
static bool survey_block(const struct block *block, struct survey *survey)
{
	struct memory *memory = block->job->memory;
	struct surveyor surveyor = {block, survey};
	int ret;

	survey->whole = survey->split = false;
	bits_clear_all(&survey->wanted);
	bits_fill(&survey->none); /* but for what the walk finds */
	ret = memory->ops->walk(memory, block->gfn, GMIG_BLOCK_PAGES, survey_visit, &surveyor);
	if (ret < 0 && !job_memory_has_ended(block->job)) {
		atomic_store(&block->job->blind, ret);
		return false;
	}
	return true;
}

/*
 * Pages that belong to the work and that nobody moves any more: what became of them. rest: note
 * -EAGAIN for those that are where they were.
 */
static void review(const struct block *block, const struct bits *pages, bool rest)
{
	struct gmig_job *job = block->job;
	struct bits gone = {{0}}, elsewhere = *pages, stay;
	struct survey survey;

	if (bits_empty(pages))
		return;
	if (!survey_block(block, &survey)) {
		if (rest)
			round_note(job, block->gfn, pages, -EAGAIN);
		return;
	}
	for (unsigned int i = 0; i < BITS_WORDS; i++) {
		gone.word[i] = pages->word[i] & survey.none.word[i];
		stay.word[i] = pages->word[i] & survey.wanted.word[i];
	}
	bits_remove(&elsewhere, &gone);
	bits_remove(&elsewhere, &stay);
	round_note(job, block->gfn, &gone, -ENOENT);
	for (unsigned int i = bits_next(&elsewhere, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&elsewhere, i + 1, true))
		status_set(job->status, block->gfn + i, 1,
			   STATUS_BY_OTHERS(survey_node(&survey, i)));
	if (rest)
		round_note(job, block->gfn, &stay, -EAGAIN);
}

static void review_retried(const struct block *block)
{
	int result[GMIG_BLOCK_PAGES];
	struct bits pages = {{0}};

	status_get(block->job->status, block->gfn, GMIG_BLOCK_PAGES, result);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (is_retried(result[i]))
			bits_set(&pages, i);
	review(block, &pages, false);
}

/* Without memory the pages keep their reasons: another pass looks again. */
void job_block_review(struct gmig_job *job, uint64_t word)
{
	struct block block = {
	    .job = job, .gfn = workset_gfn(word), .only = workset_only(&job->set, word)};

	if (status_prepare(job->status, block.gfn))
		return;
	review_retried(&block);
	status_finish(job->status, block.gfn);
}

/*
 * They were gone, or the kernel has said that they came, and they lie on a node to be left: moved back since, or freed and
 * touched again. They are tried again, and if they stay they count as what remains. (What came of a guest was seen there.)
 */
static bool take_back(const struct block *block, const int *result)
{
	struct gmig_job *job = block->job;
	const bool believed = job->memory->ops->unclaimed;
	struct bits back = {{0}};

	for (unsigned int i = bits_next(&block->survey.wanted, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&block->survey.wanted, i + 1, true))
		if ((result[i] == -ENOENT || (believed && result[i] >= 0)) &&
		    gmig_node_set_has(&job->plan.left, survey_node(&block->survey, i)))
			bits_set(&back, i);
	if (bits_empty(&back))
		return false;
	/* Without memory for it the pass that comes fails. */
	if (!status_prepare(job->status, block->gfn)) {
		round_note(job, block->gfn, &back, -EAGAIN);
		status_finish(job->status, block->gfn);
	}
	return true;
}

bool job_block_is_new(struct gmig_job *job, uint64_t word)
{
	struct block block = {
	    .job = job, .gfn = workset_gfn(word), .only = workset_only(&job->set, word)};
	int result[GMIG_BLOCK_PAGES];
	unsigned int i;

	if (!survey_block(&block, &block.survey))
		return false;
	status_get(job->status, block.gfn, GMIG_BLOCK_PAGES, result);
	if (take_back(&block, result))
		return true;
	i = bits_next(&block.survey.wanted, 0, true);
	while (i < GMIG_BLOCK_PAGES && result[i] != STATUS_NOT_TRIED)
		i = bits_next(&block.survey.wanted, i + 1, true);
	return i < GMIG_BLOCK_PAGES;
}

/* Of the pages that moved along with others, up to `most` that nobody has counted yet. */
static unsigned int take_along(struct gmig_job *job, unsigned int most)
{
	unsigned long long along = atomic_load(&job->work.along);
	unsigned int taken;

	do {
		taken = along < most ? (unsigned int)along : most;
	} while (taken && !atomic_compare_exchange_weak(&job->work.along, &along, along - taken));
	return taken;
}

/* What the plan counted on and is not there any more moved along with other pages, went, or was moved
 * by somebody else. */
static void account_missing(struct gmig_job *job, const struct survey *survey, unsigned int planned,
			    unsigned int found)
{
	unsigned int missing, along, none = bits_count(&survey->none);

	if (found >= planned) {
		atomic_fetch_add(&job->more, found - planned);
		return;
	}
	missing = planned - found;
	if (none > missing)
		none = missing;
	along = take_along(job, missing - none);
	atomic_fetch_add(&job->early_gone, none);
	atomic_fetch_add(&job->early_moved, along);
	atomic_fetch_add(&job->early_by_others, missing - none - along);
}

/*
 * One huge page goes whole or not at all. It may have become one since a part of it was done with: that part goes along,
 * unless it lies where the plan wants it.
 */
static void take_whole(struct block *block, const struct survey *survey, const int *result)
{
	bool is_target = gmig_node_set_has(&block->job->plan.targets, survey->node[0]);

	for (unsigned int i = 0; is_target && i < GMIG_BLOCK_PAGES; i++)
		if (result[i] >= 0)
			return;
	bits_fill(&block->work);
}

/* *unseen: of what is taken up, the pages that were not taken up before. */
static void take_up(struct block *block, const struct survey *survey, bool again,
		    struct bits *unseen)
{
	int result[GMIG_BLOCK_PAGES];

	status_get(block->job->status, block->gfn, GMIG_BLOCK_PAGES, result);
	for (unsigned int i = bits_next(&survey->wanted, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&survey->wanted, i + 1, true)) {
		if (result[i] == STATUS_NOT_TRIED)
			bits_set(unseen, i);
		else if (!again || !is_retried(result[i]))
			continue;
		bits_set(&block->work, i);
	}
	if (survey->whole && !survey->split && !bits_empty(&block->work))
		take_whole(block, survey, result);
}

/*
 * A first visit takes all that is wanted; a later one only what is worth another try, and what came
 * since. What an earlier pass moved is never taken up again: its node may be one to leave, too.
 */
static void open_block(struct gmig_job *job, uint64_t word, bool again, struct block *block)
{
	struct survey *survey = &block->survey;
	struct bits unseen = {{0}};

	*block = (struct block){
	    .job = job, .gfn = workset_gfn(word), .only = workset_only(&job->set, word)};
	if (again)
		review_retried(block);
	if (!survey_block(block, survey))
		return;
	if (survey->split && !job->memory->ops->split(job->memory, block->gfn)) {
		block->split = true;
		survey_block(block, survey); /* a guest's, which can always be asked */
	}
	if (status_block_is(job->status, block->gfn, STATUS_NOT_TRIED)) {
		block->work = unseen = survey->wanted;
		if (survey->whole && !survey->split && !bits_empty(&block->work))
			bits_fill(&block->work);
	} else {
		take_up(block, survey, again, &unseen);
	}
	round_note(job, block->gfn, &unseen, STATUS_WANTED);
	account_missing(job, survey, again ? 0 : workset_pages(word), bits_count(&unseen));
}

/* ---- Picking ----------------------------------------------------------------------------------- */

struct pick {
	struct block *block;
	struct mover_ticket *ticket;
	struct bits busy;    /* claimed by another job */
	struct bits skipped; /* in swap, and to be left there */
	bool found;
};

static int pick_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct pick *pick = arg;
	struct mover_ticket *ticket = pick->ticket;
	unsigned int first = (unsigned int)(gfn - pick->block->gfn);
	unsigned int count = entry->order ? GMIG_BLOCK_PAGES : 1;
	unsigned int target = GMIG_NO_NODE;

	if (entry->state == SHADOW_NONE || !bits_get(&pick->block->work, first) ||
	    (entry->order && !bits_full(&pick->block->work)))
		return 0;
	target = plan_target(&pick->block->job->plan, gfn, entry->order, entry->node);
	if (target == GMIG_NO_NODE || target == PLAN_SPLIT)
		return 0;
	/* Nobody touches what is in swap without the kernel's bringing it somewhere. */
	if (entry->state == SHADOW_SWAPPED &&
	    (pick->block->job->work.spec.swapped == GMIG_SWAPPED_SKIP ||
	     pick->block->job->plan.by_touch)) {
		bits_set_range(&pick->skipped, first, count);
		return 0;
	}
	if (entry->state != SHADOW_PRESENT && entry->state != SHADOW_SWAPPED) {
		bits_set_range(&pick->busy, first, count);
		return 0;
	}
	if (!pick->found) {
		pick->found = true;
		ticket->from = entry->node;
		ticket->to = target;
		ticket->huge = entry->order;
	}
	if (entry->node == ticket->from && target == ticket->to)
		bits_set_range(&ticket->pages, first, count);
	return 0;
}

/* By what the walk said when the block was opened. */
static void pick_known(struct pick *pick)
{
	const struct block *block = pick->block;
	struct shadow_entry entry = {.state = SHADOW_PRESENT, .order = block->survey.whole ? 9 : 0};

	for (unsigned int i = bits_next(&block->work, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&block->work, i + 1, true)) {
		entry.node = survey_node(&block->survey, i);
		pick_visit(pick, block->gfn + i, &entry);
		if (entry.order)
			return;
	}
}

/* false: nothing of the block is left to move now. */
static bool pick_next(struct block *block, struct mover_ticket *ticket)
{
	struct memory *memory = block->job->memory;
	struct pick pick = {.block = block, .ticket = ticket};

	if (bits_empty(&block->work))
		return false;
	if (memory->ops->is_fixed && memory->ops->is_fixed(memory, block->gfn)) {
		round_note(block->job, block->gfn, &block->work, -EPERM);
		bits_clear_all(&block->work);
		return false;
	}
	memset(ticket, 0, sizeof(*ticket));
	ticket->block_gfn = block->gfn;
	if (memory->ops->unclaimed)
		pick_known(&pick);
	else
		memory->ops->walk(memory, block->gfn, GMIG_BLOCK_PAGES, pick_visit, &pick);
	/* Also what waits to be touched, if this job does not have it wait itself: it is asked for, for the next pass. */
	if (!bits_empty(&pick.busy) && memory->ops->want)
		memory->ops->want(memory, block->gfn, &pick.busy);
	round_note(block->job, block->gfn, &pick.busy, -EBUSY);
	bits_remove(&block->work, &pick.busy);
	round_note(block->job, block->gfn, &pick.skipped, -ENODATA);
	bits_remove(&block->work, &pick.skipped);
	return pick.found;
}

/* ---- One round --------------------------------------------------------------------------------- */

/* Returns how many pages were tried: pages that another job was faster with, or that no frame was
 * had for, were not. */
static unsigned int round_run(struct job_worker *worker, unsigned int count)
{
	const struct gmig_sys *sys = worker->job->memory->sys;
	uint64_t begin_ns = worker->job->trace ? sys->now_ns() : 0, move_ns;
	struct mover_ticket *moving[MOVER_TICKETS];
	unsigned int tried = 0, n = 0;

	if (worker->waits)
		return job_lazy_take(worker);
	for (unsigned int i = 0; i < count; i++) {
		struct mover_ticket *ticket = &worker->tickets[i];
		int ret = round_prepare(worker, ticket);

		if (ret) {
			round_note(worker->job, ticket->block_gfn, &ticket->pages, ret);
			round_trace(worker, ticket, begin_ns, ret);
		} else if (round_claim(worker, ticket)) {
			job_choose(worker->job, ticket);
			moving[n++] = ticket;
		} else {
			round_finish(worker, ticket);
			round_trace(worker, ticket, begin_ns, 0);
		}
	}
	move_ns = sys->now_ns();
	round_move(worker, moving, n);
	/* Of several it is not known what each took. */
	move_ns = worker->job->mover->tickets == 1 ? sys->now_ns() - move_ns : 0;
	for (unsigned int i = 0; i < n; i++) {
		round_settle(worker, moving[i]);
		if (worker->job->lazy)
			lazy_swept(worker->job->lazy,
				   bits_count(&moving[i]->moved) * GMIG_PAGE_BYTES);
		job_note_cost(worker->job, moving[i], move_ns);
		worker->lost_ns += job_lost_ns(worker->job, moving[i]);
		round_finish(worker, moving[i]);
		round_trace(worker, moving[i], begin_ns, 0);
		tried += bits_count(&moving[i]->pages);
	}
	return tried;
}

/* ---- Blocks ------------------------------------------------------------------------------------ */

struct batch {
	struct job_worker *worker;
	struct block block[MOVER_TICKETS];
	unsigned int count;
	uint64_t opened_ns;
	uint64_t expected_ns; /* what its round is to cost the guest */
	uint64_t waited_ns;   /* for its turns */
};

static unsigned int batch_pick(struct batch *batch, uint64_t *bytes)
{
	unsigned int n = 0;

	*bytes = 0;
	for (unsigned int i = 0; i < batch->count; i++) {
		struct mover_ticket *ticket = &batch->worker->tickets[n];

		if (!pick_next(&batch->block[i], ticket))
			continue;
		bits_remove(&batch->block[i].work, &ticket->pages);
		*bytes += bits_count(&ticket->pages) * GMIG_PAGE_BYTES;
		n++;
	}
	return n;
}

/* For a job that waits for its turn: is any of it still to be moved? */
static bool batch_wanted(void *arg)
{
	struct batch *batch = arg;

	for (unsigned int i = 0; i < batch->count; i++) {
		struct survey survey;

		if (!survey_block(&batch->block[i], &survey) || !bits_empty(&survey.wanted))
			return true;
	}
	return false;
}

/* Tickets that had no turn: their pages count as not done with. */
static void batch_unpick(struct batch *batch, unsigned int count)
{
	for (unsigned int i = 0; i < batch->count; i++)
		for (unsigned int k = 0; k < count; k++)
			if (batch->worker->tickets[k].block_gfn == batch->block[i].gfn)
				bits_add(&batch->block[i].work, &batch->worker->tickets[k].pages);
}

/* All that results may need is reserved before anything is claimed. */
static bool batch_open(struct batch *batch, const uint64_t *words, unsigned int count)
{
	struct gmig_job *job = batch->worker->job;
	unsigned int ready = 0;

	while (ready < count && !status_prepare(job->status, workset_gfn(words[ready])))
		ready++;
	if (ready < count) {
		atomic_store(&job->no_memory, true);
		while (ready--)
			status_finish(job->status, workset_gfn(words[ready]));
		return false;
	}
	batch->opened_ns = job->memory->sys->now_ns();
	for (batch->count = 0; batch->count < count; batch->count++)
		open_block(job, words[batch->count], batch->worker->again,
			   &batch->block[batch->count]);
	return true;
}

/* Nobody has said anything new since the blocks were opened. */
static void batch_known(struct batch *batch, unsigned int picked)
{
	bool known = batch->worker->job->memory->ops->unclaimed;

	for (unsigned int i = 0; i < picked; i++)
		batch->worker->tickets[i].known_ns = known ? batch->opened_ns : 0;
}

/* It counts once it is so: a block of which no page could be moved may still be huge. */
static void close_split(const struct block *block)
{
	const struct memory_range range = {block->gfn, GMIG_BLOCK_PAGES};
	struct gmig_job *job = block->job;

	/* The kernel does not split what it moves: other pages went along, and the table does not know of it. */
	if (job->mover->memory == BOOKS_KERNEL)
		job->memory->ops->refresh(job->memory, &range, NULL, NULL);
	if (!job->memory->ops->unsplit(job->memory, block->gfn))
		atomic_fetch_add(&job->work.thp_split, 1);
}

static void batch_close(struct batch *batch, bool rest)
{
	for (unsigned int i = 0; i < batch->count; i++) {
		if (rest)
			review(&batch->block[i], &batch->block[i].work, true);
		if (batch->block[i].split)
			close_split(&batch->block[i]);
		round_finish_results(batch->worker->job, batch->block[i].gfn);
	}
}

static bool always(void *arg)
{
	(void)arg;
	return true;
}

/* For what moved along. false: the job is being cancelled. */
static bool pay_debt(struct gmig_job *job)
{
	uint64_t pages = atomic_exchange(&job->work.debt, 0);

	return !pages || job_admit(job, pages * GMIG_PAGE_BYTES, always, NULL) == JOB_ADMITTED;
}

/* Its turn, by pace, rate, pause, cancel, and last the slowdown budget: what it will cost the guest is reserved then. */
static enum job_admission batch_admit(struct batch *batch, unsigned int picked, uint64_t bytes)
{
	struct job_worker *worker = batch->worker;
	struct gmig_job *job = worker->job;
	const struct gmig_sys *sys = job->memory->sys;
	uint64_t begin_ns = sys->now_ns();
	enum job_admission admission;

	job_rest(job);
	admission = job_admit(job, bytes, batch_wanted, batch);
	if (admission == JOB_ADMITTED) {
		batch->expected_ns = job_expected_ns(job, worker->tickets, picked);
		admission = job_afford(job, batch->expected_ns, batch_wanted, batch);
		if (admission != JOB_ADMITTED)
			job_unspent(job, bytes);
	}
	batch->waited_ns += sys->now_ns() - begin_ns;
	return admission;
}

/*
 * Where the target had no memory, the plan may name another node: pages that it names one for are picked again. Each node is
 * full once.
 */
static void take_elsewhere(struct block *block, const struct mover_ticket *ticket)
{
	struct gmig_job *job = block->job;
	int result[GMIG_BLOCK_PAGES];
	struct bits full = {{0}};

	status_get(job->status, block->gfn, GMIG_BLOCK_PAGES, result);
	for (unsigned int i = bits_next(&ticket->pages, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&ticket->pages, i + 1, true))
		if (result[i] == -ENOMEM)
			bits_set(&full, i);
	if (bits_empty(&full))
		return;
	job->plan.ops->full(&job->plan, ticket->to);
	for (unsigned int i = bits_next(&full, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&full, i + 1, true)) {
		unsigned int target =
		    ticket->huge ? plan_target(&job->plan, block->gfn, 9, ticket->from)
				 : plan_target(&job->plan, block->gfn + i, 0, ticket->from);

		if (target != GMIG_NO_NODE && target != ticket->to)
			bits_set(&block->work, i);
	}
}

static void batch_take_elsewhere(struct batch *batch, unsigned int picked)
{
	for (unsigned int i = 0; i < batch->count; i++)
		for (unsigned int k = 0; k < picked; k++)
			if (batch->worker->tickets[k].block_gfn == batch->block[i].gfn)
				take_elsewhere(&batch->block[i], &batch->worker->tickets[k]);
}

/* What was admitted moves, unless a later command has spoken since it was picked. */
static void batch_run(struct batch *batch, unsigned int picked, uint64_t bytes, unsigned int said)
{
	struct job_worker *worker = batch->worker;
	unsigned int number = worker->mover.number;
	bool ran = job_round_enter(worker->job, number, said);
	uint64_t tried = 0;

	worker->lost_ns = 0;
	if (ran)
		tried = round_run(worker, picked) * GMIG_PAGE_BYTES;
	else
		batch_unpick(batch, picked);
	job_round_leave(worker->job, number);
	if (ran && worker->job->plan.ops->full)
		batch_take_elsewhere(batch, picked);
	job_charge(worker->job, batch->expected_ns, worker->lost_ns);
	job_unspent(worker->job, bytes - tried);
}

/* Nobody will tell where these go to: they stay, since nobody has touched them in time. */
static bool batch_is_too_late(struct batch *batch, unsigned int picked)
{
	struct job_worker *worker = batch->worker;

	if (!worker->job->plan.by_touch || worker->waits)
		return false;
	for (unsigned int i = 0; i < picked; i++)
		round_note(worker->job, worker->tickets[i].block_gfn, &worker->tickets[i].pages,
			   -ETIMEDOUT);
	return true;
}

bool job_blocks(struct job_worker *worker, const uint64_t *words, unsigned int count)
{
	struct gmig_job *job = worker->job;
	struct batch batch = {.worker = worker};
	enum job_admission admission = JOB_ADMITTED;
	unsigned int picked, said;
	uint64_t bytes;

	if (!pay_debt(job) || !batch_open(&batch, words, count))
		return false;
	while (admission == JOB_ADMITTED) {
		worker->waits = job->lazy && lazy_room(job->lazy);
		said = later_generation(job->later);
		picked = batch_pick(&batch, &bytes);
		if (!picked)
			break;
		if (batch_is_too_late(&batch, picked))
			continue;
		admission = batch_admit(&batch, picked, bytes);
		batch_known(&batch, picked);
		if (admission == JOB_ADMITTED)
			batch_run(&batch, picked, bytes, said);
		else
			batch_unpick(&batch, picked);
	}
	batch_close(&batch, admission != JOB_REFUSED);
	worker->block_ns = (job->memory->sys->now_ns() - batch.opened_ns - batch.waited_ns) / count;
	return admission != JOB_REFUSED;
}
