/* move_pages(2) over a memory: what create.c and create_process.c are for jobs by nodes. */
#include "core/reserved.h"
#include "gmig_move.h"
#include "jobs/job_list.h"
#include "jobs/job_pages.h"
#include "jobs/plan_pages.h"
#include "memory/process_memory.h"

#include <errno.h>

#define GFN_END (1ull << 47) /* as far as results are kept */

/* ---- Lists ------------------------------------------------------------------------------------- */

static int check_node(int node, struct gmig_error *err)
{
	if (node >= 0 && node < (int)GMIG_MAX_NODES)
		return 0;
	return gmig_fail(err, -ENODEV, "there is no node %d", node);
}

static int add_range(struct page_list *list, const struct gmig_move_range *range, size_t i,
		     struct gmig_error *err)
{
	uint64_t gfn = range->gpa / GMIG_PAGE_BYTES, pages = range->bytes / GMIG_PAGE_BYTES;

	if (range->gpa % GMIG_PAGE_BYTES || range->bytes % GMIG_PAGE_BYTES || !pages)
		return gmig_fail(err, -EINVAL,
				 "entry %zu, 0x%llx+0x%llx, is not made of pages of 4 KiB", i,
				 (unsigned long long)range->gpa, (unsigned long long)range->bytes);
	if (gfn >= GFN_END)
		return 0; /* nobody has memory there */
	if (pages > GFN_END - gfn)
		pages = GFN_END - gfn;
	list->run[list->count++] = (struct page_run){gfn, (uint16_t)range->node, pages};
	return check_node(range->node, err);
}

static int list_of_move(const struct gmig_move *move, struct page_list **out,
			struct gmig_error *err)
{
	struct page_list *list;
	int ret = 0;

	if (move->count > GMIG_MOVE_MAX)
		return gmig_fail(err, -E2BIG, "%zu entries: at most %u", move->count,
				 GMIG_MOVE_MAX);
	if (!move->count)
		return gmig_fail(err, -ENOENT, "no page is named");
	list = page_list_create(move->count);
	if (!list)
		return gmig_fail(err, -ENOMEM, "no memory for a list of %zu pages", move->count);
	list->count = 0;
	for (size_t i = 0; i < move->count && !ret; i++)
		ret = add_range(list, &move->ranges[i], i, err);
	if (ret)
		page_list_put(list);
	else
		*out = list;
	return ret;
}

/* ---- Jobs -------------------------------------------------------------------------------------- */

/* With no pages the kernel checks the flags, the caller's rights and the process. */
static int check_flags(struct memory *memory, unsigned int flags, struct gmig_error *err)
{
	if (flags & ~(GMIG_MOVE | GMIG_MOVE_ALL))
		return gmig_fail(err, -EINVAL, "flags 0x%x are not known", flags);
	if (flags & GMIG_MOVE_ALL &&
	    memory->sys->move_pages(0, 0, NULL, NULL, NULL, (int)GMIG_MOVE_ALL) == -EPERM)
		return gmig_fail(err, -EPERM,
				 "to move pages that others map, too, needs CAP_SYS_NICE: as root, "
				 "or without move-all");
	return 0;
}

static int start(struct memory *memory, const struct gmig_job_spec *limits, unsigned int flags,
		 struct page_list *list, struct gmig_job **out, struct gmig_error *err)
{
	struct gmig_job_spec spec = *limits;
	struct plan plan;

	spec.move_all = flags & GMIG_MOVE_ALL;
	spec.private_only = !spec.move_all;
	plan_pages_create(list, &plan);
	return job_start(memory, &spec, &plan, out, err);
}

static int move_start(struct memory *memory, const struct gmig_move *move,
		      const struct gmig_job_spec *limits, struct gmig_job **out,
		      struct gmig_error *err)
{
	struct gmig_job_spec spec = {.mover = memory->pid ? "kernel" : NULL};
	struct page_list *list = NULL;
	int ret = RESERVED_UNUSED(move, err);

