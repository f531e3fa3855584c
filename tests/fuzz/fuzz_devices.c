/*
 * Fuzzes the devices as a hostile guest reaches them: configuration space by both ways, BARs, MSI-X
 * tables, the virtio registers, and rings in guest memory. The input is a list of operations; some
 * of them do what a well-meaning driver would, so that the fuzzer gets past the handshakes. The
 * machine is built once and reset between inputs.
 */
#include "../support/fake_machine.h"

#include "../../vmm/virtio_pci.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REGION_BYTES (256ull << 10)
#define DEVICES	     5 /* blk, console, net, rng, balloon in slots 1 to 5 */
#define MAX_OPS	     200
#define QUEUE_SIZE   8
#define BAR_BYTES    0x4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int __wrap_open(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

static struct vmm vmm;
#include "../../vmm/log.h"

static struct vmm_options options = {.name = "fuzz",
				     .disk_count = 1,
				     .disk_direct = {true},
				     .net_count = 1,
				     .tap = {"tap"},
				     .port_count = 2,
				     .balloon = true,
				     .balloon_on_oom = true,
				     .balloon_reporting = true};
static struct device_context context = {.vmm = &vmm, .options = &options};
static void *state[DEVICES + 3];
static const struct device_ops *const kinds[] = {&serial_device, &power_device,	   &pci_device,
						 &blk_device,	 &vconsole_device, &net_device,
						 &rng_device,	 &balloon_device};
static char directory[] = "/tmp/gmig-fuzz-XXXXXX", port_path[2][64], disk_path[64];
static int wire = -1, client = -1;

void vmm_log(enum gmig_log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

bool log_flush(int timeout_ms)
{
	(void)timeout_ms;
	return true;
}

void vmm_log_guest(enum gmig_log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

/* The linker puts these in the place of open() and ioctl() (--wrap): the tap is a socket. */
int __wrap_open(const char *path, int flags, ...)
{
	int pair[2];

	if (strcmp(path, "/dev/net/tun"))
		return openat(AT_FDCWD, path, flags, 0600);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair))
		return -1;
	wire = pair[1];
	return pair[0];
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	(void)request;
	return 0;
}

/* ---- Input ----------------------------------------------------------------------------------- */

struct input {
	const uint8_t *at, *end;
};

static uint64_t take(struct input *input, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes && input->at < input->end; i++)
		value |= (uint64_t)*input->at++ << 8 * i;
	return value;
}

/* ---- The guest ------------------------------------------------------------------------------- */

static uint64_t config_gpa(unsigned int slot)
{
	return VMM_ECAM_GPA + ((uint64_t)slot << 15);
}

static uint64_t bar_gpa(unsigned int slot, unsigned int bar)
{
	uint64_t at = config_gpa(slot) + PCI_BASE_ADDRESS_0 + 8 * bar;

	return (fake_read(&vmm, at, 4) & ~0xfu) | (uint64_t)fake_read(&vmm, at + 4, 4) << 32;
}

static uint64_t ring_gpa(unsigned int queue)
{
	return queue % 16 * 0x2000ull;
}

