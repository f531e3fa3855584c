/* What a VM tells clients of its control socket without being asked. */
#include "../../control/control.h"
#include "../../migrate/gmig_retire.h"
#include "../../migrate/memory/engine.h"
#include "../../vmm/commands.h"
#include "../../vmm/internal.h"
#include "../../vmm/memory.h"
#include "../support/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB  (1ull << 20)
#define PAGE 300

static char directory[64], path[128];
static struct control_client *client;
static struct gmig_error err;
static struct vmm *vmm;

static void start(void)
{
	struct vmm_options options = {.name = "t",
				      .cpus = 1,
				      .node_count = 1,
				      .mem_bytes = 16 * MIB,
				      .node = {{.mem_bytes = 16 * MIB, .cpus = 1}},
				      .fake_nodes = 2,
				      .unsafe_kernel = true};

	strcpy(directory, "/tmp/gmig-test-events-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	setenv("XDG_RUNTIME_DIR", directory, 1);
	ck_assert_msg(!vmm_create(&options, &vmm, &err), "%s", err.text);
	ck_assert_msg(!gmig_topology_create(2, &vmm->topology, &err), "%s", err.text);
	ck_assert_msg(!vmm_memory_create(vmm, &commands_memory_events, &err), "%s", err.text);
	ck_assert_msg(!commands_start(vmm, &err), "%s", err.text);
	ck_assert_msg(!control_socket_path("t", path, sizeof(path), &err), "%s", err.text);
	ck_assert_msg(!control_connect(path, 10000, &client, &err), "%s", err.text);
}

static void end(void)
{
	char command[96];

	control_client_destroy(client);
	commands_stop(vmm);
	vmm_destroy(vmm);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

/* As the kernel does it, but for the signal. */
static void page_breaks(uint8_t *page)
{
	struct uffdio_poison poison = {.range = {(uintptr_t)page, GMIG_PAGE_BYTES}};

	*page = 1;
	engine_settle_faults(vmm->gmig, 0);
	ck_assert_int_eq(madvise(page, GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	ck_assert_int_eq(ioctl(vmm->gmig->vnodes[0].uffd, UFFDIO_POISON, &poison), 0);
}

START_TEST(memory_that_breaks_is_told_of_once)
{
	json_t *event = NULL;
	uint8_t *page;
	uint64_t gpa;

	start();
	page = (uint8_t *)vmm->region[0].hva + PAGE * GMIG_PAGE_BYTES;
	page_breaks(page);
	ck_assert_int_eq(gmig_memory_broke(vmm->gmig, page, &gpa), 0);
	ck_assert_msg(!control_next_event(client, 10000, &event, &err), "%s", err.text);
	ck_assert_str_eq(json_string_value(json_object_get(event, "event")), "MEMORY_BROKEN");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(event, "data"), "gpa")),
			 PAGE * GMIG_PAGE_BYTES);
	json_decref(event);
	gmig_memory_broke(vmm->gmig, page, &gpa);
	ck_assert_int_eq(control_next_event(client, 0, &event, &err), -ETIMEDOUT);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {memory_that_breaks_is_told_of_once};
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	return run_tests("vmm_events", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
