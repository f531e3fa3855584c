/* See log.h. A leaky bucket per key. */
#include "log.h"

#include <stddef.h>

static struct log_budget *find(struct log_budgets *budgets, uint64_t key)
{
	for (unsigned int i = 0; i < LOG_BUDGET_MAX - 1; i++) {
		struct log_budget *budget = &budgets->budget[i];

		if (!budget->key)
			budget->key = key;
		if (budget->key == key)
			return budget;
	}
	return &budgets->budget[LOG_BUDGET_MAX - 1];
}

bool log_budgets_take(struct log_budgets *budgets, uint64_t key, uint64_t now_ns,
		      unsigned long *held)
{
	struct log_budget *budget = find(budgets, key);

	if (budget->full_ns < now_ns)
		budget->full_ns = now_ns;
	if (budget->full_ns - now_ns > (LOG_BUDGET_LINES - 1) * LOG_BUDGET_LINE_NS) {
		budget->held++;
		return false;
	}
	budget->full_ns += LOG_BUDGET_LINE_NS;
	*held = budget->held;
	budget->held = 0;
	return true;
}

uint64_t log_budget_key(const char *format, const char *line)
{
	uint64_t hash = 14695981039346656037ull;

	for (; *format; format++)
		hash = (hash ^ (uint8_t)*format) * 1099511628211ull;
	for (; *line && *line != ' '; line++)
		hash = (hash ^ (uint8_t)*line) * 1099511628211ull;
	return hash | 1;
}
