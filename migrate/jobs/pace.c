#include "pace.h"

#define NS_A_PAGE 1000u /* of a small page, before anything is known */
#define ONE	  (1u << 20)
#define RECENT	  128 /* waits */
#define LATE_MAX                                                                                   \
	(ONE * 3 / 2 / RECENT) /* reached by one wait in 141: 1 in 100 is what was promised */
#define PATIENCE      128      /* waits in time before a run grows */
#define PATIENCE_MAX  1024
#define GROWN	      4	 /* times in a row, after which a run grows as fast as at first */
#define AT_ONCE	      16 /* waits between two cuts */
#define REST_FIRST_NS 50000u
#define REST_MAX_NS   2000000u

void pace_init(struct pace *pace, uint64_t limit_ns)
{
	uint64_t pages = limit_ns / 2 / NS_A_PAGE;

	*pace = (struct pace){.limit_ns = limit_ns, .patience = PATIENCE};
	if (!limit_ns)
		return;
	pace->run_pages = pages > GMIG_BLOCK_PAGES ? (unsigned int)GMIG_BLOCK_PAGES
			  : pages		   ? (unsigned int)pages
						   : 1;
}

unsigned int pace_run_pages(const struct pace *pace)
{
	return pace->run_pages;
}

uint64_t pace_rest_ns(const struct pace *pace)
{
	return pace->rest_ns;
}

static void slow_down(struct pace *pace)
{
	pace->run_pages -= pace->run_pages > 1 ? (pace->run_pages + 3) / 4 : 0;
	pace->rest_ns = pace->rest_ns ? pace->rest_ns * 2 : REST_FIRST_NS;
	if (pace->rest_ns > REST_MAX_NS)
		pace->rest_ns = REST_MAX_NS;
	if (pace->patience < PATIENCE_MAX)
		pace->patience *= 2;
	pace->grown = 0;
	pace->soon = AT_ONCE;
}

static void speed_up(struct pace *pace)
{
	pace->run_pages += pace->run_pages / 8 + 1;
	if (pace->run_pages > GMIG_BLOCK_PAGES)
		pace->run_pages = GMIG_BLOCK_PAGES;
	pace->rest_ns /= 2;
	if (pace->rest_ns < REST_FIRST_NS)
		pace->rest_ns = 0;
	if (++pace->grown == GROWN)
		pace->patience = PATIENCE;
	pace->in_time = 0;
}

/* Of several waits in one block only the longest is known: the others count as in time. */
void pace_note(struct pace *pace, const struct pace_sample *sample)
{
	bool is_late = sample->longest_ns > pace->limit_ns;

	if (!pace->limit_ns || !sample->waits)
		return;
	pace->in_time = is_late ? 0 : pace->in_time + sample->waits;
	pace->soon -= pace->soon < sample->waits ? pace->soon : sample->waits;
	for (unsigned int i = 0; i < sample->waits; i++)
		pace->late -= pace->late / RECENT;
	if (is_late)
		pace->late += ONE / RECENT;
	if (is_late && pace->late > LATE_MAX && !pace->soon)
		slow_down(pace);
	else if (pace->in_time >= pace->patience)
		speed_up(pace);
}
