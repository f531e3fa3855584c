/*
 * How the machine ends: the first request wins, and main is woken. Devices ask for a stop in the same
 * way.
 */
#include "end.h"
#include "../migrate/core/wake.h"
#include "internal.h"

#include <string.h>

/* The first caller wins, except that a final reason replaces a reboot: a SIGTERM during a reboot is
 * still a SIGTERM. */
static bool end_claim(struct vmm *vmm, enum vmm_end why)
{
	int old = atomic_load(&vmm->end);

	do {
		if (old != VMM_END_NONE && (old != VMM_END_REBOOT || why == VMM_END_REBOOT))
			return false;
	} while (!atomic_compare_exchange_weak(&vmm->end, &old, why));
	return true;
}

void vmm_end(struct vmm *vmm, enum vmm_end why, const char *text)
{
	pthread_mutex_lock(&vmm->end_lock);
	if (end_claim(vmm, why)) {
		snprintf(vmm->end_text, sizeof(vmm->end_text), "%s", text ? text : "");
		wake_by(vmm->end_fd);
	}
	pthread_mutex_unlock(&vmm->end_lock);
}

enum vmm_end vmm_ended(struct vmm *vmm, char *text, size_t bytes)
{
	enum vmm_end why;

	pthread_mutex_lock(&vmm->end_lock);
	why = (enum vmm_end)atomic_load(&vmm->end);
	snprintf(text, bytes, "%s", vmm->end_text);
	pthread_mutex_unlock(&vmm->end_lock);
	return why;
}

void vmm_stop_because(struct vmm *vmm, const char *reason)
{
	pthread_mutex_lock(&vmm->end_lock);
	snprintf(vmm->stop_asked, sizeof(vmm->stop_asked), "%s", reason);
	wake_by(vmm->end_fd);
	pthread_mutex_unlock(&vmm->end_lock);
}

bool vmm_stop_asked(struct vmm *vmm, char text[GMIG_ERROR_TEXT])
{
	bool asked;

	pthread_mutex_lock(&vmm->end_lock);
	asked = *vmm->stop_asked;
	if (text)
		memcpy(text, vmm->stop_asked, GMIG_ERROR_TEXT);
	*vmm->stop_asked = '\0';
	pthread_mutex_unlock(&vmm->end_lock);
	return asked;
}

void vmm_end_clear(struct vmm *vmm)
{
	int reboot = VMM_END_REBOOT;

	atomic_compare_exchange_strong(&vmm->end, &reboot, VMM_END_NONE);
}

const char *vmm_end_name(enum vmm_end why)
{
	static const char *const names[] = {
	    [VMM_END_NONE] = "none",	       [VMM_END_POWER_OFF] = "power-off",
	    [VMM_END_REBOOT] = "reboot",       [VMM_END_QUIT] = "quit",
	    [VMM_END_SIGNAL] = "signal",       [VMM_END_TRIPLE_FAULT] = "triple-fault",
	    [VMM_END_KVM_ERROR] = "kvm-error", [VMM_END_MEMORY_LOST] = "memory-lost",
	};

	return names[why];
}
