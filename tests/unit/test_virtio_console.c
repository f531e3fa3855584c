/* Named ports: control messages, data both ways with flow control, clients that come and go. */
#include "fake_machine.h"
#include "suite.h"
#include "virtio_driver.h"

#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PORTS	    2
#define QUEUES	    (2 * (PORTS + 2))
#define CONTROL_RX  2
#define CONTROL_TX  3
#define RX(port)    (2 * (port) + 2) /* port ids start at 1 */
#define TX(port)    (2 * (port) + 3)
#define BUFFER(n)   (0x300000ull + 0x1000ull * (n))
#define TX_GPA	    0x200000ull
#define TEXT_GPA    0x240000ull
#define CONTROL_GPA 0x280000ull

static struct vmm vmm;
static struct vmm_options options;
static struct device_context context;
static void *bus, *console;
static struct driver driver;
static char directory[] = "/tmp/gmig-test-port-XXXXXX";
static char path[PORTS][64];

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	options.port_count = PORTS;
	for (unsigned int i = 0; i < PORTS; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%u", directory, i);
		snprintf(options.port[i].name, sizeof(options.port[i].name), "org.gmig.%u", i);
		options.port[i].path = path[i];
	}
	context = (struct device_context){.vmm = &vmm, .options = &options};
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(vconsole_device.create(&context, 0, &console, NULL), 0);
}

static void teardown(void)
{
	if (console)
		vconsole_device.destroy(console);
	pci_device.destroy(bus);
	fake_vmm_destroy(&vmm);
	ck_assert_int_eq(access(path[0], F_OK), -1); /* the sockets are gone */
	rmdir(directory);
}

static void turn(void)
{
	ck_assert(fake_loop_run(&vmm));
}

/* ---- The driver ------------------------------------------------------------------------------ */

static void give_buffers(unsigned int queue, unsigned int count, uint32_t bytes)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct driver_piece piece = {
		    BUFFER(queue * 32 + driver.next_avail[queue] % 16), bytes, true};

		driver_add(&driver, queue, &piece, 1);
	}
	driver_notify(&driver, queue);
	turn();
}

static void tell(uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control *message = vmm_guest_ptr(&vmm, CONTROL_GPA, sizeof(*message));
	const struct driver_piece piece = {CONTROL_GPA, sizeof(*message), false};
	struct vring_used_elem elem;

	*message = (struct virtio_console_control){id, event, value};
	driver_add(&driver, CONTROL_TX, &piece, 1);
	driver_notify(&driver, CONTROL_TX);
	turn();
	ck_assert(driver_take_used(&driver, CONTROL_TX, &elem));
}

/* The next control message must be this one; its buffer goes back to the device. */
static void expect(uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control *message;
	struct vring_used_elem elem;
	uint64_t gpa;

	ck_assert(driver_take_used(&driver, CONTROL_RX, &elem));
	gpa = driver_desc(&driver, CONTROL_RX)[elem.id].addr;
	message = vmm_guest_ptr(&vmm, gpa, sizeof(*message));
	ck_assert_uint_eq(message->id, id);
	ck_assert_uint_eq(message->event, event);
	ck_assert_uint_eq(message->value, value);
	if (event == VIRTIO_CONSOLE_PORT_NAME) {
		ck_assert_uint_eq(elem.len, sizeof(*message) + strlen(options.port[id - 1].name));
		ck_assert_mem_eq(message + 1, options.port[id - 1].name,
				 elem.len - sizeof(*message));
	}
	give_buffers(CONTROL_RX, 1, 256);
}

static void expect_silence(void)
{
	struct vring_used_elem elem;

	ck_assert(!driver_take_used(&driver, CONTROL_RX, &elem));
}

