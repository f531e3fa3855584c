#include "heat_order.h"

#include "../../migrate/gmig_heat.h"
#include "clocks.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOT_PER_CENT   10
#define HOT_ACCESSES   95   /* of 100 */
#define ACCESS_NS      2000 /* a guest does something with what it reads, too */
#define SAMPLED_ROUNDS 4
#define SAMPLED_MAX_S  120
#define RATE	       (256ull << 20)
#define ENOUGH	       0.9
#define GOLDEN	       0x9e3779b97f4a7c15ull

const double heat_share[HEAT_POINTS] = {0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1};

struct user {
	struct gmig *gmig;
	volatile unsigned char *ram;
	uint64_t blocks;
	uint64_t *order;      /* blocks in an order of their own: the first tenth is hot */
	atomic_ullong *count; /* of accesses to each block */
	atomic_bool stop;
	pthread_t thread;
	bool started;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += GOLDEN;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void *use(void *arg)
{
	struct user *user = arg;
	uint64_t state = 1, hot = user->blocks * HOT_PER_CENT / 100;

	gmig_name_vcpu_thread(user->gmig, 0, (int)syscall(SYS_gettid));
	while (!atomic_load(&user->stop)) {
		bool is_hot = next_random(&state) % 100 < HOT_ACCESSES;
		uint64_t at = is_hot ? next_random(&state) % hot
				     : hot + next_random(&state) % (user->blocks - hot);
		uint64_t block = user->order[at], end = now_ns() + ACCESS_NS;

		(void)user->ram[block * GMIG_BLOCK_BYTES +
				next_random(&state) % GMIG_BLOCK_PAGES * GMIG_PAGE_BYTES];
		atomic_fetch_add_explicit(&user->count[block], 1, memory_order_relaxed);
		while (now_ns() < end)
			;
	}
	return NULL;
}

/* Everything is there, and hot blocks lie anywhere. */
static int user_start(struct user *user, struct gmig_error *err)
{
	uint64_t state = 7;

	user->order = calloc(user->blocks, sizeof(*user->order));
	user->count = calloc(user->blocks, sizeof(*user->count));
	if (!user->order || !user->count)
		return gmig_fail(err, -ENOMEM, "no memory for a guest");
	for (uint64_t i = 0; i < user->blocks; i++) {
		uint64_t other = next_random(&state) % (i + 1);

		user->order[i] = user->order[other];
		user->order[other] = i;
	}
	for (uint64_t at = 0; at < user->blocks * GMIG_BLOCK_BYTES; at += GMIG_PAGE_BYTES)
		user->ram[at] = 1;
	user->started = !pthread_create(&user->thread, NULL, use, user);
	if (!user->started)
		return gmig_fail(err, -EAGAIN, "no thread for a guest");
	return 0;
}

static void user_end(struct user *user)
{
	if (user->started) {
		atomic_store(&user->stop, true);
		pthread_join(user->thread, NULL);
	}
	gmig_destroy(user->gmig);
	free(user->order);
	free(user->count);
}

static int user_make(uint64_t bytes, struct user *user, struct gmig_error *err)
{
	struct gmig_options options = {.unsafe_kernel = true};
	struct gmig_region_spec spec = {.bytes = bytes};
	void *ram;
	int rc = gmig_topology_create(2, &options.topology, err);

	if (rc)
		return rc;
	rc = gmig_create(&options, &user->gmig, err);
	gmig_topology_put(options.topology);
	if (!rc)
		rc = gmig_region_add(user->gmig, &spec, &ram, err);
	if (rc)
		return rc;
	user->ram = ram;
	user->blocks = bytes / GMIG_BLOCK_BYTES;
	return user_start(user, err);
}

/* The blocks in the order in which they moved, weighed by the accesses of the time in which they did. */
static int draw(const struct user *user, struct gmig_job *job, const uint64_t *before,
		struct heat_curve *curve, struct gmig_error *err)
{
	struct gmig_trace_record *record = calloc(user->blocks, sizeof(*record));
	size_t moved = record ? gmig_job_trace(job, 0, record, user->blocks) : 0, point = 0;
	double all = 0, local = 0;

