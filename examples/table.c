/*
 * Not a VMM: a table in memory that moves its own pages from node 0 to node 1 and back while threads read and write it.
 * usage: table [real]; by default two nodes are pretended.
 * gcc -o table table.c -pthread $(pkg-config --cflags --libs gmig)
 */
#include <gmig/gmig.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define BYTES (64ull << 20)
#define ROWS  (BYTES / sizeof(uint64_t))

static _Atomic uint64_t *table; /* a row: its number, and below it how often it was written */
static atomic_ullong writes, reads, wrong;
static atomic_bool stop;

static void *use(void *writer)
{
	for (uint64_t row = 0, seed = 1; !stop; row = (seed >> 24) % ROWS) {
		uint64_t seen = writer ? atomic_fetch_add(&table[row], 1) : table[row];

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		atomic_fetch_add(writer ? &writes : &reads, 1);
		wrong += seen >> 32 != row;
	}
	return NULL;
}

static int move(struct gmig *gmig, uint16_t from, uint16_t to, struct gmig_error *err)
{
	struct gmig_job_spec spec = {.from = {from}, .from_count = 1, .to = {to}, .to_count = 1};
	unsigned long long before = writes + reads;
	struct gmig_job_info info;
	struct gmig_job *job;

	if (gmig_job_start(gmig, &spec, &job, err))
		return err->code;
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	printf("%s: %llu of %llu MiB went from node %u to %u, %llu uses of the table meanwhile\n",
	       gmig_job_state_name(info.state), (unsigned long long)info.moved_bytes >> 20,
	       BYTES >> 20, from, to, writes + reads - before);
	return info.moved_bytes == BYTES ? 0 : gmig_fail(err, -EIO, "not all of it moved");
}

static void run(struct gmig *gmig, struct gmig_error *err)
{
	struct gmig_region_spec region = {.host_node = 0, .bytes = BYTES};
	pthread_t threads[4];

	if (gmig_region_add(gmig, &region, (void **)&table, err))
		return;
	for (uint64_t row = 0; row < ROWS; row++)
		table[row] = row << 32;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, use, i % 2 ? &writes : NULL);
	if (!move(gmig, 0, 1, err))
		move(gmig, 1, 0, err);
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (uint64_t row = 0; row < ROWS; row++)
		writes -= (uint32_t)table[row];
	if (!err->code && (wrong || writes))
		gmig_fail(err, -EIO, "%llu writes are lost, %llu rows were wrong", writes, wrong);
}

int main(int argc, char **argv)
{
	struct gmig_options options = {0};
	struct gmig_error err = {0};
	struct gmig *gmig = NULL;

	(void)argv;
	if (!gmig_topology_create(argc > 1 ? 0 : 2, &options.topology, &err) &&
	    !gmig_create(&options, &gmig, &err))
		run(gmig, &err);
	if (err.code)
		fprintf(stderr, "table: %s\n", err.text);
	gmig_destroy(gmig);
	gmig_topology_put(options.topology);
	return !gmig && err.code != -ENODEV ? 77 : err.code != 0; /* 77: it cannot work here */
}
