/*
 * compact-hot: a job that gives a process huge pages where many of its small pages are used, by MADV_COLLAPSE: they then lie in one
 * block of 2 MiB instead of many. It says what was reached, by frame numbers where these are to be seen.
 */
#include "../migrate/core/shortage.h"
#include "agent.h"
#include "cgroup.h"
#include "compact.h"
#include "hot.h"
#include "maps.h"
#include "opener.h"
#include "ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SECONDS 4
#define MAX_SECONDS	60
#define DEFAULT_LEAST	64
#define DEFAULT_BYTES	(64ll << 20)
#define MAX_BYTES	((int64_t)(AGENT_COMPACT_MOST * AGENT_HUGE_BYTES))
#define DEFAULT_GROWTH	100000 /* millionths of the process's memory */
#define DEFAULT_CPU	50000  /* millionths of one CPU */
#define GRACE_NS	1000000000ull
#define SLICE_NS	20000000ull
#define MAX_RANGES	1024
#define PAUSE_BLOCKS	64 /* scanned between two looks at the budget */
#define ROOM_BYTES                                                                                 \
	(2 * AGENT_HUGE_BYTES) /* a huge page is charged before the small ones are given back */

/* What became of a block that was tried. */
struct outcome {
	struct agent_compact_block block;
	int code; /* 0 it is huge now; -errno; -EDQUOT max_growth, -ENOSPC the cgroup */
};

struct report {
	uint64_t candidates, unreached; /* blocks: hot enough; of them not come to, for max_bytes */
	uint64_t looks;
	uint64_t small_pages, shared_pages, growth_pages, collapsed, unverified;
	uint64_t gone;	  /* of the unverified: nothing is there any more */
	uint64_t unclear; /* blocks that may be huge already, and were left alone */
	uint64_t cpu_ns;
	bool complete; /* all of the process's memory that was meant was looked at */
	bool frames;   /* before and after are by frame numbers */
	struct agent_compact_span before, after;
};

struct compact {
	struct agent_opener *opener;
	struct agent_process process;
	int pidfd, pagemap;
	struct agent_range *only; /* NULL: everywhere */
	size_t only_count;
	bool damon;
	int64_t seconds, least, max_bytes, max_growth_ppm, max_cpu_ppm;
	/* The job's thread alone. */
	struct agent_compact_block *block; /* AGENT_COMPACT_SEEN */
	size_t count;
	uint64_t begin_ns, damon_cpu_ns, resident_bytes;
	struct agent_blocks frames[2]; /* before, after */
	bool frames_hidden;
	/* Guarded by the job's lock. */
	struct report report;
	struct outcome *outcome; /* AGENT_COMPACT_SEEN */
	size_t outcomes;
};

/* ---- The budget ------------------------------------------------------------------------------ */

static void publish(struct agent_job *job, struct compact *compact, const struct report *report)
{
	uint64_t cpu_ns = agent_job_cpu_ns() + compact->damon_cpu_ns;

	agent_job_lock(job);
	compact->report = *report;
	compact->report.cpu_ns = cpu_ns;
	agent_job_unlock(job);
}

/* Rest until what was used is within the share of one CPU again. */
static void keep_to_budget(const struct agent_job *job, const struct compact *compact)
{
	uint64_t cpu_ns = agent_job_cpu_ns() + compact->damon_cpu_ns;

	while (!agent_job_cancelled(job) &&
	       (double)cpu_ns > (double)(agent_sys->now_ns() - compact->begin_ns + GRACE_NS) *
				    (double)compact->max_cpu_ppm / AGENT_HOT_PPM)
		agent_sys->sleep_ns(SLICE_NS);
}

/* ---- Which blocks ---------------------------------------------------------------------------- */

static bool is_meant(const struct compact *compact, uint64_t start)
{
	for (size_t i = 0; i < compact->only_count; i++)
		if (start >= compact->only[i].start &&
		    start + AGENT_HUGE_BYTES <= compact->only[i].end)
			return true;
	return !compact->only;
}

