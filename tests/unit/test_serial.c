/* The 16550 and its host end, on pipes and files; what Linux's 8250 driver relies on. */
#include "fake_machine.h"
#include "suite.h"

#include <fcntl.h>
#include <linux/serial_reg.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT VMM_SERIAL_PORT

static struct vmm vmm;
static struct vmm_options options;
static struct device_context context;
static void *serial;
static int to_guest, from_guest; /* our ends of stdin and stdout */
static char path[] = "/tmp/gmig-test-serial-XXXXXX";

static void setup(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	context = (struct device_context){.vmm = &vmm, .options = &options};
}

static void teardown(void)
{
	serial_device.destroy(serial);
	unlink(path);
	fake_vmm_destroy(&vmm);
}

static void start_on(const char *console)
{
	options.console = console;
	ck_assert_int_eq(serial_device.create(&context, 0, &serial, NULL), 0);
}

/* stdin and stdout of this (forked) test become pipes. */
static void start_on_pipes(void)
{
	int in[2], out[2];

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	dup2(in[0], STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	close(in[0]);
	close(out[1]);
	to_guest = in[1];
	from_guest = out[0];
	start_on("stdio");
}

static void no_call(void *opaque, uint32_t events)
{
	(void)opaque;
	(void)events;
	ck_abort_msg("nothing happens to it");
}

static void type(const char *text)
{
	ck_assert_int_eq(write(to_guest, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert(fake_loop_run(&vmm));
}

static void send(const char *text)
{
	for (; *text; text++)
		fake_out(&vmm, PORT + UART_TX, (uint8_t)*text);
}

static void expect_file(const char *want)
{
	char got[256] = "";
	int fd = open(path, O_RDONLY);

	ck_assert_int_ge(read(fd, got, sizeof(got) - 1), 0);
	close(fd);
	ck_assert_str_eq(got, want);
}

START_TEST(output_to_file_arrives_in_order)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "file:%s", path);
	start_on(spec);
	send("hello, ");
	ck_assert(fake_loop_run(&vmm));
	send("world");
	ck_assert(fake_loop_run(&vmm));
	expect_file("hello, world");
}
END_TEST

START_TEST(reset_writes_what_is_buffered)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "file:%s", path);
	start_on(spec);
	send("last words");
	serial_device.reset(serial);
	expect_file("last words");
}
END_TEST

START_TEST(detection_sees_a_16550a)
{
	start_on("none");
	/* As 8250 autoconfig does: interrupt enable bits, loop-back modem lines, FIFO bits,
	 * scratch. */
	fake_out(&vmm, PORT + UART_IER, 0x0f);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IER), 0x0f);
	fake_out(&vmm, PORT + UART_IER, 0);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IER), 0);
	fake_out(&vmm, PORT + UART_MCR, UART_MCR_LOOP | 0x0a);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_MSR) & 0xf0, 0x90);
	fake_out(&vmm, PORT + UART_MCR, 0);
	fake_out(&vmm, PORT + UART_FCR, UART_FCR_ENABLE_FIFO);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IIR) >> 6, 3);
	fake_out(&vmm, PORT + UART_SCR, 0xa5);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_SCR), 0xa5);
	fake_out(&vmm, PORT + UART_LCR, UART_LCR_DLAB);
	fake_out(&vmm, PORT + UART_DLL, 1);
	fake_out(&vmm, PORT + UART_DLM, 2);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_DLL), 1);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_DLM), 2);
	fake_out(&vmm, PORT + UART_LCR, UART_LCR_WLEN8);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IER), 0);
}
END_TEST

START_TEST(loopback_returns_the_byte)
{
	start_on("none");
	fake_out(&vmm, PORT + UART_MCR, UART_MCR_LOOP);
	fake_out(&vmm, PORT + UART_TX, 'x');
	ck_assert_uint_ne(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_DR, 0);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_RX), 'x');
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_DR, 0);
}
END_TEST

