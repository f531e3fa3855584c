/*
 * A named port of virtio-console and its UNIX socket: listens on a path, serves one client at a
 * time (the next waits in the backlog), moves bytes between the client and the port's two queues
 * with flow control both ways.
 *
 * Everything runs on the I/O thread with the device lock held, except creation and destruction.
 */
#ifndef VMM_VIRTIO_PORT_H
#define VMM_VIRTIO_PORT_H

#include "../control/listen.h"
#include "virtio_pci.h"

struct virtio_port {
	struct virtio_device *device;
	unsigned int rx_queue, tx_queue; /* rx: towards the guest */
	const char *name, *path;
	void (*serve)(
	    void *opaque); /* something happened: takes the device lock and serves all ports */
	void *opaque;
	/* Exchanged with the guest over the control queues. */
	bool guest_ready, guest_open;
	bool told_open;	    /* what the guest believes about the client */
	bool close_pending; /* a client that the guest knew about has left */
	/* The client. */
	int listen_fd, client_fd;
	bool listening;	 /* listen_fd is in the loop */
	bool hung_up;	 /* the client has left, its data may be unread; not in the loop */
	bool sent_all;	 /* the client sends no more, but may still read */
	uint32_t events; /* what the loop watches client_fd for */
	bool bound;
	struct control_socket socket;
	int undo;	    /* of its file */
	bool accept_failed; /* and the log says so; I/O thread only */
	/* A chain from the guest that was sent to the client in part. */
	bool tx_held;
	uint16_t tx_head;
	struct iovec *tx_iov;
	unsigned int tx_pieces;
	uint64_t tx_left;
	struct virtio_chain tx, rx;
};

/* `port` is zeroed, except for the fields up to `opaque`, and its descriptors are -1. -EADDRINUSE
 * something listens on the path; -ENAMETOOLONG. */
int virtio_port_create(struct virtio_port *port, struct gmig_error *err);
/* Removes the socket, if it is still ours. The I/O thread may still run. */
void virtio_port_destroy(struct virtio_port *port);
/* Reset the guest's side; a client stays connected. Lock held, any thread. */
void virtio_port_stop(struct virtio_port *port);
/* Transfer what is possible now. false: there may be more at once. */
bool virtio_port_serve(struct virtio_port *port);

static inline bool virtio_port_has_client(const struct virtio_port *port)
{
	return port->client_fd >= 0 && !port->hung_up;
}

#endif
