/*
 * How many instructions something takes: by the processor's counter, of a process; or in the lab by the lab's own, of the
 * whole machine, less what it executes when nothing is done. One thread.
 */
#ifndef BENCH_INSTRUCTIONS_H
#define BENCH_INSTRUCTIONS_H

#include <stdint.h>
#include <sys/types.h>

struct instructions;

/*
 * Of all threads of the process, and those they start later, but for threads whose name begins with `without` (NULL: all).
 * For the lab's own counter nothing else may be done meanwhile, and no vCPU may run. -ENOENT and the like: nothing counts here.
 */
int instructions_create(pid_t pid, const char *without, struct instructions **out);
void instructions_destroy(struct instructions *instructions);
/* What counted, for people and in the JSON: "pmu" or "lab". Static. */
const char *instructions_source(const struct instructions *instructions);

/* Around what is to be counted; NULL is legal. */
void instructions_start(struct instructions *instructions);
void instructions_stop(struct instructions *instructions);
/* Between start and stop; NAN: the count could not be read, or NULL. In the lab it sleeps as long as that took, 0.5 s at most. */
double instructions_count(struct instructions *instructions);

#endif