START_TEST(transmit_interrupt_comes_when_enabled_and_goes_when_read)
{
	start_on("none");
	ck_assert(!vmm.line[VMM_SERIAL_GSI]);
	fake_out(&vmm, PORT + UART_IER, UART_IER_THRI);
	ck_assert(vmm.line[VMM_SERIAL_GSI]);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IIR) & UART_IIR_ID, UART_IIR_THRI);
	ck_assert(!vmm.line[VMM_SERIAL_GSI]);
	ck_assert_uint_ne(fake_in(&vmm, PORT + UART_IIR) & UART_IIR_NO_INT, 0);
	/* Again: Linux tests for chips that do not (UART_BUG_THRE). */
	fake_out(&vmm, PORT + UART_IER, 0);
	fake_out(&vmm, PORT + UART_IER, UART_IER_THRI);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IIR) & UART_IIR_ID, UART_IIR_THRI);
	send("x");
	ck_assert(vmm.line[VMM_SERIAL_GSI]);
}
END_TEST

/* A driver's interrupt handler: fill while there is room, but no more than `rounds` times. */
static unsigned int handler(unsigned int rounds)
{
	unsigned int round;

	for (round = 0; round < rounds; round++) {
		if ((fake_in(&vmm, PORT + UART_IIR) & UART_IIR_ID) != UART_IIR_THRI)
			break;
		send("0123456789abcdef");
	}
	return round;
}

START_TEST(driver_with_much_to_send_gets_a_pause_and_then_an_edge)
{
	unsigned int edges;

	start_on("none");
	fake_out(&vmm, PORT + UART_IER, UART_IER_THRI);
	ck_assert_uint_lt(handler(512), 512); /* Linux leaves for good after 512 rounds */
	edges = vmm.edges[VMM_SERIAL_GSI];
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_eq(vmm.edges[VMM_SERIAL_GSI], edges + 1);
	/* One that leaves in the middle, with the line up, is called again, too. */
	ck_assert_uint_eq(handler(3), 3);
	ck_assert(vmm.line[VMM_SERIAL_GSI]);
	edges = vmm.edges[VMM_SERIAL_GSI];
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_eq(vmm.edges[VMM_SERIAL_GSI], edges + 1);
}
END_TEST

START_TEST(input_raises_the_line_until_it_is_read)
{
	start_on_pipes();
	fake_out(&vmm, PORT + UART_IER, UART_IER_RDI);
	type("ab");
	ck_assert(vmm.line[VMM_SERIAL_GSI]);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IIR) & UART_IIR_ID, UART_IIR_RDI);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_RX), 'a');
	ck_assert(vmm.line[VMM_SERIAL_GSI]);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_RX), 'b');
	ck_assert(!vmm.line[VMM_SERIAL_GSI]);
}
END_TEST

START_TEST(input_beyond_the_fifo_is_not_lost)
{
	char want[2000];
	unsigned int i, got = 0;

	start_on_pipes();
	for (i = 0; i < sizeof(want); i++)
		want[i] = (char)('a' + i % 23);
	ck_assert_int_eq(write(to_guest, want, sizeof(want)), sizeof(want));
	close(to_guest); /* a hang-up must not drop what is still in the pipe, nor spin */
	while (got < sizeof(want)) {
		ck_assert(fake_loop_run(&vmm));
		ck_assert_uint_ne(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_DR, 0);
		for (i = 0; i < 7 && fake_in(&vmm, PORT + UART_LSR) & UART_LSR_DR; i++)
			ck_assert_int_eq(fake_in(&vmm, PORT + UART_RX), want[got++]);
	}
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_DR, 0);
}
END_TEST

START_TEST(input_cleared_by_the_driver_makes_room)
{
	start_on_pipes();
	type("0123456789012345678901234567890123456789012345678901234567890123456789");
	fake_out(&vmm, PORT + UART_FCR, UART_FCR_CLEAR_RCVR);
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_RX), '4'); /* the 65th byte waited outside */
}
END_TEST

