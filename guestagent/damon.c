/* DAMON's files, see damon.h. */
#include "damon.h"
#include "../migrate/core/whole.h"
#include "proc.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ADMIN	  "kernel/mm/damon/admin/kdamonds/"
#define CONTEXT	  ADMIN "0/contexts/0/"
#define SCHEME	  CONTEXT "schemes/0/"
#define TRIED	  SCHEME "tried_regions/"
#define MIN_PIECE (2ull << 20)
#define END_TRIES 900	      /* a tenth of a second each */
#define MAX_RATE  20	      /* looks a millisecond */
#define TICK_NS	  10000000ull /* of stat's times */

/* ---- Files ----------------------------------------------------------------------------------- */

static int failed(struct gmig_error *err, int code, const char *name, const char *what)
{
	return gmig_fail(err, code, "DAMON's %.80s: %s: %s (%d): %s", name, what,
			 agent_errno_name(code), -code, strerror(-code));
}

static int put(struct gmig_error *err, const char *name, const char *text)
{
	char path[PATH_MAX];
	int fd, code;

	snprintf(path, sizeof(path), "%s/%s", agent_sys->sys, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	code = fd >= 0 ? write_value(fd, text) : -errno;
	if (fd >= 0)
		close(fd);
	return code ? failed(err, code, name, "cannot be written") : 0;
}

static int put_number(struct gmig_error *err, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return put(err, name, text);
}

static int get(const char *name, char *text, size_t bytes)
{
	char path[PATH_MAX];
	ssize_t got;

	snprintf(path, sizeof(path), "%s/%s", agent_sys->sys, name);
	got = agent_read_text(path, text, bytes);
	return got < 0 ? (int)got : 0;
}

/* A number that is in a file. */
static int get_number(const char *name, uint64_t *value)
{
	char text[64], *end;
	int rc = get(name, text, sizeof(text));

	if (rc)
		return rc;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno || end == text ? -EIO : 0;
}

/* ---- Setting up ------------------------------------------------------------------------------ */

int agent_damon_check(struct gmig_error *err)
{
	uint64_t count;

	if (get_number(ADMIN "nr_kdamonds", &count) == -ENOENT)
		return gmig_fail(
		    err, -EOPNOTSUPP,
		    "this kernel does not tell which memory is used: it has no DAMON "
		    "(CONFIG_DAMON_SYSFS and CONFIG_DAMON_PADDR, Linux 6.2): EOPNOTSUPP "
		    "(%d)",
		    EOPNOTSUPP);
	return 0;
}

static uint64_t pieces_of(const struct agent_damon *damon, size_t range)
{
	uint64_t bytes = damon->range[range].end - damon->range[range].start;

	return (bytes + damon->piece_bytes - 1) / damon->piece_bytes;
}

static uint64_t count_pieces(const struct agent_damon *damon)
{
	uint64_t pieces = 0;

	for (size_t i = 0; i < damon->ranges; i++)
		pieces += pieces_of(damon, i);
	return pieces;
}

/* A look at each region in each sample_us is what it costs. */
int agent_damon_valid(const struct agent_damon *damon, struct gmig_error *err)
{
	uint64_t end = 0;
	bool good = damon->pid >= 0 && damon->ranges >= 1 && damon->ranges <= AGENT_DAMON_RANGES &&
		    damon->piece_bytes >= MIN_PIECE && damon->sample_us >= 1000 &&
		    damon->sample_us <= damon->aggr_us && damon->aggr_us <= 60000000 &&
		    damon->min_regions >= 3 && damon->min_regions <= damon->max_regions &&
		    damon->max_regions <= damon->sample_us / 1000 * MAX_RATE;

	for (size_t i = 0; good && i < damon->ranges; i++) {
		good = damon->range[i].start >= end && damon->range[i].end > damon->range[i].start;
		end = damon->range[i].end;
	}
	if (!good || count_pieces(damon) > AGENT_DAMON_REGIONS)
		return gmig_fail(err, -EINVAL, "DAMON is not started like that");
	return 0;
}

static int put_regions(const struct agent_damon *damon, struct gmig_error *err)
{
	char name[160];
	uint64_t number = 0;
	int rc = put_number(err, CONTEXT "targets/0/regions/nr_regions", count_pieces(damon));

	for (size_t i = 0; i < damon->ranges; i++)
		for (uint64_t piece = 0; !rc && piece < pieces_of(damon, i); piece++) {
			uint64_t start = damon->range[i].start + piece * damon->piece_bytes;
			uint64_t end = start + damon->piece_bytes;

			if (end > damon->range[i].end)
				end = damon->range[i].end;
			snprintf(name, sizeof(name), CONTEXT "targets/0/regions/%" PRIu64 "/start",
				 number);
			rc = put_number(err, name, start);
			snprintf(name, sizeof(name), CONTEXT "targets/0/regions/%" PRIu64 "/end",
				 number++);
			if (!rc)
				rc = put_number(err, name, end);
		}
	return rc;
}

/* Linux up to 6.17 takes any name here, and refuses to start without a word. */
static int put_operations(const struct agent_damon *damon, struct gmig_error *err)
{
	char available[256] = "";
	int rc = damon->pid ? get(CONTEXT "avail_operations", available, sizeof(available)) : 0;

	if (rc && rc != -ENOENT)
		return failed(err, rc, "avail_operations", "cannot be read");
	if (damon->pid && !strstr(available, "fvaddr"))
		return gmig_fail(
		    err, -EOPNOTSUPP,
		    "this kernel does not tell which memory of a process is used: its DAMON "
		    "has no 'fvaddr' (CONFIG_DAMON_VADDR): EOPNOTSUPP (%d)",
		    EOPNOTSUPP);
	return put(err, CONTEXT "operations", damon->pid ? "fvaddr" : "paddr");
}

static int set_up(const struct agent_damon *damon, struct gmig_error *err)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
	    {CONTEXT "monitoring_attrs/intervals/sample_us", damon->sample_us},
	    {CONTEXT "monitoring_attrs/intervals/aggr_us", damon->aggr_us},
	    {CONTEXT "monitoring_attrs/intervals/update_us", damon->aggr_us},
	    {CONTEXT "monitoring_attrs/nr_regions/max", damon->max_regions},
	    {CONTEXT "monitoring_attrs/nr_regions/min", damon->min_regions},
	    {CONTEXT "targets/nr_targets", 1},
	    {CONTEXT "schemes/nr_schemes", 1},
	    /* All regions: the minima are 0, and so are these otherwise. */
	    {SCHEME "access_pattern/sz/max", INT64_MAX},
	    {SCHEME "access_pattern/nr_accesses/max", INT32_MAX},
	    {SCHEME "access_pattern/age/max", INT32_MAX},
	};
	int rc = put_number(err, ADMIN "0/contexts/nr_contexts", 1);

	if (!rc)
		rc = put_operations(damon, err);
	for (size_t i = 0; !rc && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		rc = put_number(err, numbers[i].name, numbers[i].value);
	if (!rc)
		rc = put(err, SCHEME "action", "stat");
	if (!rc && damon->pid)
		rc = put_number(err, CONTEXT "targets/0/pid_target", (uint64_t)damon->pid);
	return rc ? rc : put_regions(damon, err);
}

