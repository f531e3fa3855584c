/* How much memory is used, by samples and by what others say: see gmig_heat.h. */
#include "gmig_heat.h"

#include "core/reserved.h"
#include "movers/sampler.h"

#include <errno.h>
#include <string.h>

#define GIB (1ull << 30)

static int check(const struct gmig *gmig, const struct gmig_sampling *how, struct gmig_error *err)
{
	int ret = RESERVED_UNUSED(how, err);

	if (ret)
		return ret;
	if (how->blocks_per_second > GMIG_SAMPLING_RATE_MAX)
		return gmig_fail(err, -EINVAL, "%u blocks a second: at most %u",
				 how->blocks_per_second, GMIG_SAMPLING_RATE_MAX);
	if (how->max_slowdown_ppm > SLOWDOWN_PPM)
		return gmig_fail(err, -EINVAL, "a slowdown of %u millionths is more than all",
				 how->max_slowdown_ppm);
	if (gmig->plain)
		return gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	if (atomic_load(&gmig->memory.fatal))
		return gmig_fail(err, -ESHUTDOWN, "the engine met a fatal error");
	return 0;
}

/* Caller holds sampling_lock. It stays as long as the engine, once somebody needs it. */
static int need_heat(struct gmig *gmig, struct heat **heat, struct gmig_error *err)
{
	*heat = atomic_load(&gmig->memory.heat);
	if (*heat)
		return 0;
	if (heat_create(heat))
		return gmig_fail(err, -ENOMEM, "no memory for a history of accesses");
	atomic_store(&gmig->memory.heat, *heat);
	return 0;
}

/* Caller holds sampling_lock. */
static int start(struct gmig *gmig, const struct gmig_sampling *how, struct gmig_error *err)
{
	struct heat *heat;
	int ret = need_heat(gmig, &heat, err);

	return ret ? ret : sampler_start(gmig, heat, how, &gmig->sampler, err);
}

int gmig_sampling_start(struct gmig *gmig, const struct gmig_sampling *how, struct gmig_error *err)
{
	struct gmig_sampling chosen = *how;
	int ret = check(gmig, how, err);

	if (ret)
		return ret;
	if (!chosen.blocks_per_second)
		chosen.blocks_per_second = GMIG_SAMPLING_RATE;
	if (!chosen.max_slowdown_ppm)
		chosen.max_slowdown_ppm = GMIG_SAMPLING_SLOWDOWN;
	pthread_mutex_lock(&gmig->sampling_lock);
	if (gmig->sampler)
		sampler_change(gmig->sampler, &chosen);
	else
		ret = start(gmig, &chosen, err);
	pthread_mutex_unlock(&gmig->sampling_lock);
	return ret;
}

void gmig_sampling_stop(struct gmig *gmig)
{
	pthread_mutex_lock(&gmig->sampling_lock);
	sampler_stop(gmig->sampler);
	gmig->sampler = NULL;
	pthread_mutex_unlock(&gmig->sampling_lock);
}

void gmig_sampling_hold(struct gmig *gmig, bool on)
{
	pthread_mutex_lock(&gmig->sampling_lock);
	gmig->sampling_held = on;
	if (gmig->sampler)
		sampler_hold(gmig->sampler, on);
	pthread_mutex_unlock(&gmig->sampling_lock);
}

void gmig_sampling_info(struct gmig *gmig, struct gmig_sampling_info *info)
{
	memset(info, 0, sizeof(*info));
	pthread_mutex_lock(&gmig->sampling_lock);
	if (gmig->sampler)
		sampler_info(gmig->sampler, info);
	info->held = gmig->sampling_held;
	pthread_mutex_unlock(&gmig->sampling_lock);
}

/* ---- What others say --------------------------------------------------------------------------------- */

#define END_GPA (1ull << 48)

static int check_parts(const struct gmig_heat_share *parts, size_t count, struct gmig_error *err)
{
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		const struct gmig_heat_share *part = &parts[i];

		if ((part->gpa | part->bytes) % GMIG_BLOCK_BYTES || part->gpa >= END_GPA ||
		    part->bytes > END_GPA - part->gpa)
			return gmig_fail(
			    err, -EINVAL,
			    "heat of %#llx+%#llx: not whole blocks of 2 MiB below 2^48",
			    (unsigned long long)part->gpa, (unsigned long long)part->bytes);
		if (part->gpa < end)
			return gmig_fail(err, -EINVAL,
					 "heat of %#llx comes behind that of a higher address",
					 (unsigned long long)part->gpa);
		if (part->share_ppm > SLOWDOWN_PPM || part->reserved)
			return gmig_fail(err, -EINVAL, "a share of %u millionths is more than all",
					 part->share_ppm);
		end = part->gpa + part->bytes;
	}
	return 0;
}

struct report {
	struct gmig *gmig;
	struct heat *heat;
	uint64_t now_ns;
	struct gmig_heat_noted noted;
};

