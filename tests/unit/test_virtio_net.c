/* virtio-net with a datagram socket in the tap's place. */
#include "fake_machine.h"
#include "suite.h"
#include "virtio_driver.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RX     0
#define TX     1
#define HEADER 12
#define TX_GPA 0x200000ull
#define RX_GPA 0x300000ull

static struct vmm vmm;
static struct vmm_options options = {.name = "guest", .net_count = 1, .tap = {"tap7", "tap8"}};
static struct device_context context;
static void *bus, *net;
static struct driver driver;
static int wire;   /* the other end of the tap */
static int tap_fd; /* the card's end */
static bool tap_is_gone;
static int refuse_tap;
static char asked_name[IFNAMSIZ];

/* These three stand before the C library's. */
int open(const char *path, int flags, ...)
{
	int pair[2];

	if (strcmp(path, "/dev/net/tun") != 0)
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair))
		return -1;
	wire = pair[1];
	tap_fd = pair[0];
	return pair[0];
}

int ioctl(int fd, unsigned long request, ...)
{
	struct ifreq *ifreq;
	va_list args;

	(void)fd;
	va_start(args, request);
	ifreq = va_arg(args, struct ifreq *);
	va_end(args);
	if (request != TUNSETIFF || !(ifreq->ifr_flags & IFF_TAP) ||
	    !(ifreq->ifr_flags & IFF_NO_PI))
		refuse_tap = EINVAL;
	strcpy(asked_name, ifreq->ifr_name);
	errno = refuse_tap;
	return refuse_tap ? -1 : 0;
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
	if (!tap_is_gone)
		return syscall(SYS_readv, fd, iov, count);
	errno = EBADFD;
	return -1;
}

static void setup(void)
{
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	context = (struct device_context){.vmm = &vmm, .options = &options};
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(net_device.create(&context, 0, &net, NULL), 0);
	driver_probe(&driver, &vmm, VIRTIO_ID_NET);
	driver_start(&driver, 1ull << VIRTIO_NET_F_MAC, 2);
}

static void teardown(void)
{
	net_device.destroy(net);
	pci_device.destroy(bus);
	fake_vmm_destroy(&vmm);
}

static void turn(void)
{
	ck_assert(fake_loop_run(&vmm));
}

static void give_buffers(unsigned int count, uint32_t bytes)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct driver_piece piece = {RX_GPA + driver.next_avail[RX] % 16 * 0x1000ull,
						   bytes, true};

		driver_add(&driver, RX, &piece, 1);
	}
	driver_notify(&driver, RX);
	turn();
}

static void expect_packet(const char *want)
{
	struct vring_used_elem elem;
	const uint8_t *data;

	ck_assert(driver_take_used(&driver, RX, &elem));
	ck_assert_uint_eq(elem.len, HEADER + strlen(want));
	data = vmm_guest_ptr(&vmm, driver_desc(&driver, RX)[elem.id].addr, elem.len);
	ck_assert_mem_eq(data, "\0\0\0\0\0\0\0\0\0\0\1\0", HEADER);
	ck_assert_mem_eq(data + HEADER, want, strlen(want));
}

static void arrive(const char *packet)
{
	ck_assert_int_eq(send(wire, packet, strlen(packet), 0), (ssize_t)strlen(packet));
	turn();
}

START_TEST(tap_is_opened_by_name_and_mac_is_stable)
{
	uint32_t low = fake_read(&vmm, driver.device, 4),
		 high = fake_read(&vmm, driver.device + 4, 2);
	void *second;

	ck_assert_str_eq(asked_name, "tap7");
	ck_assert_uint_eq(low & 0xffffff, 0x5452);
	ck_assert_uint_eq(fake_read(&vmm, driver.device + 6, 2), VIRTIO_NET_S_LINK_UP);
	net_device.destroy(net);
	pci_device.destroy(bus);
	vmm.mmio_count = vmm.pio_count = 0;
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(net_device.create(&context, 1, &second, NULL),
			 0); /* another card, another address */
	driver_probe(&driver, &vmm, VIRTIO_ID_NET);
	ck_assert(low != fake_read(&vmm, driver.device, 4) ||
		  high != fake_read(&vmm, driver.device + 4, 2));
	net_device.destroy(second);
	pci_device.destroy(bus);
	vmm.mmio_count = vmm.pio_count = 0;
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(net_device.create(&context, 0, &net, NULL), 0);
	driver_probe(&driver, &vmm, VIRTIO_ID_NET);
	ck_assert_uint_eq(fake_read(&vmm, driver.device, 4), low);
	ck_assert_uint_eq(fake_read(&vmm, driver.device + 4, 2), high);
}
END_TEST

