/*
 * A word says what is known of a block: its number, and how many of its pages were to be moved when
 * the set was made. PARTIAL: not all that lies on such a node belongs to the work; which pages do is
 * in a map of its own.
 */
#include "workset.h"

#include "../core/permute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_BITS  10
#define PAGES_MASK  ((1ull << PAGES_BITS) - 1)
#define PARTIAL	    (1ull << PAGES_BITS)
#define BLOCK_SHIFT (PAGES_BITS + 1)

struct workset_map {
	uint64_t block;
	struct bits pages;
};

static uint64_t word_of(uint64_t gfn, unsigned int pages, bool partial)
{
	return gfn / GMIG_BLOCK_PAGES << BLOCK_SHIFT | (partial ? PARTIAL : 0) | pages;
}

uint64_t workset_gfn(uint64_t word)
{
	return (word >> BLOCK_SHIFT) * GMIG_BLOCK_PAGES;
}

unsigned int workset_pages(uint64_t word)
{
	return (unsigned int)(word & PAGES_MASK);
}

/* ---- Blocks that have something to move ----------------------------------------------------- */

/* Blocks with a majority source node: what the sources' order is applied to. */
struct found {
	const struct plan *plan;
	const struct workset_options *options;
	struct workset *set;
	uint16_t *source;
	size_t room, map_room;
	/* The block that is being looked at. */
	uint64_t gfn;
	uint16_t pages[GMIG_MAX_NODES];
	struct gmig_node_set nodes; /* those that have some of pages */
	struct bits wanted;
	unsigned int seen; /* pages that are there, wanted or not */
	bool open;
	bool in_order; /* blocks are done in the order in which they are found */
};

#define FILLED 1 /* ends a walk: what has been found is all that may be kept */

/* Is this plan one in which new memory could be taken for old? */
static bool is_cyclic(const struct plan *plan)
{
	struct gmig_node_set both = plan->sources;

	gmig_node_set_and(&both, &plan->targets);
	return !gmig_node_set_empty(&both);
}

static int keep_map(struct found *found)
{
	struct workset *set = found->set;

	if (set->map_count == found->map_room) {
		size_t room = found->map_room ? 2 * found->map_room : 64;
		struct workset_map *maps = reallocarray(set->maps, room, sizeof(*maps));

		if (!maps)
			return -ENOMEM;
		set->maps = maps;
		found->map_room = room;
	}
	set->maps[set->map_count++] =
	    (struct workset_map){found->gfn / GMIG_BLOCK_PAGES, found->wanted};
	return 0;
}

static int close_block(struct found *found)
{
	unsigned int best = 0, most = 0, pages = bits_count(&found->wanted);
	/* New memory comes where there was none; by the second look it has come. */
	bool partial =
	    (found->seen < GMIG_BLOCK_PAGES || found->options->late) && is_cyclic(found->plan);
	struct workset *set = found->set;
	int ret = 0;

	gmig_node_set_each (node, &found->nodes) {
		if (found->pages[node] > most) {
			best = node;
			most = found->pages[node];
		}
		found->pages[node] = 0;
	}
	/* As keep_first() would do. */
	if (found->in_order && found->options->max_pages &&
	    pages > found->options->max_pages - set->pages)
		pages = 0;
	if (pages && set->count == found->room)
		ret = -ENOSPC;
	else if (pages && partial)
		ret = keep_map(found);
	if (pages && !ret) {
		found->source[set->count] = (uint16_t)best;
		set->word[set->count++] = word_of(found->gfn, pages, partial);
		set->pages += pages;
	}
	found->nodes = (struct gmig_node_set){{0}};
	bits_clear_all(&found->wanted);
	found->seen = 0;
	found->open = false;
	if (!ret && found->in_order && set->pages && set->pages == found->options->max_pages)
		ret = FILLED;
	return ret;
}

/* What somebody else holds may be put back: it belongs to the work until its holder has moved it. */
static int look(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct found *found = arg;
	unsigned int pages = 1u << entry->order;
	uint64_t block = gfn & ~(uint64_t)(GMIG_BLOCK_PAGES - 1);
	int ret = 0;

	if (entry->state == SHADOW_NONE || entry->node >= GMIG_MAX_NODES)
		return 0;
	if (found->open && found->gfn != block)
		ret = close_block(found);
	if (ret)
		return ret;
	if (found->options->stop && !found->open && found->options->stop(found->options->stop_arg))
		return -ECANCELED;
	found->open = true;
	found->gfn = block;
	found->seen += pages;
	if (gmig_node_set_has(&found->plan->left, entry->node))
		found->set->on_left += pages;
	if (found->options->late && gmig_node_set_has(&found->plan->targets, entry->node))
		return 0;
	pages = plan_select(found->plan, gfn, entry, &found->wanted);
	if (!pages)
		return 0;
	gmig_node_set_add(&found->nodes, entry->node);
	found->pages[entry->node] = (uint16_t)(found->pages[entry->node] + pages);
	return 0;
}

