/* Calls that do less than they were asked for. */
#include "../../migrate/core/whole.h"
#include "suite.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>

static int ends[2];

static void setup(void)
{
	ck_assert_int_eq(pipe(ends), 0);
}

static void teardown(void)
{
	close(ends[0]);
	if (ends[1] >= 0)
		close(ends[1]);
}

/* The second half comes when the first one has been read. */
static void *write_halves(void *unused)
{
	int left = 1;

	(void)unused;
	ck_assert_int_eq(write(ends[1], "9437", 4), 4);
	while (left) {
		ck_assert_int_eq(ioctl(ends[0], FIONREAD, &left), 0);
		sched_yield();
	}
	ck_assert_int_eq(write(ends[1], "184\n", 4), 4);
	close(ends[1]);
	ends[1] = -1;
	return NULL;
}

START_TEST(text_that_comes_in_halves_is_read_to_its_end)
{
	char text[32] = "";
	pthread_t writer;

	ck_assert_int_eq(pthread_create(&writer, NULL, write_halves, NULL), 0);
	ck_assert_int_eq(read_whole(ends[0], text, sizeof(text) - 1), 8);
	pthread_join(writer, NULL);
	ck_assert_str_eq(text, "9437184\n");
}
END_TEST

START_TEST(text_longer_than_the_room_is_read_as_far_as_there_is_room)
{
	char text[4];

	ck_assert_int_eq(write(ends[1], "9437184\n", 8), 8);
	ck_assert_int_eq(read_whole(ends[0], text, sizeof(text)), 4);
	ck_assert_mem_eq(text, "9437", 4);
}
END_TEST

START_TEST(read_that_fails_says_so)
{
	char text[4];

	ck_assert_int_eq(read_whole(ends[1], text, sizeof(text)), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(pread_whole(ends[0], text, sizeof(text), 0), -1);
	ck_assert_int_eq(errno, ESPIPE);
}
END_TEST

static void nothing(int number)
{
	(void)number;
}

static pthread_t main_thread;

/* Interrupts the writer until all of it has come. */
static void *read_slowly(void *bytes)
{
	size_t *all = bytes;
	char text[3001];
	ssize_t got;

	do {
		pthread_kill(main_thread, SIGUSR1);
		got = read(ends[0], text, sizeof(text));
		*all += got > 0 ? (size_t)got : 0;
	} while (got > 0 || (got < 0 && errno == EINTR));
	return NULL;
}

START_TEST(all_is_written_to_a_pipe_that_is_full_again_and_again)
{
	static char text[1 << 20];
	struct sigaction action = {.sa_handler = nothing}; /* without SA_RESTART */
	size_t all = 0;
	pthread_t reader;

	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	main_thread = pthread_self();
	ck_assert_int_eq(pthread_create(&reader, NULL, read_slowly, &all), 0);
	ck_assert(write_whole(ends[1], text, sizeof(text)));
	close(ends[1]);
	ends[1] = -1;
	pthread_join(reader, NULL);
	ck_assert_uint_eq(all, sizeof(text));
}
END_TEST

START_TEST(write_that_fails_says_so)
{
	ck_assert(!write_whole(ends[0], "x", 1));
	ck_assert_int_eq(errno, EBADF);
	ck_assert(write_whole(ends[1], "", 0));
	ck_assert_int_eq(write_value(ends[0], "0-3"), -EBADF);
	ck_assert_int_eq(write_value(ends[1], "0-3"), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    text_that_comes_in_halves_is_read_to_its_end,
	    text_longer_than_the_room_is_read_as_far_as_there_is_room,
	    read_that_fails_says_so,
	    all_is_written_to_a_pipe_that_is_full_again_and_again,
	    write_that_fails_says_so,
	};

	return run_tests("whole", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