/*
 * 1: there is no room for more, or no memory to look on. What is not there in full is not mapped by a huge page; what is, may be, unless the mapping has no
 * huge page at all.
 */
static int look_at(struct compact *compact, uint64_t start, bool some_huge, uint64_t *unseen,
		   struct report *report)
{
	struct agent_pages pages = {0};
	int rc = is_meant(compact, start) ? agent_pages_scan(compact->process.pid, start, &pages)
					  : -ENOENT;

	if (is_shortage(rc))
		return 1;
	*unseen -= pages.present < *unseen ? pages.present : *unseen;
	/* Not meant, or unmapped meanwhile. */
	if (rc || pages.present < 2 || (int64_t)pages.present < compact->least)
		return 0;
	if (some_huge && pages.present == AGENT_BLOCK_PAGES) {
		report->unclear++;
		return 0;
	}
	if (compact->count == AGENT_COMPACT_SEEN)
		return 1;
	compact->block[compact->count++] = (struct agent_compact_block){
	    .start = start, .small = pages.present, .hot = pages.present};
	return 0;
}

static uint64_t resident_pages(const struct agent_vma *vma)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < vma->node_count; i++)
		pages += vma->node[i].pages;
	return pages;
}

/* Until what it has cannot make a block any more: a mapping may be of terabytes, with little in it. */
static int look_at_mapping(struct agent_job *job, struct compact *compact,
			   const struct agent_vma *vma, struct report *report)
{
	uint64_t start = (vma->start + AGENT_HUGE_BYTES - 1) & ~(AGENT_HUGE_BYTES - 1);
	uint64_t end = vma->end & ~(AGENT_HUGE_BYTES - 1);
	uint64_t blocks = 0, unseen = resident_pages(vma);
	int rc = 0;

	if (!vma->anonymous || vma->page_bytes != AGENT_PAGE_BYTES || !vma->node_count)
		return 0;
	for (; !rc && start < end && (int64_t)unseen >= compact->least && !agent_job_cancelled(job);
	     start += AGENT_HUGE_BYTES) {
		rc = look_at(compact, start, vma->huge_bytes != 0, &unseen, report);
		if (++blocks % PAUSE_BLOCKS == 0)
			keep_to_budget(job, compact);
	}
	return rc;
}

static int check_lives(const struct compact *compact, struct gmig_error *err)
{
	struct agent_pages pages;
	int rc = agent_pages_scan(compact->process.pid, 0, &pages);

	return rc ? agent_call_failed_pid(err, AGENT_CALL_MOVE_PAGES, rc, compact->process.pid) : 0;
}

/* Also how much memory the process has. */
static int find_blocks(struct agent_job *job, struct compact *compact, struct report *report,
		       struct gmig_error *err)
{
	struct agent_vma *vma = malloc(sizeof(*vma));
	AGENT_MAPS maps = NULL;
	bool full = false;
	int rc = vma ? agent_maps_open(compact->process.pid, true, &maps, err)
		     : gmig_fail(err, -ENOMEM, "out of memory");

	while (!rc && !agent_job_cancelled(job) && agent_maps_next(maps, vma)) {
		compact->resident_bytes += resident_pages(vma) * vma->page_bytes;
		full = full || look_at_mapping(job, compact, vma, report);
	}
	free(vma);
	if (!rc)
		rc = agent_maps_end(maps, err);
	/* One that has ended has no mappings, and was not looked at. */
	if (!rc)
		rc = check_lives(compact, err);
	report->complete = !rc && !full && !agent_job_cancelled(job);
	return rc;
}

/* ---- How hot --------------------------------------------------------------------------------- */

static int ask_damon(struct agent_job *job, struct compact *compact,
		     const struct agent_hot_scan *scan, int state, struct gmig_error *err)
{
	uint64_t end_ns = agent_sys->now_ns() + scan->wait_us * 1000;
	struct agent_damon_seen *seen = NULL;
	size_t parts = 0;
	int rc = agent_damon_on(state, err);

	while (!rc && !agent_job_cancelled(job) && agent_sys->now_ns() < end_ns)
		agent_sys->sleep_ns(SLICE_NS);
	if (rc || agent_job_cancelled(job))
		return rc;
	rc = agent_damon_ask(state, &seen, &parts, err);
	compact->damon_cpu_ns = agent_damon_cpu_ns();
	if (!rc)
		agent_compact_heat(compact->block, compact->count, seen, parts, scan->looks);
	free(seen);
	return rc;
}

