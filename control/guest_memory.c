/* Whatever a guest's memory is, of an engine or another program: its jobs. See guest.h. */
#include "guest.h"

struct gmig_job *guest_job_find(const struct guest *guest, uint64_t id)
{
	return guest->process ? gmig_process_job_find(guest->process, id)
			      : gmig_job_find(guest->gmig, id);
}

size_t guest_job_list(const struct guest *guest, uint64_t *ids, size_t max)
{
	return guest->process ? gmig_process_job_list(guest->process, ids, max)
			      : gmig_job_list(guest->gmig, ids, max);
}
