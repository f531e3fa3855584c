/* Doubts: is the memory of a free slot where it is said to be, and can it be touched? */
#include "../core/copy.h"
#include "../core/uffd.h"
#include "frame_pool.h"
#include "ledger.h"

#define VERIFY_SLOTS  8	 /* in one call */
#define VERIFY_SAMPLE 16 /* small: one page of so many, another one each time */
#define VERIFY_PAGES  (VERIFY_SLOTS * (GMIG_BLOCK_PAGES / VERIFY_SAMPLE))
#define VERIFIED_NS   1000000000ull /* so long it is believed */

/* ---- Where it is ------------------------------------------------------------------------------- */

bool verify_is_due(const struct frames *frames, const struct slot *slot, uint64_t now)
{
	return !frames->fake && !bits_empty(&slot->have) &&
	       (!slot->verified_ns || now > slot->verified_ns + VERIFIED_NS);
}

/* One question about some slots. */
struct question {
	struct slot **link[VERIFY_SLOTS];
	unsigned int first[VERIFY_SLOTS + 1]; /* of each slot's pages */
	unsigned int slots;
	void *pages[VERIFY_PAGES];
	int status[VERIFY_PAGES];
};

/* Some pages of a slot stand for all of it: one of each 16, and not the same ones each time. */
static void question_add(struct question *question, struct slot **link, uint64_t now)
{
	const struct slot *slot = *link;
	unsigned int count = question->first[question->slots];
	unsigned int step = slot->huge ? GMIG_BLOCK_PAGES : VERIFY_SAMPLE;
	unsigned int offset = slot->huge ? 0 : (unsigned int)(now / 1000 % VERIFY_SAMPLE);

	for (unsigned int start = 0; start < GMIG_BLOCK_PAGES; start += step) {
		unsigned int page = bits_next(&slot->have, start + offset, true);

		if (page >= start + step)
			page = bits_next(&slot->have, start, true);
		if (page < start + step)
			question->pages[count++] = slot->hva + page * GMIG_PAGE_BYTES;
	}
	question->link[question->slots] = link;
	question->first[++question->slots] = count;
}

/* Where the slot's memory lies: one node, or < 0: on several, or nowhere (swapped out). */
static int answer(const struct question *question, unsigned int i)
{
	int node = question->status[question->first[i]];

	for (unsigned int k = question->first[i]; k < question->first[i + 1]; k++)
		if (question->status[k] != node)
			return -1;
	return node;
}

/* The kernel may have broken up what lies idle: to swap it out, or to move a part of it. */
static bool is_still_huge(struct frames *frames, struct slot *slot)
{
	struct uffd_scan scan;

	if (slot->huge && !uffd_scan(frames->sys, frames->pagemap, slot->hva, &scan) && !scan.huge)
		slot->split = true;
	return !slot->huge || !slot->split;
}

void verify_batch(struct frames *frames, struct slot **from, struct slot **moved)
{
	uint64_t now = frames->sys->now_ns();
	struct question question;

	question.slots = question.first[0] = 0;
	for (struct slot **link = from; *link && question.slots < VERIFY_SLOTS;
	     link = &(*link)->next)
		if (verify_is_due(frames, *link, now))
			question_add(&question, link, now);
	/* Where nobody can be asked, nobody can be doubted. */
	if (frames->sys->query_nodes(question.first[question.slots], question.pages,
				     question.status))
		for (unsigned int i = 0; i < question.slots; i++)
			for (unsigned int k = question.first[i]; k < question.first[i + 1]; k++)
				question.status[k] = (*question.link[i])->node;
	/* Backwards: a link lies in the slot before it. */
	for (unsigned int i = question.slots; i-- > 0;) {
		struct slot *slot = *question.link[i];
		int node = answer(&question, i);

		slot->verified_ns = now;
		if (node == slot->node && is_still_huge(frames, slot))
			continue;
		slot_unlink(frames, question.link[i]);
		if (node >= 0 && node < (int)GMIG_MAX_NODES)
			frame_relabel(frames, slot, (unsigned int)node);
		slot->next = *moved;
		*moved = slot;
	}
}

unsigned int verify_drop(struct frames *frames, struct slot *moved)
{
	unsigned int count = 0;

	while (moved) {
		struct slot *slot = moved;

		moved = slot->next;
		slot->next = NULL;
		slot_release(frames, slot);
		slot_give(frames, slot);
		count++;
	}
	return count;
}

/* ---- Whether it can be touched ----------------------------------------------------------------- */

static void read_word(void *arg)
{
	(void)*(const volatile uint64_t *)arg;
}

bool frame_page_works(const struct slot *slot, unsigned int page)
{
	return copy_try(read_word, slot->hva + page * GMIG_PAGE_BYTES);
}

/* What works goes back to the kernel, and what the kernel does not take stays with the rest. */
static void keep_only(struct frames *frames, struct slot *slot, struct bits *broken)
{
	unsigned int first = 0, count;
	struct bits good;

	bits_fill(&good);
	bits_remove(&good, broken);
	while ((count = bits_run(&good, &first))) {
		if (gmig_sys_discard(frames->sys, slot->hva + first * GMIG_PAGE_BYTES,
				     count * GMIG_PAGE_BYTES))
			bits_set_range(broken, first, count);
		first += count;
	}
}

void slot_keep(struct frames *frames, struct slot *slot, struct bits *broken)
{
	long had = bits_count(&slot->have), kept;

	keep_only(frames, slot, broken);
	kept = bits_count(broken);
	pthread_mutex_lock(&slot->pool->lock);
	ledger_post(frames->ledger, slot->node, LEDGER_FLIGHT, LEDGER_OUTSIDE, had);
	ledger_post(frames->ledger, slot->node, LEDGER_OUTSIDE, LEDGER_QUARANTINE, kept);
	slot->have = *broken;
	slot->clean = false;
	slot->broken = true;
	pthread_mutex_unlock(&slot->pool->lock);
	atomic_fetch_sub(&frames->busy, 1);
	policy_freed(frames->policy);
}

bool quarantine(struct frames *frames, struct slot *slot, const struct bits *tried)
{
	struct bits touched = slot->have, broken = {{0}};

	bits_add(&touched, tried);
	for (unsigned int i = bits_next(&touched, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&touched, i + 1, true))
		if (!frame_page_works(slot, i))
			bits_set(&broken, i);
	slot->suspect = false;
	if (bits_empty(&broken)) {
		/* Reading a hole has put the zero page there. */
		bits_remove(&touched, &slot->have);
		slot_discard(frames, slot, &touched);
		return false;
	}
	slot_keep(frames, slot, &broken);
	return true;
}
