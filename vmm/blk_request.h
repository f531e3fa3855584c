/*
 * One request of a virtio disk: what the driver's chain says, carried out on the disk's file (blk_file.h).
 *
 * Threads: the disk's worker. Nothing here takes a lock.
 *
 * Source: Virtual I/O Device 1.2, 5.2.6.
 */
#ifndef VMM_BLK_REQUEST_H
#define VMM_BLK_REQUEST_H

#include "blk_file.h"
#include "virtio_queue.h"

#define BLK_SECTOR_BYTES 512u
/* Of a DISCARD or WRITE ZEROES */
#define BLK_MAX_RANGES 16u
/* The host may have to write the zeros: a request should not take seconds. */
#define BLK_MAX_ZERO_SECTORS	((64u << 20) / BLK_SECTOR_BYTES)
#define BLK_MAX_DISCARD_SECTORS ((1u << 30) / BLK_SECTOR_BYTES)

/* What a chain requests. */
struct blk_request {
	uint32_t type;
	uint64_t sector;
	struct blk_transfer data; /* of reads and writes: what remains */
	uint64_t bytes;
	uint8_t *status;   /* in guest RAM */
	uint64_t features; /* of the driver */
	uint64_t written;  /* bytes put into the data pieces */
};

/*
 * The header is first, the status byte last, data between them, in any division into pieces. request->features is set before, all
 * else is 0. NULL, or what is wrong.
 */
const char *blk_request_parse(struct virtio_chain *chain, struct blk_request *request);
/* May it go by blk_direct_begin? Else it is for blk_request_execute, which tells what is wrong. */
bool blk_request_may_fly(const struct blk_file *file, const struct blk_request *request);
/* id: VIRTIO_BLK_ID_BYTES. 0 or -errno; -EOPNOTSUPP: there is no such request. Continues one that found no room (-ENOSPC,
 * -EDQUOT). */
int blk_request_execute(struct blk_file *file, const char *id, struct blk_request *request);
/* What the driver is told of that result; the log is told, too. */
uint8_t blk_request_status(const struct blk_file *file, const struct blk_request *request, int ret);

#endif
