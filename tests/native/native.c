/* See native.h. */
#include "native.h"
#include "../../vmm/boot.h"
#include "../../vmm/bzimage.h"
#include "../../vmm/device.h"
#include "../../vmm/kvm.h"
#include "../../vmm/memory.h"
#include "../../vmm/sandbox.h"
#include "../../vmm/vcpu.h"

#include <asm/bootparam.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SETUP_SECTS  4u
#define SETUP_BYTES  ((SETUP_SECTS + 1) * 512u)
#define CODE_BYTES   4096u
#define RECORD_BYTES 2048u
#define LIMIT_S	     25

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char text[RECORD_BYTES]; /* guarded by lock, as all below */
	size_t count;
	enum native_hold hold;
	unsigned int held;
} record = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int native_missing(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		puts("skipped: /dev/kvm is missing or not allowed");
		fflush(stdout);
		_exit(77); /* LeakSanitizer would tell of the suite, which nobody runs */
	}
	close(fd);
	return 0;
}

/* ---- What the guest says --------------------------------------------------------------------- */

static void tell(char byte)
{
	pthread_mutex_lock(&record.lock);
	if (record.count < RECORD_BYTES - 1)
		record.text[record.count++] = byte;
	pthread_cond_broadcast(&record.changed);
	pthread_mutex_unlock(&record.lock);
}

static bool is_parking(struct vmm *vmm)
{
	bool parking;

	pthread_mutex_lock(&vmm->gate.lock);
	parking = vmm->gate.order != VMM_GATE_RUN;
	pthread_mutex_unlock(&vmm->gate.lock);
	return parking;
}

static void wait_while_held(struct vmm *vmm)
{
	enum native_hold hold;

	pthread_mutex_lock(&record.lock);
	hold = record.hold;
	record.held += hold != NATIVE_HOLD_NOT;
	pthread_cond_broadcast(&record.changed);
	while (record.hold == NATIVE_HOLD_UNTIL_FREE)
		pthread_cond_wait(&record.changed, &record.lock);
	pthread_mutex_unlock(&record.lock);
	while (hold == NATIVE_HOLD_UNTIL_PARK && !is_parking(vmm))
		usleep(100);
}

static void port_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			bool write)
{
	(void)offset;
	if (write) {
		tell((char)data[0]);
		return;
	}
	memset(data, 0, bytes);
	wait_while_held(opaque);
}

static void page_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			bool write)
{
	(void)offset;
	if (!write)
		memset(data, 0, bytes);
	wait_while_held(opaque);
}

void native_hold(enum native_hold hold)
{
	pthread_mutex_lock(&record.lock);
	record.hold = hold;
	record.count = record.held = 0;
	pthread_mutex_unlock(&record.lock);
}

void native_free(void)
{
	pthread_mutex_lock(&record.lock);
	record.hold = NATIVE_HOLD_NOT;
	pthread_cond_broadcast(&record.changed);
	pthread_mutex_unlock(&record.lock);
}

static struct timespec limit(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_S;
	return until;
}

void native_await_held(void)
{
	struct timespec until = limit();
	int ret = 0;

	pthread_mutex_lock(&record.lock);
	while (!record.held && !ret)
		ret = pthread_cond_timedwait(&record.changed, &record.lock, &until);
	record.held = 0;
	pthread_mutex_unlock(&record.lock);
	ck_assert_int_eq(ret, 0);
}

const char *native_record(size_t count)
{
	static char copy[RECORD_BYTES];
	struct timespec until = limit();
	int ret = 0;

	pthread_mutex_lock(&record.lock);
	while (record.count < count && !ret)
		ret = pthread_cond_timedwait(&record.changed, &record.lock, &until);
	memcpy(copy, record.text, record.count);
	copy[record.count] = '\0';
	pthread_mutex_unlock(&record.lock);
	return copy;
}

/* ---- Start and end --------------------------------------------------------------------------- */

