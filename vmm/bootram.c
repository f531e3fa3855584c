#include "bootram.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* pread(2) takes and returns a ssize_t and never does more than about 2 GiB at once. */
#define READ_MAX_BYTES (64ull << 20)

/* Host pointer of gpa; *bytes is limited to the rest of the region. NULL: not RAM. */
static uint8_t *piece(const struct bootram *ram, uint64_t gpa, uint64_t *bytes)
{
	for (size_t i = 0; i < ram->count; i++) {
		const struct vmm_region *region = &ram->regions[i];
		uint64_t offset = gpa - region->gpa;

		if (gpa < region->gpa || offset >= region->bytes)
			continue;
		if (*bytes > region->bytes - offset)
			*bytes = region->bytes - offset;
		return region->hva + offset;
	}
	return NULL;
}

uint64_t bootram_run_end(const struct bootram *ram, uint64_t gpa)
{
	uint64_t bytes = UINT64_MAX;

	while (piece(ram, gpa, &bytes)) {
		gpa += bytes;
		bytes = UINT64_MAX;
	}
	return gpa;
}

/* Writes nothing unless the whole range is RAM. */
static bool is_ram(const struct bootram *ram, uint64_t gpa, uint64_t bytes)
{
	uint64_t end = bootram_run_end(ram, gpa);

	return end > gpa && bytes <= end - gpa;
}

int bootram_write(const struct bootram *ram, uint64_t gpa, const void *data, uint64_t bytes)
{
	const uint8_t *from = data;

	if (!is_ram(ram, gpa, bytes))
		return -EFAULT;
	while (bytes) {
		uint64_t now = bytes;

		memcpy(piece(ram, gpa, &now), from, now);
		gpa += now;
		from += now;
		bytes -= now;
	}
	return 0;
}

int bootram_zero(const struct bootram *ram, uint64_t gpa, uint64_t bytes)
{
	if (!is_ram(ram, gpa, bytes))
		return -EFAULT;
	while (bytes) {
		uint64_t now = bytes;

		memset(piece(ram, gpa, &now), 0, now);
		gpa += now;
		bytes -= now;
	}
	return 0;
}

int bootram_read(const struct bootram *ram, uint64_t gpa, int fd, uint64_t offset, uint64_t bytes)
{
	if (!is_ram(ram, gpa, bytes))
		return -EFAULT;
	while (bytes) {
		uint64_t now = bytes < READ_MAX_BYTES ? bytes : READ_MAX_BYTES;
		uint8_t *hva = piece(ram, gpa, &now);
		ssize_t got = pread(fd, hva, now, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ENODATA;
		gpa += (uint64_t)got;
		offset += (uint64_t)got;
		bytes -= (uint64_t)got;
	}
	return 0;
}
