/*
 * gmig migrate --trace: how long blocks were out of reach while a job ran, and how long threads waited, over time, as a picture
 * (picture.h). From the job's trace (docs/protocol.md) and from what the job said of stalls while it ran. Main thread.
 */
#ifndef CLI_TIMELINE_H
#define CLI_TIMELINE_H

#include "../control/control.h"

struct timeline;

struct timeline *timeline_create(void); /* its time begins; NULL: no memory */
void timeline_destroy(struct timeline *timeline);
/* A picture of the job has come: for cli_watch's `seen`, with the timeline. */
void timeline_see(void *timeline, const json_t *job);
/* Ask for the trace of the job, which has ended, and draw. -ENODATA nothing was traced; others as control_call(), picture_write(). */
int timeline_write(struct timeline *timeline, struct control_client *client, const json_t *job,
		   const char *vm, const char *path, struct gmig_error *err);

#endif
