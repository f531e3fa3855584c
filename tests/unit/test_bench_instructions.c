/*
 * How gmig-bench and the lab count instructions. What is counted of known code needs somebody who counts: a processor with
 * counters, or the lab (tests/integration/instruction-cases runs this program there).
 */
#include "../bench/instructions.h"
#include "../bench/lab_count.h"
#include "../lab/x86_repeat.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS	   100000000
#define COPY_BYTES (32u << 20)

/* ---- Known code ------------------------------------------------------------------------------ */

static void loop(uint64_t rounds)
{
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(rounds));
}

static void copy(char *to, const char *from, size_t bytes)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static const char *reason(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -ENODEV:
	case -EOPNOTSUPP:
		return "there is no instruction counter on this CPU";
	case -EACCES:
	case -EPERM:
		return "no right to count instructions: kernel.perf_event_paranoid";
	case -ENOSYS:
		return "this kernel has no perf_event_open(2)";
	default:
		return strerror(-rc);
	}
}

/* NULL: nothing counts here, and that is said. */
static struct instructions *source(const char *name)
{
	struct instructions *instructions = NULL;
	int rc = instructions_create(getpid(), NULL, &instructions);

	if (rc)
		printf("skip %s - %s\n", name, reason(rc));
	else
		printf("%s: counted by %s\n", name, instructions_source(instructions));
	return instructions;
}

START_TEST(loop_is_counted_to_the_percent)
{
	struct instructions *instructions = source("loop_is_counted_to_the_percent");
	double once, twice;

	if (!instructions)
		return;
	instructions_start(instructions);
	loop(ROUNDS);
	instructions_stop(instructions);
	once = instructions_count(instructions);
	instructions_start(instructions);
	loop(2ul * ROUNDS);
	instructions_stop(instructions);
	twice = instructions_count(instructions);
	instructions_destroy(instructions);
	printf("    %.0f for %lu, %.0f for %lu\n", once, 2ul * ROUNDS, twice, 4ul * ROUNDS);
	ck_assert_double_eq_tol(once, 2.0 * ROUNDS, 0.02 * ROUNDS);
	ck_assert_double_eq_tol(twice, 4.0 * ROUNDS, 0.04 * ROUNDS);
}
END_TEST

START_TEST(string_instruction_is_one_however_long)
{
	struct instructions *instructions = source("string_instruction_is_one_however_long");
	char *from, *to;
	double count;

	if (!instructions)
		return;
	from = malloc(COPY_BYTES);
	to = malloc(COPY_BYTES);
	memset(from, 1, COPY_BYTES);
	memset(to, 2, COPY_BYTES); /* page faults would be counted, too */
	instructions_start(instructions);
	copy(to, from, COPY_BYTES);
	instructions_stop(instructions);
	count = instructions_count(instructions);
	instructions_destroy(instructions);
	printf("    %.0f for %u bytes\n", count, COPY_BYTES);
	ck_assert_int_eq(memcmp(to, from, COPY_BYTES), 0);
	ck_assert_double_lt(count, COPY_BYTES / 8.0); /* clock ticks meanwhile */
	free(from);
	free(to);
}
END_TEST

START_TEST(nothing_to_count_with_is_not_a_number)
{
	instructions_start(NULL);
	instructions_stop(NULL);
	ck_assert(isnan(instructions_count(NULL)));
	instructions_destroy(NULL);
}
END_TEST

/* ---- The lab's port -------------------------------------------------------------------------- */

static char directory[] = "/tmp/test_bench_instructions.XXXXXX";

static void add_port(const char *port, const char *name)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, port);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	strcat(path, "/name");
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs(name, file);
	fclose(file);
}

static void remove_port(const char *port)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s/name", directory, port);
	ck_assert_int_eq(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	ck_assert_int_eq(rmdir(path), 0);
}

