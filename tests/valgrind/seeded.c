/* Faults that valgrind has to see; SEEDED in the environment names one. tests/valgrind/selftest runs them as the stages run a test. */
#include <check.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int sink;

START_TEST(nothing_is_wrong)
{
	free(malloc(9));
}
END_TEST

START_TEST(value_that_is_not_set_is_used)
{
	int *volatile value = malloc(sizeof(*value));

	if (*(volatile int *)value == 7)
		sink = 1;
	free(value);
}
END_TEST

START_TEST(memory_that_was_given_back_is_read)
{
	int *volatile value = calloc(1, sizeof(*value));

	free(value);
	sink = *(volatile int *)value;
}
END_TEST

START_TEST(memory_is_lost)
{
	*(volatile char *)malloc(9) = 1;
}
END_TEST

/* In a process that the case makes: what it does is not in the case's status. */
START_TEST(process_of_its_own_uses_a_value_that_is_not_set)
{
	pid_t child = fork();

	if (!child) {
		value_that_is_not_set_is_used_fn(0);
		_exit(0);
	}
}
END_TEST

START_TEST(assertion_fails)
{
	ck_assert_int_eq(sink, 1);
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------------- */

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;

static void *take(void *both)
{
	pthread_mutex_t **lock = both;

	pthread_mutex_lock(lock[0]);
	pthread_mutex_lock(lock[1]);
	pthread_mutex_unlock(lock[1]);
	pthread_mutex_unlock(lock[0]);
	return NULL;
}

static void take_in(pthread_mutex_t *first, pthread_mutex_t *second)
{
	pthread_mutex_t *both[] = {first, second};
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, take, both), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* They never meet: only the order tells. */
START_TEST(locks_are_taken_in_two_orders)
{
	take_in(&one, &other);
	take_in(&other, &one);
}
END_TEST

START_TEST(lock_is_given_back_that_nobody_has)
{
	pthread_mutex_unlock(&one);
}
END_TEST

static void *read_sink(void *unused)
{
	(void)unused;
	return (void *)(long)sink;
}

/* Not judged by helgrind's stage: see tests/valgrind/helgrind.supp. */
START_TEST(two_threads_race)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, read_sink, NULL), 0);
	sink = 3;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* The page's fault is answered by a thread of the same process, as the engine's are. */
static void *answer(void *area)
{
	static char page[4096] __attribute__((aligned(4096)));
	int fd = *(int *)area;
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	struct uffd_msg message;

	if (poll(&ready, 1, -1) == 1 && read(fd, &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_copy copy = {.dst = message.arg.pagefault.address & ~4095ull,
					   .src = (unsigned long)page,
					   .len = sizeof(page)};

		ioctl(fd, UFFDIO_COPY, &copy);
	}
	return NULL;
}

START_TEST(thread_sleeps_on_a_fault_that_another_one_answers)
{
	volatile char *memory =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register area = {.range = {(unsigned long)memory, 4096},
				       .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	pthread_t thread;

	if (fd < 0)
		fd = ioctl(open("/dev/userfaultfd", O_RDWR), USERFAULTFD_IOC_NEW,
			   O_CLOEXEC | O_NONBLOCK);
	ck_assert_int_eq(ioctl(fd, UFFDIO_API, &api), 0);
	ck_assert_int_eq(ioctl(fd, UFFDIO_REGISTER, &area), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer, &fd), 0);
	sink = memory[0];
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

int main(void)
{
	static const TTest *const *const all[] = {
	    &nothing_is_wrong,
	    &value_that_is_not_set_is_used,
	    &memory_that_was_given_back_is_read,
	    &memory_is_lost,
	    &process_of_its_own_uses_a_value_that_is_not_set,
	    &assertion_fails,
	    &locks_are_taken_in_two_orders,
	    &lock_is_given_back_that_nobody_has,
	    &two_threads_race,
	    &thread_sleeps_on_a_fault_that_another_one_answers,
	};
	const char *wanted = getenv("SEEDED");
	Suite *suite = suite_create("seeded");
	TCase *tcase = tcase_create("seeded");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, nothing_is_wrong);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (wanted && !strcmp((*all[i])->name, wanted))
			tcase_add_test(tcase, *all[i]);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
