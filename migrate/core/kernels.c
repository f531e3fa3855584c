#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* major.minor.patch in one number, so that releases compare. */
#define RELEASE(major, minor, patch)                                                               \
	((uint32_t)(major) << 24 | (uint32_t)(minor) << 12 | (uint32_t)(patch))
#define LAST_PATCH    0xfffu
#define FIRST_MOVE    RELEASE(6, 8, 0) /* UFFDIO_MOVE: adef440691ba */
#define FAULT_RANGES  3
#define RELEASE_PARTS 3

struct fault_range {
	uint32_t from, fixed; /* from <= release < fixed; 0: no more */
};

struct kernel_fault {
	const char *commit; /* the fix, in Linus Torvalds's tree */
	const char *what;   /* what UFFDIO_MOVE does, after "its UFFDIO_MOVE" */
	bool damages;
	struct fault_range ranges[FAULT_RANGES + 1];
};

/*
 * Sources: the kernel's CVE records (cveproject/cvelistV5), the stable releases' logs. The worst first.
 * Left out: d7a08838ab74 (in 6.8 itself, the first release with UFFDIO_MOVE) and 927e926d72d9 (only with CONFIG_HIGHPTE, which
 * 64-bit kernels do not have). Release candidates are taken for the release that they become.
 */
static const struct kernel_fault faults[] = {
    {"fae654083bfa",
     "damages memory when it meets the huge zero page (CVE-2026-31397)",
     true,
     {{RELEASE(6, 16, 0), RELEASE(6, 18, 20)}, {RELEASE(6, 19, 0), RELEASE(6, 19, 10)}}},
    {"c0205eaf3af9",
     "damages a huge page whose move fails (CVE-2024-27007)",
     true,
     {{RELEASE(6, 8, 0), RELEASE(6, 8, 8)}}},
    {"aba6faec0103",
     "can crash the host while the kernel migrates the same huge page",
     false,
     {{RELEASE(6, 8, 0), RELEASE(6, 12, 43)},
      {RELEASE(6, 13, 0), RELEASE(6, 15, 11)},
      {RELEASE(6, 16, 0), RELEASE(6, 16, 2)}}},
    {"0ea148a79919",
     "can crash the host while the same page is swapped (CVE-2025-38242)",
     false,
     {{RELEASE(6, 8, 0), RELEASE(6, 12, 37)}, {RELEASE(6, 13, 0), RELEASE(6, 15, 5)}}},
};

/* ---- Names ----------------------------------------------------------------------------------- */

struct parsed_name {
	uint32_t release;
	bool frozen; /* the patch level says nothing, or fixes were added that no number shows */
};

/* "6.12.48", "6.12": a missing patch level is 0. *end is behind it. False: no release. */
static bool parse_release(const char *text, uint32_t *release, const char **end)
{
	unsigned long part[RELEASE_PARTS] = {0};
	int count = 0;

	while (count < RELEASE_PARTS && *text >= '0' && *text <= '9') {
		char *behind;

		part[count++] = strtoul(text, &behind, 10);
		text = behind;
		if (*text != '.' || count == RELEASE_PARTS)
			break;
		text++;
	}
	*end = text;
	if (count < 2 || part[0] > 0xff || part[1] > LAST_PATCH || part[2] > LAST_PATCH)
		return false;
	*release = RELEASE(part[0], part[1], part[2]);
	return true;
}

/* Debian's name of a package, with the stable release in it: "... Debian 6.12.48-1 (2025-09-20)". */
static bool parse_debian(const char *version, uint32_t *release)
{
	const char *word = strstr(version, "Debian ");
	const char *end;

	return word && parse_release(word + strlen("Debian "), release, &end);
}

/* "Ubuntu 6.8.0-45.45-generic 6.8.12" */
static bool parse_signature(const char *signature, uint32_t *release)
{
	const char *word = strrchr(signature, ' ');
	const char *end;

	return word && parse_release(word + 1, release, &end);
}

static bool parse_name(const struct kernel_name *name, struct parsed_name *parsed)
{
	const char *suffix;

	if (!parse_release(name->release, &parsed->release, &suffix))
		return false;
	/* "-45-generic", "-503.el9": a number of the distribution's own behind a patch level that stays 0. */
	parsed->frozen = !(parsed->release & LAST_PATCH) && suffix[0] == '-' && suffix[1] >= '0' &&
			 suffix[1] <= '9';
	if (parse_debian(name->version, &parsed->release)) {
		parsed->frozen = false;
	} else if (parse_signature(name->signature, &parsed->release)) {
		/* It follows the stable releases, and takes fixes from others, too. */
		parsed->frozen = true;
	}
	return true;
}

/* ---- Judging --------------------------------------------------------------------------------- */

static bool has_fault(const struct kernel_fault *fault, uint32_t release)
{
	for (const struct fault_range *range = fault->ranges; range->from; range++)
		if (release >= range->from && release < range->fixed)
			return true;
	return false;
}

static void describe(const struct kernel_fault *fault, const struct kernel_name *name,
		     enum kernel_verdict verdict, char *text)
{
	size_t used = (size_t)snprintf(text, GMIG_ERROR_TEXT, "Linux %.60s: its UFFDIO_MOVE %s%s; ",
				       name->release, verdict == KERNEL_UNKNOWN ? "perhaps " : "",
				       fault->what);

	used +=
	    (size_t)snprintf(text + used, GMIG_ERROR_TEXT - used, "fixed by %s, in", fault->commit);
	for (const struct fault_range *range = fault->ranges; range->from; range++) {
		uint32_t fixed = range->fixed;

		used += (size_t)snprintf(text + used, GMIG_ERROR_TEXT - used, "%s %u.%u.%u",
					 range == fault->ranges ? "" : ",", fixed >> 24,
					 fixed >> 12 & LAST_PATCH, fixed & LAST_PATCH);
	}
	snprintf(text + used, GMIG_ERROR_TEXT - used, " and later series");
}

enum kernel_verdict kernel_judge(const struct kernel_name *name, char text[GMIG_ERROR_TEXT])
{
	enum kernel_verdict verdict = KERNEL_SAFE;
	struct parsed_name parsed;

	if (text)
		*text = '\0';
	if (!parse_name(name, &parsed)) {
		if (text)
			snprintf(text, GMIG_ERROR_TEXT,
				 "'%.60s' is not the name of a Linux release", name->release);
		return KERNEL_UNKNOWN;
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]) && verdict == KERNEL_SAFE; i++) {
		if (!has_fault(&faults[i], parsed.release))
			continue;
		verdict = parsed.frozen	      ? KERNEL_UNKNOWN
			  : faults[i].damages ? KERNEL_UNSAFE
					      : KERNEL_RISKY;
		if (text)
			describe(&faults[i], name, verdict, text);
	}
	/* A backport of UFFDIO_MOVE, which no table here knows. */
	if (verdict == KERNEL_SAFE && parsed.frozen && parsed.release < FIRST_MOVE) {
		verdict = KERNEL_UNKNOWN;
		if (text)
			snprintf(text, GMIG_ERROR_TEXT,
				 "Linux %.60s: older than UFFDIO_MOVE (6.8); whether a backport "
				 "has its fixes (fae654083bfa, c0205eaf3af9) is not known",
				 name->release);
	}
	return verdict;
}
