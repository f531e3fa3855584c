#include "heat.h"

#include "../gmig_nodes.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_GIB    512u /* GiB of a leaf, and leaves: 256 TiB */
#define STEPS	    4	 /* of an octave */
#define NO_NODE	    0xff /* nobody, or one with a higher number */
#define FASTEST_NS  (HEAT_WINDOW_NS >> ((HEAT_MAX - HEAT_COLD - 1) / STEPS))
#define PPM	    1000000u
#define MOVED_WORDS (HEAT_GIB_BLOCKS / 64)

/* One GiB. Blocks that have moved are noted by the window in which they did; two of these can matter. */
struct gib {
	uint8_t heat[HEAT_GIB_BLOCKS];
	uint8_t node[HEAT_GIB_BLOCKS];
	uint64_t newest_ns;
	uint64_t reported[MOVED_WORDS]; /* a bit for each whose heat is no sample's */
	uint64_t window[2];
	uint64_t moved[2][MOVED_WORDS];
};

struct leaf {
	struct gib *gib[LEAF_GIB];
};

struct heat {
	pthread_mutex_t lock;
	/* guarded by lock */
	bool known;
	struct leaf *leaf[LEAF_GIB];
};

int heat_create(struct heat **out)
{
	struct heat *heat = calloc(1, sizeof(*heat));

	if (!heat)
		return -ENOMEM;
	pthread_mutex_init(&heat->lock, NULL);
	*out = heat;
	return 0;
}

void heat_destroy(struct heat *heat)
{
	if (!heat)
		return;
	for (unsigned int i = 0; i < LEAF_GIB; i++) {
		for (unsigned int k = 0; heat->leaf[i] && k < LEAF_GIB; k++)
			free(heat->leaf[i]->gib[k]);
		free(heat->leaf[i]);
	}
	pthread_mutex_destroy(&heat->lock);
	free(heat);
}

/* ---- One block: callers hold the lock -------------------------------------------------------------- */

/* NULL: nothing was ever seen of it, or there is no memory for it. */
static struct gib *gib_of(struct heat *heat, uint64_t block, bool make)
{
	uint64_t number = block / HEAT_GIB_BLOCKS;
	struct leaf **leaf;
	struct gib **gib;

	if (number / LEAF_GIB >= LEAF_GIB)
		return NULL;
	leaf = &heat->leaf[number / LEAF_GIB];
	if (!*leaf && make)
		*leaf = calloc(1, sizeof(**leaf));
	if (!*leaf)
		return NULL;
	gib = &(*leaf)->gib[number % LEAF_GIB];
	if (!*gib && make) {
		*gib = calloc(1, sizeof(**gib));
		if (*gib)
			memset((*gib)->node, NO_NODE, sizeof((*gib)->node));
	}
	return *gib;
}

static bool is_moved(const struct gib *gib, unsigned int at, uint64_t now_ns)
{
	uint64_t window = now_ns / HEAT_WINDOW_NS + 1;

	for (unsigned int i = 0; i < 2; i++)
		if (gib->window[i] + 1 >= window && gib->moved[i][at / 64] >> at % 64 & 1)
			return true;
	return false;
}

static unsigned int seen(const struct gib *gib, unsigned int at, uint64_t now_ns)
{
	return is_moved(gib, at, now_ns) ? HEAT_UNKNOWN : gib->heat[at];
}

/* The logarithm of how many times it goes into the window, in quarter octaves: by the two bits behind the highest one. */
static unsigned int heat_after(uint64_t after_ns)
{
	uint64_t times;
	unsigned int octave;

	if (after_ns >= HEAT_WINDOW_NS)
		return HEAT_COLD;
	if (after_ns < FASTEST_NS)
		after_ns = FASTEST_NS;
	times = HEAT_WINDOW_NS * STEPS / after_ns;
	octave = 61 - (unsigned int)__builtin_clzll(times); /* of times / STEPS */
	return HEAT_COLD + 1 + octave * STEPS + (unsigned int)(times >> octave) % STEPS;
}

/* Evenly, on both sides of what is hot. */
static unsigned int heat_share(uint32_t share_ppm)
{
	if (!share_ppm)
		return HEAT_COLD;
	if (share_ppm < HEAT_HOT_PPM)
		return HEAT_COLD + 1 + share_ppm / (HEAT_HOT_PPM / (HEAT_HOT - HEAT_COLD - 1) + 1);
	if (share_ppm >= PPM)
		return HEAT_MAX;
	return HEAT_HOT +
	       (share_ppm - HEAT_HOT_PPM) / ((PPM - HEAT_HOT_PPM) / (HEAT_MAX - HEAT_HOT) + 1);
}

/* With what is known from the same source: half and half. */
static void learn(struct gib *gib, unsigned int at, unsigned int it, bool report)
{
	uint64_t bit = 1ull << at % 64;
	bool reported = gib->reported[at / 64] & bit;

	if (gib->heat[at] != HEAT_UNKNOWN && reported == report)
		it = (gib->heat[at] + it) / 2;
	gib->heat[at] = (uint8_t)it;
	gib->reported[at / 64] &= ~bit;
	gib->reported[at / 64] |= report ? bit : 0;
}

/* ---- Samples and reports ----------------------------------------------------------------------------- */

