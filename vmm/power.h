/*
 * Power and reset as ports: ACPI sleep control, the reset register, the keyboard controller's reset
 * pulse, and the ACPI PM timer. Stateless, except for the timer's start; any vCPU thread.
 */
#ifndef VMM_POWER_H
#define VMM_POWER_H

#include "vmm.h"

/* One byte to or from port 0xcf9, which lies between PCI's configuration ports: pci.c passes it on.
 */
uint8_t power_reset_read(void);
void power_reset_write(struct vmm *vmm, uint8_t value);

/* What the PM timer shows `ns` after its start. */
uint32_t power_timer_value(uint64_t ns);

#endif
