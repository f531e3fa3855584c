/* Where the threads of a VM run, as a table. */
#include "cli.h"

#include <string.h>

static void thread_row(FILE *rows, const json_t *thread)
{
	bool ordered = json_object_get(thread, "order");

	fputs(cli_text(thread, "kind"), rows);
	if (json_object_get(thread, "vcpu"))
		fprintf(rows, " %llu", (unsigned long long)cli_number(thread, "vcpu"));
	fprintf(rows, "\t%llu\t", (unsigned long long)cli_number(thread, "tid"));
	if (json_object_get(thread, "vnode"))
		fprintf(rows, "%llu", (unsigned long long)cli_number(thread, "vnode"));
	else
		fputs("-", rows);
	fprintf(rows, "\t%s\t%s\t%s%s%s%s\n", cli_text(thread, "nodes"), cli_text(thread, "cpus"),
		cli_text(thread, "by"), ordered ? " (" : "",
		ordered ? cli_text(thread, "order") : "", ordered ? ")" : "");
}

void cli_threads_table(FILE *rows, const json_t *vcpus, const json_t *helpers)
{
	const json_t *lists[] = {vcpus, helpers};

	fputs("thread\t>tid\t>vnode\tnodes\tCPUs\tplaced by\n", rows);
	for (int which = 0; which < 2; which++) {
		size_t i;
		json_t *thread;

		json_array_foreach (lists[which], i, thread)
			thread_row(rows, thread);
	}
}
