/* What wakes: the I/O thread, by descriptors that fail for ever or cannot be served now; main, by memory that breaks. */
#include "suite.h"

#include "../../migrate/core/copy.h"
#include "../../vmm/broken.h"
#include "../../vmm/internal.h"
#include "../../vmm/vcpu.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct vmm *vmm;
static int done_fd; /* the handlers' word to the test */
static _Atomic unsigned int calls;
static unsigned int rests, no_watches; /* additions to an epoll set that are refused */

static void setup(void)
{
	struct gmig_error err;

	calls = 0;
	vmm = calloc(1, sizeof(*vmm));
	done_fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_ptr_nonnull(vmm);
	ck_assert_msg(!vmm_loop_create(&vmm->loop, &err), "%s", err.text);
}

static void teardown(void)
{
	vmm_loop_destroy(&vmm->loop);
	close(done_fd);
	free(vmm);
}

static void wait_done(void)
{
	eventfd_t value;

	ck_assert_int_eq(eventfd_read(done_fd, &value), 0);
}

static void count_only(void *opaque, uint32_t events)
{
	(void)opaque;
	(void)events;
	calls++;
}

/* When this handler has run, the loop has been through every descriptor that is ready. */
static void say_done(void *opaque, uint32_t events)
{
	eventfd_t value;

	(void)events;
	eventfd_read(*(int *)opaque, &value);
	eventfd_write(done_fd, 1);
}

static void go_round(int *fd)
{
	eventfd_write(*fd, 1);
	wait_done();
}

static int add_round(int *fd)
{
	*fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return vmm_loop_add(vmm, *fd, EPOLLIN, say_done, fd);
}

static void remove_round(int *fd)
{
	vmm_loop_remove(vmm, *fd);
	close(*fd);
}

/* The write end of a pipe without reader: EPOLLERR whether asked for or not. */
START_TEST(descriptor_that_fails_for_ever_is_left_alone)
{
	int ends[2], round;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(add_round(&round), 0);
	ck_assert_int_eq(vmm_loop_add(vmm, ends[1], 0, count_only, NULL), 0);
	close(ends[0]);
	for (int i = 0; i < 1000; i++)
		go_round(&round);
	ck_assert_uint_ge(calls, 1);
	ck_assert_uint_le(calls, 16);
	vmm_loop_remove(vmm, ends[1]);
	/* Its number may be used again. */
	calls = 0;
	ck_assert_int_eq(vmm_loop_add(vmm, ends[1], 0, count_only, NULL), 0);
	while (!calls)
		go_round(&round);
	vmm_loop_remove(vmm, ends[1]);
	close(ends[1]);
	remove_round(&round);
}
END_TEST

static void finish(int fd)
{
	vmm_loop_remove(vmm, fd);
	eventfd_write(done_fd, 1);
}

static void read_one(void *opaque, uint32_t events)
{
	int *fd = opaque;
	char byte;

	ck_assert_uint_ne(events & EPOLLHUP, 0);
	if (events & EPOLLIN)
		calls += read(*fd, &byte, 1) == 1;
	else
		finish(*fd);
}

START_TEST(hang_up_with_data_is_read_to_the_end)
{
	char data[100] = {0};
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], data, sizeof(data)), sizeof(data));
	close(ends[1]);
	ck_assert_int_eq(vmm_loop_add(vmm, ends[0], EPOLLIN, read_one, &ends[0]), 0);
	wait_done();
	ck_assert_uint_eq(calls, sizeof(data));
	close(ends[0]);
}
END_TEST

static void rest_twice(void *opaque, uint32_t events)
{
	int *fd = opaque;

	(void)events;
	calls++;
	if (rests++ < 2) {
		ck_assert_int_eq(vmm_loop_rest(vmm, *fd, 1), 0);
		return;
	}
	finish(*fd);
}

START_TEST(handler_that_cannot_serve_is_called_again_after_its_rest)
{
	int fd = eventfd(1, EFD_CLOEXEC); /* readable for ever */

	ck_assert_int_eq(vmm_loop_rest(vmm, fd, 1), -ENOENT);
	ck_assert_int_eq(vmm_loop_add(vmm, fd, EPOLLIN, rest_twice, &fd), 0);
	wait_done();
	ck_assert_uint_eq(calls, 3);
	close(fd);
}
END_TEST

