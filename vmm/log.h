/*
 * The sink behind vmm_log(): a ring of lines and a thread that writes them to stderr. vmm_log() never
 * waits for stderr: it copies a line under a lock that nobody keeps longer than for such a copy, so it
 * may be called under any lock. Lines that find the ring full are lost and counted; the count is a
 * line of its own when there is room again.
 */
#ifndef VMM_LOG_H
#define VMM_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* Start the thread. Before this, and if it cannot be started (-errno), lines are written at once by
 * whoever has them. Block the signals that no thread but main shall get before. */
int log_start(void);
/* A line for the operator without a level: why the start is refused. */
void log_say(const char *text);
/* Wait until all lines are written, at most timeout_ms. False: stderr takes nothing. Any thread; may
 * be called in a signal handler. */
bool log_flush(int timeout_ms);

/* ---- Budgets: log_budget.c ------------------------------------------------------------------- */

#define LOG_BUDGET_LINES   10		 /* at once */
#define LOG_BUDGET_LINE_NS 6000000000ull /* after that one more each */
#define LOG_BUDGET_MAX	   64

/* Lines that a guest can cause, of one kind about one thing: they share a budget. Zeroed at first. */
struct log_budget {
	uint64_t key;	  /* 0: free */
	uint64_t full_ns; /* when all LOG_BUDGET_LINES may be written again */
	unsigned long held;
};

struct log_budgets {
	struct log_budget budget[LOG_BUDGET_MAX]; /* the last is for all that find no other */
};

/* true: write the line; *held: how many of its budget were not written since the last one. The caller
 * serializes. `key` is not 0. */
bool log_budgets_take(struct log_budgets *budgets, uint64_t key, uint64_t now_ns,
		      unsigned long *held);
/* Of which kind (its format) about which thing (its first word, such as device=net) a line is. */
uint64_t log_budget_key(const char *format, const char *line);

#endif
