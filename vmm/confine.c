#include "confine.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

int vmm_confine(struct gmig_error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return gmig_fail(err, -errno, "no-new-privs: %s", strerror(errno));
	return 0;
}
