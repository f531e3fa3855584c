/* See virtio_port.h. */
#include "virtio_port.h"
#include "undo.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_REST_MS 100
#define BATCH	       64 /* chains in each direction before other handlers of the I/O thread run */

static struct vmm *port_vmm(const struct virtio_port *port)
{
	return port->device->vmm;
}

/* ---- The client ------------------------------------------------------------------------------ */

static void listen_ready(void *opaque, uint32_t events);
static void client_ready(void *opaque, uint32_t events);

static void update_listener(struct virtio_port *port)
{
	bool wanted = !virtio_port_has_client(port);

	if (wanted == port->listening)
		return;
	if (!wanted)
		vmm_loop_remove(port_vmm(port), port->listen_fd);
	else if (vmm_loop_add(port_vmm(port), port->listen_fd, EPOLLIN, listen_ready, port))
		return;
	port->listening = wanted;
}

/* Return the current chain to the guest. */
static void finish_tx(struct virtio_port *port)
{
	port->tx_held = false;
	virtio_device_push(port->device, port->tx_queue, port->tx_head, 0);
}

static void mark_hung_up(struct virtio_port *port)
{
	if (port->hung_up)
		return;
	vmm_loop_remove(port_vmm(port), port->client_fd);
	port->hung_up = true;
	port->close_pending = port->told_open;
}

static void drop_client(struct virtio_port *port)
{
	mark_hung_up(port);
	close(port->client_fd);
	port->client_fd = -1;
	port->hung_up = port->sent_all = false;
	/* The rest of it is nobody's. It goes back to the guest when the queue is served next. */
	port->tx_left = 0;
}

/* Without descriptors or memory the client stays in the backlog and the socket readable. */
static void accept_failed(struct virtio_port *port, int error)
{
	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	if (!port->accept_failed)
		vmm_log(GMIG_LOG_WARNING, "device=console port=%s a client has to wait: %s",
			port->name, strerror(error));
	port->accept_failed = true;
	vmm_loop_rest(port_vmm(port), port->listen_fd, ACCEPT_REST_MS);
}

static void listen_ready(void *opaque, uint32_t events)
{
	struct virtio_port *port = opaque;
	int fd = accept4(port->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		accept_failed(port, errno);
		return;
	}
	port->accept_failed = false;
	pthread_mutex_lock(&port->device->lock);
	/* Data of an earlier client that the guest has not read is dropped: it would mix with the
	 * new client's. */
	if (port->client_fd >= 0)
		drop_client(port);
	port->client_fd = fd;
	port->events = 0;
	if (vmm_loop_add(port_vmm(port), fd, 0, client_ready, port)) {
		close(fd);
		port->client_fd = -1;
	}
	update_listener(port);
	pthread_mutex_unlock(&port->device->lock);
	port->serve(port->opaque);
}

static void client_ready(void *opaque, uint32_t events)
{
	struct virtio_port *port = opaque;

	if (events & (EPOLLHUP | EPOLLERR)) {
		/* Remove it from the loop, which would report it for ever. Data that was sent
		 * before can still be read. */
		pthread_mutex_lock(&port->device->lock);
		if (port->client_fd >= 0)
			mark_hung_up(port);
		pthread_mutex_unlock(&port->device->lock);
	}
	port->serve(port->opaque);
}

static void watch_client(struct virtio_port *port, bool readable, bool writable)
{
	uint32_t events =
	    (readable ? (uint32_t)EPOLLIN : 0u) | (writable ? (uint32_t)EPOLLOUT : 0u);

	if (!virtio_port_has_client(port) || events == port->events)
		return;
	port->events = events;
	vmm_loop_modify(port_vmm(port), port->client_fd, events);
}

/* ---- Guest to client ------------------------------------------------------------------------- */

/* 1: a chain is held; 0: the guest has none. */
static int take_tx(struct virtio_port *port)
{
	if (!virtio_device_is_live(port->device))
		return 0;
	if (port->tx_held)
		return 1;
	if (virtio_device_pop(port->device, port->tx_queue, &port->tx) <= 0)
		return 0;
	port->tx_held = true;
	port->tx_head = port->tx.head;
	port->tx_iov = port->tx.iov;
	port->tx_pieces = port->tx.out_count;
	port->tx_left = port->tx.out_bytes;
	return 1;
}

