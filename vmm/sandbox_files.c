#include "sandbox_files.h"
#include "../migrate/core/shortage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights that came later than the headers of Debian 12. */
#define ACCESS_REFER	 (1ull << 13) /* version 2 */
#define ACCESS_TRUNCATE	 (1ull << 14) /* 3 */
#define ACCESS_IOCTL_DEV (1ull << 15) /* 5 */

static uint64_t known_rights(int abi)
{
	uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; /* the highest of version 1 */

	if (abi >= 2)
		rights |= ACCESS_REFER;
	if (abi >= 3)
		rights |= ACCESS_TRUNCATE;
	if (abi >= 5)
		rights |= ACCESS_IOCTL_DEV;
	return rights;
}

int sandbox_files_create(int *rules, int *abi, struct gmig_error *err)
{
	struct landlock_ruleset_attr attr = {0};

	*rules = -1;
	*abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (*abi <= 0) {
		*abi = 0;
		return 0;
	}
	attr.handled_access_fs = known_rights(*abi);
	*rules =
	    (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (*rules < 0)
		return gmig_fail(err, -errno, "--sandbox: landlock_create_ruleset: %s",
				 strerror(errno));
	return 0;
}

int sandbox_files_allow(int rules, const char *path, enum sandbox_files_right right,
			struct gmig_error *err)
{
	static const uint64_t rights[] = {
	    [SANDBOX_FILES_READ] = LANDLOCK_ACCESS_FS_READ_FILE,
	    [SANDBOX_FILES_REMOVE] = LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE,
	    [SANDBOX_FILES_DUMP] = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE,
	};
	struct landlock_path_beneath_attr rule = {.allowed_access = rights[right]};
	struct stat st;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0 && is_shortage(errno))
		return gmig_fail(err, -errno, "--sandbox: %s: %s", path, strerror(errno));
	if (rule.parent_fd < 0)
		return 0;
	if (right == SANDBOX_FILES_READ && !fstat(rule.parent_fd, &st) && S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		return gmig_fail(err, -errno, "--sandbox: a rule for %s: %s", path,
				 strerror(errno));
	return 0;
}

int sandbox_files_restrict(int rules, struct gmig_error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_landlock_restrict_self, rules, 0))
		return gmig_fail(err, -errno, "--sandbox: landlock_restrict_self: %s",
				 strerror(errno));
	return 0;
}
