/* gmig histogram: how long a right was away from blocks, and how long threads stalled. */
#include "cli.h"
#include "commands.h"
#include "units.h"

#define BAR 50

static uint64_t most_of(const json_t *buckets)
{
	uint64_t most = 1;
	size_t i;
	json_t *bucket;

	json_array_foreach (buckets, i, bucket) {
		uint64_t count = (uint64_t)json_integer_value(json_array_get(bucket, 1));

		if (count > most)
			most = count;
	}
	return most;
}

static void print_buckets(const char *title, const json_t *buckets)
{
	uint64_t most = most_of(buckets);
	char from_text[UNITS_TEXT];
	size_t i;
	json_t *bucket;

	printf("%s\n", title);
	if (!json_array_size(buckets))
		printf("  never\n");
	json_array_foreach (buckets, i, bucket) {
		uint64_t from = (uint64_t)json_integer_value(json_array_get(bucket, 0));
		uint64_t count = (uint64_t)json_integer_value(json_array_get(bucket, 1));
		int length = (int)((count * BAR + most - 1) / most);

		printf("  from %8s %8llu ", units_ns(from, from_text), (unsigned long long)count);
		while (length-- > 0)
			putchar('#');
		putchar('\n');
	}
}

static void print_histograms(const struct cli_args *args, const json_t *answer)
{
	const json_t *blackout = json_object_get(answer, "blackout_ns");

	(void)args;
	print_buckets("blackout of readers", json_object_get(blackout, "read"));
	print_buckets("blackout of writers", json_object_get(blackout, "write"));
	print_buckets("stall of a thread of the guest", json_object_get(answer, "stall_ns"));
}

int cmd_histogram(int argc, char **argv)
{
	struct cli_query query = {
	    .command = "query-histograms",
	    .args = {CLI_VM, .json_help = "print [from_ns, count] pairs as JSON"},
	    .print = print_histograms};

	return cli_run_query(argc, argv, &query);
}