/* `client` is the port (0: none) that has one already. */
static void start_with_client(unsigned int client)
{
	driver_probe(&driver, &vmm, VIRTIO_ID_CONSOLE);
	driver_start(&driver, 1ull << VIRTIO_CONSOLE_F_MULTIPORT, QUEUES);
	ck_assert_uint_eq(fake_read(&vmm, driver.device + 4, 4), PORTS + 1);
	give_buffers(CONTROL_RX, 8, 256);
	tell(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned int id = 1; id <= PORTS; id++)
		expect(id, VIRTIO_CONSOLE_PORT_ADD, 1);
	for (unsigned int id = 1; id <= PORTS; id++) {
		tell(id, VIRTIO_CONSOLE_PORT_READY, 1);
		expect(id, VIRTIO_CONSOLE_PORT_NAME, 1);
		if (id == client)
			expect(id, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
}

static void start(void)
{
	start_with_client(0);
}

static int connect_client(unsigned int port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path[port - 1]);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	turn();
	return fd;
}

/* A port with a client, open on both sides. */
static int start_open(void)
{
	int client;

	start();
	client = connect_client(1);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	tell(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	return client;
}

static void guest_sends(unsigned int port, const char *text)
{
	const struct driver_piece piece = {TEXT_GPA, (uint32_t)strlen(text), false};

	memcpy(vmm_guest_ptr(&vmm, TEXT_GPA, strlen(text)), text, strlen(text));
	driver_add(&driver, TX(port), &piece, 1);
	driver_notify(&driver, TX(port));
	turn();
}

static void client_gets(int client, const char *want)
{
	char got[256] = "";
	ssize_t bytes = read(client, got, sizeof(got) - 1);

	ck_assert_int_eq(bytes, (ssize_t)strlen(want));
	ck_assert_str_eq(got, want);
}

static void client_sends(int client, const char *text)
{
	ck_assert_int_eq(write(client, text, strlen(text)), (ssize_t)strlen(text));
	turn();
}

static void guest_gets(unsigned int port, const char *want)
{
	struct vring_used_elem elem;

	ck_assert(driver_take_used(&driver, RX(port), &elem));
	ck_assert_uint_eq(elem.len, strlen(want));
	ck_assert_mem_eq(
	    vmm_guest_ptr(&vmm, driver_desc(&driver, RX(port))[elem.id].addr, elem.len), want,
	    elem.len);
}

static void guest_gets_nothing(unsigned int port)
{
	struct vring_used_elem elem;

	ck_assert(!driver_take_used(&driver, RX(port), &elem));
}

/* ---- Tests ----------------------------------------------------------------------------------- */

START_TEST(ports_are_added_named_and_silent_without_client)
{
	start();
	expect_silence();
}
END_TEST

START_TEST(socket_is_for_its_owner_only)
{
	struct stat stat;

	ck_assert_int_eq(lstat(path[0], &stat), 0);
	ck_assert_uint_eq(stat.st_mode & 0777, 0600);
}
END_TEST

START_TEST(data_goes_both_ways)
{
	int client = start_open();

	give_buffers(RX(1), 4, 64);
	guest_sends(1, "hello host");
	client_gets(client, "hello host");
	client_sends(client, "hello guest");
	guest_gets(1, "hello guest");
	expect_silence();
}
END_TEST

START_TEST(client_before_the_driver_is_told_when_it_comes)
{
	int client = connect_client(1);

	ck_assert_int_eq(write(client, "early", 5), 5);
	start_with_client(1);
	give_buffers(RX(1), 4, 64);
	guest_gets_nothing(1); /* nobody has opened the port in the guest */
	tell(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_gets(1, "early");
}
END_TEST

START_TEST(input_without_buffers_waits_outside)
{
	int client = start_open();

	client_sends(client, "0123456789");
	guest_gets_nothing(1);
	give_buffers(RX(1), 1, 4);
	guest_gets(1, "0123");
	give_buffers(RX(1), 3, 4);
	guest_gets(1, "4567");
	guest_gets(1, "89");
	client_sends(client, "x");
	guest_gets(1, "x");
}
END_TEST

START_TEST(slow_client_holds_its_port_up_and_loses_nothing)
{
	static char big[0x8000], got[sizeof(big) * 14];
	const struct driver_piece piece = {TX_GPA, sizeof(big), false};
	struct vring_used_elem elem;
	unsigned int done = 0;
	size_t bytes = 0;
	int client = start_open(), turns = 0;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 31 + i / 256);
	memcpy(vmm_guest_ptr(&vmm, TX_GPA, sizeof(big)), big, sizeof(big));
	for (unsigned int i = 0; i < 14; i++)
		driver_add(&driver, TX(1), &piece, 1);
	driver_notify(&driver, TX(1));
	turn();
	while (driver_take_used(&driver, TX(1), &elem))
		done++;
	ck_assert_uint_lt(done, 14);	/* the socket is full */
	guest_sends(2, "nobody there"); /* the other port lives: without client it discards */
	ck_assert(driver_take_used(&driver, TX(2), &elem));
	while (bytes < sizeof(got)) {
		ssize_t part = read(client, got + bytes, 3000);

		if (part > 0)
			bytes += (size_t)part;
		else
			turn();
		ck_assert_int_lt(turns++, 10000);
	}
	turn();
	while (driver_take_used(&driver, TX(1), &elem))
		done++;
	ck_assert_uint_eq(done, 14);
	for (size_t i = 0; i < sizeof(got); i++)
		ck_assert_int_eq(got[i], big[i % sizeof(big)]);
}
END_TEST

/* The rest of a chain that a slow client holds up is guest memory, too. */
START_TEST(held_chain_without_bus_master_is_not_read_on)
{
	static char got[0x8000];
	const struct driver_piece piece = {TX_GPA, sizeof(got), false};
	struct vring_used_elem elem;
	unsigned int done = 0, before;
	int client = start_open();

	for (unsigned int i = 0; i < 14; i++)
		driver_add(&driver, TX(1), &piece, 1);
	driver_notify(&driver, TX(1));
	turn();
	while (driver_take_used(&driver, TX(1), &elem))
		done++;
	driver_bus_master(&driver, false);
	memset(vmm_guest_ptr(&vmm, TX_GPA, sizeof(got)), 'x', sizeof(got));
	for (ssize_t part; (part = read(client, got, sizeof(got))) > 0; turn())
		ck_assert_ptr_null(memchr(got, 'x', (size_t)part));
	ck_assert(!driver_take_used(&driver, TX(1), &elem));
	/* The client leaves: the chain comes back, but not before the guest allows it. */
	before = done;
	close(client);
	turn();
	ck_assert(!driver_take_used(&driver, TX(1), &elem));
	driver_bus_master(&driver, true);
	turn();
	while (driver_take_used(&driver, TX(1), &elem))
		done++;
	ck_assert_uint_lt(before, 14);
	ck_assert_uint_eq(done, 14);
}
END_TEST

START_TEST(client_that_leaves_closes_the_port)
{
	struct vring_used_elem elem;
	int client = start_open();

	give_buffers(RX(1), 4, 64);
	close(client);
	turn();
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	guest_sends(1, "into the void");
	ck_assert(driver_take_used(&driver, TX(1), &elem));
	client = connect_client(1);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	client_sends(client, "again");
	guest_gets(1, "again");
}
END_TEST

START_TEST(client_that_leaves_with_a_full_socket_frees_the_guest)
{
	static const struct driver_piece piece = {TX_GPA, 0x8000, false};
	struct vring_used_elem elem;
	unsigned int done = 0;
	int client = start_open();

	for (unsigned int i = 0; i < 14; i++)
		driver_add(&driver, TX(1), &piece, 1);
	driver_notify(&driver, TX(1));
	turn();
	close(client);
	turn();
	while (driver_take_used(&driver, TX(1), &elem))
		done++;
	ck_assert_uint_eq(done, 14);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
}
END_TEST

/* By a fuzzer: the rest of a chain whose client has gone was to go back at once, for ever. */
START_TEST(client_that_leaves_a_broken_device_gives_it_no_work)
{
	static const struct driver_piece piece = {TX_GPA, 0x8000, false},
					 broken = {TX_GPA, 4, false};
	struct vring_used_elem elem;
	int client = start_open();

	for (unsigned int i = 0; i < 14; i++)
		driver_add(&driver, TX(1), &piece, 1);
	driver_notify(&driver, TX(1));
	turn();
	while (driver_take_used(&driver, TX(1), &elem))
		;
	driver_add(&driver, RX(1), &broken, 1);
	driver_notify(&driver, RX(1));
	turn();
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	close(client);
	turn();
	ck_assert(!driver_take_used(&driver, TX(1), &elem));
	/* What the reset lets go of is all: the next client gets none of it. */
	client = start_open();
	guest_sends(1, "new");
	client_gets(client, "new");
}
END_TEST

START_TEST(last_words_of_a_client_are_delivered)
{
	int client = start_open();

	client_sends(client, "last words");
	close(client);
	turn(); /* no buffers yet: must not spin */
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	give_buffers(RX(1), 2, 64);
	guest_gets(1, "last words");
	expect_silence();
}
END_TEST

START_TEST(next_client_does_not_get_the_last_ones_words)
{
	int client = start_open();

	client_sends(client, "old");
	close(client);
	turn();
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	client = connect_client(1);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	client_sends(client, "new");
	give_buffers(RX(1), 2, 64);
	guest_gets(1, "new");
	guest_gets_nothing(1);
}
END_TEST

START_TEST(quick_change_of_clients_is_seen_as_close_and_open)
{
	int client = start_open();

	close(client);
	connect_client(1);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
}
END_TEST

START_TEST(second_client_waits_for_the_first_to_leave)
{
	int first = start_open(), second = connect_client(1);

	give_buffers(RX(1), 4, 64);
	client_sends(second, "two");
	guest_gets_nothing(1);
	client_sends(first, "one");
	guest_gets(1, "one");
	close(first);
	turn();
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_gets(1, "two");
}
END_TEST

START_TEST(client_that_shuts_its_side_still_hears)
{
	int client = start_open();

	give_buffers(RX(1), 4, 64);
	client_sends(client, "question");
	shutdown(client, SHUT_WR);
	turn();
	guest_gets(1, "question");
	guest_sends(1, "answer");
	client_gets(client, "answer");
	expect_silence();
	close(client);
	turn();
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
}
END_TEST

START_TEST(driver_reset_keeps_the_client)
{
	int client = start_open();

	give_buffers(RX(1), 4, 64);
	start_with_client(1);
	client_sends(client, "hello"); /* the new driver has no buffers and has not opened */
	give_buffers(RX(1), 4, 64);
	guest_gets_nothing(1);
	tell(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_gets(1, "hello");
}
END_TEST

START_TEST(machine_reset_keeps_the_client)
{
	int client = start_open();

	vconsole_device.reset(console);
	pci_device.reset(bus);
	turn();
	start_with_client(1);
	tell(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_sends(1, "back");
	client_gets(client, "back");
}
END_TEST

START_TEST(nonsense_control_messages_are_ignored)
{
	static const uint32_t ids[] = {0, PORTS + 1, 0x7fffffff, 0xffffffff};
	const struct driver_piece half = {CONTROL_GPA, 5, false};

	start();
	for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		for (uint16_t event = 1; event < 12; event++)
			tell(ids[i], event, 1);
	tell(1, 0xffff, 0xffff);
	driver_add(&driver, CONTROL_TX, &half, 1);
	driver_notify(&driver, CONTROL_TX);
	turn();
	expect_silence();
	ck_assert_uint_eq(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}
END_TEST

START_TEST(repeated_ready_does_not_pile_up)
{
	start();
	/* With no buffers left for it, a thousand requests make one answer. */
	for (unsigned int i = 0; i < 8; i++) {
		tell(1, VIRTIO_CONSOLE_PORT_READY, 1);
		driver.next_used[CONTROL_RX]++;
	}
	for (unsigned int i = 0; i < 1000; i++)
		tell(1, VIRTIO_CONSOLE_PORT_READY, 1);
	give_buffers(CONTROL_RX, 8, 256);
	expect(1, VIRTIO_CONSOLE_PORT_NAME, 1);
	expect_silence();
}
END_TEST

START_TEST(empty_receive_buffer_asks_for_reset)
{
	const struct driver_piece piece = {TX_GPA, 4, false};
	int client = start_open();

	driver_add(&driver, RX(1), &piece, 1);
	driver_notify(&driver, RX(1));
	turn();
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	client_sends(client, "x");
}
END_TEST

START_TEST(stale_socket_is_taken_over_and_living_one_refused)
{
	struct gmig_error err;
	void *second;
	int fd;

	ck_assert_int_eq(vconsole_device.create(&context, 0, &second, &err), -EADDRINUSE);
	ck_assert_int_eq(access(path[0], F_OK), 0);
	vconsole_device.destroy(console);
	console = NULL;
	/* A socket nobody listens on. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	{
		struct sockaddr_un address = {.sun_family = AF_UNIX};

		strcpy(address.sun_path, path[0]);
		ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	}
	close(fd);
	ck_assert_int_eq(vconsole_device.create(&context, 0, &console, &err), 0);
	/* A file that is no socket is not ours to remove. */
	vconsole_device.destroy(console);
	console = NULL;
	fclose(fopen(path[0], "w"));
	ck_assert_int_eq(vconsole_device.create(&context, 0, &console, &err), -EEXIST);
	console = NULL;
	ck_assert_int_eq(unlink(path[0]), 0);
}
END_TEST

/* EMFILE: the client stays in the backlog, so the socket stays readable. */
START_TEST(client_waits_while_there_is_no_descriptor)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct rlimit few;

	start();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &few), 0);
	few.rlim_cur = (rlim_t)fd + 1;
	strcpy(address.sun_path, path[0]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	for (unsigned int i = 0; i < 3; i++) {
		turn(); /* does not spin */
		ck_assert_uint_eq(fake_loop_end_rests(&vmm), 1);
	}
	expect_silence();
	few.rlim_cur = few.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	turn();
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
}
END_TEST

START_TEST(paused_port_moves_nothing_until_it_resumes)
{
	const struct driver_piece piece = {TEXT_GPA, 3, false};
	int client = start_open();
	struct vring_used_elem elem;
	char got[8];

	give_buffers(RX(1), 4, 64);
	ck_assert_int_eq(vconsole_device.pause(console, 5000, NULL), 0);
	client_sends(client, "in"); /* its turn() also sees a handler that spins */
	driver_add(&driver, TX(1), &piece, 1);
	driver_notify(&driver, TX(1));
	turn();
	guest_gets_nothing(1);
	ck_assert(!driver_take_used(&driver, TX(1), &elem));
	ck_assert_int_lt(read(client, got, sizeof(got)), 0);
	vconsole_device.resume(console);
	turn();
	guest_gets(1, "in");
	ck_assert(driver_take_used(&driver, TX(1), &elem));
	ck_assert_int_eq(read(client, got, sizeof(got)), 3);
}
END_TEST

/* The buffer of what it did not read goes back to the guest, but not while that is paused. */
START_TEST(client_that_leaves_a_paused_port_frees_the_guest_later)
{
	const struct driver_piece piece = {TEXT_GPA, 1 << 20, false};
	int client = start_open(), next;
	struct vring_used_elem elem;

	driver_add(&driver, TX(1), &piece, 1);
	driver_notify(&driver, TX(1));
	turn();
	ck_assert(!driver_take_used(&driver, TX(1), &elem)); /* the client is slow */
	ck_assert_int_eq(vconsole_device.pause(console, 5000, NULL), 0);
	close(client);
	turn();
	next = connect_client(1);
	ck_assert(!driver_take_used(&driver, TX(1), &elem));
	expect_silence();
	vconsole_device.resume(console);
	turn();
	ck_assert(driver_take_used(&driver, TX(1), &elem));
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_sends(1, "new");
	client_gets(next, "new");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    ports_are_added_named_and_silent_without_client,
	    socket_is_for_its_owner_only,
	    data_goes_both_ways,
	    client_before_the_driver_is_told_when_it_comes,
	    input_without_buffers_waits_outside,
	    slow_client_holds_its_port_up_and_loses_nothing,
	    held_chain_without_bus_master_is_not_read_on,
	    client_that_leaves_closes_the_port,
	    client_that_leaves_with_a_full_socket_frees_the_guest,
	    client_that_leaves_a_broken_device_gives_it_no_work,
	    last_words_of_a_client_are_delivered,
	    next_client_does_not_get_the_last_ones_words,
	    quick_change_of_clients_is_seen_as_close_and_open,
	    second_client_waits_for_the_first_to_leave,
	    client_that_shuts_its_side_still_hears,
	    driver_reset_keeps_the_client,
	    machine_reset_keeps_the_client,
	    nonsense_control_messages_are_ignored,
	    repeated_ready_does_not_pile_up,
	    empty_receive_buffer_asks_for_reset,
	    client_waits_while_there_is_no_descriptor,
	    paused_port_moves_nothing_until_it_resumes,
	    client_that_leaves_a_paused_port_frees_the_guest_later,
	    stale_socket_is_taken_over_and_living_one_refused,
	};

	return run_tests("virtio_console", setup, teardown, tests,
			 sizeof(tests) / sizeof(tests[0]));
}
