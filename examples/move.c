/*
 * The smallest use of libgmig: a "guest" of 64 MiB, which is only this thread, moves from fake node 0 to fake node 1.
 * gcc -o move move.c $(pkg-config --cflags --libs gmig)
 */
#include <gmig/gmig.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GUEST_BYTES (64ull << 20)

int main(void)
{
	struct gmig_region_spec region = {
	    .vnode = 0, .host_node = 0, .gpa = 0, .bytes = GUEST_BYTES};
	struct gmig_job_spec move = {.from = {0}, .to = {1}, .from_count = 1, .to_count = 1};
	struct gmig_topology *topology = NULL;
	uint64_t bytes[GMIG_MAX_NODES] = {0};
	struct gmig_job_info info = {0};
	struct gmig_options options = {0};
	struct gmig_error err = {0};
	struct gmig_job *job = NULL;
	struct gmig *gmig = NULL;
	void *ram = NULL;
	int rc;

	if (gmig_topology_create(2, &topology, &err))
		goto out;
	options.topology = topology;
	rc = gmig_create(&options, &gmig, &err);
	if (rc == -ENOSYS || rc == -EPERM) {
		printf("skipped: %s\n", err.text);
		gmig_topology_put(topology);
		return 77;
	}
	if (rc || gmig_region_add(gmig, &region, &ram, &err))
		goto out;
	memset(ram, 0x5a, GUEST_BYTES); /* a real VMM hands `ram` to KVM as userspace_addr */
	if (gmig_job_start(gmig, &move, &job, &err))
		goto out;
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_residency(gmig, 0, bytes);
	printf("%s: %llu MiB moved in %u pass(es), %llu MiB now on node 1, the content is %s\n",
	       gmig_job_state_name(info.state), (unsigned long long)info.moved_bytes >> 20,
	       info.passes, (unsigned long long)bytes[1] >> 20,
	       *(char *)ram == 0x5a ? "there" : "LOST");
out:
	if (err.code)
		fprintf(stderr, "move: %s\n", err.text);
	gmig_job_put(job);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	return err.code || info.moved_bytes != GUEST_BYTES;
}
