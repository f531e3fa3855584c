#include "rig.h"

#include <sys/mman.h>
#include <unistd.h>

static void rig_fatal(void *opaque, const struct gmig_error *err)
{
	struct rig *rig = opaque;

	(void)err;
	atomic_fetch_add(&rig->fatal, 1);
}

static void rig_log(void *opaque, enum gmig_log_level level, const char *line)
{
	struct rig *rig = opaque;

	if (level <= GMIG_LOG_WARNING)
		atomic_fetch_add(&rig->warnings, 1);
	if (getenv("RIG_VERBOSE"))
		fprintf(stderr, "%s\n", line);
}

rig_word *rig_page(const struct rig *rig, uint64_t page)
{
	return rig->ram + page * RIG_WORDS;
}

static uint64_t rig_pattern(uint64_t page, uint64_t word)
{
	return (page + 1) * 0x9e3779b97f4a7c15ull ^ word;
}

/*
 * With RIG_TOUCHES=file in the environment memory goes into a file, and comes back, before it is used: a thread that sleeps on a
 * fault sleeps in read(2) or write(2). valgrind runs other threads meanwhile, which it does not while a program's own access
 * sleeps. Only who may write there has it come back, so that what comes is what is there.
 */
static void before_use(const struct rig *rig, rig_word *from, size_t bytes, bool writes)
{
	static atomic_int file;
	off_t at = (off_t)((from - rig->ram) * (ptrdiff_t)sizeof(*from));
	const char *how = getenv("RIG_TOUCHES");
	int none = 0, fd;

	if (!how || strcmp(how, "file") != 0)
		return;
	if (!atomic_load(&file)) {
		fd = memfd_create("rig", MFD_CLOEXEC);
		ck_assert_int_gt(fd, 0);
		if (!atomic_compare_exchange_strong(&file, &none, fd))
			close(fd);
	}
	fd = atomic_load(&file);
	ck_assert_int_eq(pwrite(fd, (const void *)from, bytes, at), (ssize_t)bytes);
	if (writes)
		ck_assert_int_eq(pread(fd, (void *)from, bytes, at), (ssize_t)bytes);
}

static void write_page(struct rig *rig, uint64_t page)
{
	rig_word *words = rig_page(rig, page);

	atomic_store_explicit(&words[0], page, memory_order_relaxed);
	atomic_store_explicit(&words[1], rig->counter[page], memory_order_relaxed);
	for (uint64_t i = 2; i < RIG_WORDS; i++)
		atomic_store_explicit(&words[i], rig_pattern(page, i), memory_order_relaxed);
}

void rig_write_page(struct rig *rig, uint64_t page)
{
	before_use(rig, rig_page(rig, page), GMIG_PAGE_BYTES, true);
	write_page(rig, page);
}

static uint64_t check_page(const struct rig *rig, uint64_t page)
{
	rig_word *words = rig_page(rig, page);
	uint64_t wrong = 0;

	wrong += atomic_load_explicit(&words[0], memory_order_relaxed) != page;
	wrong += atomic_load_explicit(&words[1], memory_order_relaxed) != rig->counter[page];
	for (uint64_t i = 2; i < RIG_WORDS; i++)
		wrong +=
		    atomic_load_explicit(&words[i], memory_order_relaxed) != rig_pattern(page, i);
	return wrong;
}

uint64_t rig_check_page(const struct rig *rig, uint64_t page)
{
	before_use(rig, rig_page(rig, page), GMIG_PAGE_BYTES, false);
	return check_page(rig, page);
}

uint64_t rig_check_all(const struct rig *rig)
{
	uint64_t wrong = 0;

	before_use(rig, rig->ram, rig->pages * GMIG_PAGE_BYTES, false);
	for (uint64_t page = 0; page < rig->pages; page++)
		wrong += check_page(rig, page);
	return wrong;
}

void rig_publish(struct rig *rig)
{
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++) {
		pthread_mutex_lock(&rig->gmig->stripes[i].lock);
		pthread_mutex_unlock(&rig->gmig->stripes[i].lock);
	}
}

void rig_settle(struct rig *rig)
{
	engine_settle_faults(rig->gmig, 0);
}

void rig_create(struct rig *rig, const struct rig_options *options)
{
	struct gmig_options engine = {.small_pages = options->small_pages,
				      .extra_bytes_max = options->extra_bytes_max,
				      .unsafe_kernel = true, /* nothing here is worth its care */
				      .fatal = rig_fatal,
				      .hold_vcpus = options->hold_vcpus,
				      .job_event = options->job_event,
				      .log = rig_log,
				      .memory_broke = options->memory_broke,
				      .thread = options->thread,
				      .dump_memory = options->dump_memory,
				      .lock_memory = options->lock_memory,
				      .opaque = rig,
				      .sys = options->sys};
	struct gmig_region_spec spec = {.bytes = options->bytes, .kind = options->kind};
	unsigned int nodes = options->real ? 0 : options->nodes ? options->nodes : 2;
	struct gmig_error err = {0};
	void *ram;

	memset(rig, 0, sizeof(*rig));
	ck_assert_int_eq(gmig_topology_create(nodes, &rig->topology, &err), 0);
	engine.topology = rig->topology;
	ck_assert_msg(gmig_create(&engine, &rig->gmig, &err) == 0, "%s", err.text);
	ck_assert_msg(gmig_region_add(rig->gmig, &spec, &ram, &err) == 0, "%s", err.text);
	rig->ram = ram;
	rig->pages = options->bytes / GMIG_PAGE_BYTES;
	rig_publish(rig);
	rig->counter = calloc(rig->pages, sizeof(*rig->counter));
	if (!options->untouched) {
		before_use(rig, rig->ram, options->bytes, true);
		for (uint64_t page = 0; page < rig->pages; page++)
			write_page(rig, page);
	}
	rig_settle(rig);
}