static int measure_heat(struct agent_job *job, struct compact *compact, struct report *report,
			struct gmig_error *err)
{
	struct agent_hot_scan scan = {.damon = {.pid = (int32_t)compact->process.pid}};
	size_t within;
	int state, rc;

	if (!compact->damon || !compact->count)
		return 0;
	within = agent_compact_ranges(compact->block, compact->count, &scan.damon);
	report->complete = report->complete && within == compact->count;
	compact->count = within;
	agent_hot_plan(&scan, (uint64_t)compact->seconds);
	report->looks = scan.looks;
	state = agent_opener_damon(compact->opener, &scan.damon, err);
	if (state < 0)
		return state;
	rc = ask_damon(job, compact, &scan, state, err);
	agent_opener_damon_end(compact->opener, state);
	return rc;
}

/* ---- What it would cost ---------------------------------------------------------------------- */

static void note_shared(struct compact *compact, const struct agent_vma *vma)
{
	uint64_t pages = vma->shared_bytes / AGENT_PAGE_BYTES;

	for (size_t i = 0; i < compact->count; i++)
		if (compact->block[i].start >= vma->start && compact->block[i].start < vma->end)
			compact->block[i].shared =
			    pages < AGENT_BLOCK_PAGES ? (uint32_t)pages : AGENT_BLOCK_PAGES;
}

/*
 * After fork(2) a process shares its small pages with another one, and KSM makes one of many. A huge page has a copy of each. Which
 * ones they are is not told, but how many of a mapping: as late as can be, since a process may fork while DAMON looks.
 */
static int find_shared(struct agent_job *job, struct compact *compact, struct gmig_error *err)
{
	struct agent_vma *vma = malloc(sizeof(*vma));
	AGENT_MAPS maps = NULL;
	int rc = vma ? agent_maps_open(compact->process.pid, true, &maps, err)
		     : gmig_fail(err, -ENOMEM, "out of memory");

	while (!rc && !agent_job_cancelled(job) && agent_maps_next(maps, vma))
		if (vma->shared_bytes)
			note_shared(compact, vma);
	free(vma);
	return rc ? rc : agent_maps_end(maps, err);
}

/* What of them may be shared. */
static uint32_t shared_of(const struct agent_compact_block *block)
{
	return block->shared < block->small ? block->shared : block->small;
}

static uint64_t growth_of(const struct agent_compact_block *block)
{
	return AGENT_BLOCK_PAGES - block->small + shared_of(block);
}

/* ---- Making them huge ------------------------------------------------------------------------ */

static void note_frames(struct compact *compact, const struct agent_compact_block *block,
			const struct agent_pages *pages, struct agent_blocks *frames)
{
	if (compact->pagemap < 0)
		compact->frames_hidden = true;
	if (!compact->frames_hidden)
		compact->frames_hidden =
		    agent_pages_blocks(compact->pagemap, block->start, pages, frames) != 0;
}

/* What has happened since it was chosen, and the limits: 0 or why not. */
static int check_block(const struct compact *compact, struct agent_compact_block *block,
		       const struct report *report, struct agent_pages *pages)
{
	uint64_t most = (uint64_t)((double)compact->resident_bytes *
				   (double)compact->max_growth_ppm / AGENT_HOT_PPM);
	uint64_t room;
	int rc = agent_process_check(compact->process.pid, compact->process.start_time, NULL);

	if (!rc)
		rc = agent_pages_scan(compact->process.pid, block->start, pages);
	if (rc)
		return rc;
	/* Given back, or huge by now. */
	if (pages->present < 2 ||
	    (pages->present == AGENT_BLOCK_PAGES && block->small != AGENT_BLOCK_PAGES))
		return -EEXIST;
	block->small = pages->present;
	if ((report->growth_pages + growth_of(block)) * AGENT_PAGE_BYTES > most)
		return -EDQUOT;
	/* Where the limit cannot be read, growing beyond it may kill a process. */
	rc = agent_cgroup_headroom(compact->process.cgroup[AGENT_HIERARCHY_UNIFIED], &room);
	if (rc)
		return rc;
	return room < ROOM_BYTES ? -ENOSPC : 0;
}

