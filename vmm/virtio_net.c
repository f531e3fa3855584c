/*
 * virtio-net on a tap device: one pair of queues and no offloads, so that the 12-byte header is
 * constant. Served on the I/O thread. A packet without room, here or in the tap, is dropped, as on
 * a wire.
 */
#include "device_ops.h"
#include "kick.h"
#include "virtio_pci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define QUEUE_SIZE 256
#define BATCH	   64 /* packets each way before other handlers of the I/O thread run */
#define HEADER	   sizeof(struct virtio_net_hdr_mrg_rxbuf)

enum { QUEUE_RX, QUEUE_TX, QUEUE_COUNT };

struct net {
	struct virtio_device device;
	struct virtio_net_config config;
	const char *tap;
	int fd; /* -1: the tap is gone */
	struct kick kick;
	bool in_loop;
	bool listening; /* guarded by device.lock: the loop polls for packets */
	struct virtio_chain chain;
};

static void listen_for_packets(struct net *net, bool on)
{
	if (net->listening == on || !net->in_loop)
		return;
	net->listening = on;
	vmm_loop_modify(net->device.vmm, net->fd, on ? EPOLLIN : 0);
}

/* Guest to tap. false: there may be more. */
static bool serve_tx(struct net *net)
{
	struct virtio_chain *chain = &net->chain;
	int left = BATCH;

	while (left-- && virtio_device_pop(&net->device, QUEUE_TX, chain) > 0) {
		struct iovec *packet;
		unsigned int pieces;
		ssize_t ignored = 0;

		if (chain->out_bytes < HEADER) {
			virtio_device_fail(&net->device, QUEUE_TX, "packet without header");
			return true;
		}
		pieces = virtio_cut_pieces(chain->iov, chain->out_count, HEADER,
					   chain->out_bytes - HEADER, &packet);
		if (pieces && net->fd >= 0)
			ignored = writev(net->fd, packet, (int)pieces);
		(void)ignored;
		virtio_device_push(&net->device, QUEUE_TX, chain->head, 0);
	}
	return left >= 0;
}

/*
 * Device lock held, I/O thread. The interface was deleted: its descriptor reports an error for ever.
 * The guest sees that the link is down, and what it sends is dropped.
 */
static void lose_tap(struct net *net)
{
	if (net->fd < 0)
		return;
	vmm_log(GMIG_LOG_WARNING, "device=net tap=%s link=down reason=\"the interface is gone\"",
		net->tap);
	vmm_loop_remove(net->device.vmm, net->fd);
	close(net->fd);
	net->fd = -1;
	net->in_loop = net->listening = false;
	net->config.status &= (uint16_t)~VIRTIO_NET_S_LINK_UP;
	virtio_device_config_changed(&net->device);
}

/* Read one packet from the tap into the popped chain. Returns its size with header, or 0. */
static uint32_t receive(struct net *net)
{
	static const struct virtio_net_hdr_mrg_rxbuf header = {.num_buffers = 1};
	struct virtio_chain *chain = &net->chain;
	struct iovec *in = virtio_chain_in(chain), *packet;
	unsigned int pieces;
	ssize_t got;

	virtio_write_pieces(in, chain->in_count, 0, &header, HEADER);
	pieces = virtio_cut_pieces(in, chain->in_count, HEADER, chain->in_bytes - HEADER, &packet);
	do
		got = readv(net->fd, packet, (int)pieces);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EBADFD)
		lose_tap(net);
	return got > 0 ? (uint32_t)((size_t)got + HEADER) : 0;
}

/* Tap to guest. false: there may be more. */
static bool serve_rx(struct net *net)
{
	struct virtio_chain *chain = &net->chain;
	int left = BATCH;

	while (left-- && net->fd >= 0) {
		uint32_t bytes;

		if (virtio_device_pop(&net->device, QUEUE_RX, chain) <= 0) {
			/* No buffer: packets wait in the tap until the driver brings one. */
			listen_for_packets(net, false);
			return true;
		}
		if (chain->in_bytes <= HEADER) {
			virtio_device_fail(&net->device, QUEUE_RX, "receive buffer without room");
			return true;
		}
		bytes = receive(net);
		if (!bytes) {
			virtio_queue_unpop(&net->device.queue[QUEUE_RX]);
			listen_for_packets(net, true);
			return true;
		}
		virtio_device_push(&net->device, QUEUE_RX, chain->head, bytes);
	}
	return net->fd < 0;
}

static void serve(void *opaque)
{
	struct net *net = opaque;
	bool done;

	pthread_mutex_lock(&net->device.lock);
	done = serve_tx(net);
	done = serve_rx(net) && done;
	pthread_mutex_unlock(&net->device.lock);
	if (!done)
		kick_ring(&net->kick);
}

