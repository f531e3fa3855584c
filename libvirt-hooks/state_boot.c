#include "state_boot.h"
#include "../migrate/core/shortage.h"
#include "qemu_files.h"
#include "state_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "boot"

/* 0; -EINVAL: it is none; others: why it cannot be read. */
static int read_id(const char *root, const char *path, char id[STATE_BOOT_TEXT])
{
	size_t bytes;
	char *text QEMU_FREED = qemu_file_read(root, STATE_BOOT_TEXT + 1, &bytes, "%s", path);

	*id = '\0';
	if (!text)
		return -errno;
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) != STATE_BOOT_TEXT - 1)
		return -EINVAL;
	memcpy(id, text, STATE_BOOT_TEXT);
	return 0;
}

int state_boot_id(const char *root, char id[STATE_BOOT_TEXT])
{
	return read_id(root, "/proc/sys/kernel/random/boot_id", id);
}

/* How many there were; or -errno, and some are left. */
static int remove_all(const char *directory)
{
	int count = 0;

	for (const char *const *suffix = state_file_suffixes; *suffix; suffix++) {
		char(*uuids)[QEMU_UUID_TEXT];
		int found = state_file_list(directory, *suffix, &uuids);

		for (int i = 0; i < found; i++, count++)
			state_file_remove(directory, uuids[i], *suffix);
		free(uuids);
		if (found < 0)
			return found;
	}
	return count;
}

int state_boot_begin(const char *directory, const char *root)
{
	char path[PATH_MAX], id[STATE_BOOT_TEXT], before[STATE_BOOT_TEXT] = "";
	int count = 0, ret, old;

	if (snprintf(path, sizeof(path), "%s/" FILE_NAME, directory) >= (int)sizeof(path))
		return 0;
	ret = state_boot_id(root, id);
	old = read_id("", path, before);
	/* Not known now is not unknown: what is there would be taken for this boot's from now on. */
	if (is_shortage(ret) || is_shortage(old))
		return is_shortage(ret) ? ret : old;
	if (!ret && !old && !strcmp(id, before))
		return 0;
	/* Ahead of all: where there is no room for the new one, or we are killed here, the old one would have live journals removed next time. */
	if (unlink(path) == 0 && *id && *before)
		count = remove_all(directory);
	/* Those that are left are of the boot before still. */
	if (*id)
		(void)state_file_write(directory, path, count < 0 ? before : id);
	return count;
}