START_TEST(output_to_slow_reader_waits_and_is_complete)
{
	unsigned int sent = 0, got = 0, turn = 0;
	uint8_t byte;

	start_on_pipes();
	/* The pipe takes 64 KiB, the console as much; then the transmitter says that it is not
	 * empty. */
	while (fake_in(&vmm, PORT + UART_LSR) & UART_LSR_THRE) {
		ck_assert_uint_lt(sent, 1 << 20);
		fake_out(&vmm, PORT + UART_TX, (uint8_t)(sent++ % 251));
		if (sent % 1000 == 0)
			ck_assert(fake_loop_run(&vmm));
	}
	ck_assert_uint_gt(sent, 65536);
	fcntl(from_guest, F_SETFL, O_NONBLOCK);
	while (got < sent) {
		if (read(from_guest, &byte, 1) == 1) {
			ck_assert_uint_eq(byte, got++ % 251);
			continue;
		}
		ck_assert_uint_lt(turn++, 1000);
		ck_assert(fake_loop_run(&vmm));
	}
	ck_assert_uint_ne(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_THRE, 0);
}
END_TEST

/* As when the user has no watches left (fs.epoll.max_user_watches). */
START_TEST(slow_reader_that_cannot_be_watched_is_tried_again_later)
{
	const int first = 1000; /* descriptors that nobody has */
	unsigned int sent = 0, got = 0, turn = 0, rested = 0;
	int taken = 0;
	uint8_t byte;

	start_on_pipes();
	while (!vmm_loop_add(&vmm, first + taken, EPOLLIN, no_call, NULL))
		taken++;
	while (fake_in(&vmm, PORT + UART_LSR) & UART_LSR_THRE) {
		ck_assert_uint_lt(sent, 1 << 20);
		fake_out(&vmm, PORT + UART_TX, (uint8_t)(sent++ % 251));
		if (sent % 1000 == 0) {
			ck_assert(fake_loop_run(&vmm)); /* it does not spin */
			rested += fake_loop_end_rests(&vmm);
		}
	}
	ck_assert_uint_gt(rested, 0);
	fcntl(from_guest, F_SETFL, O_NONBLOCK);
	while (got < sent) {
		if (read(from_guest, &byte, 1) == 1) {
			ck_assert_uint_eq(byte, got++ % 251);
			continue;
		}
		ck_assert_uint_lt(turn++, 1000);
		fake_loop_end_rests(&vmm);
		ck_assert(fake_loop_run(&vmm));
	}
	while (taken--)
		vmm_loop_remove(&vmm, first + taken);
}
END_TEST

START_TEST(output_to_vanished_reader_is_dropped)
{
	unsigned int i;

	signal(SIGPIPE, SIG_IGN); /* as main() does */
	start_on_pipes();
	close(from_guest);
	for (i = 0; i < 200000; i++) {
		fake_out(&vmm, PORT + UART_TX, 'x');
		if (i % 1000 == 0)
			ck_assert(fake_loop_run(&vmm));
	}
	ck_assert_uint_ne(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_THRE, 0);
}
END_TEST

START_TEST(reset_clears_registers_and_input)
{
	start_on_pipes();
	fake_out(&vmm, PORT + UART_IER, UART_IER_RDI | UART_IER_THRI);
	fake_out(&vmm, PORT + UART_SCR, 7);
	type("old");
	serial_device.reset(serial);
	ck_assert(!vmm.line[VMM_SERIAL_GSI]);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_IER), 0);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_SCR), 0);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_DR, 0);
	type("n");
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_RX), 'n');
}
END_TEST

START_TEST(pty_without_reader_never_holds_the_guest_up)
{
	unsigned int i;

	start_on("pty");
	for (i = 0; i < 300000; i++) {
		ck_assert_uint_ne(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_THRE, 0);
		fake_out(&vmm, PORT + UART_TX, 'x');
		if (i % 1000 == 0)
			ck_assert(fake_loop_run(&vmm));
	}
}
END_TEST

