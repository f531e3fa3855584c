/* Why the machine ends, for main, which waits for it. To ask for the end is vmm_end() in vmm.h. */
#ifndef VMM_END_H
#define VMM_END_H

#include "vmm.h"

/* Why main was woken, and its text; VMM_END_NONE: it was not. */
enum vmm_end vmm_ended(struct vmm *vmm, char *text, size_t bytes);
/* A reboot was carried out: the next end may come. */
void vmm_end_clear(struct vmm *vmm);
const char *vmm_end_name(enum vmm_end why);

#endif
