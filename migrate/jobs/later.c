#include "later.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct nodes {
	struct plan_map map;
	size_t count;
	struct memory_range range[];
};

struct word {
	uint64_t id;
	struct page_list *pages; /* a reference, or NULL: */
	struct nodes *nodes;
};

struct later {
	bool whole; /* constant */
	atomic_uint generation;
	pthread_rwlock_t lock;
	/* guarded by lock */
	struct word *word; /* by id */
	size_t count;
	struct page_list *named; /* by all lists whose jobs have ended; a reference */
};

int later_create(bool whole, struct later **out)
{
	struct later *later = calloc(1, sizeof(*later));

	if (!later)
		return -ENOMEM;
	later->whole = whole;
	pthread_rwlock_init(&later->lock, NULL);
	*out = later;
	return 0;
}

static void word_free(struct word *word)
{
	page_list_put(word->pages);
	free(word->nodes);
}

void later_forget(struct later *later)
{
	if (!later)
		return;
	pthread_rwlock_wrlock(&later->lock);
	for (size_t i = 0; i < later->count; i++)
		word_free(&later->word[i]);
	free(later->word);
	page_list_put(later->named);
	later->word = NULL;
	later->named = NULL;
	later->count = 0;
	pthread_rwlock_unlock(&later->lock);
}

void later_destroy(struct later *later)
{
	if (!later)
		return;
	later_forget(later);
	pthread_rwlock_destroy(&later->lock);
	free(later);
}

/* ---- What is said ------------------------------------------------------------------------------ */

static int copy_word(const struct later_word *said, struct word *word)
{
	size_t bytes = said->range_count * sizeof(said->ranges[0]);

	*word = (struct word){.id = said->id, .pages = page_list_get(said->pages)};
	if (said->pages)
		return 0;
	word->nodes = malloc(sizeof(*word->nodes) + bytes);
	if (!word->nodes)
		return -ENOMEM;
	word->nodes->map = *said->map;
	word->nodes->count = said->range_count;
	memcpy(word->nodes->range, said->ranges, bytes);
	return 0;
}

int later_add(struct later *later, const struct later_word *said)
{
	struct word *words, new;
	size_t at;

	if (copy_word(said, &new))
		return -ENOMEM;
	pthread_rwlock_wrlock(&later->lock);
	words = reallocarray(later->word, later->count + 1, sizeof(*words));
	if (words) {
		later->word = words;
		/* Jobs that are accepted one after the other may begin in another order. */
		for (at = later->count++; at && words[at - 1].id > new.id; at--)
			words[at] = words[at - 1];
		words[at] = new;
		atomic_fetch_add(&later->generation, 1);
	}
	pthread_rwlock_unlock(&later->lock);
	if (!words)
		word_free(&new);
	return words ? 0 : -ENOMEM;
}

static void take_out(struct later *later, struct word *word)
{
	word_free(word);
	later->count--;
	memmove(word, word + 1, (size_t)(later->word + later->count - word) * sizeof(*word));
}

/* Its pages join those of others. Without memory the list stays as it is. */
static void join(struct later *later, struct word *word)
{
	struct page_list *both = page_list_join(later->named, word->pages);

	if (!both)
		return;
	page_list_put(later->named);
	later->named = both;
	take_out(later, word);
}

void later_end(struct later *later, uint64_t id, bool withdrawn)
{
	struct word *word;

	pthread_rwlock_wrlock(&later->lock);
	word = later->word;
	while (word < later->word + later->count && word->id != id)
		word++;
	if (word < later->word + later->count) {
		if (withdrawn)
			take_out(later, word);
		else if (word->pages)
			join(later, word);
		atomic_fetch_add(&later->generation, 1);
	}
	pthread_rwlock_unlock(&later->lock);
}

/* ---- Asking ------------------------------------------------------------------------------------ */

unsigned int later_generation(const struct later *later)
{
	return later ? atomic_load(&later->generation) : 0;
}

static bool map_feeds(const struct plan_map *map, const struct gmig_node_set *nodes)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		if (map->to[node] != GMIG_NO_NODE && gmig_node_set_has(nodes, map->to[node]))
			return true;
	return false;
}

bool later_feeds(struct later *later, const struct gmig_node_set *nodes)
{
	bool feeds = false;

	if (!later_generation(later))
		return false;
	pthread_rwlock_rdlock(&later->lock);
	for (size_t i = 0; i < later->count && !feeds; i++)
		feeds = later->word[i].nodes && map_feeds(&later->word[i].nodes->map, nodes);
	pthread_rwlock_unlock(&later->lock);
	return feeds;
}

static unsigned int ask_pages(const struct later *later, const struct page_list *list, uint64_t gfn,
			      uint64_t pages, unsigned int target)
{
	uint64_t named = list ? page_list_covers(list, gfn, pages) : 0;

	if (!named)
		return target;
	return named == pages || later->whole ? GMIG_NO_NODE : PLAN_SPLIT;
}

static bool is_in(const struct nodes *nodes, uint64_t gfn)
{
	size_t low = 0, high = nodes->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (nodes->range[middle].gfn + nodes->range[middle].pages <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low < nodes->count && nodes->range[low].gfn <= gfn;
}

/* From where the page lies, or from where it is to come to. */
static unsigned int ask_nodes(const struct nodes *nodes, uint64_t gfn, unsigned int node,
			      unsigned int target)
{
	unsigned int on;

	if (target == PLAN_SPLIT || !is_in(nodes, gfn))
		return target;
	on = node < GMIG_MAX_NODES ? nodes->map.to[node] : GMIG_NO_NODE;
	if (on != GMIG_NO_NODE)
		return on == target ? target : GMIG_NO_NODE;
	on = target < GMIG_MAX_NODES ? nodes->map.to[target] : GMIG_NO_NODE;
	if (on == GMIG_NO_NODE)
		return target;
	return on == node ? GMIG_NO_NODE : on;
}

static unsigned int ask(const struct later *later, uint64_t gfn, unsigned int order,
			unsigned int node, unsigned int target)
{
	uint64_t pages = order ? GMIG_BLOCK_PAGES : 1;

	target = ask_pages(later, later->named, gfn, pages, target);
	for (size_t i = 0; i < later->count && target != GMIG_NO_NODE; i++) {
		const struct word *word = &later->word[i];

		target = word->pages ? ask_pages(later, word->pages, gfn, pages, target)
				     : ask_nodes(word->nodes, gfn, node, target);
	}
	return target;
}

unsigned int later_target(void *opaque, uint64_t gfn, unsigned int order, unsigned int node,
			  unsigned int target)
{
	struct later *later = opaque;

	if (!later_generation(later))
		return target;
	pthread_rwlock_rdlock(&later->lock);
	target = ask(later, gfn, order, node, target);
	pthread_rwlock_unlock(&later->lock);
	return target;
}
