/* See power.h. Register layouts: ACPI 6.5, 4.8.3.7 (sleep control), 4.8.3.6 (reset), 4.8.2.1 (PM
 * timer). */
#include "power.h"
#include "boot.h"
#include "device_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLEEP_ENABLE	 0x20 /* sleep control register, bit 5 */
#define RESET_ENABLE	 0x04 /* 0xcf9, bit 2 */
#define KBD_PORT_DATA	 0x60
#define KBD_PORT_COMMAND 0x64
#define KBD_PULSE_RESET	 0xfe
#define TIMER_HZ	 3579545ull

struct power {
	struct vmm *vmm;
	uint64_t start_ns; /* written while vCPUs are parked */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint32_t power_timer_value(uint64_t ns)
{
	return (uint32_t)(ns / 1000000000ull * TIMER_HZ +
			  ns % 1000000000ull * TIMER_HZ / 1000000000ull);
}

uint8_t power_reset_read(void)
{
	return 0;
}

void power_reset_write(struct vmm *vmm, uint8_t value)
{
	if (value & RESET_ENABLE)
		vmm_end(vmm, VMM_END_REBOOT, "reset register");
}

/*
 * Offset 0: control, 1: status (no wake-up is ever pending). Only S5 exists, so any type means S5.
 */
static void sleep_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			 bool write)
{
	struct power *power = opaque;

	if (!write) {
		memset(data, 0, bytes);
		return;
	}
	if (offset == 0 && data[0] & SLEEP_ENABLE)
		vmm_end(power->vmm, VMM_END_POWER_OFF, "ACPI power-off");
}

/* There is no keyboard. The status says "nothing to read, ready to take a command". */
static void keyboard_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			    bool write)
{
	struct power *power = opaque;

	(void)offset;
	if (!write)
		memset(data, 0, bytes);
	else if (data[0] == KBD_PULSE_RESET)
		vmm_end(power->vmm, VMM_END_REBOOT, "keyboard controller");
}

static void nothing_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			   bool write)
{
	(void)opaque;
	(void)offset;
	if (!write)
		memset(data, 0, bytes);
}

static void timer_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			 bool write)
{
	struct power *power = opaque;
	uint32_t value;

	if (write)
		return;
	memset(data, 0, bytes);
	if (offset + bytes > sizeof(value))
		return;
	value = power_timer_value(now_ns() - power->start_ns);
	memcpy(data, (uint8_t *)&value + offset, bytes);
}

static int power_create(struct device_context *context, unsigned int index, void **state,
			struct gmig_error *err)
{
	struct power *power = calloc(1, sizeof(*power));
	const struct vmm_io io[] = {
	    {"sleep", VMM_PORT_SLEEP, 2, sleep_access, power},
	    {"keyboard-data", KBD_PORT_DATA, 1, nothing_access, power},
	    {"keyboard", KBD_PORT_COMMAND, 1, keyboard_access, power},
	    {"pm-timer", VMM_PORT_PMTMR, 4, timer_access, power},
	};
	size_t i;
	int ret = 0;

	(void)index;
	if (!power)
		return gmig_fail(err, -ENOMEM, "power: out of memory");
	power->vmm = context->vmm;
	power->start_ns = now_ns();
	for (i = 0; !ret && i < sizeof(io) / sizeof(io[0]); i++)
		ret = vmm_pio_add(context->vmm, &io[i], err);
	if (ret) {
		free(power);
		return ret;
	}
	*state = power;
	return 0;
}

static void power_reset(void *state)
{
	struct power *power = state;

	power->start_ns = now_ns();
}

const struct device_ops power_device = {
    .name = "power",
    .create = power_create,
    .reset = power_reset,
    .destroy = free,
};
