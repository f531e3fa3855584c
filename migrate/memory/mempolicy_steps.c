#include "mempolicy_steps.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct mempolicy_map {
	atomic_uint refs;
	uint16_t to[GMIG_MAX_NODES];
};

struct step {
	uint64_t owner;
	bool stands;
	struct mempolicy_map *map; /* a reference */
};

struct mempolicy_steps {
	atomic_uint refs;
	unsigned int count;
	struct step step[];
};

/* ---- Lists ------------------------------------------------------------------------------------- */

void mempolicy_map_put(struct mempolicy_map *map)
{
	if (map && atomic_fetch_sub(&map->refs, 1) == 1)
		free(map);
}

int mempolicy_map_create(mempolicy_target *to, void *arg, struct mempolicy_map **out)
{
	struct mempolicy_map *map = malloc(sizeof(*map));

	if (!map)
		return -ENOMEM;
	atomic_store(&map->refs, 1);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map->to[node] = (uint16_t)to(arg, node);
	*out = map;
	return 0;
}

struct mempolicy_steps *mempolicy_steps_get(struct mempolicy_steps *steps)
{
	if (steps)
		atomic_fetch_add(&steps->refs, 1);
	return steps;
}

void mempolicy_steps_put(struct mempolicy_steps *steps)
{
	if (!steps || atomic_fetch_sub(&steps->refs, 1) != 1)
		return;
	for (unsigned int i = 0; i < steps->count; i++)
		mempolicy_map_put(steps->step[i].map);
	free(steps);
}

static struct mempolicy_steps *list_create(unsigned int room)
{
	struct mempolicy_steps *steps = calloc(1, sizeof(*steps) + room * sizeof(steps->step[0]));

	if (steps)
		atomic_store(&steps->refs, 1);
	return steps;
}

/* map: a reference is taken. */
static void append(struct mempolicy_steps *steps, uint64_t owner, bool stands,
		   struct mempolicy_map *map)
{
	atomic_fetch_add(&map->refs, 1);
	steps->step[steps->count++] = (struct step){owner, stands, map};
}

static unsigned int count_of(const struct mempolicy_steps *steps)
{
	return steps ? steps->count : 0;
}

bool mempolicy_steps_equal(const struct mempolicy_steps *a, const struct mempolicy_steps *b)
{
	if (count_of(a) != count_of(b))
		return false;
	for (unsigned int i = 0; i < count_of(a); i++)
		if (a->step[i].owner != b->step[i].owner ||
		    a->step[i].stands != b->step[i].stands ||
		    memcmp(a->step[i].map->to, b->step[i].map->to, sizeof(a->step[i].map->to)) != 0)
			return false;
	return true;
}

bool mempolicy_steps_has(const struct mempolicy_steps *steps, uint64_t owner)
{
	for (unsigned int i = 0; i < count_of(steps); i++)
		if (steps->step[i].owner == owner)
			return true;
	return false;
}

int mempolicy_steps_add(const struct mempolicy_steps *steps, uint64_t owner,
			struct mempolicy_map *map, struct mempolicy_steps **out)
{
	struct mempolicy_steps *list = list_create(count_of(steps) + 1);

	if (!list)
		return -ENOMEM;
	for (unsigned int i = 0; i < count_of(steps); i++)
		append(list, steps->step[i].owner, steps->step[i].stands, steps->step[i].map);
	append(list, owner, false, map);
	*out = list;
	return 0;
}

/* ---- Where they take a place ------------------------------------------------------------------- */

/* The newest step from `first` on that takes from the node; the count of steps: none. */
static unsigned int newest_from(const struct mempolicy_steps *steps, unsigned int first,
				unsigned int node)
{
	unsigned int i = count_of(steps);

	while (i > first && steps->step[i - 1].map->to[node] == GMIG_NO_NODE)
		i--;
	return i > first ? i - 1 : count_of(steps);
}

unsigned int mempolicy_steps_node(const struct mempolicy_steps *steps,
				  const struct mempolicy_base *base)
{
	unsigned int node = base->node;

	for (unsigned int i = newest_from(steps, base->settled, node); i < count_of(steps); i++)
		if (steps->step[i].map->to[node] != GMIG_NO_NODE)
			node = steps->step[i].map->to[node];
	return node;
}