/* The smallest bzImage, in a file that has no name any more. */
const char *native_image(const uint8_t *code, size_t bytes)
{
	static char path[32];
	uint8_t image[SETUP_BYTES + CODE_BYTES] = {0};
	struct setup_header *header = (struct setup_header *)(image + BZIMAGE_HEADER_OFFSET);
	FILE *file = tmpfile();

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_le(bytes, CODE_BYTES - BZIMAGE_ENTRY_OFFSET);
	header->setup_sects = SETUP_SECTS;
	header->boot_flag = 0xaa55;
	header->jump = 0x66eb;
	header->header = 0x53726448;
	header->version = 0x020f;
	header->loadflags = LOADED_HIGH;
	header->initrd_addr_max = 0x7fffffff;
	header->kernel_alignment = 0x200000;
	header->relocatable_kernel = 1;
	header->xloadflags = XLF_KERNEL_64;
	header->cmdline_size = 2047;
	header->pref_address = 0x1000000;
	header->init_size = 0x200000;
	header->syssize = CODE_BYTES / 16;
	memcpy(image + SETUP_BYTES + BZIMAGE_ENTRY_OFFSET, code, bytes);
	ck_assert_uint_eq(fwrite(image, sizeof(image), 1, file), 1);
	ck_assert_int_eq(fflush(file), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
	return path;
}

static int build(struct vmm *vmm, struct gmig_error *err)
{
	const struct vmm_io port = {"native-port", NATIVE_PORT, 1, port_access, vmm};
	const struct vmm_io page = {"native-page", NATIVE_MMIO_GPA, 2 * 4096, page_access, vmm};
	int ret = vmm_memory_create(vmm, NULL, err);

	if (!ret)
		ret = vmm_kvm_create(vmm, err);
	if (!ret)
		ret = vmm_memory_plug(vmm, err);
	if (!ret)
		ret = vmm_vcpus_create(vmm, err);
	vmm->loop.owner = vmm;
	if (!ret)
		ret = vmm_loop_create(&vmm->loop, err);
	if (!ret)
		ret = vmm_devices_create(vmm, &vmm->options, &vmm->devices, err);
	if (!ret)
		ret = vmm_pio_add(vmm, &port, err);
	if (!ret)
		ret = vmm_mmio_add(vmm, &page, err);
	if (!ret)
		ret = vmm_guest_load(vmm, err);
	if (!ret)
		ret = vmm_vcpus_start(vmm, err);
	return ret ? ret : vmm_cont(vmm, err);
}

struct vmm *native_start(const uint8_t *code, size_t bytes, const char *const *more)
{
	const char *words[32] = {"gmig-vmm", "--name", "native",    "--mem", "64M",
				 "--kernel", "",       "--console", "none"};
	static char copies[32][128];
	char *argv[33] = {0};
	struct vmm_options options;
	struct gmig_error err = {0};
	const char *why;
	struct vmm *vmm;
	bool plain = true;
	int argc = 9, abi;

	words[6] = native_image(code, bytes);
	for (; more && *more && argc < 29; more++) {
		plain = plain && strcmp(*more, "--memory") != 0;
		words[argc++] = *more;
	}
	if (plain) {
		words[argc++] = "--memory";
		words[argc++] = "plain";
	}
	for (int i = 0; i < argc; i++) {
		snprintf(copies[i], sizeof(copies[i]), "%s", words[i]);
		argv[i] = copies[i];
	}
	ck_assert_msg(!vmm_options_parse(argc, argv, &options, &err), "%s", err.text);
	ck_assert_msg(!vmm_create(&options, &vmm, &err), "%s", err.text);
	ck_assert_msg(!gmig_topology_create(options.fake_nodes, &vmm->topology, &err), "%s",
		      err.text);
	/* As gmig-vmm does; but this thread, the test's, stays outside. */
	if (sandbox_turn_on(&why))
		ck_assert_msg(!sandbox_choose_files(&options, "/run/native.sock", &abi, &err), "%s",
			      err.text);
	ck_assert_msg(!build(vmm, &err), "%s", err.text);
	return vmm;
}

void native_end(struct vmm *vmm)
{
	vmm_shut_down(vmm);
	ck_assert_int_eq(vmm_vcpus_join(vmm, VMM_PARK_MS, NULL), 0);
	vmm_destroy(vmm);
}