	if (!ret)
		ret = check_flags(memory, move->flags, err);
	if (limits)
		spec = *limits;
	if (memory->pid && (!spec.mover || !spec.mover[0]))
		spec.mover = "kernel";
	if (!ret && (spec.from_count || spec.to_count || spec.vnodes || spec.max_bytes))
		ret = gmig_fail(err, -EINVAL, "the list says which pages move, and where to");
	if (!ret)
		ret = list_of_move(move, &list, err);
	return ret ? ret : start(memory, &spec, move->flags, list, out, err);
}

int gmig_move_start(struct gmig *gmig, const struct gmig_move *move,
		    const struct gmig_job_spec *limits, struct gmig_job **out,
		    struct gmig_error *err)
{
	return move_start(&gmig->memory, move, limits, out, err);
}

int gmig_process_move_start(struct gmig_process *process, const struct gmig_move *move,
			    const struct gmig_job_spec *limits, struct gmig_job **out,
			    struct gmig_error *err)
{
	return move_start(&process->memory, move, limits, out, err);
}

int gmig_job_pages(struct gmig_job *job, size_t count, const uint64_t *gpas, int *status)
{
	return job_pages(job, count, gpas, status);
}

/* ---- All at once --------------------------------------------------------------------------------- */

static int list_of_pages(const struct gmig_pages *pages, struct page_list **out,
			 struct gmig_error *err)
{
	struct page_list *list = page_list_create(pages->count);
	int ret = 0;

	if (!list)
		return gmig_fail(err, -ENOMEM, "no memory for a list of %zu pages", pages->count);
	list->count = 0;
	for (size_t i = 0; i < pages->count && !ret; i++) {
		uint64_t gfn = pages->gpas[i] / GMIG_PAGE_BYTES;

		ret = check_node(pages->nodes[i], err);
		if (gfn < GFN_END)
			list->run[list->count++] =
			    (struct page_run){gfn, (uint16_t)pages->nodes[i], 1};
	}
	if (ret)
		page_list_put(list);
	else
		*out = list;
	return ret;
}

/* Pages that are nowhere were not to be moved. */
static long count_stayed(const struct gmig_pages *pages)
{
	long stayed = 0;

	for (size_t i = 0; i < pages->count; i++)
		stayed += pages->status[i] < 0 && pages->status[i] != -ENOENT &&
			  pages->status[i] != -EFAULT;
	return stayed;
}

static long finish(struct gmig_job *job, const struct gmig_pages *pages, struct gmig_error *err)
{
	struct gmig_job_info info;
	int ret;

	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ret = info.state == GMIG_JOB_FAILED
		  ? gmig_fail(err, info.error.code, "%s", info.error.text)
		  : job_pages(job, pages->count, pages->gpas, pages->status);
	gmig_job_put(job);
	return ret ? ret : count_stayed(pages);
}

static long move_pages_of(struct memory *memory, const struct gmig_pages *pages,
			  struct gmig_error *err)
{
	struct gmig_job_spec spec = {.mover = memory->pid ? "kernel" : NULL};
	struct page_list *list = NULL;
	struct gmig_job *job = NULL;
	int ret = RESERVED_UNUSED(pages, err);

	if (!ret)
		ret = check_flags(memory, pages->flags, err);
	if (!ret && pages->count > GMIG_MOVE_MAX)
		ret = gmig_fail(err, -E2BIG, "%zu pages: at most %u", pages->count, GMIG_MOVE_MAX);
	if (ret)
		return ret;
	if (!pages->nodes || !pages->count) {
		ret = job_query_pages(memory, pages->count, pages->gpas, pages->status);
		return ret ? gmig_fail(err, ret, "cannot ask where the pages lie: %s",
				       gmig_errno_name(ret))
			   : 0;
	}
	ret = list_of_pages(pages, &list, err);
	if (!ret)
		ret = start(memory, &spec, pages->flags, list, &job, err);
	return ret ? ret : finish(job, pages, err);
}

long gmig_move_pages(struct gmig *gmig, const struct gmig_pages *pages, struct gmig_error *err)
{
	return move_pages_of(&gmig->memory, pages, err);
}

long gmig_process_move_pages(struct gmig_process *process, const struct gmig_pages *pages,
			     struct gmig_error *err)
{
	return move_pages_of(&process->memory, pages, err);
}
