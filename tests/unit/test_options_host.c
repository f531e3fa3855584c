/* Options of gmig-vmm against a host that cannot be looked at. */
#include "../../migrate/core/topology.h"
#include "../../vmm/options.h"
#include "failing_open.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

/* From the check on that file cannot be read: the host's nodes are known by then. */
static int check_host(const char *words, const char *file, struct gmig_error *err)
{
	char text[128], *argv[16], *rest = text;
	struct gmig_topology *topology;
	struct vmm_options options;
	int argc = 0, ret;

	snprintf(text, sizeof(text), "gmig-vmm %s", words);
	while ((argv[argc] = strsep(&rest, " ")))
		argc++;
	ck_assert_int_eq(vmm_options_parse(argc, argv, &options, err), 0);
	ck_assert_int_eq(gmig_topology_create(0, &topology, err), 0);
	unreadable = file;
	ret = vmm_options_check_host(&options, topology, err);
	unreadable = NULL;
	gmig_topology_put(topology);
	return ret;
}

/* As if there were enough it would start, and its memory lie elsewhere or be missing at a touch. */
START_TEST(host_that_cannot_be_looked_at_has_not_what_a_guest_wants)
{
	static const struct {
		const char *line, *file, *says;
	} cases[] = {
	    {"--name=t --kernel=k --mem=4M --prealloc", "/node0/meminfo",
	     "--prealloc: it could not be looked at what host node 0 has left: Too many open "
	     "files"},
	    {"--name=t --kernel=k --mem=4M --memory=hugetlb", "/nr_overcommit_hugepages",
	     "--memory: it could not be looked at what host node 0 has left: Too many open files"},
	};
	struct gmig_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(check_host(cases[i].line, cases[i].file, &err), -EMFILE);
		ck_assert_str_eq(err.text, cases[i].says);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {host_that_cannot_be_looked_at_has_not_what_a_guest_wants};

	return run_tests("options_host", NULL, NULL, tests, 1);
}