/* Whoever has made directories there would lose them. */
static int check_unused(struct gmig_error *err)
{
	uint64_t count = 0;
	int rc = agent_damon_check(err);

	if (!rc)
		rc = get_number(ADMIN "nr_kdamonds", &count);
	if (rc)
		return rc == -EOPNOTSUPP ? rc : failed(err, rc, "nr_kdamonds", "cannot be read");
	if (count)
		return gmig_fail(
		    err, -EBUSY,
		    "somebody uses DAMON in the guest, or an agent was killed that did: if "
		    "that is so, write off to 0/state in %s/" ADMIN ", and then 0 to "
		    "nr_kdamonds: EBUSY (%d)",
		    agent_sys->sys, EBUSY);
	return 0;
}

int agent_damon_begin(const struct agent_damon *damon, struct gmig_error *err)
{
	char path[PATH_MAX];
	int rc = agent_damon_valid(damon, err), fd = -1;

	if (!rc)
		rc = check_unused(err);
	if (!rc)
		rc = put_number(err, ADMIN "nr_kdamonds", 1);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/" ADMIN "0/state", agent_sys->sys);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	rc = fd < 0 ? failed(err, -errno, "state", "cannot be opened") : set_up(damon, err);
	if (!rc)
		return fd;
	if (fd < 0)
		put_number(NULL, ADMIN "nr_kdamonds", 0);
	else
		agent_damon_end(fd);
	return rc;
}

