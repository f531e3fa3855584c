#include "legal.h"

#include <errno.h>

#define AUTO	 (1u << GMIG_MODE_AUTO)
#define READABLE (1u << GMIG_MODE_READABLE)
#define BLOCK	 (1u << GMIG_MODE_BLOCK)
#define LAZY	 (1u << GMIG_MODE_LAZY)

const struct legal legal_all[] = {
    {"ram", "uffd", AUTO | READABLE | BLOCK | LAZY},
    {"ram", "kernel", AUTO | READABLE}, /* the kernel has one way */
    {"ram", "swap", AUTO},		/* one way, and readers wait in it like writers */
    /* UFFDIO_MOVE knows private anonymous memory only, and none of hugetlbfs. */
    {"hugetlb", "hugetlb", AUTO | READABLE}, /* one way */
    {"hugetlb", "kernel", AUTO | READABLE},
    {"memfd", "kernel", AUTO | READABLE},
    {"memfd", "swap", AUTO},
    /* Where another process's pages come back to, says its policy, which nobody else can set. */
    {"process", "kernel", AUTO | READABLE},
    /* By its owner, whoever moves the rest. */
    {"own", "uffd", AUTO | READABLE | BLOCK},
    {"own", "hugetlb", AUTO | READABLE},
    {"own", "kernel", AUTO | READABLE},
    {"own", "swap", AUTO},
    {NULL, NULL, 0},
};

/* The movers that the kind has, for people: "uffd or kernel". */
static void movers_of(const char *kind, char *text, size_t bytes)
{
	size_t at = 0;

	text[0] = '\0';
	for (const struct legal *legal = legal_all; legal->kind; legal++)
		if (!strcmp(legal->kind, kind) && at < bytes)
			at += (size_t)snprintf(text + at, bytes - at, "%s%s", at ? " or " : "",
					       legal->mover);
}

bool legal_moves(const char *kind, const struct mover *mover)
{
	for (const struct legal *legal = legal_all; legal->kind; legal++)
		if (!strcmp(legal->kind, kind) && !strcmp(legal->mover, mover->name))
			return true;
	return false;
}

bool legal_by_frames(const struct region_kind *kind)
{
	return !kind->own && legal_moves(kind->name, &mover_uffd);
}

int legal_check(const char *kind, const struct mover *mover, enum gmig_mode mode,
		struct gmig_error *err)
{
	const struct legal *legal = legal_all;
	char movers[64];

	while (legal->kind &&
	       (strcmp(legal->kind, kind) != 0 || strcmp(legal->mover, mover->name) != 0))
		legal++;
	if (!legal->kind) {
		movers_of(kind, movers, sizeof(movers));
		return gmig_fail(err, -EINVAL, "mover %s does not move memory of kind %s: use %s",
				 mover->name, kind, movers[0] ? movers : "none, it stays");
	}
	if ((unsigned int)mode > GMIG_MODE_LAZY)
		return gmig_fail(err, -EINVAL, "mode %d is not known", (int)mode);
	if (!(legal->modes >> mode & 1))
		return gmig_fail(err, -EINVAL, "mover %s has no mode %s for memory of kind %s",
				 mover->name, gmig_mode_name(mode), kind);
	return 0;
}