START_TEST(packet_out_loses_its_header)
{
	const struct driver_piece pieces[] = {{TX_GPA, HEADER + 4, false},
					      {TX_GPA + 0x1000, 5, false}};
	struct vring_used_elem elem;
	char got[64] = "";

	memcpy((uint8_t *)vmm_guest_ptr(&vmm, TX_GPA, 64) + HEADER, "abcd", 4);
	memcpy(vmm_guest_ptr(&vmm, TX_GPA + 0x1000, 64), "efghi", 5);
	driver_add(&driver, TX, pieces, 2);
	driver_notify(&driver, TX);
	turn();
	ck_assert(driver_take_used(&driver, TX, &elem));
	ck_assert_int_eq(read(wire, got, sizeof(got)), 9);
	ck_assert_str_eq(got, "abcdefghi");
}
END_TEST

START_TEST(packet_in_gets_a_header)
{
	give_buffers(4, 1526);
	arrive("one");
	arrive("two");
	expect_packet("one");
	expect_packet("two");
}
END_TEST

START_TEST(packet_without_buffer_waits_in_the_tap)
{
	struct vring_used_elem elem;

	arrive("one");
	arrive("two");
	ck_assert(!driver_take_used(&driver, RX, &elem));
	give_buffers(1, 1526);
	expect_packet("one");
	ck_assert(!driver_take_used(&driver, RX, &elem));
	give_buffers(3, 1526);
	expect_packet("two");
	arrive("three");
	expect_packet("three");
}
END_TEST

START_TEST(packet_without_bus_master_leaves_the_buffer_alone)
{
	struct vring_used_elem elem;
	uint8_t *buffer = vmm_guest_ptr(&vmm, RX_GPA, 64);

	give_buffers(4, 1526);
	driver_bus_master(&driver, false);
	memset(buffer, 0x77, 64);
	arrive("one");
	ck_assert(!driver_take_used(&driver, RX, &elem));
	for (unsigned int i = 0; i < 64; i++)
		ck_assert_uint_eq(buffer[i], 0x77);
	driver_bus_master(&driver, true);
	turn();
	expect_packet("one");
}
END_TEST

START_TEST(many_packets_out_all_leave_and_do_not_hold_the_thread)
{
	const struct driver_piece piece = {TX_GPA, HEADER + 1, false};
	struct vring_used_elem elem;
	unsigned int i, done = 0;
	char got[8];

	for (i = 0; i < 1000; i++) {
		driver_add(&driver, TX, &piece, 1);
		driver_notify(&driver, TX);
		turn();
		done += driver_take_used(&driver, TX, &elem);
		ck_assert_int_eq(read(wire, got, sizeof(got)), 1);
	}
	ck_assert_uint_eq(done, 1000);
}
END_TEST

START_TEST(full_tap_drops_and_gives_the_buffer_back)
{
	const struct driver_piece piece = {TX_GPA, HEADER + 0x1000, false};
	struct vring_used_elem elem;
	unsigned int i, done = 0;

	for (i = 0; i < 1000; i++) {
		driver_add(&driver, TX, &piece, 1);
		driver_notify(&driver, TX);
		turn();
		done += driver_take_used(&driver, TX, &elem);
	}
	ck_assert_uint_eq(done, 1000);
}
END_TEST

START_TEST(bad_chains_ask_for_reset)
{
	const struct driver_piece headless = {TX_GPA, HEADER - 1, false},
				  roomless = {RX_GPA, HEADER, true};

	driver_add(&driver, TX, &headless, 1);
	driver_notify(&driver, TX);
	turn();
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	driver_start(&driver, 0, 2);
	driver_add(&driver, RX, &roomless, 1);
	driver_notify(&driver, RX);
	turn();
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	arrive("x"); /* nobody listens: must not spin */
	driver_start(&driver, 0, 2);
	give_buffers(1, 1526);
	expect_packet("x");
}
END_TEST

START_TEST(reset_stops_listening)
{
	struct vring_used_elem elem;

	give_buffers(4, 1526);
	net_device.reset(net);
	arrive("lost on the way");
	ck_assert(!driver_take_used(&driver, RX, &elem));
}
END_TEST