START_TEST(port_is_found_by_its_name)
{
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(lab_count_open("/no/such/directory"), -ENOENT);
	add_port("zero", "status\n");
	add_port("full", "instructions2\n");
	ck_assert_int_eq(lab_count_open(directory), -ENOENT);
	add_port("null", "instructions\n"); /* the device of this name is /dev/null */
	fd = lab_count_open(directory);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	remove_port("zero");
	remove_port("full");
	remove_port("null");
	ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

struct peer {
	int fd;
	const char *before,
	    *after; /* sent around the question it was asked, with the number; NULL: it hangs up */
};

static void *answer(void *opaque)
{
	const struct peer *peer = opaque;
	char question[64] = "";
	ssize_t got = read(peer->fd, question, sizeof(question) - 1);

	ck_assert_int_gt(got, 0);
	question[strcspn(question, "\n")] = '\0';
	if (peer->before)
		dprintf(peer->fd, "%s%s%s", peer->before, question, peer->after);
	shutdown(peer->fd, SHUT_RDWR);
	return NULL;
}

static int ask(const char *before, const char *after, uint64_t *count)
{
	struct peer peer = {.before = before, .after = after};
	pthread_t thread;
	int ends[2], rc;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	peer.fd = ends[1];
	pthread_create(&thread, NULL, answer, &peer);
	rc = lab_count_ask(ends[0], count);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
	return rc;
}

START_TEST(answer_is_taken_by_its_question)
{
	uint64_t count = 0;

	ck_assert_int_eq(ask("", " 1234567890123\n", &count), 0);
	ck_assert_uint_eq(count, 1234567890123);
	/* Left behind by one who did not wait. */
	ck_assert_int_eq(ask("77.1 5\n", " 42\n", &count), 0);
	ck_assert_uint_eq(count, 42);
	ck_assert_int_eq(ask("77.1 5\n88.2 6\n", " 18446744073709551615\n", &count), 0);
	ck_assert_uint_eq(count, UINT64_MAX);
}
END_TEST

START_TEST(answer_that_is_none_is_an_error)
{
	uint64_t count;

	ck_assert_int_eq(ask(NULL, NULL, &count), -EPROTO);
	ck_assert_int_eq(ask("", "\n", &count), -EPROTO);
	ck_assert_int_eq(ask("", " many\n", &count), -EPROTO);
	ck_assert_int_eq(ask("not ", " 5\n", &count), -EPROTO);
	ck_assert_int_eq(ask("", " 5 but no end", &count), -EPROTO);
}
END_TEST

/* ---- Instructions that repeat themselves ----------------------------------------------------- */

START_TEST(string_instructions_repeat_behind_the_prefix)
{
	static const struct {
		uint8_t code[8];
		size_t bytes;
		bool repeats;
	} cases[] = {
	    {{0xf3, 0xa4}, 2, true},		  /* rep movsb */
	    {{0xf3, 0x48, 0xa5}, 3, true},	  /* rep movsq */
	    {{0xf3, 0xaa}, 2, true},		  /* rep stosb */
	    {{0x67, 0xf3, 0x48, 0xab}, 4, true},  /* rep stosq, 32-bit addresses */
	    {{0xf2, 0xae}, 2, true},		  /* repnz scasb */
	    {{0x66, 0xf3, 0xa7}, 3, true},	  /* repz cmpsw */
	    {{0xf3, 0xac}, 2, true},		  /* rep lodsb */
	    {{0xf3, 0x6e}, 2, true},		  /* rep outsb */
	    {{0xa4}, 1, false},			  /* movsb */
	    {{0x48, 0xa5}, 2, false},		  /* movsq */
	    {{0xf3, 0xc3}, 2, false},		  /* rep ret */
	    {{0xf3, 0x90}, 2, false},		  /* pause */
	    {{0xf3, 0xa8, 0x01}, 3, false},	  /* test al, 1 with a prefix of no meaning */
	    {{0xf3, 0x0f, 0x10, 0xc1}, 4, false}, /* movss */
	    {{0xf3, 0x0f, 0xa5, 0xc1}, 4, false}, /* shld */
	    {{0xb0, 0xf3, 0xa4}, 3, false},	  /* mov al, 0xf3 */
	    {{0xf3}, 1, false},
	    {{0}, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(x86_repeats(cases[i].code, cases[i].bytes) == cases[i].repeats,
			      "case %zu", i);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_instructions");
	TCase *tcase = tcase_create("instructions");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, loop_is_counted_to_the_percent);
	tcase_add_test(tcase, string_instruction_is_one_however_long);
	tcase_add_test(tcase, nothing_to_count_with_is_not_a_number);
	tcase_add_test(tcase, port_is_found_by_its_name);
	tcase_add_test(tcase, answer_is_taken_by_its_question);
	tcase_add_test(tcase, answer_that_is_none_is_an_error);
	tcase_add_test(tcase, string_instructions_repeat_behind_the_prefix);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
