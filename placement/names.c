#include "placement.h"

const char *placement_goal_name(enum placement_goal goal)
{
	static const char *const names[] = {"none", "fixed", "follow-vcpus", "pack", "spread"};

	return (size_t)goal < sizeof(names) / sizeof(names[0]) ? names[goal] : "unknown";
}

const char *placement_page_name(enum placement_page page)
{
	static const char *const names[PLACEMENT_PAGES] = {"4K", "2M", "1G"};

	return (size_t)page < PLACEMENT_PAGES ? names[page] : "unknown";
}

uint64_t placement_page_bytes(enum placement_page page)
{
	static const uint64_t bytes[PLACEMENT_PAGES] = {1ull << 12, 1ull << 21, 1ull << 30};

	return (size_t)page < PLACEMENT_PAGES ? bytes[page] : 0;
}

void placement_open_cpus(const struct placement_node *node, struct placement_cpus *cpus)
{
	for (unsigned int i = 0; i < PLACEMENT_CPU_WORDS; i++) {
		cpus->word[i] = node->cpus ? node->cpus->word[i] : 0;
		if (node->promised)
			cpus->word[i] &= ~node->promised->word[i];
	}
}

void placement_options_init(struct placement_options *options)
{
	*options = (struct placement_options){
	    .threshold = 95,
	    .margin = 5,
	    .move_cost = 5,
	    .window_seconds = 600,
	    .freeze_seconds = 1800,
	};
}