void rig_destroy(struct rig *rig)
{
	gmig_destroy(rig->gmig);
	gmig_topology_put(rig->topology);
	free(rig->counter);
	/* A rig is a static variable mostly: what its test has lost is found by LeakSanitizer only when nothing here names it. */
	rig->gmig = NULL;
	rig->topology = NULL;
	rig->counter = NULL;
	rig->ram = NULL;
}

bool rig_host_has_thp(void)
{
	struct gmig_features features;

	gmig_probe_features(&features);
	return features.thp == GMIG_FEATURE_OK;
}

static void rig_step(struct rig_thread *thread, uint64_t page)
{
	rig_word *words = rig_page(thread->rig, page);
	uint64_t expected = thread->rig->counter[page];

	before_use(thread->rig, words, sizeof(*words), !thread->rig->read_only);
	if (atomic_load_explicit(&words[1], memory_order_relaxed) != expected ||
	    (atomic_load_explicit(&words[0], memory_order_relaxed) != page))
		atomic_fetch_add(&thread->errors, 1);
	if (thread->rig->read_only)
		return;
	thread->rig->counter[page] = expected + 1;
	atomic_store_explicit(&words[1], expected + 1, memory_order_relaxed);
}

static void *rig_thread_main(void *arg)
{
	struct rig_thread *thread = arg;
	struct rig *rig = thread->rig;

	while (!atomic_load(&rig->stop)) {
		for (uint64_t page = thread->index; page < rig->pages; page += rig->writers) {
			rig_step(thread, page);
			if (page % 64 == thread->index && atomic_load(&rig->stop))
				break;
		}
		atomic_fetch_add(&thread->sweeps, 1);
	}
	return NULL;
}

void rig_start(struct rig *rig, unsigned int writers)
{
	rig->writers = writers;
	atomic_store(&rig->stop, false);
	for (unsigned int i = 0; i < writers; i++) {
		struct rig_thread *thread = &rig->threads[i];

		thread->rig = rig;
		thread->index = i;
		ck_assert_int_eq(pthread_create(&thread->thread, NULL, rig_thread_main, thread), 0);
		thread->started = true;
	}
}

uint64_t rig_stop(struct rig *rig)
{
	uint64_t errors = 0;

	atomic_store(&rig->stop, true);
	for (unsigned int i = 0; i < RIG_THREADS; i++) {
		if (!rig->threads[i].started)
			continue;
		pthread_join(rig->threads[i].thread, NULL);
		rig->threads[i].started = false;
		errors += atomic_load(&rig->threads[i].errors);
	}
	return errors;
}

struct gmig_job_spec rig_spec(unsigned int from, unsigned int to)
{
	return (struct gmig_job_spec){
	    .from = {(uint8_t)from}, .to = {(uint8_t)to}, .from_count = 1, .to_count = 1};
}

void rig_move(struct rig *rig, const struct gmig_job_spec *spec, struct gmig_job_info *info)
{
	struct gmig_error err = {0};
	struct gmig_job *job;

	ck_assert_msg(gmig_job_start(rig->gmig, spec, &job, &err) == 0, "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, info);
	gmig_job_put(job);
}

void rig_assert_moved_all(const struct gmig_job_info *info, uint64_t bytes)
{
	char why[400] = "";
	size_t at = 0;

	for (unsigned int i = 0; i < info->remaining_count && at < sizeof(why) - 64; i++)
		at += (size_t)snprintf(why + at, sizeof(why) - at, ", %llu of %s",
				       (unsigned long long)info->remaining[i].pages,
				       gmig_errno_name(info->remaining[i].error));
	ck_assert_msg(
	    info->moved_bytes == bytes,
	    "%s after %u passes: of %llu bytes %llu moved, %llu remain, %llu gone, %llu by "
	    "others%s",
	    gmig_job_state_name(info->state), info->passes, (unsigned long long)bytes,
	    (unsigned long long)info->moved_bytes, (unsigned long long)info->remaining_bytes,
	    (unsigned long long)info->gone_bytes, (unsigned long long)info->by_others_bytes, why);
}

void rig_assert_clean(struct rig *rig)
{
	struct gmig_check check;
	struct gmig_error err = {0};

	ck_assert_msg(gmig_check(rig->gmig, &check, &err) == 0, "%s", err.text);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(!check.breach[i], "I%u: %s", i + 1, check.detail[i]);
	ck_assert_int_eq(atomic_load(&rig->fatal), 0);
	ck_assert_int_eq(atomic_load(&rig->warnings), 0);
}

int rig_main(Suite *suite)
{
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		srunner_free(srunner_create(suite)); /* and the suite with it */
		return 77;
	}
	return run_suite(suite);
}
