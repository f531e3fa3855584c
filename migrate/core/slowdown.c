#include "slowdown.h"

#include <stddef.h>
#include <string.h>

#define SLOT_NS (SLOWDOWN_SECOND_NS / (SLOWDOWN_SLOTS - 1))
#define MARGIN	16 /* of the limit, this part is not earned: */
#define SAVED                                                                                      \
	32 /* this is what may be saved up, and the rest is for blocks that are dearer than expected */
#define EARN_MAX_NS (60 * SLOWDOWN_SECOND_NS) /* after which nobody has saved up more */

static uint64_t part(uint64_t ns, uint32_t ppm)
{
	return (uint64_t)((unsigned __int128)ns * ppm / SLOWDOWN_PPM);
}

/* Slots that are older than a second are emptied. */
static void advance(struct slowdown *meter, uint64_t now_ns)
{
	uint64_t slot = now_ns / SLOT_NS;

	if (slot <= meter->slot)
		return;
	if (slot - meter->slot >= SLOWDOWN_SLOTS) {
		memset(meter->slot_ns, 0, sizeof(meter->slot_ns));
		meter->second_ns = 0;
		meter->slot = slot;
	}
	while (meter->slot < slot) {
		uint64_t *oldest = &meter->slot_ns[++meter->slot % SLOWDOWN_SLOTS];

		meter->second_ns -= *oldest;
		*oldest = 0;
	}
}

/* What it has earned since the last call, less what was lost. */
static void settle(const struct slowdown *meter, struct slowdown_budget *budget, uint64_t now_ns)
{
	uint64_t passed = now_ns > budget->at_ns ? now_ns - budget->at_ns : 0;
	unsigned __int128 earned;

	if (passed > EARN_MAX_NS)
		passed = EARN_MAX_NS;
	/* Who asks each few ns loses nothing by rounding. */
	earned = (unsigned __int128)passed * budget->limit_ppm * (MARGIN - 1) + budget->rest;
	budget->saved_ns += (int64_t)(earned / (MARGIN * (uint64_t)SLOWDOWN_PPM));
	budget->rest = (uint32_t)(earned % (MARGIN * (uint64_t)SLOWDOWN_PPM));
	budget->saved_ns -= (int64_t)(meter->lost_ns - budget->seen_ns);
	budget->seen_ns = meter->lost_ns;
	budget->at_ns = now_ns;
}

void slowdown_join(struct slowdown *meter, struct slowdown_budget *budget, uint32_t limit_ppm,
		   uint64_t now_ns)
{
	*budget = (struct slowdown_budget){
	    .next = meter->budgets,
	    .limit_ppm = limit_ppm,
	    .at_ns = now_ns,
	    .seen_ns = meter->lost_ns,
	    .begin_lost_ns = meter->lost_ns,
	};
	meter->budgets = budget;
}

void slowdown_leave(struct slowdown *meter, struct slowdown_budget *budget)
{
	struct slowdown_budget **link = &meter->budgets;

	while (*link && *link != budget)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = budget->next;
	budget->next = NULL;
	budget->waits_since_ns = 0;
}

uint64_t slowdown_turn(struct slowdown *meter, struct slowdown_budget *budget, uint64_t expected_ns,
		       uint64_t now_ns)
{
	uint64_t needed = meter->reserved_ns + expected_ns, second, most, wait_ns;

	if (!budget->limit_ppm) {
		meter->reserved_ns += expected_ns;
		return 0;
	}
	settle(meter, budget, now_ns);
	second = part(SLOWDOWN_SECOND_NS, budget->limit_ppm);
	most = second / SAVED > needed ? second / SAVED : needed;
	if (budget->saved_ns > (int64_t)most)
		budget->saved_ns = (int64_t)most;
	if (budget->saved_ns >= (int64_t)needed) {
		meter->reserved_ns += expected_ns;
		budget->waits_since_ns = 0;
		return 0;
	}
	if (!budget->waits_since_ns)
		budget->waits_since_ns = now_ns;
	wait_ns = (uint64_t)((int64_t)needed - budget->saved_ns);
	wait_ns = (uint64_t)((unsigned __int128)wait_ns * SLOWDOWN_PPM * MARGIN /
			     ((uint64_t)budget->limit_ppm * (MARGIN - 1))) +
		  1;
	return wait_ns < SLOWDOWN_WAIT_MAX ? wait_ns : SLOWDOWN_WAIT_MAX;
}

void slowdown_charge(struct slowdown *meter, uint64_t reserved_ns, uint64_t lost_ns,
		     uint64_t now_ns)
{
	advance(meter, now_ns);
	meter->reserved_ns -= reserved_ns;
	meter->lost_ns += lost_ns;
	meter->slot_ns[meter->slot % SLOWDOWN_SLOTS] += lost_ns;
	meter->second_ns += lost_ns;
	for (struct slowdown_budget *budget = meter->budgets; budget; budget = budget->next) {
		uint64_t second;

		budget->lost_ns = meter->lost_ns - budget->begin_lost_ns;
		/* What was lost before it began is not its own. */
		second = budget->lost_ns < meter->second_ns ? budget->lost_ns : meter->second_ns;
		if (second > budget->worst_ns)
			budget->worst_ns = second;
	}
}

static uint32_t ppm_of(uint64_t lost_ns, uint64_t of_ns)
{
	if (lost_ns >= of_ns)
		return lost_ns ? SLOWDOWN_PPM : 0;
	return (uint32_t)((unsigned __int128)lost_ns * SLOWDOWN_PPM / of_ns);
}

uint32_t slowdown_share_ppm(const struct slowdown_budget *budget, uint64_t of_ns)
{
	return ppm_of(budget->lost_ns, of_ns);
}

uint32_t slowdown_worst_ppm(const struct slowdown_budget *budget)
{
	return ppm_of(budget->worst_ns, SLOWDOWN_SECOND_NS);
}

bool slowdown_is_met(const struct slowdown_budget *budget)
{
	return !budget->limit_ppm ||
	       budget->worst_ns <= part(SLOWDOWN_SECOND_NS, budget->limit_ppm);
}

uint64_t slowdown_waits_ns(const struct slowdown_budget *budget, uint64_t now_ns)
{
	return budget->waits_since_ns && now_ns > budget->waits_since_ns
		   ? now_ns - budget->waits_since_ns
		   : 0;
}