	if (moved != user->blocks) {
		free(record);
		return gmig_fail(err, -EIO, "%zu of %llu blocks moved in one piece", moved,
				 (unsigned long long)user->blocks);
	}
	for (uint64_t i = 0; i < user->blocks; i++)
		all += (double)(atomic_load(&user->count[i]) - before[i]);
	curve->for_90 = 1;
	for (size_t i = 0; i < moved; i++) {
		uint64_t block = record[i].gpa / GMIG_BLOCK_BYTES;
		double share = (double)(i + 1) / (double)moved;

		local += (double)(atomic_load(&user->count[block]) - before[block]);
		if (local >= ENOUGH * all && share < curve->for_90)
			curve->for_90 = share;
		while (point < HEAT_POINTS && share >= heat_share[point] - 1e-9)
			curve->local[point++] = local / all;
	}
	free(record);
	return 0;
}

static int move(struct user *user, unsigned int from, enum gmig_order order,
		struct heat_curve *curve, struct gmig_error *err)
{
	const struct gmig_job_spec spec = {.from = {(uint16_t)from},
					   .to = {!from},
					   .from_count = 1,
					   .to_count = 1,
					   .rate_bytes_per_second = RATE,
					   .order = order,
					   .trace = true};
	uint64_t *before = calloc(user->blocks, sizeof(*before));
	struct gmig_job *job = NULL;
	int rc = before ? 0 : gmig_fail(err, -ENOMEM, "no memory for a guest");

	for (uint64_t i = 0; !rc && i < user->blocks; i++)
		before[i] = atomic_load(&user->count[i]);
	if (!rc)
		rc = gmig_job_start(user->gmig, &spec, &job, err);
	if (!rc) {
		gmig_job_wait(job);
		rc = draw(user, job, before, curve, err);
		gmig_job_put(job);
	}
	free(before);
	return rc;
}

/* Sampling as anybody switches it on, without a word about its rate. */
static int sample(struct user *user, struct heat_order *result, struct gmig_error *err)
{
	const struct gmig_sampling how = {0};
	struct gmig_sampling_info info;
	uint64_t all = 0, hot = 0;
	int rc = gmig_sampling_start(user->gmig, &how, err);

	if (rc)
		return rc;
	do {
		sleep_ns(100000000);
		gmig_sampling_info(user->gmig, &info);
	} while (info.rounds < SAMPLED_ROUNDS && info.on_ns < SAMPLED_MAX_S * 1000000000ull);
	gmig_sampling_stop(user->gmig);
	for (uint64_t i = 0; i < user->blocks; i++) {
		all += atomic_load(&user->count[user->order[i]]);
		if (i < user->blocks * HOT_PER_CENT / 100)
			hot += atomic_load(&user->count[user->order[i]]);
	}
	result->seconds = (double)info.on_ns * 1e-9;
	result->rounds = (double)info.rounds;
	result->slowdown = info.slowdown_ppm / 1e6;
	result->hot_share = all ? (double)hot / (double)all : 0;
	result->accesses_rate = (double)all / result->seconds;
	return 0;
}

int heat_order_measure(uint64_t bytes, struct heat_order *order, struct gmig_error *err)
{
	struct user user = {.gmig = NULL};
	int rc = user_make(bytes, &user, err);

	if (!rc)
		rc = sample(&user, order, err);
	if (!rc)
		rc = move(&user, 0, GMIG_ORDER_ADDRESS, &order->by_address, err);
	/* What has moved is unknown for a while. */
	if (!rc)
		sleep_ns(600000000u);
	if (!rc)
		rc = move(&user, 1, GMIG_ORDER_HOT_FIRST, &order->hot_first, err);
	user_end(&user);
	return rc;
}