static unsigned int link_status(void)
{
	return fake_read(&vmm, driver.device + 6, 2);
}

/* A deleted interface: poll gives EPOLLERR, read and write EBADFD. */
START_TEST(deleted_tap_takes_the_link_down_once)
{
	const struct driver_piece piece = {TX_GPA, HEADER + 1, false};
	struct vring_used_elem elem;
	unsigned int msis;

	give_buffers(4, 1526);
	msis = vmm.msi_count;
	fake_loop_event(&vmm, tap_fd, EPOLLERR);
	ck_assert_uint_eq(link_status(), 0);
	ck_assert_uint_eq(vmm.msi_count, msis + 1);
	ck_assert_int_eq(fcntl(tap_fd, F_GETFD), -1); /* closed: nothing is left to spin on */
	turn();
	driver_add(&driver, TX, &piece, 1); /* packets go nowhere, their buffers come back */
	driver_notify(&driver, TX);
	turn();
	ck_assert(driver_take_used(&driver, TX, &elem));
	ck_assert(!driver_take_used(&driver, RX, &elem));
	net_device.reset(net);
	ck_assert_uint_eq(link_status(), 0);
}
END_TEST

START_TEST(tap_found_deleted_by_a_read_takes_the_link_down)
{
	tap_is_gone = true;
	give_buffers(1, 1526);
	ck_assert_uint_eq(link_status(), 0);
	ck_assert_int_eq(fcntl(tap_fd, F_GETFD), -1);
}
END_TEST

START_TEST(tap_deleted_while_paused_interrupts_after_the_pause)
{
	unsigned int msis;

	ck_assert_int_eq(net_device.pause(net, 5000, NULL), 0);
	msis = vmm.msi_count;
	fake_loop_event(&vmm, tap_fd, EPOLLERR);
	turn();
	ck_assert_uint_eq(vmm.msi_count, msis);
	net_device.resume(net);
	ck_assert_uint_eq(vmm.msi_count, msis + 1);
}
END_TEST

START_TEST(paused_card_moves_nothing_until_it_resumes)
{
	const struct driver_piece piece = {TX_GPA, HEADER + 1, false};
	struct vring_used_elem elem;
	char got[8];

	give_buffers(4, 1526);
	ck_assert_int_eq(net_device.pause(net, 5000, NULL), 0);
	arrive("in"); /* turn() in it also sees a handler that spins */
	driver_add(&driver, TX, &piece, 1);
	driver_notify(&driver, TX);
	turn();
	ck_assert(!driver_take_used(&driver, RX, &elem));
	ck_assert(!driver_take_used(&driver, TX, &elem));
	ck_assert_int_lt(read(wire, got, sizeof(got)), 0);
	net_device.resume(net);
	turn();
	expect_packet("in");
	ck_assert(driver_take_used(&driver, TX, &elem));
	ck_assert_int_eq(read(wire, got, sizeof(got)), 1);
}
END_TEST

START_TEST(tap_without_right_is_refused_with_advice)
{
	struct gmig_error err;
	void *second;

	refuse_tap = EPERM;
	ck_assert_int_eq(net_device.create(&context, 0, &second, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "ip tuntap"));
	refuse_tap = EBUSY;
	ck_assert_int_eq(net_device.create(&context, 0, &second, &err), -EBUSY);
	options.tap[0] = "a-name-that-is-too-long";
	ck_assert_int_eq(net_device.create(&context, 0, &second, &err), -EINVAL);
	options.tap[0] = "tap7";
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    tap_is_opened_by_name_and_mac_is_stable,
	    packet_out_loses_its_header,
	    packet_in_gets_a_header,
	    packet_without_buffer_waits_in_the_tap,
	    packet_without_bus_master_leaves_the_buffer_alone,
	    many_packets_out_all_leave_and_do_not_hold_the_thread,
	    full_tap_drops_and_gives_the_buffer_back,
	    bad_chains_ask_for_reset,
	    reset_stops_listening,
	    deleted_tap_takes_the_link_down_once,
	    tap_found_deleted_by_a_read_takes_the_link_down,
	    tap_deleted_while_paused_interrupts_after_the_pause,
	    paused_card_moves_nothing_until_it_resumes,
	    tap_without_right_is_refused_with_advice,
	};

	return run_tests("virtio_net", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
