#include "mover.h"

const struct mover *const mover_all[] = {&mover_uffd, &mover_hugetlb, &mover_kernel, &mover_swap,
					 NULL};

/* The same order: a test compares them. */
static const char *const names[] = {"uffd", "hugetlb", "kernel", "swap", NULL};

const char *const *gmig_mover_names(void)
{
	return names;
}

const struct mover *mover_find(const char *name)
{
	if (!name || !name[0])
		return mover_all[0];
	for (unsigned int i = 0; mover_all[i]; i++)
		if (!strcmp(mover_all[i]->name, name))
			return mover_all[i];
	return NULL;
}
