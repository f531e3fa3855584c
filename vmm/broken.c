#include "broken.h"
#include "../migrate/core/wake.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>

#define NOTES 64

static _Atomic uintptr_t notes[NOTES]; /* 0: free */
static atomic_int wake = -1;

void broken_listen(int wake_fd)
{
	atomic_store(&wake, wake_fd);
	/* EINVAL: a kernel without CONFIG_MEMORY_FAILURE, which tells nobody. */
	prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
}

void broken_note(uintptr_t hva)
{
	for (size_t i = 0; i < NOTES; i++) {
		uintptr_t none = 0;

		if (atomic_compare_exchange_strong(&notes[i], &none, hva))
			break;
	}
	wake_by(atomic_load(&wake));
}

bool broken_take(uintptr_t *hva)
{
	for (size_t i = 0; i < NOTES; i++) {
		*hva = atomic_exchange(&notes[i], 0);
		if (*hva)
			return true;
	}
	return false;
}