static void end_serial(void)
{
	serial_device.destroy(serial);
	vmm.pio_count = 0;
}

static int try_file(const char *name, struct gmig_error *err)
{
	static char spec[128];

	snprintf(spec, sizeof(spec), "file:%s", name);
	options.console = spec;
	return serial_device.create(&context, 0, &serial, err);
}

START_TEST(file_is_emptied_unless_appended_to)
{
	ck_assert_int_eq(try_file(path, NULL), 0);
	send("one");
	end_serial();
	ck_assert_int_eq(try_file(path, NULL), 0);
	send("two");
	end_serial();
	expect_file("two");
	options.console_append = true;
	ck_assert_int_eq(try_file(path, NULL), 0);
	send(", three");
	serial_device.reset(serial);
	expect_file("two, three");
}
END_TEST

/* As a running VM, or QEMU, locks a disk: all of it, or some bytes behind its end. */
START_TEST(file_that_is_locked_as_a_disk_is_refused_and_kept)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
	struct gmig_error err;
	int fd;

	ck_assert_int_eq(try_file(path, NULL), 0);
	send("kept");
	end_serial();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	for (int append = 0; append < 2; append++) {
		options.console_append = append;
		ck_assert_int_eq(try_file(path, &err), -EBUSY);
		ck_assert_ptr_nonnull(strstr(err.text, "in use"));
		expect_file("kept");
	}
	close(fd);
	ck_assert_int_eq(try_file(path, NULL), 0);
	send("!");
	serial_device.reset(serial);
	expect_file("kept!");
}
END_TEST

/* As logrotate's copytruncate does. */
START_TEST(file_truncated_by_others_continues_at_its_start)
{
	ck_assert_int_eq(try_file(path, NULL), 0);
	send("before");
	serial_device.reset(serial);
	ck_assert_int_eq(truncate(path, 0), 0);
	send("after");
	serial_device.reset(serial);
	expect_file("after");
}
END_TEST

START_TEST(new_file_is_for_its_owner_only)
{
	struct stat stat;

	unlink(path);
	umask(0);
	ck_assert_int_eq(try_file(path, NULL), 0);
	ck_assert_int_eq(lstat(path, &stat), 0);
	ck_assert_uint_eq(stat.st_mode & 0777, 0600);
}
END_TEST

START_TEST(symbolic_link_is_not_followed)
{
	struct gmig_error err;
	char link[96];

	ck_assert_int_eq(try_file(path, NULL), 0);
	send("kept");
	end_serial();
	snprintf(link, sizeof(link), "%s-link", path);
	ck_assert_int_eq(symlink(path, link), 0);
	ck_assert_int_eq(try_file(link, &err), -ELOOP);
	ck_assert_ptr_nonnull(strstr(err.text, "symbolic link"));
	unlink(link);
	expect_file("kept");
	start_on("none");
}
END_TEST

/* An open() that waits for a reader would hang; the test's time limit sees it. */
START_TEST(fifo_without_reader_is_refused_and_with_one_works)
{
	struct gmig_error err;
	char got[16] = "";
	int fd;

	signal(SIGPIPE, SIG_IGN);
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(try_file(path, &err), -ENXIO);
	ck_assert_ptr_nonnull(strstr(err.text, "FIFO"));
	fd = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_int_eq(try_file(path, &err), 0);
	send("hello");
	ck_assert(fake_loop_run(&vmm));
	ck_assert_int_eq(read(fd, got, sizeof(got)), 5);
	close(fd); /* and the guest goes on */
	send("lost");
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_ne(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_THRE, 0);
}
END_TEST

START_TEST(null_device_is_a_console)
{
	ck_assert_int_eq(try_file("/dev/null", NULL), 0);
	send("x");
	ck_assert(fake_loop_run(&vmm));
}
END_TEST

