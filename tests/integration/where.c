/*
 * Where do another process's pages lie? Asks the kernel (move_pages(2) without nodes) for each 4K page of a range.
 * usage: where PID ADDRESS BYTES        prints {"<node>": bytes, "absent": bytes}
 * Independent of libgmig on purpose: it is the second opinion.
 */
#include <errno.h>
#include <numaif.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE  4096ull
#define BATCH 4096
#define NODES 64

int main(int argc, char **argv)
{
	static void *address[BATCH];
	static int status[BATCH];
	uint64_t on[NODES] = {0}, absent = 0, start, bytes, done;
	const char *comma = "";
	int pid;

	if (argc != 4) {
		fprintf(stderr, "usage: where PID ADDRESS BYTES\n");
		return 2;
	}
	pid = atoi(argv[1]);
	start = strtoull(argv[2], NULL, 0);
	bytes = strtoull(argv[3], NULL, 0);
	for (done = 0; done < bytes;) {
		unsigned long count = 0, i;

		for (; count < BATCH && done < bytes; count++, done += PAGE)
			address[count] = (void *)(uintptr_t)(start + done);
		if (move_pages(pid, count, address, NULL, status, 0)) {
			fprintf(stderr, "where: move_pages: %s\n", strerror(errno));
			return 1;
		}
		for (i = 0; i < count; i++) {
			if (status[i] >= 0 && status[i] < NODES)
				on[status[i]] += PAGE;
			else
				absent += PAGE;
		}
	}
	printf("{");
	for (int node = 0; node < NODES; node++) {
		if (!on[node])
			continue;
		printf("%s\"%d\": %llu", comma, node, (unsigned long long)on[node]);
		comma = ", ";
	}
	printf("%s\"absent\": %llu}\n", comma, (unsigned long long)absent);
	return 0;
}
