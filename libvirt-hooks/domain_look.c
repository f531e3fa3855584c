/* Where a domain's memory lies, see domain.h; and its lines in the log. */
#include "domain_inside.h"
#include "log_name.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#define COUNTS_AGE_NS 10000000000ull

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void domain_log(const struct domain *domain, enum gmig_log_level level, const char *format, ...)
{
	char text[GMIG_ERROR_TEXT], line[2 * GMIG_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!domain->host->log)
		return;
	snprintf(line, sizeof(line), "domain=%s pid=%d %s", log_name(domain->name).text,
		 (int)domain->qemu.pid, text);
	domain->host->log(domain->host->opaque, level, line);
}

int domain_look(struct domain *domain, struct domain_look *look, struct gmig_error *err)
{
	uint64_t begin_ns = now_ns();
	struct qemu_ram ram, old;
	int ret;

	pthread_mutex_lock(&domain->scan_lock);
	ret = qemu_memory_read(domain->looker, atomic_load(&domain->memory_bytes), &ram,
			       &look->usage, err);
	if (!ret) {
		look->ram_bytes = ram.bytes;
		look->domain_bytes = ram.domain_bytes;
		look->fits = ram.fits;
		look->at_ns = begin_ns;
		look->took_ns = now_ns() - begin_ns;
		pthread_mutex_lock(&domain->look_lock);
		domain->look = *look;
		old = domain->ram;
		domain->ram = ram;
		pthread_mutex_unlock(&domain->look_lock);
		qemu_ram_free(&old);
	}
	pthread_mutex_unlock(&domain->scan_lock);
	return ret;
}

int domain_last_look(struct domain *domain, uint64_t max_age_ns, struct domain_look *look)
{
	int ret = -EAGAIN;

	pthread_mutex_lock(&domain->look_lock);
	if (domain->look.at_ns && now_ns() - domain->look.at_ns <= max_age_ns) {
		*look = domain->look;
		ret = 0;
	}
	pthread_mutex_unlock(&domain->look_lock);
	return ret;
}

/*
 * A plan moves so much guest memory and no more: QEMU's own, which comes first by address, must not use up the limit. Which mappings are guest memory is known from
 * the last look; one that was made for the plan is new enough.
 */
bool domain_counts(void *opaque, uint64_t start, uint64_t end)
{
	struct domain *domain = opaque;
	struct domain_look *look = malloc(sizeof(*look));
	bool counts = false;

	if (look && domain_last_look(domain, COUNTS_AGE_NS, look))
		(void)domain_look(domain, look,
				  NULL); /* it may have ended: the job finds that out */
	free(look);
	pthread_mutex_lock(&domain->look_lock);
	/* Never seen: all of it counts, so that a move which took none of it is not told as a completed one. */
	counts = !domain->ram.count;
	for (size_t i = 0; i < domain->ram.count && !counts; i++)
		counts = start < domain->ram.mapping[i].end && domain->ram.mapping[i].start < end;
	pthread_mutex_unlock(&domain->look_lock);
	return counts;
}