/* Blocks gpa..end, of one region. */
static int report_blocks(struct report *report, uint64_t gpa, uint64_t end, uint32_t share_ppm)
{
	for (; gpa < end; gpa += GMIG_BLOCK_BYTES) {
		int ret =
		    heat_report(report->heat, gpa / GMIG_BLOCK_BYTES, share_ppm, report->now_ns);

		if (ret && ret != -EAGAIN)
			return ret;
		report->noted.moved_bytes += ret ? GMIG_BLOCK_BYTES : 0;
		report->noted.noted_bytes += ret ? 0 : GMIG_BLOCK_BYTES;
	}
	return 0;
}

static int report_part(struct report *report, const struct gmig_heat_share *part)
{
	uint64_t at = part->gpa, end = part->gpa + part->bytes;
	int ret = 0;

	while (!ret && at < end) {
		const struct region *region =
		    engine_region_from(report->gmig, at / GMIG_PAGE_BYTES);
		uint64_t first = region ? region->gfn * GMIG_PAGE_BYTES : end;
		uint64_t last = region ? first + region->pages * GMIG_PAGE_BYTES : end;

		if (first < at)
			first = at;
		if (first > end)
			first = end;
		if (last > end)
			last = end;
		report->noted.outside_bytes += first - at;
		ret = report_blocks(report, first, last, part->share_ppm);
		at = last;
	}
	return ret;
}

int gmig_heat_report(struct gmig *gmig, const struct gmig_heat_share *parts, size_t count,
		     struct gmig_heat_noted *noted, struct gmig_error *err)
{
	struct report report = {.gmig = gmig, .now_ns = gmig->sys->now_ns()};
	int ret = check_parts(parts, count, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&gmig->sampling_lock);
	ret = need_heat(gmig, &report.heat, err);
	pthread_mutex_unlock(&gmig->sampling_lock);
	for (size_t i = 0; !ret && i < count; i++) {
		ret = report_part(&report, &parts[i]);
		if (ret)
			gmig_fail(err, ret, "no memory for a history of accesses");
	}
	if (noted)
		*noted = report.noted;
	return ret;
}

/* ---- What is known ------------------------------------------------------------------------------- */

static void fill(struct gmig *gmig, struct gmig_heat *part)
{
	struct heat *heat = atomic_load(&gmig->memory.heat);
	uint64_t now = gmig->sys->now_ns();
	struct heat_sum sum = {0};

	if (heat)
		heat_sum(heat, part->gpa / GMIG_BLOCK_BYTES,
			 (unsigned int)(part->bytes / GMIG_BLOCK_BYTES), now, &sum);
	part->hot_bytes = sum.hot * GMIG_BLOCK_BYTES;
	part->warm_bytes = sum.warm * GMIG_BLOCK_BYTES;
	part->cold_bytes = sum.cold * GMIG_BLOCK_BYTES;
	part->reported_bytes = sum.reported * GMIG_BLOCK_BYTES;
	part->unknown_bytes = part->bytes - part->hot_bytes - part->warm_bytes - part->cold_bytes;
	if (sum.newest_ns)
		part->newest_age_ns = now > sum.newest_ns ? now - sum.newest_ns : 1;
	for (unsigned int i = 0; i < GMIG_HEAT_NODES && sum.by[i].blocks; i++) {
		part->by[i].node = sum.by[i].node;
		part->by[i].bytes = sum.by[i].blocks * GMIG_BLOCK_BYTES;
	}
}

size_t gmig_heat(struct gmig *gmig, uint64_t gpa, struct gmig_heat *parts, size_t max)
{
	return gmig_heat_parts(gmig, gpa, GIB, parts, max);
}

size_t gmig_heat_parts(struct gmig *gmig, uint64_t gpa, uint64_t step_bytes,
		       struct gmig_heat *parts, size_t max)
{
	uint64_t at = gpa / GIB * GIB;
	size_t count = 0;

	if (step_bytes > GIB)
		step_bytes = GIB;
	if (at < gpa / step_bytes * step_bytes)
		at = gpa / step_bytes * step_bytes;

	while (count < max) {
		const struct region *region = engine_region_from(gmig, at / GMIG_PAGE_BYTES);
		uint64_t begin, end, next;

		if (!region)
			break;
		begin = region->gfn * GMIG_PAGE_BYTES;
		end = begin + region->pages * GMIG_PAGE_BYTES;
		if (begin < at)
			begin = at;
		next = begin / GIB * GIB + GIB;
		if (end > next)
			end = next;
		next = begin / step_bytes * step_bytes + step_bytes;
		if (end > next)
			end = next;
		/* The first one asked for may end before gpa, in the GiB or the step that has it. */
		if (end > gpa) {
			parts[count] = (struct gmig_heat){.gpa = begin, .bytes = end - begin};
			fill(gmig, &parts[count++]);
		}
		at = end;
	}
	return count;
}
