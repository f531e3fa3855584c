/*
 * Where libvirt has pinned the threads of a domain, and pinning them anew: virsh vcpupin, emulatorpin and iothreadpin, --live. Each is one
 * call with a limit (virt.h), and any thread may make it.
 *
 * libvirt sets the cpuset of the thread's cgroup and the thread's affinity, and shows both in the domain's live XML; the persistent XML is
 * not changed.
 *
 * Sources: libvirt's reference of virDomainGetVcpuPinInfo, virDomainPinVcpuFlags, virDomainPinEmulator, virDomainPinIOThread.
 */
#ifndef VIRT_PIN_H
#define VIRT_PIN_H

#include "pin_plan.h"
#include "virt.h"

/*
 * All threads that libvirt can pin, in `before`: vCPUs (also those that are not plugged in now), the emulator, I/O threads. *set is to be freed.
 * A thread without a pin of its own has all CPUs of the host, or those of the domain. -ESRCH it does not run; others as virt_list().
 */
int virt_get_pins(struct virt *virt, const char *uuid, struct pin_set **set,
		  struct gmig_error *err);
/*
 * Pin one. domain: pin_set.domain; -ESRCH: the domain has ended or was started anew since. After -ETIMEDOUT libvirt may do it yet.
 * -EINVAL no CPU in `cpus`; -EOPNOTSUPP, -EIO what libvirt says.
 */
int virt_set_pin(struct virt *virt, const char *uuid, int domain, const struct pin *pin,
		 const struct pin_cpus *cpus, struct gmig_error *err);

#endif