/* One that a newer one overrules is nothing, once that one has completed, too. */
static void settle(const struct mempolicy_steps *steps, struct mempolicy_base *base)
{
	for (; base->settled < count_of(steps); base->settled++) {
		const struct step *oldest = &steps->step[base->settled];
		unsigned int node = oldest->map->to[base->node];
		unsigned int newer = count_of(steps);

		if (node != GMIG_NO_NODE)
			newer = newest_from(steps, base->settled + 1u, base->node);
		if (!oldest->stands || (newer < count_of(steps) && !steps->step[newer].stands))
			return;
		if (node != GMIG_NO_NODE && newer == count_of(steps))
			base->node = (uint16_t)node;
	}
}

/* ---- The end of one ---------------------------------------------------------------------------- */

/* Without the first ones, which are a part of all bases. */
static struct mempolicy_steps *without_settled(const struct mempolicy_steps *steps,
					       const struct mempolicy_base *bases,
					       unsigned int count)
{
	struct mempolicy_steps *list = list_create(steps->count);
	unsigned int first = steps->count;

	for (unsigned int i = 0; i < count; i++)
		if (bases[i].settled < first)
			first = bases[i].settled;
	for (unsigned int i = first; list && i < steps->count; i++)
		append(list, steps->step[i].owner, steps->step[i].stands, steps->step[i].map);
	return list;
}

/* All but the owner's, or all, and the owner's stands. */
static struct mempolicy_steps *ended(const struct mempolicy_steps *steps, uint64_t owner,
				     bool stands)
{
	struct mempolicy_steps *list = list_create(count_of(steps));

	for (unsigned int i = 0; list && i < count_of(steps); i++)
		if (steps->step[i].owner != owner || stands)
			append(list, steps->step[i].owner,
			       steps->step[i].stands || steps->step[i].owner == owner,
			       steps->step[i].map);
	return list;
}

int mempolicy_steps_end(const struct mempolicy_steps *steps, uint64_t owner, bool stands,
			struct mempolicy_base *bases, unsigned int count,
			struct mempolicy_steps **out)
{
	struct mempolicy_base *settled = calloc(count, sizeof(*bases));
	struct mempolicy_steps *list = ended(steps, owner, stands), *rest = NULL;
	int ret = -ENOMEM;

	if (settled && list) {
		/* What is settled in a base stands: what was taken out was behind it. */
		memcpy(settled, bases, count * sizeof(*bases));
		for (unsigned int i = 0; i < count; i++)
			settle(list, &settled[i]);
		rest = without_settled(list, settled, count);
	}
	if (rest) {
		for (unsigned int i = 0; i < count; i++) {
			settled[i].settled -= (uint16_t)(list->count - rest->count);
			bases[i] = settled[i];
		}
		*out = rest->count ? mempolicy_steps_get(rest) : NULL;
		ret = 0;
	}
	mempolicy_steps_put(rest);
	mempolicy_steps_put(list);
	free(settled);
	return ret;
}

/* Of two nodes that become one, the lower one's target counts. */
static int map_rebind(const struct mempolicy_map *map, mempolicy_target *as, void *arg,
		      struct mempolicy_map **out)
{
	struct mempolicy_map *rebound = malloc(sizeof(*rebound));

	if (!rebound)
		return -ENOMEM;
	atomic_store(&rebound->refs, 1);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		rebound->to[node] = GMIG_NO_NODE;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		unsigned int from = as(arg, node), to = map->to[node];

		if (to != GMIG_NO_NODE && rebound->to[from] == GMIG_NO_NODE && as(arg, to) != from)
			rebound->to[from] = (uint16_t)as(arg, to);
	}
	*out = rebound;
	return 0;
}

int mempolicy_steps_rebind(const struct mempolicy_steps *steps, mempolicy_target *as, void *arg,
			   struct mempolicy_steps **out)
{
	struct mempolicy_steps *list = list_create(count_of(steps));
	int ret = list ? 0 : -ENOMEM;

	for (unsigned int i = 0; !ret && i < count_of(steps); i++) {
		struct mempolicy_map *map;

		ret = map_rebind(steps->step[i].map, as, arg, &map);
		if (!ret) {
			append(list, steps->step[i].owner, steps->step[i].stands, map);
			mempolicy_map_put(map);
		}
	}
	if (ret)
		mempolicy_steps_put(list);
	else
		*out = list;
	return ret;
}