/* What Linux does, down to DRIVER_OK, with the features the input names. */
static void start_device(unsigned int slot, uint64_t features)
{
	uint64_t common = bar_gpa(slot, 0);
	unsigned int queues = fake_read(&vmm, common + VIRTIO_PCI_COMMON_NUMQ, 2);

	fake_write(&vmm, config_gpa(slot) + PCI_COMMAND, 2,
		   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	queues = fake_read(&vmm, common + VIRTIO_PCI_COMMON_NUMQ, 2);
	fake_write(&vmm, common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	fake_write(&vmm, common + VIRTIO_PCI_COMMON_STATUS, 1, 3);
	for (unsigned int half = 0; half < 2; half++) {
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_DFSELECT, 4, half);
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_GFSELECT, 4, half);
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_GF, 4,
			   fake_read(&vmm, common + VIRTIO_PCI_COMMON_DF, 4) &
			       (uint32_t)((features | 1ull << VIRTIO_F_VERSION_1) >> 32 * half));
	}
	fake_write(&vmm, common + VIRTIO_PCI_COMMON_STATUS, 1, 11);
	for (unsigned int queue = 0; queue < queues && queue < 16; queue++) {
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_Q_SIZE, 2, QUEUE_SIZE);
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_Q_MSIX, 2, queue + 1);
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_Q_DESCLO, 4, (uint32_t)ring_gpa(queue));
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_Q_AVAILLO, 4,
			   (uint32_t)ring_gpa(queue) + 0x800);
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_Q_USEDLO, 4,
			   (uint32_t)ring_gpa(queue) + 0x1000);
		fake_write(&vmm, common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	}
	fake_write(&vmm, common + VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

static void put_descriptor(struct input *input)
{
	uint8_t *at = vmm_guest_ptr(&vmm, ring_gpa((unsigned int)take(input, 1)), 0x1000);
	struct vring_desc desc = {.flags = (uint16_t)take(input, 1)};

	desc.next = (uint16_t)take(input, 1);
	desc.addr = take(input, 3);
	desc.len = (uint32_t)take(input, 2);
	memcpy(at + take(input, 1) % QUEUE_SIZE * sizeof(desc), &desc, sizeof(desc));
}

static void offer_chain(struct input *input, unsigned int slot)
{
	unsigned int queue = (unsigned int)take(input, 1) % 16;
	uint16_t *avail = vmm_guest_ptr(&vmm, ring_gpa(queue) + 0x800, 0x800);
	uint16_t index = __atomic_load_n(&avail[1], __ATOMIC_RELAXED);

	avail[2 + index % QUEUE_SIZE] = (uint16_t)take(input, 1) % (QUEUE_SIZE + 1);
	__atomic_store_n(&avail[1], (uint16_t)(index + 1), __ATOMIC_RELEASE);
	fake_write(&vmm, bar_gpa(slot, 0) + 0x3000 + 4 * queue, 2, queue);
}

static void poke_ram(struct input *input)
{
	uint64_t gpa = take(input, 3);
	uint64_t value = take(input, 8);
	void *at = vmm_guest_ptr(&vmm, gpa, sizeof(value));

	if (at)
		memcpy(at, &value, sizeof(value));
}

static void poke_register(struct input *input, uint64_t base, uint64_t bytes)
{
	uint64_t gpa = base + take(input, 2) % bytes;
	unsigned int how = (unsigned int)take(input, 1), size = 1u << (how & 3);
	uint64_t value = how & 4 ? take(input, size) : 0;

	fake_mmio(&vmm, gpa, &value, size, how & 4);
}

static void poke_port(struct input *input)
{
	static const uint16_t bases[] = {0x3f8, 0xcf8, 0x60, 0x600};
	uint8_t how = (uint8_t)take(input, 1);
	uint16_t port = (uint16_t)(bases[how & 3] + take(input, 1) % 12);
	unsigned int size = 1u << (how >> 2 & 3) & 7;
	uint64_t value = take(input, 4);

	if (size)
		fake_pio(&vmm, port, &value, size, how & 0x80);
}

static void host_side(struct input *input)
{
	static const uint8_t noise[3000];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned int action = (unsigned int)take(input, 1);
	ssize_t ignored = 0;

	if (action & 1)
		ignored = send(wire, noise, action * 10, MSG_NOSIGNAL);
	if (action & 2 && client >= 0)
		ignored = send(client, noise, action * 10, MSG_NOSIGNAL);
	if (action & 4 && client >= 0) {
		close(client);
		client = -1;
	}
	if (action & 8 && client < 0) {
		client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		strcpy(address.sun_path, port_path[action >> 4 & 1]);
		if (connect(client, (struct sockaddr *)&address, sizeof(address))) {
			close(client);
			client = -1;
		}
	}
	(void)ignored;
}

/* ---- The machine ----------------------------------------------------------------------------- */

static void run_loop(void)
{
	if (!fake_loop_run(&vmm))
		abort(); /* a handler that spins */
}

static void build(void)
{
	int fd;

	if (!mkdtemp(directory))
		abort();
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(port_path[i], sizeof(port_path[i]), "%s/port%u", directory, i);
		snprintf(options.port[i].name, sizeof(options.port[i].name), "port%u", i);
		options.port[i].path = port_path[i];
	}
	snprintf(disk_path, sizeof(disk_path), "%s/disk", directory);
	fd = openat(AT_FDCWD, disk_path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 1 << 16))
		abort();
	close(fd);
	options.disk[0] = disk_path;
	options.console = "none";
	fake_vmm_init(&vmm, REGION_BYTES);
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i]->create(&context, 0, &state[i], NULL))
			abort();
}

static void reset(void)
{
	if (client >= 0)
		close(client);
	client = -1;
	for (unsigned int i = sizeof(kinds) / sizeof(kinds[0]); i-- > 0;)
		kinds[i]->reset(state[i]);
	run_loop();
	for (unsigned int i = 0; i < 2; i++)
		memset(vmm.region[i].hva, 0, REGION_BYTES);
	while (recv(wire, (char[4096]){0}, 4096, 0) > 0)
		;
}

static void operation(struct input *input)
{
	uint8_t op = (uint8_t)take(input, 1);
	unsigned int slot = 1 + (op >> 4) % DEVICES;

	switch (op & 15) {
	case 0:
		start_device(slot, take(input, 5));
		break;
	case 1: /* Bus Master Enable off and on, while chains are in the rings */
		fake_write(&vmm, config_gpa(slot) + PCI_COMMAND, 2,
			   PCI_COMMAND_MEMORY | ((uint32_t)take(input, 1) & PCI_COMMAND_MASTER));
		break;
	case 2:
	case 3:
	case 4:
		put_descriptor(input);
		break;
	case 5:
	case 6:
	case 7:
		offer_chain(input, slot);
		break;
	case 8:
		poke_register(input, config_gpa(slot), 0x1000);
		break;
	case 9:
	case 10:
		poke_register(input, bar_gpa(slot, 0), BAR_BYTES);
		break;
	case 11:
		poke_register(input, bar_gpa(slot, 1), 0x1000);
		break;
	case 12:
		poke_ram(input);
		break;
	case 13:
		poke_port(input);
		break;
	case 14:
		host_side(input);
		break;
	default:
		run_loop();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static bool built;
	struct input input = {data, data + bytes};

	if (!built)
		build();
	built = true;
	for (unsigned int ops = 0; ops < MAX_OPS && input.at < input.end; ops++)
		operation(&input);
	run_loop();
	reset();
	return 0;
}