START_TEST(directory_is_no_console)
{
	ck_assert_int_lt(try_file("/tmp", NULL), 0);
	start_on("none");
}
END_TEST

/* ulimit -f: SIGXFSZ is ignored in gmig-vmm. Output is lost until there is room again. */
START_TEST(file_at_its_limit_loses_output_and_goes_on_when_it_has_room)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(try_file(path, NULL), 0);
	limit.rlim_cur = 4;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	send("1234");
	ck_assert(fake_loop_run(&vmm));
	send("567");
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_ne(fake_in(&vmm, PORT + UART_LSR) & UART_LSR_THRE, 0);
	ck_assert_int_eq(truncate(path, 0), 0);
	send("89");
	ck_assert(fake_loop_run(&vmm));
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect_file("89");
}
END_TEST

START_TEST(unknown_console_is_refused)
{
	static const char *const bad[] = {"file:", "file:/no/such/dir/x", "tty", "", "stdio "};
	struct gmig_error err;

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.console = bad[i];
		err.text[0] = 0;
		ck_assert_int_lt(serial_device.create(&context, 0, &serial, &err), 0);
		ck_assert_str_ne(err.text, "");
	}
	start_on("none");
}
END_TEST

START_TEST(paused_port_keeps_its_line_and_its_input_outside)
{
	start_on_pipes();
	fake_out(&vmm, PORT + UART_IER, UART_IER_RDI);
	ck_assert_int_eq(serial_device.pause(serial, 5000, NULL), 0);
	type("a");
	ck_assert(!vmm.line[VMM_SERIAL_GSI]);
	serial_device.resume(serial);
	ck_assert(fake_loop_run(&vmm));
	ck_assert(vmm.line[VMM_SERIAL_GSI]);
	ck_assert_uint_eq(fake_in(&vmm, PORT + UART_RX), 'a');
}
END_TEST

START_TEST(output_drained_while_paused_gives_an_edge_when_it_resumes)
{
	unsigned int edges;

	start_on("none");
	fake_out(&vmm, PORT + UART_IER, UART_IER_THRI);
	ck_assert_uint_eq(handler(3), 3);
	ck_assert(vmm.line[VMM_SERIAL_GSI]);
	edges = vmm.edges[VMM_SERIAL_GSI];
	ck_assert_int_eq(serial_device.pause(serial, 5000, NULL), 0);
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_eq(vmm.edges[VMM_SERIAL_GSI], edges);
	serial_device.resume(serial);
	ck_assert_uint_eq(vmm.edges[VMM_SERIAL_GSI], edges + 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    output_to_file_arrives_in_order,
	    reset_writes_what_is_buffered,
	    detection_sees_a_16550a,
	    loopback_returns_the_byte,
	    transmit_interrupt_comes_when_enabled_and_goes_when_read,
	    driver_with_much_to_send_gets_a_pause_and_then_an_edge,
	    input_raises_the_line_until_it_is_read,
	    input_beyond_the_fifo_is_not_lost,
	    input_cleared_by_the_driver_makes_room,
	    output_to_slow_reader_waits_and_is_complete,
	    slow_reader_that_cannot_be_watched_is_tried_again_later,
	    output_to_vanished_reader_is_dropped,
	    reset_clears_registers_and_input,
	    pty_without_reader_never_holds_the_guest_up,
	    paused_port_keeps_its_line_and_its_input_outside,
	    output_drained_while_paused_gives_an_edge_when_it_resumes,
	    file_is_emptied_unless_appended_to,
	    file_that_is_locked_as_a_disk_is_refused_and_kept,
	    file_truncated_by_others_continues_at_its_start,
	    new_file_is_for_its_owner_only,
	    symbolic_link_is_not_followed,
	    fifo_without_reader_is_refused_and_with_one_works,
	    null_device_is_a_console,
	    directory_is_no_console,
	    file_at_its_limit_loses_output_and_goes_on_when_it_has_room,
	    unknown_console_is_refused,
	};

	return run_tests("serial", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
