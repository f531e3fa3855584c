#include "instructions.h"
#include "clocks.h"
#include "counters.h"
#include "lab_count.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define IDLE_MAX_SECONDS 0.5

/* A moment: how much was counted by then. */
struct moment {
	double seconds;
	uint64_t count;
	int error;
};

struct instructions {
	struct counters *counters; /* NULL: the lab counts */
	int port;
	struct moment start, stop;
};

int instructions_create(pid_t pid, const char *without, struct instructions **out)
{
	struct instructions *instructions = calloc(1, sizeof(*instructions));

	if (!instructions)
		return -ENOMEM;
	instructions->port = -1;
	if (counters_of_instructions(pid, without, &instructions->counters)) {
		instructions->counters = NULL;
		instructions->port = lab_count_open(LAB_COUNT_PORTS);
	}
	if (!instructions->counters && instructions->port < 0) {
		int rc = instructions->port;

		free(instructions);
		return rc;
	}
	*out = instructions;
	return 0;
}

void instructions_destroy(struct instructions *instructions)
{
	if (!instructions)
		return;
	counters_destroy(instructions->counters);
	if (instructions->port >= 0)
		close(instructions->port);
	free(instructions);
}

const char *instructions_source(const struct instructions *instructions)
{
	return instructions->counters ? "pmu" : "lab";
}

static void look(const struct instructions *instructions, struct moment *moment)
{

	moment->error = 0;
	if (instructions->counters)
		moment->count = counters_sum(instructions->counters);
	else
		moment->error = lab_count_ask(instructions->port, &moment->count);
	moment->seconds = now_seconds();
}

void instructions_start(struct instructions *instructions)
{
	if (instructions)
		look(instructions, &instructions->start);
}

void instructions_stop(struct instructions *instructions)
{
	if (instructions)
		look(instructions, &instructions->stop);
}

/* What the machine executes in that time when nothing is done, the question for it included. */
static double idle_count(const struct instructions *instructions, double seconds)
{
	struct moment begin, end;

	look(instructions, &begin);
	sleep_ns((uint64_t)(fmin(seconds, IDLE_MAX_SECONDS) * 1e9));
	look(instructions, &end);
	if (begin.error || end.error || end.seconds <= begin.seconds)
		return NAN;
	return (double)(end.count - begin.count) * fmax(seconds / (end.seconds - begin.seconds), 1);
}

double instructions_count(struct instructions *instructions)
{
	double count;

	if (!instructions || instructions->start.error || instructions->stop.error)
		return NAN;
	count = (double)(instructions->stop.count - instructions->start.count);
	if (!instructions->counters)
		count -= idle_count(instructions,
				    instructions->stop.seconds - instructions->start.seconds);
	return isnan(count) ? NAN : fmax(count, 0);
}
