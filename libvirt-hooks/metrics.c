/*
 * Prometheus text, see metrics.h. One table of families; each knows how to print its samples. Names follow the format's rules: base
 * units, one unit a family; `domain` is the label of libvirt's exporters, and job metrics have their names with another prefix.
 */
#include "metrics.h"

#include "../control/text.h"

#include <errno.h>
#include <fcntl.h>
#include <libxml/xmlstring.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE 0644

/* What a family is of: the host, each domain, or each part of a domain's memory. */
struct family {
	const char *name, *type, *help;
	double (*host)(const struct metrics_snapshot *snapshot);
	double (*domain)(const struct metrics_domain *domain);
};

static double host_score(const struct metrics_snapshot *snapshot)
{
	return snapshot->host_score;
}

static double host_possible(const struct metrics_snapshot *snapshot)
{
	return snapshot->host_score_possible;
}

static double scan_duration(const struct metrics_snapshot *snapshot)
{
	return snapshot->scan_duration_seconds;
}

static double scan_cpu(const struct metrics_snapshot *snapshot)
{
	return snapshot->scan_cpu_seconds;
}

static double domain_count(const struct metrics_snapshot *snapshot)
{
	return (double)snapshot->domain_count;
}

static double local_ratio(const struct metrics_domain *domain)
{
	return domain->local_ratio;
}

static double score(const struct metrics_domain *domain)
{
	return domain->score;
}

static double score_possible(const struct metrics_domain *domain)
{
	return domain->score_possible;
}

static double scan_timestamp(const struct metrics_domain *domain)
{
	return domain->scan_timestamp;
}

static double policy_wrong(const struct metrics_domain *domain)
{
	return domain->policy_wrong;
}

static double job_type(const struct metrics_domain *domain)
{
	return domain->job.type;
}

/* Of a job that never was, nothing is known. */
static double of_job(const struct metrics_domain *domain, double value)
{
	return domain->job.type == METRICS_JOB_NONE ? NAN : value;
}

static double job_elapsed(const struct metrics_domain *domain)
{
	return of_job(domain, domain->job.elapsed_seconds);
}

static double job_left(const struct metrics_domain *domain)
{
	return of_job(domain, domain->job.remaining_seconds);
}

static double job_total(const struct metrics_domain *domain)
{
	return of_job(domain, (double)domain->job.total_bytes);
}

static double job_processed(const struct metrics_domain *domain)
{
	return of_job(domain, (double)domain->job.processed_bytes);
}

static double job_remaining(const struct metrics_domain *domain)
{
	return of_job(domain, (double)domain->job.remaining_bytes);
}

static double job_rate(const struct metrics_domain *domain)
{
	return of_job(domain, domain->job.rate_bytes ? (double)domain->job.rate_bytes : INFINITY);
}

static const struct family families[] = {
    {"gmig_build_info", "gauge", "Version of gmigd; always 1.", NULL, NULL},
    {"gmig_domains", "gauge", "Domains that gmigd watches.", domain_count, NULL},
    {"gmig_domain_memory_bytes", "gauge",
     "RAM of the domain that lies on a node of the host, by size of page.", NULL, NULL},
    {"gmig_domain_local_ratio", "gauge",
     "Part of the domain's RAM that lies on the nodes of its vCPUs, 0 to 1.", NULL, local_ratio},
    {"gmig_domain_affinity_score", "gauge", "Affinity of the domain's RAM and vCPUs, 0 to 100.",
     NULL, score},
    {"gmig_domain_score_possible", "gauge", "Affinity score that the best plan would give.", NULL,
     score_possible},
    {"gmig_host_affinity_score", "gauge", "Affinity of all domains of the host, 0 to 100.",
     host_score, NULL},
    {"gmig_host_score_possible", "gauge", "Affinity score that the best plan would give.",
     host_possible, NULL},
    {"gmig_domain_policy_wrong", "gauge",
     "1: the domain's metadata or configuration is refused, and it is not moved by itself.", NULL,
     policy_wrong},
    {"gmig_domain_job_info_type", "gauge",
     "Job of the domain: 0 none, 1 running, 3 completed, 4 failed, 5 cancelled.", NULL, job_type},
    {"gmig_domain_job_info_time_elapsed_seconds", "gauge", "Time that the job has taken.", NULL,
     job_elapsed},
    {"gmig_domain_job_info_time_remaining_seconds", "gauge", "Time that the job still needs.", NULL,
     job_left},
    {"gmig_domain_job_info_memory_total_bytes", "gauge", "Memory that the job was to move.", NULL,
     job_total},
    {"gmig_domain_job_info_memory_processed_bytes", "gauge", "Memory that the job has moved.", NULL,
     job_processed},
    {"gmig_domain_job_info_memory_remaining_bytes", "gauge", "Memory that the job has not moved.",
     NULL, job_remaining},
    {"gmig_domain_job_rate_limit_bytes_per_second", "gauge",
     "Rate that the job may reach; +Inf: no limit.", NULL, job_rate},
    {"gmig_domain_scan_timestamp_seconds", "gauge",
     "When the domain's memory was last looked at, since 1970.", NULL, scan_timestamp},
    {"gmig_scan_duration_seconds", "gauge", "Time that the last scan of all domains took.",
     scan_duration, NULL},
    {"gmig_scan_cpu_seconds_total", "counter", "CPU time of all scans since gmigd started.",
     scan_cpu, NULL},
};
#define FAMILIES (sizeof(families) / sizeof(families[0]))
enum { BUILD_INFO = 0, MEMORY = 2 };

const char *metrics_name(size_t i)
{
	return i < FAMILIES ? families[i].name : NULL;
}