static int command(int state, const char *word, struct gmig_error *err)
{
	long wrote;

	do {
		wrote = agent_sys->damon_write(state, word);
	} while (wrote == -EINTR);
	return wrote < 0 ? failed(err, (int)wrote, "state", word) : 0;
}

int agent_damon_off(int state)
{
	return command(state, "off", NULL);
}

/*
 * Nobody gets at it while it gathers what it was asked for, until the end of an aggregation. A descriptor of a directory that
 * somebody has made anew since says -ENODEV, where the name would reach the other one's.
 */
void agent_damon_end(int state)
{
	const struct timespec pause = {.tv_nsec = 100000000};

	for (unsigned int i = 0; i < END_TRIES; i++) {
		int rc = agent_damon_off(state);

		if (rc == -ENODEV ||
		    (rc != -EBUSY && put_number(NULL, ADMIN "nr_kdamonds", 0) != -EBUSY))
			break;
		nanosleep(&pause, NULL);
	}
	close(state);
}

/* ---- Looking --------------------------------------------------------------------------------- */

int agent_damon_on(int state, struct gmig_error *err)
{
	return command(state, "on", err);
}

/* -ENOENT: there is no such region. */
static int read_region(size_t number, struct agent_damon_seen *seen)
{
	char name[160];
	int rc;

	snprintf(name, sizeof(name), TRIED "%zu/start", number);
	rc = get_number(name, &seen->start);
	snprintf(name, sizeof(name), TRIED "%zu/end", number);
	if (!rc)
		rc = get_number(name, &seen->end);
	snprintf(name, sizeof(name), TRIED "%zu/nr_accesses", number);
	if (!rc)
		rc = get_number(name, &seen->hits);
	return !rc && seen->end <= seen->start ? -EIO : rc;
}

static int by_start(const void *a, const void *b)
{
	const struct agent_damon_seen *one = a, *other = b;

	return (one->start > other->start) - (one->start < other->start);
}

int agent_damon_ask(int state, struct agent_damon_seen **seen, size_t *count,
		    struct gmig_error *err)
{
	struct agent_damon_seen *all;
	int rc = command(state, "update_schemes_tried_regions", err);

	*count = 0;
	if (rc)
		return rc;
	all = calloc(AGENT_DAMON_RESULTS, sizeof(*all));
	if (!all)
		return gmig_fail(err, -ENOMEM, "out of memory");
	while (*count < AGENT_DAMON_RESULTS && !(rc = read_region(*count, &all[*count])))
		(*count)++;
	if (!rc)
		rc = gmig_fail(err, -E2BIG, "DAMON has more than %d regions", AGENT_DAMON_RESULTS);
	else if (rc != -ENOENT)
		failed(err, rc, "tried_regions", "cannot be read");
	else if (!*count)
		rc = gmig_fail(err, -EIO, "DAMON does not tell what it has seen: Linux 6.2 does");
	else
		rc = 0;
	if (rc) {
		free(all);
		return rc;
	}
	qsort(all, *count, sizeof(*all), by_start);
	*seen = all;
	return 0;
}

uint64_t agent_damon_cpu_ns(void)
{
	struct agent_process thread = {0};
	char path[PATH_MAX], text[4096];
	uint64_t pid = 0;

	if (get_number(ADMIN "0/pid", &pid) || !pid || pid > INT32_MAX)
		return 0;
	snprintf(path, sizeof(path), "%s/%d/schedstat", agent_sys->proc, (int)pid);
	if (agent_read_text(path, text, sizeof(text)) > 0)
		return strtoull(text, NULL, 10);
	snprintf(path, sizeof(path), "%s/%d/stat", agent_sys->proc, (int)pid);
	if (agent_read_text(path, text, sizeof(text)) <= 0 || agent_parse_stat(text, &thread))
		return 0;
	return thread.cpu_ticks * TICK_NS;
}
