/*
 * Not a VMM: a table in memory that moves from node 0 to node 1 and back while the program goes on reading and writing it.
 * usage: table [real]; by default two nodes are pretended. Exit status 77: it cannot work here.
 * gcc -o table table.c $(pkg-config --cflags --libs gmig)
 */
#include <gmig/gmig.h>

#include <stdio.h>

#define ROWS  (8ull << 20)
#define BYTES (ROWS * sizeof(uint64_t))

static uint64_t *table; /* a row: its number, and in the lower half how often it was written */
static unsigned long long writes, wrong;

static int move(struct gmig *gmig, uint16_t from, uint16_t to, struct gmig_error *err)
{
	struct gmig_job_spec spec = {.from = {from}, .from_count = 1, .to = {to}, .to_count = 1};
	unsigned long long before = writes;
	struct gmig_job_info info;
	struct gmig_job *job;

	if (gmig_job_start(gmig, &spec, &job, err))
		return err->code;
	do {
		for (uint64_t row, end = writes + 1000; writes < end; writes++) {
			row = writes * 1000003 % ROWS;
			wrong += table[row]++ >> 32 != row;
		}
		gmig_job_info(job, &info);
	} while (info.state < GMIG_JOB_COMPLETED);
	gmig_job_put(job);
	printf("%s: %llu of %llu MiB went from node %u to %u, %llu writes meanwhile\n",
	       gmig_job_state_name(info.state), (unsigned long long)info.moved_bytes >> 20,
	       BYTES >> 20, from, to, writes - before);
	return info.moved_bytes == BYTES ? 0 : gmig_fail(err, -1, "not all of it moved");
}

int main(int argc, char **argv)
{
	struct gmig_region_spec region = {.bytes = BYTES};
	struct gmig_options options = {0};
	struct gmig_error err = {0};
	struct gmig *gmig = NULL;

	if (!gmig_topology_create(argc > 1 ? 0 : 2, &options.topology, &err) &&
	    !gmig_create(&options, &gmig, &err) &&
	    !gmig_region_add(gmig, &region, (void **)&table, &err)) {
		for (uint64_t row = 0; row < ROWS; row++)
			table[row] = row << 32;
		if (!move(gmig, 0, 1, &err))
			move(gmig, 1, 0, &err);
		for (uint64_t row = 0; row < ROWS; row++)
			writes -= (uint32_t)table[row];
	}
	printf("%s: %llu writes lost, %llu rows wrong. %s\n", argv[0], writes, wrong, err.text);
	gmig_destroy(gmig);
	gmig_topology_put(options.topology);
	return !table ? 77 : err.code || wrong || writes;
}