int heat_note(struct heat *heat, uint64_t block, uint64_t after_ns, unsigned int node,
	      uint64_t now_ns)
{
	unsigned int at = (unsigned int)(block % HEAT_GIB_BLOCKS), sample = heat_after(after_ns);
	struct gib *gib;

	pthread_mutex_lock(&heat->lock);
	gib = gib_of(heat, block, true);
	if (gib) {
		learn(gib, at, sample, false);
		if (node < NO_NODE)
			gib->node[at] = (uint8_t)node;
		gib->newest_ns = now_ns;
		heat->known = true;
	}
	pthread_mutex_unlock(&heat->lock);
	return gib ? 0 : -ENOMEM;
}

int heat_report(struct heat *heat, uint64_t block, uint32_t share_ppm, uint64_t now_ns)
{
	unsigned int at = (unsigned int)(block % HEAT_GIB_BLOCKS);
	struct gib *gib;
	int ret = 0;

	pthread_mutex_lock(&heat->lock);
	gib = gib_of(heat, block, true);
	if (!gib) {
		ret = -ENOMEM;
	} else if (is_moved(gib, at, now_ns)) {
		ret = -EAGAIN;
	} else {
		learn(gib, at, heat_share(share_ppm), true);
		gib->newest_ns = now_ns;
		heat->known = true;
	}
	pthread_mutex_unlock(&heat->lock);
	return ret;
}

void heat_moved(struct heat *heat, uint64_t block, uint64_t now_ns)
{
	unsigned int at = (unsigned int)(block % HEAT_GIB_BLOCKS);
	uint64_t window = now_ns / HEAT_WINDOW_NS + 1;
	struct gib *gib;

	pthread_mutex_lock(&heat->lock);
	gib = gib_of(heat, block, false);
	if (gib) {
		if (gib->window[window % 2] != window) {
			gib->window[window % 2] = window;
			memset(gib->moved[window % 2], 0, sizeof(gib->moved[0]));
		}
		gib->moved[window % 2][at / 64] |= 1ull << at % 64;
	}
	pthread_mutex_unlock(&heat->lock);
}

void heat_forget(struct heat *heat, uint64_t block)
{
	struct gib *gib;

	pthread_mutex_lock(&heat->lock);
	gib = gib_of(heat, block, false);
	if (gib) {
		gib->heat[block % HEAT_GIB_BLOCKS] = HEAT_UNKNOWN;
		gib->node[block % HEAT_GIB_BLOCKS] = NO_NODE;
	}
	pthread_mutex_unlock(&heat->lock);
}

/* ---- Questions ----------------------------------------------------------------------------------------- */

unsigned int heat_of(struct heat *heat, uint64_t block, uint64_t now_ns)
{
	unsigned int result = HEAT_UNKNOWN;
	struct gib *gib;

	pthread_mutex_lock(&heat->lock);
	gib = gib_of(heat, block, false);
	if (gib)
		result = seen(gib, (unsigned int)(block % HEAT_GIB_BLOCKS), now_ns);
	pthread_mutex_unlock(&heat->lock);
	return result;
}

bool heat_was_moved(struct heat *heat, uint64_t block, uint64_t now_ns)
{
	struct gib *gib;
	bool moved;

	pthread_mutex_lock(&heat->lock);
	gib = gib_of(heat, block, false);
	moved = gib && is_moved(gib, (unsigned int)(block % HEAT_GIB_BLOCKS), now_ns);
	pthread_mutex_unlock(&heat->lock);
	return moved;
}

bool heat_is_known(struct heat *heat)
{
	bool known;

	pthread_mutex_lock(&heat->lock);
	known = heat->known;
	pthread_mutex_unlock(&heat->lock);
	return known;
}

/* The nodes with most blocks; of two alike the lower one comes first. */
static void choose_nodes(const unsigned int blocks[NO_NODE], struct heat_sum *sum)
{
	for (unsigned int node = 0; node < NO_NODE; node++) {
		unsigned int at = HEAT_NODES;

		while (at && sum->by[at - 1].blocks < blocks[node])
			at--;
		if (!blocks[node] || at == HEAT_NODES)
			continue;
		memmove(&sum->by[at + 1], &sum->by[at], (HEAT_NODES - 1 - at) * sizeof(sum->by[0]));
		sum->by[at].node = node;
		sum->by[at].blocks = blocks[node];
	}
}

void heat_sum(struct heat *heat, uint64_t first, unsigned int count, uint64_t now_ns,
	      struct heat_sum *sum)
{
	unsigned int begin = (unsigned int)(first % HEAT_GIB_BLOCKS), by_node[NO_NODE] = {0};
	struct gib *gib;

	memset(sum, 0, sizeof(*sum));
	pthread_mutex_lock(&heat->lock);
	gib = gib_of(heat, first, false);
	for (unsigned int at = begin; gib && at < begin + count && at < HEAT_GIB_BLOCKS; at++) {
		unsigned int it = seen(gib, at, now_ns);

		if (it == HEAT_UNKNOWN)
			continue;
		sum->hot += it >= HEAT_HOT;
		sum->warm += it > HEAT_COLD && it < HEAT_HOT;
		sum->cold += it == HEAT_COLD;
		sum->reported += gib->reported[at / 64] >> at % 64 & 1;
		if (gib->node[at] != NO_NODE)
			by_node[gib->node[at]]++;
	}
	if (gib && sum->hot + sum->warm + sum->cold)
		sum->newest_ns = gib->newest_ns;
	pthread_mutex_unlock(&heat->lock);
	choose_nodes(by_node, sum);
}
