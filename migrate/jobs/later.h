/*
 * What later commands say of a job's pages. Of several commands over one page the one that was accepted last decides
 * (docs/engine.md has what that comes to). So a job
 *   - leaves alone the pages that a later list or policy names;
 *   - leaves alone the pages that a later node map takes from where they lie to another node than this job would;
 *   - brings a page at once to where a later node map would take it from this job's target;
 *   - leaves what a later node map brings to the nodes that it takes from.
 * A command that has been cancelled says nothing any more; one that has ended otherwise still does, as long as older jobs run.
 *
 * Lists are kept as runs, joined once their jobs have ended: 16 bytes for each run of pages that was named since this job
 * began. Any thread; guarded by a lock inside, a leaf.
 */
#ifndef GMIG_LATER_H
#define GMIG_LATER_H

#include "plan_pages.h"

struct later;

/* A later command: one of pages and map. */
struct later_word {
	uint64_t id;		 /* of its job; later ones are greater */
	struct page_list *pages; /* names these, wherever they go */
	/* Takes the pages of these ranges (sorted, apart) from node to node. */
	const struct plan_map *map;
	const struct memory_range *ranges;
	size_t range_count;
};

/* whole: the job never splits a huge page, so it leaves one alone of which a part is named. -ENOMEM. */
int later_create(bool whole, struct later **out);
/* NULL is legal. */
void later_destroy(struct later *later);
/* A later command was accepted; pages: another reference is taken. -ENOMEM: nothing has changed. */
int later_add(struct later *later, const struct later_word *word);
/* Its job has ended. withdrawn: cancelled. An id that is not known is legal. */
void later_end(struct later *later, uint64_t id, bool withdrawn);
/* The job itself has ended: nobody asks any more. NULL is legal. */
void later_forget(struct later *later);
/* Another number whenever something was said or withdrawn. 0: never; NULL is legal. */
unsigned int later_generation(const struct later *later);
/* Does a later node map bring pages to one of these nodes? NULL is legal. */
bool later_feeds(struct later *later, const struct gmig_node_set *nodes);
/* plan.later: `target` is where the job's own plan takes the page. `later` is a struct later. */
unsigned int later_target(void *later, uint64_t gfn, unsigned int order, unsigned int node,
			  unsigned int target);

#endif
