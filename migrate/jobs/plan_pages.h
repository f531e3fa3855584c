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

/*
 * Runs of a list that an ended job keeps. Of a longer one that was cancelled it is known only how far it has come: all pages
 * from there on say -ECANCELED, listed or not.
 */
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
struct page_list *page_list_get(struct page_list *list); /* another one; NULL is legal */
void page_list_put(struct page_list *list);		 /* NULL is legal */
/* How many of gfn..gfn+pages are in a list that is sorted, as a plan has it once it is made. */
uint64_t page_list_covers(const struct page_list *list, uint64_t gfn, uint64_t pages);
/* The pages of both sorted lists, one of which may be NULL; nodes are lost. NULL: no memory. */
struct page_list *page_list_join(const struct page_list *a, const struct page_list *b);
/* The same list, sorted; no page is in it twice. */
struct page_list *page_list_sorted(struct page_list *list);
/* The reference is the plan's from here on. */
void plan_pages_create(struct page_list *list, struct plan *plan);

#endif
