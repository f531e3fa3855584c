/*
 * Another process that has a guest's memory mapped, as those of vhost-user and ivshmem do.
 * usage: peer FILE BYTES read|punch
 * Maps the first BYTES of FILE (/proc/PID/fd/N of gmig-vmm) and no more, since a fault maps what lies around it, too; reads each
 * page of them, or punches a hole there; prints how many of these pages are not zero, and ends at the end of its input.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static unsigned long read_pages(const uint8_t *memory, size_t bytes)
{
	unsigned long filled = 0;

	for (size_t at = 0; at < bytes; at += PAGE) {
		uint64_t word = 0;

		for (size_t i = 0; i < PAGE; i += sizeof(word))
			word |= *(const volatile uint64_t *)(memory + at + i);
		filled += word != 0;
	}
	return filled;
}

int main(int argc, char **argv)
{
	struct stat st;
	void *memory;
	size_t bytes;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: peer FILE BYTES read|punch\n");
		return 2;
	}
	bytes = strtoull(argv[2], NULL, 0);
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || (size_t)st.st_size < bytes) {
		perror(argv[1]);
		return 1;
	}
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	if (!strcmp(argv[3], "punch") &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes)) {
		perror("fallocate");
		return 1;
	}
	/* To read a hole of tmpfs fills it. */
	printf("%lu\n", strcmp(argv[3], "punch") ? read_pages(memory, bytes) : 0ul);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
