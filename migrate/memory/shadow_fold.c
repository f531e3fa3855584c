/* Split and collapse: see (B) to (E) at the top of shadow.c. */
#include "shadow_words.h"

#include <errno.h>
#include <stdlib.h>

struct retired {
	struct rcu_head head;
	struct happens handed;
	struct shadow *shadow;
	struct table *table;
};

/* What must be the same for entries to be one: all but the generation. */
static uint64_t content(uint64_t word)
{
	return word & ~(0xffull << GENERATION_SHIFT);
}

static uint64_t *find_block(const struct shadow *shadow, uint64_t gfn, uint64_t *word)
{
	unsigned int missing;
	struct table *table = find_level2(shadow, gfn, &missing);
	uint64_t *slot;

	if (!table)
		return NULL;
	slot = &table->slot[slot_index(gfn, 2)];
	*word = load(slot);
	return *word ? slot : NULL;
}

int shadow_split(struct shadow *shadow, uint64_t gfn)
{
	struct table *table;
	uint64_t word, *slot = find_block(shadow, gfn, &word);

	if (!slot)
		return -EFAULT;
	if (word & TABLE)
		return -EEXIST;
	table = shadow_tables_get(&shadow->tables);
	if (!table)
		return -ENOMEM;
	mark_used(shadow, gfn);
	/* No read-side section: level-2 tables stay, and the new table is nobody else's. */
	do {
		if (word & TABLE) {
			shadow_tables_put(&shadow->tables, table);
			return -EEXIST;
		}
		for (unsigned int i = 0; i < SLOTS; i++)
			table->slot[i] = word;
	} while (!swap(slot, &word, (uintptr_t)table | TABLE));
	return 0;
}

static bool may_collapse(uint64_t word)
{
	struct shadow_entry entry;

	unpack(word, 0, &entry);
	return entry.state != SHADOW_PRESENT && entry.state != SHADOW_SWAPPED;
}

static bool alike(const struct table *table)
{
	uint64_t first = load(&table->slot[0]);
	unsigned int i = 0;

	if (!may_collapse(first))
		return false;
	while (i < SLOTS && content(load(&table->slot[i])) == content(first))
		i++;
	return i == SLOTS;
}

/* Freeze all words, or none: false when they are not alike or somebody else is at it. */
static bool freeze(struct table *table)
{
	uint64_t first = load(&table->slot[0]) & ~FROZEN, word;
	unsigned int i;

	/* Looked at first: a collapse that has no chance disturbs nobody. */
	if (!alike(table) || !may_collapse(first))
		return false;
	for (i = 0; i < SLOTS; i++) {
		word = load(&table->slot[i]);
		/* A word with FROZEN is never like the first. */
		if (content(word) != content(first) || !swap(&table->slot[i], &word, word | FROZEN))
			break;
	}
	if (i == SLOTS)
		return true;
	while (i-- > 0)
		publish(&table->slot[i], load(&table->slot[i]) & ~FROZEN);
	return false;
}

/* Runs in call_rcu's thread. */
static void reclaim(struct rcu_head *head)
{
	struct retired *retired = caa_container_of(head, struct retired, head);
	struct shadow *shadow;

	happens_after(&retired->handed);
	shadow = retired->shadow;
	happens_after(&shadow->readers);
	shadow_tables_put(&shadow->tables, retired->table);
	free(retired);
	pthread_mutex_lock(&shadow->retired_lock);
	if (!--shadow->retired)
		pthread_cond_signal(&shadow->none_retired);
	pthread_mutex_unlock(&shadow->retired_lock);
}

static void retire(struct retired *retired)
{
	pthread_mutex_lock(&retired->shadow->retired_lock);
	retired->shadow->retired++;
	pthread_mutex_unlock(&retired->shadow->retired_lock);
	happens_before(&retired->handed);
	urcu_bp_call_rcu(&retired->head, reclaim);
}

int shadow_collapse(struct shadow *shadow, uint64_t gfn)
{
	struct retired *retired = malloc(sizeof(*retired));
	uint64_t word, *slot;
	int ret = 0;

	if (!retired)
		return -ENOMEM;
	section_begin();
	slot = find_block(shadow, gfn, &word);
	if (!slot) {
		ret = -EFAULT;
	} else if (!(word & TABLE)) {
		ret = -EEXIST;
	} else if (!freeze(table_of(word))) {
		ret = -EBUSY;
	} else {
		retired->shadow = shadow;
		retired->table = table_of(word);
		publish(slot, load(&retired->table->slot[0]) & ~FROZEN);
	}
	section_end(shadow);
	if (ret) {
		free(retired);
		return ret;
	}
	retire(retired);
	return 0;
}