static int look_everywhere(struct found *found)
{
	const struct workset_options *options = found->options;
	int ret = 0;

	for (size_t i = 0; i < options->range_count; i++)
		found->room += options->ranges[i].pages / GMIG_BLOCK_PAGES;
	found->set->word = malloc((found->room + 1) * sizeof(*found->set->word));
	found->source = calloc(found->room + 1, sizeof(*found->source));
	if (!found->set->word || !found->source)
		return -ENOMEM;
	for (size_t i = 0; i < options->range_count && !ret; i++) {
		ret = options->walk(options->walk_arg, options->ranges[i].gfn,
				    options->ranges[i].pages, look, found);
		if (!ret && found->open)
			ret = close_block(found);
	}
	return ret == FILLED ? 0 : ret;
}

/* One node is left as a whole, by address. */
static bool is_in_order(const struct plan *plan, const struct workset_options *options)
{
	unsigned int first = gmig_node_set_next(&plan->sources, 0);

	if (options->random_seed || options->rank)
		return false;
	return !plan->ops->by_node || first >= GMIG_MAX_NODES ||
	       gmig_node_set_next(&plan->sources, first + 1) >= GMIG_MAX_NODES;
}

/* ---- Order ---------------------------------------------------------------------------------- */

/* The nodes whose pages go next: one node, or all of a cycle. */
static struct gmig_node_set next_sources(const struct plan_map *map,
					 const struct gmig_node_set *remaining)
{
	struct gmig_node_set sources = {{0}};
	unsigned int at;

	gmig_node_set_each (node, remaining) {
		if (!gmig_node_set_has(remaining, map->to[node])) {
			gmig_node_set_add(&sources, node);
			return sources;
		}
	}
	/* Every remaining node goes to a remaining one: whoever follows the arrows ends in a cycle.
	 */
	at = gmig_node_set_next(remaining, 0);
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++)
		at = map->to[at];
	while (!gmig_node_set_has(&sources, at)) {
		gmig_node_set_add(&sources, at);
		at = map->to[at];
	}
	return sources;
}

struct queues {
	uint64_t *word;		     /* all blocks, a node's together, by address */
	size_t next[GMIG_MAX_NODES]; /* index into word */
	size_t end[GMIG_MAX_NODES];
	/* At random: of each queue, where it begins, and who has the n-th turn. */
	uint64_t random_seed; /* 0: by address */
	size_t begin[GMIG_MAX_NODES];
	struct permute permute[GMIG_MAX_NODES];
};

/* The next block of a node. */
static uint64_t take_next(struct queues *queues, unsigned int node)
{
	size_t at = queues->next[node]++;

	if (queues->random_seed)
		at = queues->begin[node] +
		     permute_at(&queues->permute[node], at - queues->begin[node]);
	return queues->word[at];
}

static int sort_by_source(const struct found *found, struct queues *queues)
{
	size_t at = 0;

	memset(queues, 0, sizeof(*queues));
	queues->word = malloc((found->set->count ? found->set->count : 1) * sizeof(*queues->word));
	if (!queues->word)
		return -ENOMEM;
	for (size_t i = 0; i < found->set->count; i++)
		queues->end[found->source[i]]++;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		queues->next[node] = at;
		at += queues->end[node];
		queues->end[node] = queues->next[node];
	}
	for (size_t i = 0; i < found->set->count; i++)
		queues->word[queues->end[found->source[i]]++] = found->set->word[i];
	queues->random_seed = found->options->random_seed;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		queues->begin[node] = queues->next[node];
		permute_init(&queues->permute[node], queues->end[node] - queues->next[node],
			     queues->random_seed + node);
	}
	return 0;
}

/*
 * A node by itself goes whole. The nodes of a cycle take turns, block by block: what leaves one
 * makes room for what comes next, so that full nodes can change places with a block or two to
 * spare.
 */
static size_t emit(struct queues *queues, const struct gmig_node_set *sources, uint64_t *out)
{
	uint16_t source[GMIG_MAX_NODES];
	unsigned int count = 0;
	size_t emitted = 0;
	bool more = true;

	gmig_node_set_each (node, sources)
		source[count++] = (uint16_t)node;
	while (more) {
		more = false;
		for (unsigned int i = 0; i < count; i++) {
			if (queues->next[source[i]] == queues->end[source[i]])
				continue;
			out[emitted++] = take_next(queues, source[i]);
			more = true;
		}
	}
	return emitted;
}