static void tap_ready(void *opaque, uint32_t events)
{
	struct net *net = opaque;

	if (events & (EPOLLERR | EPOLLHUP)) {
		pthread_mutex_lock(&net->device.lock);
		lose_tap(net);
		pthread_mutex_unlock(&net->device.lock);
	}
	serve(net);
}

static void net_start(void *opaque)
{
	struct net *net = opaque;

	kick_ring(&net->kick);
}

static void net_stop(void *opaque)
{
	listen_for_packets(opaque, false);
}

static void net_notify(void *opaque, unsigned int queue)
{
	(void)queue;
	net_start(opaque);
}

static const struct virtio_ops net_ops = {
    .name = "net",
    .id = VIRTIO_ID_NET,
    .class_code = 0x020000,
    .start = net_start,
    .stop = net_stop,
    .notify = net_notify,
};

/* ---- Start and end --------------------------------------------------------------------------- */

static int open_tap(struct net *net, struct gmig_error *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	if (strlen(net->tap) >= sizeof(request.ifr_name))
		return gmig_fail(err, -EINVAL, "tap %s: the name is too long", net->tap);
	strcpy(request.ifr_name, net->tap);
	net->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (net->fd < 0)
		return gmig_fail(err, -errno, "tap %s: /dev/net/tun: %s", net->tap,
				 strerror(errno));
	if (!ioctl(net->fd, TUNSETIFF, &request))
		return 0;
	if (errno == EPERM)
		return gmig_fail(
		    err, -EPERM,
		    "tap %s: no right to it; create it with 'ip tuntap add %s mode tap user NAME'",
		    net->tap, net->tap);
	return gmig_fail(err, -errno, "tap %s: %s", net->tap, strerror(errno));
}

/* Equal for the same guest at each start, so that the guest's network configuration stays valid. */
static void make_mac(struct net *net, const char *guest, unsigned int index)
{
	uint32_t hash = 2166136261u;

	for (; *guest; guest++)
		hash = (hash ^ (uint8_t)*guest) * 16777619u;
	hash = (hash ^ index) * 16777619u;
	memcpy(net->config.mac,
	       (const uint8_t[]){0x52, 0x54, 0, (uint8_t)(hash >> 16), (uint8_t)(hash >> 8),
				 (uint8_t)hash},
	       6);
	net->config.status = VIRTIO_NET_S_LINK_UP;
}

static void net_destroy(void *state)
{
	struct net *net = state;

	kick_destroy(&net->kick);
	if (net->in_loop)
		vmm_loop_remove(net->device.vmm, net->fd);
	if (net->fd >= 0)
		close(net->fd);
	virtio_device_destroy(&net->device);
	free(net);
}

static int attach_loop(struct net *net, struct vmm *vmm, struct gmig_error *err)
{
	int ret = kick_create(&net->kick, vmm, serve, net);

	if (!ret) {
		ret = vmm_loop_add(vmm, net->fd, 0, tap_ready, net);
		net->in_loop = !ret;
	}
	return ret ? gmig_fail(err, ret, "tap %s: %s", net->tap, strerror(-ret)) : 0;
}

static int net_create(struct device_context *context, unsigned int index, void **state,
		      struct gmig_error *err)
{
	static const uint16_t queue_sizes[QUEUE_COUNT] = {QUEUE_SIZE, QUEUE_SIZE};
	struct net *net = calloc(1, sizeof(*net));
	struct virtio_spec spec = {
	    .ops = &net_ops,
	    .opaque = net,
	    .features = 1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS,
	    .config_bytes = offsetof(struct virtio_net_config, max_virtqueue_pairs),
	    .queue_sizes = queue_sizes,
	    .queue_count = QUEUE_COUNT,
	};
	int ret;

	if (!net)
		return gmig_fail(err, -ENOMEM, "net: out of memory");
	net->tap = context->options->tap[index];
	net->fd = net->kick.fd = -1;
	make_mac(net, context->options->name, index);
	spec.config = &net->config;
	ret = virtio_device_create(&net->device, context->vmm, context->pci, &spec, err);
	if (!ret)
		ret = open_tap(net, err);
	if (!ret)
		ret = attach_loop(net, context->vmm, err);
	if (ret) {
		net_destroy(net);
		return ret;
	}
	*state = net;
	return 0;
}

static unsigned int net_count(const struct vmm_options *options)
{
	return options->net_count;
}

static void net_reset(void *state)
{
	struct net *net = state;

	virtio_device_reset(&net->device);
}

static int net_pause(void *state, int timeout_ms, struct gmig_error *err)
{
	struct net *net = state;

	return virtio_device_pause(&net->device, timeout_ms, err);
}

static void net_resume(void *state)
{
	struct net *net = state;

	virtio_device_resume(&net->device);
}

const struct device_ops net_device = {
    .name = "net",
    .count = net_count,
    .create = net_create,
    .reset = net_reset,
    .pause = net_pause,
    .resume = net_resume,
    .destroy = net_destroy,
};
