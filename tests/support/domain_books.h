/* What a move of the domain of domain_rig.h leaves: on disk, in its notes, in its groups and pages. */
#ifndef TEST_DOMAIN_BOOKS_H
#define TEST_DOMAIN_BOOKS_H

#include "../../libvirt-hooks/move_journal.h"
#include "../../libvirt-hooks/node_journal.h"
#include "domain_rig.h"

static inline bool has_journal(void)
{
	struct move_journal journal;
	int ret = move_journal_read(journals, FAKE_UUID, &journal, NULL);

	if (!ret)
		move_journal_free(&journal);
	return !ret;
}

/* Of what libvirt is to be told. */
static inline bool has_note(void)
{
	struct node_journal journal;

	return !node_journal_read(journals, NODE_JOURNAL_TELL, FAKE_UUID, &journal, NULL);
}

static inline void expect_note(const char *text)
{
	struct domain_cpusets cpusets;

	/* Not while the end of a move holds it. */
	do {
		ck_assert_int_eq(domain_cpusets(domain, &cpusets, &err), 0);
	} while (cpusets.widened);
	ck_assert_msg(*text ? strstr(cpusets.note, text) != NULL : !*cpusets.note, "%s",
		      cpusets.note);
}

static const char *refused __attribute__((unused)); /* no group takes this set */

static inline void refuses(void *opaque, const char *path, const char *text)
{
	if (refused && !strcmp(text, refused)) {
		unlink(path);
		mkdir(path, 0700);
	}
	threads_follow(opaque, path, text);
}

/* The groups take all again, and have this. */
static inline void accept_again(const char *text)
{
	static const char *const groups[] = {"/emulator", "/vcpu0"};

	refused = NULL;
	for (size_t i = 0; i < 2; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/cg" SCOPE "%s/cpuset.mems", tree_root, groups[i]);
		rmdir(path);
		fake_file(path + strlen(tree_root) + 1, "%s\n", text);
	}
}

static inline size_t moved(size_t first, size_t end)
{
	size_t count = 0;

	for (size_t i = first; i < end; i++)
		count += fake_page[i].node == 1;
	return count;
}

#endif