/* Send the rest of the chain. 0: all sent (or there is no client); -EAGAIN: the client is slow. */
static int send_tx(struct virtio_port *port)
{
	while (port->tx_left && virtio_port_has_client(port)) {
		struct msghdr message = {.msg_iov = port->tx_iov, .msg_iovlen = port->tx_pieces};
		ssize_t sent = sendmsg(port->client_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (sent < 0) {
			mark_hung_up(port);
			break;
		}
		port->tx_left -= (uint64_t)sent;
		port->tx_pieces = virtio_cut_pieces(port->tx_iov, port->tx_pieces, (size_t)sent,
						    port->tx_left, &port->tx_iov);
	}
	return 0;
}

/* *blocked: the client must read first. false: there may be more. */
static bool serve_tx(struct virtio_port *port, bool *blocked)
{
	int left = BATCH;

	*blocked = false;
	while (left--) {
		if (!take_tx(port))
			return true;
		if (send_tx(port)) {
			*blocked = true;
			return true;
		}
		finish_tx(port);
	}
	return false;
}

/* ---- Client to guest ------------------------------------------------------------------------- */

/* Fill one buffer of the guest. 1: filled; 0: the client has nothing now, or has ended. */
static int receive_one(struct virtio_port *port)
{
	struct msghdr message = {.msg_iov = virtio_chain_in(&port->rx),
				 .msg_iovlen = port->rx.in_count};
	ssize_t got;

	do
		got = recvmsg(port->client_fd, &message, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		virtio_device_push(port->device, port->rx_queue, port->rx.head, (uint32_t)got);
		return 1;
	}
	virtio_queue_unpop(&port->device->queue[port->rx_queue]);
	if (got == 0)
		port->sent_all = true;
	else if (errno != EAGAIN)
		mark_hung_up(port);
	if (port->hung_up)
		drop_client(port);
	return 0;
}

/* *ready: the guest has room for more. false: there may be more at once. */
static bool serve_rx(struct virtio_port *port, bool *ready)
{
	int left = BATCH;

	*ready = false;
	while (left--) {
		if (port->client_fd < 0 || !port->guest_open || (port->sent_all && !port->hung_up))
			return true;
		if (virtio_device_pop(port->device, port->rx_queue, &port->rx) <= 0)
			return true;
		if (!port->rx.in_bytes) {
			virtio_device_fail(port->device, port->rx_queue,
					   "receive buffer without room");
			return true;
		}
		if (!receive_one(port)) {
			*ready = port->client_fd >= 0 && !port->sent_all;
			return true;
		}
	}
	*ready = true;
	return false;
}

bool virtio_port_serve(struct virtio_port *port)
{
	bool blocked, ready, done;

	/* A chain may be held, and what may not be pushed now is pushed later. */
	if (port->device->paused || pci_dma(port->device->pci) != PCI_DMA_OPEN) {
		watch_client(port, false, false);
		update_listener(port);
		return true;
	}
	done = serve_tx(port, &blocked);
	done = serve_rx(port, &ready) && done;
	/* A client that sent everything before it left has no more data. */
	if (port->hung_up && port->sent_all)
		drop_client(port);
	watch_client(port, ready, blocked);
	update_listener(port);
	/* The client of a held chain has just gone: the chain can go back, unless the device has come to need a reset. */
	return done && !(port->tx_held && !virtio_port_has_client(port) &&
			 virtio_device_is_live(port->device));
}

void virtio_port_stop(struct virtio_port *port)
{
	port->guest_ready = port->guest_open = port->told_open = port->close_pending = false;
	port->tx_held = false;
	watch_client(port, false, false);
}

/* ---- The socket ------------------------------------------------------------------------------ */

int virtio_port_create(struct virtio_port *port, struct gmig_error *err)
{
	struct gmig_error why;
	int ret = control_listen(port->path, &port->socket, &why);

	if (ret)
		return gmig_fail(err, ret, "port %s: %.200s", port->name, why.text);
	port->bound = true;
	port->undo = undo_file(port->path);
	port->listen_fd = port->socket.fd;
	ret = vmm_loop_add(port_vmm(port), port->listen_fd, EPOLLIN, listen_ready, port);
	if (ret)
		return gmig_fail(err, ret, "port %s: %s", port->name, strerror(-ret));
	port->listening = true;
	return 0;
}

void virtio_port_destroy(struct virtio_port *port)
{
	/* The listener first: its handler puts clients into the loop. */
	if (port->bound)
		vmm_loop_remove(port_vmm(port), port->listen_fd);
	if (port->client_fd >= 0) {
		vmm_loop_remove(port_vmm(port), port->client_fd);
		close(port->client_fd);
	}
	if (!port->bound)
		return;
	control_unlisten(&port->socket);
	undo_forget(port->undo);
}
