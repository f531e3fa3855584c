/* See blk_request.h. */
#include "blk_request.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#define FEATURE(bit) (1ull << (bit))

static bool is_on_disk(const struct blk_file *file, uint64_t sector, uint64_t sectors)
{
	return sector <= file->bytes / BLK_SECTOR_BYTES &&
	       sectors <= file->bytes / BLK_SECTOR_BYTES - sector;
}

static bool beyond_disk(const struct blk_file *file, uint64_t sector, uint64_t sectors)
{
	if (is_on_disk(file, sector, sectors))
		return false;
	vmm_log_guest(GMIG_LOG_WARNING,
		      "device=blk file=%s sector=%llu sectors=%llu reason=\"beyond the disk\"",
		      file->path, (unsigned long long)sector, (unsigned long long)sectors);
	return true;
}

static int read_write(struct blk_file *file, struct blk_request *request)
{
	if (request->bytes % BLK_SECTOR_BYTES ||
	    beyond_disk(file, request->sector, request->bytes / BLK_SECTOR_BYTES))
		return -EINVAL;
	if (request->data.write && file->readonly)
		return -EROFS;
	return blk_file_transfer(file, &request->data);
}

bool blk_request_may_fly(const struct blk_file *file, const struct blk_request *request)
{
	return file->direct.ring &&
	       (request->type == VIRTIO_BLK_T_IN ||
		(request->type == VIRTIO_BLK_T_OUT && !file->readonly)) &&
	       request->bytes % BLK_SECTOR_BYTES == 0 &&
	       is_on_disk(file, request->sector, request->bytes / BLK_SECTOR_BYTES);
}

static int change_range(struct blk_file *file, const struct blk_request *request,
			const struct virtio_blk_discard_write_zeroes *range)
{
	bool zero = request->type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint64_t bytes = (uint64_t)range->num_sectors * BLK_SECTOR_BYTES;

	if (range->flags & ~(zero ? (uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
		return -EOPNOTSUPP;
	if (range->num_sectors > (zero ? BLK_MAX_ZERO_SECTORS : BLK_MAX_DISCARD_SECTORS) ||
	    beyond_disk(file, range->sector, range->num_sectors))
		return -EINVAL;
	if (!bytes)
		return 0;
	return zero ? blk_file_zero(file, range->sector * BLK_SECTOR_BYTES, bytes, range->flags)
		    : blk_file_discard(file, range->sector * BLK_SECTOR_BYTES, bytes);
}

static int change_ranges(struct blk_file *file, const struct blk_request *request)
{
	struct virtio_blk_discard_write_zeroes range[BLK_MAX_RANGES];
	unsigned int bit = request->type == VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_F_DISCARD
								 : VIRTIO_BLK_F_WRITE_ZEROES;
	size_t count = request->bytes / sizeof(range[0]);
	int ret = 0;

	if (!(request->features & FEATURE(bit)))
		return -EOPNOTSUPP;
	if (!count || count > BLK_MAX_RANGES || request->bytes % sizeof(range[0]))
		return -EINVAL;
	virtio_read_pieces(request->data.iov, request->data.pieces, 0, range, request->bytes);
	for (size_t i = 0; i < count && !ret; i++)
		ret = change_range(file, request, &range[i]);
	if (!ret && !(request->features & FEATURE(VIRTIO_BLK_F_FLUSH)))
		ret = blk_file_flush(file);
	return ret;
}

int blk_request_execute(struct blk_file *file, const char *id, struct blk_request *request)
{
	int ret;

	switch (request->type) {
	case VIRTIO_BLK_T_IN:
		ret = read_write(file, request);
		request->written = ret ? 0 : request->bytes;
		return ret;
	case VIRTIO_BLK_T_OUT:
		return read_write(file, request);
	case VIRTIO_BLK_T_FLUSH:
		return blk_file_flush(file);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return change_ranges(file, request);
	case VIRTIO_BLK_T_GET_ID:
		request->written = virtio_write_pieces(request->data.iov, request->data.pieces, 0,
						       id, VIRTIO_BLK_ID_BYTES);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

uint8_t blk_request_status(const struct blk_file *file, const struct blk_request *request, int ret)
{
	if (!ret)
		return VIRTIO_BLK_S_OK;
	if (ret == -EOPNOTSUPP)
		return VIRTIO_BLK_S_UNSUPP;
	/* A failed flush, and a request beyond the disk, have their own line. */
	if (ret != -EINVAL && request->type != VIRTIO_BLK_T_FLUSH)
		vmm_log_guest(GMIG_LOG_ERROR, "device=blk file=%s sector=%llu %s failed: %s",
			      file->path, (unsigned long long)request->sector,
			      request->type == VIRTIO_BLK_T_IN ? "read" : "write", strerror(-ret));
	return VIRTIO_BLK_S_IOERR;
}

/* What the request carries to the device is after the header; else the driver wants data. */
static bool carries_data(uint32_t type)
{
	return type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD ||
	       type == VIRTIO_BLK_T_WRITE_ZEROES;
}

const char *blk_request_parse(struct virtio_chain *chain, struct blk_request *request)
{
	struct iovec *in = virtio_chain_in(chain);
	struct virtio_blk_outhdr header;

	if (chain->out_bytes < sizeof(header))
		return "request without header";
	if (!chain->in_bytes)
		return "request without room for the status";
	virtio_read_pieces(chain->iov, chain->out_count, 0, &header, sizeof(header));
	request->type = header.type;
	request->sector = header.sector;
	request->status =
	    (uint8_t *)in[chain->in_count - 1].iov_base + in[chain->in_count - 1].iov_len - 1;
	if (carries_data(header.type)) {
		request->bytes = chain->out_bytes - sizeof(header);
		request->data.pieces =
		    virtio_cut_pieces(chain->iov, chain->out_count, sizeof(header), request->bytes,
				      &request->data.iov);
	} else {
		request->bytes = chain->in_bytes - 1;
		request->data.pieces =
		    virtio_cut_pieces(in, chain->in_count, 0, request->bytes, &request->data.iov);
	}
	request->data.offset = header.sector * BLK_SECTOR_BYTES;
	request->data.bytes = request->bytes;
	request->data.write = header.type == VIRTIO_BLK_T_OUT;
	request->data.through = !(request->features & FEATURE(VIRTIO_BLK_F_FLUSH));
	return NULL;
}