static void shuffle(struct queues *queues, size_t count, uint64_t *out)
{
	struct permute permute;

	memcpy(queues->word, out, count * sizeof(*out));
	permute_init(&permute, count, queues->random_seed);
	for (size_t i = 0; i < count; i++)
		out[i] = queues->word[permute_at(&permute, i)];
}

/* A counting sort, which leaves those of one rank in their order. scratch: room for as many. -ENOMEM. */
static int rank(const struct workset_options *options, uint64_t *word, size_t count,
		uint64_t *scratch)
{
	size_t begin[WORKSET_RANKS + 1] = {0};
	uint8_t *ranks = malloc(count ? count : 1);

	if (!ranks)
		return -ENOMEM;
	/* Each is asked once: another answer in between would be out of its place. */
	for (size_t i = 0; i < count; i++) {
		ranks[i] = (uint8_t)options->rank(options->rank_arg, workset_gfn(word[i]));
		begin[ranks[i] + 1]++;
	}
	for (unsigned int i = 0; i < WORKSET_RANKS; i++)
		begin[i + 1] += begin[i];
	for (size_t i = 0; i < count; i++)
		scratch[begin[ranks[i]]++] = word[i];
	memcpy(word, scratch, count * sizeof(*word));
	free(ranks);
	return 0;
}

/* Of each node, or all together; the set's own words are in the queues by now. */
static int rank_all(const struct plan *plan, const struct workset_options *options,
		    struct queues *queues, struct workset *set)
{
	int ret = 0;

	if (!options->rank)
		return 0;
	if (!plan->ops->by_node)
		return rank(options, set->word, set->count, queues->word);
	for (unsigned int node = 0; node < GMIG_MAX_NODES && !ret; node++)
		ret = rank(options, queues->word + queues->next[node],
			   queues->end[node] - queues->next[node], set->word);
	return ret;
}

/* They were found by address, and stay so where it does not matter which node is left first. */
static void order(const struct plan *plan, struct queues *queues, size_t count, uint64_t *out)
{
	struct gmig_node_set remaining = plan->sources, sources;

	if (!plan->ops->by_node && queues->random_seed)
		shuffle(queues, count, out);
	if (!plan->ops->by_node)
		return;
	while (!gmig_node_set_empty(&remaining)) {
		sources = next_sources(&plan->map, &remaining);
		out += emit(queues, &sources, out);
		gmig_node_set_minus(&remaining, &sources);
	}
}

/* A block that is too much leaves room for a smaller one behind it. */
static void keep_first(struct workset *set, uint64_t max_pages)
{
	uint64_t kept_pages = 0;
	size_t kept = 0;

	for (size_t i = 0; i < set->count; i++) {
		unsigned int pages = workset_pages(set->word[i]);

		if (pages > max_pages - kept_pages)
			continue;
		kept_pages += pages;
		set->word[kept++] = set->word[i];
	}
	set->count = kept;
	set->pages = kept_pages;
}

int workset_build(const struct plan *plan, const struct workset_options *options,
		  struct workset *set)
{
	struct found *found = calloc(1, sizeof(*found));
	struct queues *queues = calloc(1, sizeof(*queues));
	int ret = found && queues ? 0 : -ENOMEM;

	*set = (struct workset){.word = NULL};
	if (!ret) {
		found->plan = plan;
		found->options = options;
		found->set = set;
		found->in_order = is_in_order(plan, options);
		ret = look_everywhere(found);
	}
	if (!ret)
		ret = sort_by_source(found, queues);
	if (!ret)
		ret = rank_all(plan, options, queues, set);
	if (!ret)
		order(plan, queues, set->count, set->word);
	else
		workset_free(set);
	if (!ret && options->max_pages)
		keep_first(set, options->max_pages);
	if (queues)
		free(queues->word);
	if (found)
		free(found->source);
	free(queues);
	free(found);
	return ret;
}

void workset_free(struct workset *set)
{
	free(set->word);
	free(set->maps);
	*set = (struct workset){.word = NULL};
}

static int by_block(const void *key, const void *element)
{
	uint64_t block = *(const uint64_t *)key,
		 other = ((const struct workset_map *)element)->block;

	return block < other ? -1 : block > other;
}

/* Ranges are sorted, so that the maps are, too. */
const struct bits *workset_only(const struct workset *set, uint64_t word)
{
	uint64_t block = word >> BLOCK_SHIFT;
	const struct workset_map *map;

	if (!(word & PARTIAL))
		return NULL;
	map = bsearch(&block, set->maps, set->map_count, sizeof(*map), by_block);
	return map ? &map->pages : NULL;
}
