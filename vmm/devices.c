/* The list of devices, and operations on all of them. */
#include "balloon.h"
#include "device_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* In start-up order. */
/* clang-format off */
static const struct device_ops *const kinds[] = {
	&serial_device,
	&power_device,
	&pci_device,
	&blk_device,
	&vconsole_device,
	&net_device,
	&rng_device,
	&balloon_device,
};
/* clang-format on */

#define KIND_COUNT  (sizeof(kinds) / sizeof(kinds[0]))
#define MAX_DEVICES 32

struct vmm_devices {
	struct device_context context;
	struct {
		const struct device_ops *ops;
		void *state;
	} device[MAX_DEVICES];
	unsigned int count;
};

static int create_kind(struct vmm_devices *devices, const struct device_ops *ops,
		       struct gmig_error *err)
{
	unsigned int wanted = ops->count ? ops->count(devices->context.options) : 1, i;
	void *state;
	int ret;

	for (i = 0; i < wanted; i++) {
		if (devices->count == MAX_DEVICES)
			return gmig_fail(err, -ENOSPC, "more than %d devices", MAX_DEVICES);
		ret = ops->create(&devices->context, i, &state, err);
		if (ret)
			return ret;
		devices->device[devices->count].ops = ops;
		devices->device[devices->count].state = state;
		devices->count++;
	}
	return 0;
}

int vmm_devices_create(struct vmm *vmm, const struct vmm_options *options, struct vmm_devices **out,
		       struct gmig_error *err)
{
	struct vmm_devices *devices = calloc(1, sizeof(*devices));
	size_t i;
	int ret;

	if (!devices)
		return gmig_fail(err, -ENOMEM, "devices: out of memory");
	devices->context.vmm = vmm;
	devices->context.options = options;
	for (i = 0; i < KIND_COUNT; i++) {
		ret = create_kind(devices, kinds[i], err);
		if (ret) {
			vmm_devices_destroy(devices);
			return ret;
		}
	}
	*out = devices;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int vmm_devices_pause(struct vmm_devices *devices, int timeout_ms, struct gmig_error *err)
{
	int64_t until = now_ms() + timeout_ms;
	int ret = 0;

	/* All of them, even if one fails; the time limit is for all together. */
	for (unsigned int i = 0; i < devices->count; i++) {
		const struct device_ops *ops = devices->device[i].ops;
		int64_t left = until - now_ms();
		int one = 0;

		if (ops->pause)
			one = ops->pause(devices->device[i].state, left > 0 ? (int)left : 0,
					 ret ? NULL : err);
		ret = ret ? ret : one;
	}
	return ret;
}

void vmm_devices_resume(struct vmm_devices *devices)
{
	for (unsigned int i = 0; i < devices->count; i++)
		if (devices->device[i].ops->resume)
			devices->device[i].ops->resume(devices->device[i].state);
}

void vmm_devices_reset(struct vmm_devices *devices)
{
	unsigned int i;

	/* In reverse order: functions are quiet before the bus restores its first addresses. */
	for (i = devices->count; i-- > 0;)
		devices->device[i].ops->reset(devices->device[i].state);
}

unsigned int vmm_disks(const struct vmm_devices *devices, struct vmm_disk disk[VMM_MAX_DISKS])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < devices->count; i++)
		if (devices->device[i].ops->report && count < VMM_MAX_DISKS)
			devices->device[i].ops->report(devices->device[i].state, &disk[count++]);
	return count;
}

/* Its state. NULL: there is none. */
static void *find_balloon(const struct vmm_devices *devices)
{
	for (unsigned int i = 0; devices && i < devices->count; i++)
		if (devices->device[i].ops == &balloon_device)
			return devices->device[i].state;
	return NULL;
}

static int no_balloon(struct gmig_error *err)
{
	return gmig_fail(err, -ENODEV, "the guest has no balloon: start it with --balloon");
}

int vmm_balloon_set(struct vmm_devices *devices, uint64_t guest_bytes, struct gmig_error *err)
{
	void *state = find_balloon(devices);

	return state ? balloon_set(state, guest_bytes, err) : no_balloon(err);
}

void vmm_balloon_listen(struct vmm_devices *devices, vmm_balloon_changed *changed)
{
	void *state = find_balloon(devices);

	if (state)
		balloon_listen(state, changed);
}

int vmm_balloon_get(struct vmm_devices *devices, struct vmm_balloon *balloon,
		    struct gmig_error *err)
{
	void *state = find_balloon(devices);

	if (!state)
		return no_balloon(err);
	balloon_get(state, balloon);
	return 0;
}

void vmm_devices_destroy(struct vmm_devices *devices)
{
	if (!devices)
		return;
	while (devices->count) {
		devices->count--;
		devices->device[devices->count].ops->destroy(devices->device[devices->count].state);
	}
	free(devices);
}
