/*
 * The plan `pages`: each page to the node that a list names for it, as move_pages(2) has it. Pages that
 * are in no entry stay. Of several entries for one page the last one counts: the kernel, too, goes
 * through them in their order, and the page ends where the last of them sent it.
 *
 * 16 bytes an entry. Handed over as it was written; the job's thread sorts it (plan_ops.make).
 *
 * Source of the rules: do_pages_move() in Linux's mm/migrate.c.
 */
#ifndef GMIG_PLAN_PAGES_H
#define GMIG_PLAN_PAGES_H

#include "plan.h"

struct page_run {
	uint64_t gfn : 48, node : 16;
	uint64_t pages; /* at least 1 */
};

/* Runs of a list that an ended job keeps. Of a longer one, pages that it did not reach say where they are, not -ECANCELED. */
#define PAGE_LIST_ENDED 4096u

struct page_list {
	atomic_uint refs; /* jobs that take up what another one left share its list */
	size_t count;
	/*
	 * A huge page is never split: it goes where the first of its listed pages goes. So does the kernel with any process.
	 */
	bool whole;
	struct page_run run[];
};

/* A reference; run[] is the caller's to fill. NULL: no memory. */
struct page_list *page_list_create(size_t count);
void page_list_put(struct page_list *list); /* NULL is legal */
/* The reference is the plan's from here on. */
void plan_pages_create(struct page_list *list, struct plan *plan);

#endif
