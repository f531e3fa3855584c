#include "engine.h"

#include "../core/uffd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void log_default(enum gmig_log_level level, const char *line)
{
	if (level <= GMIG_LOG_WARNING)
		fprintf(stderr, "%s %s\n", level == GMIG_LOG_ERROR ? "error" : "warning", line);
}

void engine_log(struct gmig *gmig, enum gmig_log_level level, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (gmig->options.log)
		gmig->options.log(gmig->options.opaque, level, line);
	else
		log_default(level, line);
}

void engine_fatal(struct gmig *gmig, int code, const char *format, ...)
{
	struct gmig_error err = {.code = code};
	va_list args;

	va_start(args, format);
	vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	engine_log(gmig, GMIG_LOG_ERROR, "event=fatal errno=%s text=\"%s\"", gmig_errno_name(code),
		   err.text);
	if (atomic_exchange(&gmig->memory.fatal, true))
		return;
	if (gmig->options.fatal)
		gmig->options.fatal(gmig->options.opaque, &err);
}

bool engine_memory_broke(struct gmig *gmig, uint64_t gfn)
{
	if (!broken_pages_add(&gmig->broken, gfn))
		return false;
	atomic_fetch_add(&gmig->broken_ever, 1);
	engine_log(gmig, GMIG_LOG_ERROR, "event=memory-broken gfn=0x%llx", (unsigned long long)gfn);
	if (gmig->options.memory_broke)
		gmig->options.memory_broke(gmig->options.opaque, gfn * GMIG_PAGE_BYTES);
	return true;
}

struct region *engine_region_of_gfn(struct gmig *gmig, uint64_t gfn)
{
	unsigned int count = atomic_load(&gmig->region_count);

	for (unsigned int i = 0; i < count; i++) {
		struct region *region = &gmig->regions[i];

		if (gfn >= region->gfn && gfn - region->gfn < region->pages)
			return region;
	}
	return NULL;
}

const struct region *engine_region_from(struct gmig *gmig, uint64_t gfn)
{
	const struct region *first = NULL;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];

		if (region->gfn + region->pages > gfn && (!first || region->gfn < first->gfn))
			first = region;
	}
	return first;
}

struct region *engine_region_of_hva(struct gmig *gmig, uintptr_t hva)
{
	unsigned int count = atomic_load(&gmig->region_count);

	for (unsigned int i = 0; i < count; i++) {
		struct region *region = &gmig->regions[i];
		uintptr_t start = (uintptr_t)region->hva;

		if (hva >= start && hva - start < region->pages * GMIG_PAGE_BYTES)
			return region;
	}
	return NULL;
}

struct stripe *engine_stripe(struct gmig *gmig, uint64_t gfn)
{
	return &gmig->stripes[gfn / gmig->stripe_pages % ENGINE_STRIPES];
}

struct slept engine_sleepers_woken(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn,
				   const struct bits *pages, struct hist *also)
{
	struct slept slept = {0};
	struct sleeper **link = &stripe->sleepers;
	uint64_t now = gmig->sys->now_ns();

	while (*link) {
		struct sleeper *sleeper = *link;
		uint64_t page = sleeper->gfn - block_gfn, waited;

		if (page >= GMIG_BLOCK_PAGES || !bits_get(pages, (unsigned int)page)) {
			link = &sleeper->next;
			continue;
		}
		waited = now - sleeper->since_ns;
		hist_record(&gmig->stall, waited);
		if (also)
			hist_record(also, waited);
		slept.ns += waited;
		if (waited > slept.longest_ns)
			slept.longest_ns = waited;
		slept.threads++;
		slept.writers += sleeper->writer;
		*link = sleeper->next;
		free(sleeper);
		atomic_fetch_sub(&gmig->sleepers, 1);
	}
	return slept;
}

/* Without a userfaultfd the call would fail, and be tried for milliseconds. */
void engine_wake(const struct gmig *gmig, const struct region *region, uint64_t block_gfn)
{
	int uffd = gmig->vnodes[region->vnode].uffd;

	if (uffd >= 0)
		uffd_wake(gmig->sys, uffd, region_hva(region, block_gfn), GMIG_BLOCK_BYTES);
}

#define SERVING_NS 20000

/* A fault thread that begins to serve after this sees what its caller stored before. */
void engine_settle_faults(struct gmig *gmig, uint64_t vnodes)
{
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++) {
		unsigned int seen;

		if (vnodes && !(vnodes >> i & 1))
			continue;
		seen = atomic_load(&gmig->vnodes[i].serving);
		while (seen & 1 && atomic_load(&gmig->vnodes[i].serving) == seen)
			gmig->sys->sleep_ns(SERVING_NS);
	}
}