static int collapse(struct compact *compact, struct agent_compact_block *block,
		    struct report *report)
{
	const struct iovec range = {.iov_base = (void *)(uintptr_t)block->start, // NOLINT
				    .iov_len = AGENT_HUGE_BYTES};
	size_t known = compact->frames[0].count;
	struct agent_pages pages;
	int rc = check_block(compact, block, report, &pages);
	long got;

	if (rc)
		return rc;
	note_frames(compact, block, &pages, &compact->frames[0]);
	got = agent_sys->process_madvise(compact->pidfd, &range, 1, AGENT_MADV_COLLAPSE);
	if (got <= 0) {
		compact->frames[0].count = known;
		return got ? (int)got : -EAGAIN;
	}
	report->collapsed++;
	report->small_pages += block->small;
	report->shared_pages += shared_of(block);
	report->growth_pages += growth_of(block);
	/* The process may have given part of it back already, or have ended. What cannot be looked at is where nobody knows. */
	rc = agent_pages_scan(compact->process.pid, block->start, &pages);
	if (rc && rc != -ESRCH)
		compact->frames_hidden = true;
	report->unverified += pages.present != AGENT_BLOCK_PAGES;
	report->gone += (!rc || rc == -ESRCH) && !pages.present;
	note_frames(compact, block, &pages, &compact->frames[1]);
	return 0;
}

static void sum_up(struct compact *compact, struct report *report)
{
	report->frames = report->collapsed && !compact->frames_hidden;
	if (report->frames) {
		report->before.at_least = report->before.at_most =
		    agent_blocks_distinct(&compact->frames[0]);
		report->after.at_least = report->after.at_most =
		    agent_blocks_distinct(&compact->frames[1]);
		return;
	}
	report->before = agent_compact_bounds(report->small_pages, report->shared_pages);
	/* What is left of those that are not whole may all lie in one. */
	report->after.at_least =
	    report->collapsed - report->unverified + (report->unverified > report->gone);
	report->after.at_most = report->collapsed + report->unverified * (AGENT_BLOCK_PAGES - 1);
}

static void note_outcome(struct agent_job *job, struct compact *compact,
			 const struct agent_compact_block *block, int code)
{
	agent_job_lock(job);
	compact->outcome[compact->outcomes++] = (struct outcome){.block = *block, .code = code};
	agent_job_unlock(job);
}

/* An error that no other block would be spared. */
static int fatal(const struct compact *compact, int code, struct gmig_error *err)
{
	if (code == -ESRCH || code == -EPERM || code == -ENOSYS)
		return agent_call_failed_pid(err, AGENT_CALL_MADVISE, code, compact->process.pid);
	return 0;
}

static int make_huge(struct agent_job *job, struct compact *compact, struct report *report,
		     struct gmig_error *err)
{
	struct agent_job_counts counts = {0};
	size_t most = (size_t)compact->max_bytes / AGENT_HUGE_BYTES, i;
	int rc = 0;

	counts.total_bytes =
	    (report->candidates < most ? report->candidates : most) * AGENT_HUGE_BYTES;
	for (i = 0; i < compact->count && report->collapsed < most && !agent_job_cancelled(job);
	     i++) {
		struct agent_compact_block *block = &compact->block[i];
		int code = collapse(compact, block, report);

		rc = fatal(compact, code, err);
		if (rc)
			break;
		note_outcome(job, compact, block, code);
		if (code)
			agent_remaining_add(&counts.remaining, code, block->small);
		else
			counts.moved_bytes += AGENT_HUGE_BYTES;
		if (counts.done_bytes < counts.total_bytes)
			counts.done_bytes += AGENT_HUGE_BYTES;
		agent_job_publish(job, &counts);
		publish(job, compact, report);
		if (!code)
			agent_job_pace(job, AGENT_HUGE_BYTES);
		keep_to_budget(job, compact);
	}
	report->unreached = compact->count - i;
	return rc;
}