/* As a label's value: backslash, quote and newline are escaped, and what is not UTF-8 becomes '?'. */
static void print_label(FILE *out, const char *name, const char *value)
{
	char *safe = xmlCheckUTF8((const unsigned char *)value) ? NULL : strdup(value);

	if (safe)
		value = control_text_safe(safe);
	fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
	fputc('"', out);
	free(safe);
}

/* The shortest text that is read as the same number. */
static void print_value(FILE *out, double value)
{
	char text[32];

	if (isinf(value)) {
		fprintf(out, " %sInf\n", value < 0 ? "-" : "+");
		return;
	}
	snprintf(text, sizeof(text), "%.15g", value);
	if (strtod(text, NULL) != value)
		snprintf(text, sizeof(text), "%.17g", value);
	fprintf(out, " %s\n", text);
}

/* "4K", "2M", "1G" */
static void print_page_size(FILE *out, uint64_t bytes)
{
	static const char units[] = "KMG";
	const char *unit = NULL;

	for (const char *at = units; *at && bytes && bytes % 1024 == 0; at++) {
		bytes /= 1024;
		unit = at;
	}
	fprintf(out, ",pagesize=\"%llu", (unsigned long long)bytes);
	if (unit)
		fputc(*unit, out);
	fputs("\"}", out);
}

static void print_memory(FILE *out, const struct family *family,
			 const struct metrics_domain *domain)
{
	for (size_t i = 0; i < domain->memory_count; i++) {
		fprintf(out, "%s{", family->name);
		print_label(out, "domain", domain->name);
		fprintf(out, ",node=\"%u\"", domain->memory[i].node);
		print_page_size(out, domain->memory[i].page_bytes);
		print_value(out, (double)domain->memory[i].bytes);
	}
}

static void print_domain(FILE *out, const struct family *family,
			 const struct metrics_domain *domain)
{
	double value = family->domain(domain);

	if (isnan(value))
		return;
	fprintf(out, "%s{", family->name);
	print_label(out, "domain", domain->name);
	fputc('}', out);
	print_value(out, value);
}

static void print_family(FILE *out, const struct family *family,
			 const struct metrics_snapshot *snapshot)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
		family->type);
	if (family == &families[BUILD_INFO]) {
		fprintf(out, "%s{", family->name);
		print_label(out, "version", snapshot->version);
		fputs("} 1\n", out);
	}
	if (family->host && !isnan(family->host(snapshot))) {
		fputs(family->name, out);
		print_value(out, family->host(snapshot));
	}
	for (size_t i = 0; i < snapshot->domain_count; i++) {
		if (family == &families[MEMORY])
			print_memory(out, family, &snapshot->domains[i]);
		else if (family->domain)
			print_domain(out, family, &snapshot->domains[i]);
	}
}

static int compare_names(const void *one, const void *other)
{
	return strcmp(*(const char *const *)one, *(const char *const *)other);
}

static int check_names(const struct metrics_snapshot *snapshot, struct gmig_error *err)
{
	size_t count = snapshot->domain_count;
	const char **names = calloc(count + 1, sizeof(*names));
	char shown[61];
	int ret = 0;

	if (!names)
		return gmig_fail(err, -ENOMEM, "no memory for metrics");
	for (size_t i = 0; i < count; i++)
		names[i] = snapshot->domains[i].name;
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 1; i < count && !ret; i++) {
		if (strcmp(names[i], names[i - 1]) != 0)
			continue;
		snprintf(shown, sizeof(shown), "%s", names[i]);
		ret = gmig_fail(err, -EINVAL, "two domains have the name '%s'",
				control_text_safe(shown));
	}
	free(names);
	return ret;
}

int metrics_print(const struct metrics_snapshot *snapshot, char **text, struct gmig_error *err)
{
	/* A decimal comma would spoil the file. */
	locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0), old;
	char *printed = NULL;
	size_t bytes;
	FILE *out = c ? open_memstream(&printed, &bytes) : NULL;
	int ret =
	    out ? check_names(snapshot, err) : gmig_fail(err, -ENOMEM, "no memory for metrics");

	old = c ? uselocale(c) : (locale_t)0;
	for (size_t i = 0; !ret && i < FAMILIES; i++)
		print_family(out, &families[i], snapshot);
	if (c) {
		uselocale(old);
		freelocale(c);
	}
	if (out && fclose(out) && !ret)
		ret = gmig_fail(err, -ENOMEM, "no memory for metrics");
	if (ret)
		free(printed);
	else
		*text = printed;
	return ret;
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);
	ssize_t count;

	while (left) {
		count = write(fd, text, left);
		if (count < 0 && errno != EINTR)
			return -errno;
		text += count > 0 ? count : 0;
		left -= count > 0 ? (size_t)count : 0;
	}
	return 0;
}

/* A new file: O_EXCL never follows a link, and one that a crash left is removed first. */
static int write_aside(const char *aside, const char *text)
{
	int fd, ret;

	(void)unlink(aside);
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE);
	if (fd < 0)
		return -errno;
	ret = fchmod(fd, MODE) ? -errno : write_all(fd, text);
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

int metrics_write(const char *path, const struct metrics_snapshot *snapshot, struct gmig_error *err)
{
	char *text, *aside;
	int ret = metrics_print(snapshot, &text, err);

	if (ret)
		return ret;
	/* Not "*.prom", which a collector would read. */
	if (asprintf(&aside, "%s.new", path) < 0) {
		free(text);
		return gmig_fail(err, -ENOMEM, "no memory for metrics");
	}
	ret = write_aside(aside, text);
	if (!ret && rename(aside, path))
		ret = -errno;
	if (ret) {
		(void)unlink(aside);
		gmig_error_set(err, ret, "%.200s: %s", path, strerror(-ret));
	}
	free(aside);
	free(text);
	return ret;
}
