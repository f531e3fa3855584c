/* gmig histogram: how long blocks were closed, and how long threads stalled. */
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

int cmd_histogram(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
	    {.name = "json", .help = "print [from_ns, count] pairs as JSON", .flag = &json},
	    {0},
	};
	struct cli_args args = {.options = options, .min_words = 1, .max_words = 1};
	CLI_JSON result = NULL;
	struct gmig_error err = {0};
	int status = cli_parse(argc, argv, &args);
	const json_t *closed;

	if (status >= 0)
		return status;
	if (cli_ask(args.words[0], "query-histograms", NULL, &result, &err))
		return cli_fail(json, &err);
	if (json)
		return cli_print_json(result);
	closed = json_object_get(result, "blackout_ns");
	print_buckets("a block was closed to readers", json_object_get(closed, "read"));
	print_buckets("a block was closed to writers", json_object_get(closed, "write"));
	print_buckets("a thread of the guest stalled", json_object_get(result, "stall_ns"));
	return CLI_OK;
}