static int compact_run(struct agent_job *job, void *context, struct gmig_error *err)
{
	struct compact *compact = context;
	struct report report = {0};
	int rc;

	compact->begin_ns = agent_sys->now_ns();
	rc = find_blocks(job, compact, &report, err);
	if (!rc && !agent_job_cancelled(job))
		rc = measure_heat(job, compact, &report, err);
	if (rc || agent_job_cancelled(job)) {
		publish(job, compact, &report);
		return rc;
	}
	compact->count =
	    agent_compact_choose(compact->block, compact->count, (uint32_t)compact->least);
	report.candidates = compact->count;
	if (compact->count)
		rc = find_shared(job, compact, err);
	if (!rc)
		rc = make_huge(job, compact, &report, err);
	sum_up(compact, &report);
	publish(job, compact, &report);
	return rc;
}

/* ---- The job --------------------------------------------------------------------------------- */

static json_t *span_json(struct agent_compact_span span)
{
	return json_pack("{s:I, s:I}", "at_least", (json_int_t)span.at_least, "at_most",
			 (json_int_t)span.at_most);
}

/* [address, small pages, hot ones, 0 or -errno] */
static json_t *outcomes_json(const struct compact *compact)
{
	json_t *list = json_array();

	for (size_t i = 0; i < compact->outcomes && i < AGENT_COMPACT_MOST; i++) {
		const struct outcome *outcome = &compact->outcome[i];

		json_array_append_new(list,
				      json_pack("[I, i, i, i]", (json_int_t)outcome->block.start,
						(int)outcome->block.small, (int)outcome->block.hot,
						outcome->code));
	}
	return list;
}

static void compact_describe(const void *context, json_t *object)
{
	const struct compact *compact = context;
	const struct report *report = &compact->report;
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
	    {"pid", (uint64_t)compact->process.pid},
	    {"least", (uint64_t)compact->least},
	    {"looks", report->looks},
	    {"candidates", report->candidates},
	    {"unreached", report->unreached},
	    {"collapsed", report->collapsed},
	    {"unverified", report->unverified},
	    {"unclear", report->unclear},
	    {"small_pages", report->small_pages},
	    {"shared_pages", report->shared_pages},
	    {"growth_bytes", report->growth_pages * AGENT_PAGE_BYTES},
	    {"cpu_ns", report->cpu_ns},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_set_new(object, numbers[i].name,
				    json_integer((json_int_t)numbers[i].value));
	json_object_set_new(object, "heat", json_string(compact->damon ? "damon" : "present"));
	json_object_set_new(object, "complete", json_boolean(report->complete));
	json_object_set_new(object, "blocks_by", json_string(report->frames ? "frames" : "bounds"));
	json_object_set_new(object, "blocks_before", span_json(report->before));
	json_object_set_new(object, "blocks_after", span_json(report->after));
	json_object_set_new(object, "results", outcomes_json(compact));
}

static void compact_end(void *context)
{
	struct compact *compact = context;

	if (compact->pidfd >= 0)
		close(compact->pidfd);
	if (compact->pagemap >= 0)
		close(compact->pagemap);
	compact->pidfd = compact->pagemap = -1;
}

static void compact_free(void *context)
{
	struct compact *compact = context;

	compact_end(compact);
	free(compact->only);
	free(compact->block);
	free(compact->outcome);
	free(compact->frames[0].block);
	free(compact->frames[1].block);
	free(compact);
}

static const struct agent_job_ops compact_ops = {
    .kind = "compact-hot",
    .run = compact_run,
    .describe = compact_describe,
    .end = compact_end,
    .free = compact_free,
};

/* ---- Starting it ----------------------------------------------------------------------------- */