/* The name is the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	if (operation == EPOLL_CTL_ADD && no_watches && no_watches--) {
		errno = ENOSPC;
		return -1;
	}
	return __real_epoll_ctl(epoll, operation, fd, event);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void rest_without_watches(void *opaque, uint32_t events)
{
	no_watches = rests < 2 ? 1 : 0;
	rest_twice(opaque, events);
}

START_TEST(rest_that_cannot_end_for_want_of_watches_ends_later)
{
	int fd = eventfd(1, EFD_CLOEXEC); /* readable for ever */

	no_watches = 1;
	ck_assert_int_eq(vmm_loop_add(vmm, fd, EPOLLIN, rest_without_watches, &fd), -ENOSPC);
	ck_assert_int_eq(vmm_loop_add(vmm, fd, EPOLLIN, rest_without_watches, &fd), 0);
	wait_done();
	ck_assert_uint_eq(calls, 3);
	ck_assert_uint_eq(no_watches, 0);
	close(fd);
}
END_TEST

static void rest_long(void *opaque, uint32_t events)
{
	int *fd = opaque;

	(void)events;
	calls++;
	vmm_loop_rest(vmm, *fd, 60000);
}

START_TEST(resting_descriptor_costs_nothing_and_can_be_removed)
{
	int fd = eventfd(1, EFD_CLOEXEC), round;

	ck_assert_int_eq(add_round(&round), 0);
	ck_assert_int_eq(vmm_loop_add(vmm, fd, EPOLLIN, rest_long, &fd), 0);
	while (!calls)
		go_round(&round);
	for (int i = 0; i < 100; i++)
		go_round(&round);
	ck_assert_int_eq(vmm_loop_modify(vmm, fd, EPOLLIN), 0); /* does not wake it */
	go_round(&round);
	ck_assert_uint_eq(calls, 1);
	vmm_loop_remove(vmm, fd);
	ck_assert_int_eq(vmm_loop_rest(vmm, fd, 1), -ENOENT);
	close(fd);
	remove_round(&round);
}
END_TEST

/* As the kernel does when memory breaks that nobody has touched. */
static void tell(void *arg)
{
	siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_MCEERR_AO};

	info.si_addr = arg;
	syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGBUS, &info);
}

/* Also while this thread copies: the copy has not failed. */
START_TEST(memory_that_breaks_untouched_is_noted_and_wakes_main)
{
	struct pollfd pfd = {.fd = done_fd, .events = POLLIN};
	uintptr_t hva;

	vmm_vcpus_handle_sigbus();
	copy_guard();
	broken_listen(done_fd);
	ck_assert(!broken_take(&hva));
	ck_assert(copy_try(tell, (void *)0x7000));
	ck_assert_int_eq(poll(&pfd, 1, 10000), 1);
	ck_assert(broken_take(&hva));
	ck_assert_uint_eq(hva, 0x7000);
	ck_assert(!broken_take(&hva));
}
END_TEST

START_TEST(more_broken_memory_than_there_is_room_for_is_dropped)
{
	unsigned int taken = 0;
	uintptr_t hva;

	broken_listen(done_fd);
	for (uintptr_t i = 1; i <= 100; i++)
		broken_note(i << 12);
	while (broken_take(&hva))
		ck_assert_uint_eq(hva, ++taken << 12);
	ck_assert_uint_eq(taken, 64);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    descriptor_that_fails_for_ever_is_left_alone,
	    hang_up_with_data_is_read_to_the_end,
	    handler_that_cannot_serve_is_called_again_after_its_rest,
	    rest_that_cannot_end_for_want_of_watches_ends_later,
	    resting_descriptor_costs_nothing_and_can_be_removed,
	    memory_that_breaks_untouched_is_noted_and_wakes_main,
	    more_broken_memory_than_there_is_room_for_is_dropped,
	};

	return run_tests("loop", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
