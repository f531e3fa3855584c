/* Where the threads of a real machine run, as its commands tell and set it. */
#include "native.h"

#include "../../vmm/commands.h"

#include "../support/suite.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const uint8_t spin[] = {0xeb, 0xfe};
static struct vmm *vmm;
static struct vmm_cpus mine;

static unsigned int first_cpu(void)
{
	unsigned int cpu = 0;

	while (!vmm_cpus_has(&mine, cpu))
		cpu++;
	return cpu;
}

static json_t *query(void)
{
	json_t *answer = NULL;

	ck_assert_int_eq(commands_query_cpus(vmm, NULL, &answer, NULL), 0);
	ck_assert_ptr_nonnull(answer);
	return answer;
}

static int pin(json_t *arguments, json_t **answer, struct gmig_error *err)
{
	int ret = commands_pin_vcpu(vmm, arguments, answer, err);

	json_decref(arguments);
	return ret;
}

static const char *member(const json_t *answer, const char *list, size_t i, const char *name)
{
	return json_string_value(
	    json_object_get(json_array_get(json_object_get(answer, list), i), name));
}

static void start(const char *const *options)
{
	native_hold(NATIVE_HOLD_NOT);
	ck_assert_int_eq(placement_sys_real.get(0, &mine), 0);
	vmm = native_start(spin, sizeof(spin), options);
	/* A thread registers itself when it begins. */
	for (unsigned int tries = 0; tries < 10000; tries++) {
		json_t *answer = query();
		size_t count = json_array_size(json_object_get(answer, "vcpus"));
		bool io = member(answer, "threads", 0, "kind") != NULL;

		json_decref(answer);
		if (count == vmm->options.cpus && io)
			return;
		usleep(1000);
	}
	ck_abort_msg("not all threads are there");
}

START_TEST(vcpus_and_helpers_of_a_machine_are_told_with_their_threads)
{
	static const char *const options[] = {"--cpus", "2", "--no-pin", NULL};
	char text[64];
	json_t *answer;

	start(options);
	answer = query();
	for (size_t i = 0; i < 2; i++) {
		json_t *vcpu = json_array_get(json_object_get(answer, "vcpus"), i);

		ck_assert_int_eq(json_integer_value(json_object_get(vcpu, "vcpu")), (json_int_t)i);
		ck_assert_int_eq(json_integer_value(json_object_get(vcpu, "tid")),
				 atomic_load(&vmm->vcpu[i].tid));
		ck_assert_str_eq(member(answer, "vcpus", i, "by"), "scheduler");
		ck_assert_str_eq(member(answer, "vcpus", i, "cpus"),
				 vmm_cpus_print(&mine, text, sizeof(text)));
	}
	ck_assert_str_eq(member(answer, "threads", 0, "kind"), "io");
	json_decref(answer);
	native_end(vmm);
}
END_TEST

START_TEST(vcpu_is_pinned_while_it_runs_and_let_go_again)
{
	json_t *answer = NULL;
	struct vmm_cpus now;
	char text[16], all[64];

	start(NULL);
	snprintf(text, sizeof(text), "%u", first_cpu());
	ck_assert_int_eq(pin(json_pack("{s:i, s:s}", "vcpu", 0, "cpus", text), &answer, NULL), 0);
	ck_assert_str_eq(member(answer, "vcpus", 0, "cpus"), text);
	ck_assert_str_eq(member(answer, "vcpus", 0, "by"), "operator");
	ck_assert_str_eq(member(answer, "vcpus", 0, "order"), text);
	json_decref(answer);
	ck_assert_int_eq(placement_sys_real.get(atomic_load(&vmm->vcpu[0].tid), &now), 0);
	ck_assert_uint_eq(vmm_cpus_count(&now), 1);
	/* The process is not pinned with it: so it knows what there is to return to. */
	ck_assert_int_eq(pin(json_pack("{s:b}", "any", 1), &answer, NULL), 0);
	ck_assert_str_eq(member(answer, "vcpus", 0, "cpus"),
			 vmm_cpus_print(&mine, all, sizeof(all)));
	json_decref(answer);
	native_end(vmm);
}
END_TEST

START_TEST(vcpu_that_taskset_has_moved_is_told)
{
	struct vmm_cpus one = {{0}};
	unsigned int cpu;
	json_t *answer;

	start(NULL);
	cpu = first_cpu();
	one.word[cpu / 64] = 1ull << (cpu % 64);
	ck_assert_int_eq(placement_sys_real.set(atomic_load(&vmm->vcpu[0].tid), &one), 0);
	answer = query();
	/* On a machine of one CPU nothing has changed. */
	ck_assert_str_eq(member(answer, "vcpus", 0, "by"),
			 vmm_cpus_count(&mine) > 1 ? "outside" : "scheduler");
	json_decref(answer);
	native_end(vmm);
}
END_TEST

static const struct {
	const char *arguments;
	int error;
	const char *text;
} bad[] = {
    {"{}", -EINVAL, "one of node, cpus, any and auto is needed"},
    {"{\"any\":true,\"node\":0}", -EINVAL, "one of node, cpus, any and auto is needed"},
    {"{\"any\":false}", -EINVAL, "one of node, cpus, any and auto is needed"},
    {"{\"node\":1023}", -ENODEV, "node 1023 is not there; online: "},
    {"{\"node\":1024}", -EINVAL, "node: 1024 is not within 0 to 1023"},
    {"{\"node\":-1}", -EINVAL, "node: -1 is not within"},
    {"{\"cpus\":\"8191\"}", -EINVAL, "CPUs 8191 are all offline or outside the VM's cpuset"},
    {"{\"cpus\":\"1-\"}", -EINVAL, "CPUs are a list, as in 0,2-3: '1-'"},
    {"{\"cpus\":\"9999\"}", -ERANGE, "CPUs are numbered 0 to 8191"},
    {"{\"any\":true,\"vcpu\":1}", -ESRCH, "there is no vCPU 1"},
    {"{\"any\":true,\"vcpu\":64}", -EINVAL, "vcpu: 64 is not within 0 to 63"},
};

START_TEST(orders_that_cannot_be_obeyed_say_why)
{
	struct gmig_error err = {0};
	json_t *answer = NULL;

	start(NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(pin(json_loads(bad[i].arguments, 0, NULL), &answer, &err),
				 bad[i].error);
		ck_assert_msg(!strncmp(err.text, bad[i].text, strlen(bad[i].text)), "%s", err.text);
		ck_assert_ptr_null(answer);
	}
	native_end(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("placement");
	TCase *tcase = tcase_create("placement");

	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, vcpus_and_helpers_of_a_machine_are_told_with_their_threads);
	tcase_add_test(tcase, vcpu_is_pinned_while_it_runs_and_let_go_again);
	tcase_add_test(tcase, vcpu_that_taskset_has_moved_is_told);
	tcase_add_test(tcase, orders_that_cannot_be_obeyed_say_why);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
