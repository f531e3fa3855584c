/* Why the machine ends or stops, for main, which waits for it. vmm_end() and vmm_stop_because() in
 * vmm.h ask for it. */
#ifndef VMM_END_H
#define VMM_END_H

#include "vmm.h"

/* Why main was woken, and its text; VMM_END_NONE: it was not. */
enum vmm_end vmm_ended(struct vmm *vmm, char *text, size_t bytes);
/* Takes what vmm_stop_because() asked for: true and its reason (NULL: not wanted). */
bool vmm_stop_asked(struct vmm *vmm, char text[GMIG_ERROR_TEXT]);
/* A reboot was carried out: the next end may come. */
void vmm_end_clear(struct vmm *vmm);
const char *vmm_end_name(enum vmm_end why);

#endif