static int parse_heat(const json_t *arguments, struct compact *compact, struct gmig_error *err)
{
	const char *heat = agent_get_string(arguments, "heat");

	compact->damon = !heat || !strcmp(heat, "damon");
	if (!compact->damon && strcmp(heat, "present") != 0)
		return gmig_fail(err, -EINVAL, "'heat' is damon or present");
	return compact->damon ? agent_damon_check(err) : 0;
}

static int parse_numbers(const json_t *arguments, struct compact *compact, struct gmig_error *err)
{
	const struct {
		const char *name;
		int64_t low, high, otherwise, *value;
	} numbers[] = {
	    {"seconds", 1, MAX_SECONDS, DEFAULT_SECONDS, &compact->seconds},
	    {"least", 2, AGENT_BLOCK_PAGES, DEFAULT_LEAST, &compact->least},
	    {"max_bytes", (int64_t)AGENT_HUGE_BYTES, MAX_BYTES, DEFAULT_BYTES, &compact->max_bytes},
	    {"max_growth_ppm", 0, AGENT_HOT_PPM, DEFAULT_GROWTH, &compact->max_growth_ppm},
	    {"max_cpu_ppm", 1, AGENT_HOT_PPM, DEFAULT_CPU, &compact->max_cpu_ppm},
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		*numbers[i].value = numbers[i].otherwise;
		rc = agent_get_integer(arguments, numbers[i].name, numbers[i].low, numbers[i].high,
				       numbers[i].value, err);
	}
	return rc;
}

static int open_process(struct agent *agent, const json_t *arguments, struct compact *compact,
			struct gmig_error *err)
{
	struct agent_process *process = &compact->process;
	int rc = agent_get_process(agent, arguments, process, err);

	if (rc)
		return rc;
	if (process->entry != process->pid)
		return gmig_fail(err, -EOPNOTSUPP,
				 "the main thread of process %d has ended, and process_madvise(2) "
				 "reaches a process by that alone: EOPNOTSUPP (%d)",
				 (int)process->pid, EOPNOTSUPP);
	compact->pidfd = agent_sys->pidfd_open(process->pid);
	if (compact->pidfd < 0)
		return agent_call_failed_pid(err, AGENT_CALL_MADVISE, compact->pidfd, process->pid);
	/* For frame numbers, which few may see: it does without. */
	compact->pagemap = agent_pages_open(process->pid);
	/* The descriptors hold on to whoever has the pid now: is that still who was checked? */
	rc = agent_process_check(process->pid, process->start_time, err);
	if (rc)
		return rc;
	return 0;
}

static int prepare(struct agent *agent, const json_t *arguments, struct compact *compact,
		   struct gmig_error *err)
{
	const json_t *ranges = json_object_get(arguments, "ranges");
	int rc = parse_heat(arguments, compact, err);

	if (!rc)
		rc = parse_numbers(arguments, compact, err);
	if (!rc && ranges)
		rc = agent_ranges_from_json(ranges, AGENT_HUGE_BYTES, MAX_RANGES, &compact->only,
					    &compact->only_count, err);
	if (!rc)
		rc = open_process(agent, arguments, compact, err);
	if (rc)
		return rc;
	compact->opener = agent->opener;
	compact->block = calloc(AGENT_COMPACT_SEEN, sizeof(*compact->block));
	compact->outcome = calloc(AGENT_COMPACT_SEEN, sizeof(*compact->outcome));
	return compact->block && compact->outcome ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}

AGENT_RUN(agent_run_compact_hot)
{
	struct compact *compact = calloc(1, sizeof(*compact));
	int64_t rate = 0;
	int rc;

	if (!compact)
		return gmig_fail(err, -ENOMEM, "out of memory");
	compact->pidfd = compact->pagemap = -1;
	rc = agent_get_integer(arguments, "rate", 0, INT64_MAX, &rate, err);
	if (!rc)
		rc = prepare(agent, arguments, compact, err);
	if (rc) {
		compact_free(compact);
		return rc;
	}
	return agent_jobs_start(agent->jobs, &compact_ops, compact,
				agent_conf_rate(&agent->conf, (uint64_t)rate), result, err);
}
