/*
 * virtio-console, multiport: named byte streams between guest and host (/dev/virtio-ports/NAME in
 * the guest). Served on the I/O thread. Port 0 is not used: drivers treat it as a terminal.
 *
 * Control messages to the guest are not queued. They follow from each port's state, so that a guest
 * cannot make them accumulate.
 */
#include "device_ops.h"
#include "kick.h"
#include "virtio_port.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE 64
#define BATCH	   64

enum { QUEUE_PORT0_RX, QUEUE_PORT0_TX, QUEUE_CONTROL_RX, QUEUE_CONTROL_TX, QUEUE_PORT1_RX };

struct vconsole {
	struct virtio_device device;
	struct virtio_console_config config;
	struct kick kick;
	unsigned int port_count;
	struct virtio_port port[VMM_MAX_PORTS]; /* the first has id 1 */
	bool add_pending[VMM_MAX_PORTS], name_pending[VMM_MAX_PORTS];
	struct virtio_chain chain;
};

/* ---- Control --------------------------------------------------------------------------------- */

/* false: the driver has no buffer for it now. */
static bool send_control(struct vconsole *console, unsigned int index, uint16_t event,
			 uint16_t value)
{
	struct virtio_console_control message = {.id = index + 1, .event = event, .value = value};
	const char *name = event == VIRTIO_CONSOLE_PORT_NAME ? console->port[index].name : "";
	size_t bytes = sizeof(message) + strlen(name);
	struct virtio_chain *chain = &console->chain;
	struct iovec *in;

	if (virtio_device_pop(&console->device, QUEUE_CONTROL_RX, chain) <= 0)
		return false;
	if (chain->in_bytes < bytes) {
		virtio_device_fail(&console->device, QUEUE_CONTROL_RX, "control buffer too small");
		return false;
	}
	in = virtio_chain_in(chain);
	virtio_write_pieces(in, chain->in_count, 0, &message, sizeof(message));
	virtio_write_pieces(in, chain->in_count, sizeof(message), name, strlen(name));
	virtio_device_push(&console->device, QUEUE_CONTROL_RX, chain->head, (uint32_t)bytes);
	return true;
}

/* Send the guest what it does not know yet about a port. false: no buffer. */
static bool tell_port(struct vconsole *console, unsigned int index)
{
	struct virtio_port *port = &console->port[index];

	if (console->add_pending[index]) {
		if (!send_control(console, index, VIRTIO_CONSOLE_PORT_ADD, 1))
			return false;
		console->add_pending[index] = false;
	}
	if (!port->guest_ready)
		return true;
	if (console->name_pending[index]) {
		if (!send_control(console, index, VIRTIO_CONSOLE_PORT_NAME, 1))
			return false;
		console->name_pending[index] = false;
	}
	if (port->close_pending) {
		if (!send_control(console, index, VIRTIO_CONSOLE_PORT_OPEN, 0))
			return false;
		port->close_pending = port->told_open = false;
	}
	if (virtio_port_has_client(port) && !port->told_open) {
		if (!send_control(console, index, VIRTIO_CONSOLE_PORT_OPEN, 1))
			return false;
		port->told_open = true;
	}
	return true;
}

static void hear_control(struct vconsole *console, const struct virtio_console_control *message)
{
	struct virtio_port *port;
	unsigned int i;

	if (message->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (i = 0; message->value && i < console->port_count; i++)
			console->add_pending[i] = true;
		return;
	}
	if (message->id < 1 || message->id > console->port_count)
		return;
	port = &console->port[message->id - 1];
	if (message->event == VIRTIO_CONSOLE_PORT_READY && message->value) {
		port->guest_ready = true;
		port->told_open = false;
		console->name_pending[message->id - 1] = true;
	} else if (message->event == VIRTIO_CONSOLE_PORT_OPEN) {
		port->guest_open = message->value;
	}
}

/* Returns false when there may be more. */
static bool serve_control(struct vconsole *console)
{
	struct virtio_chain *chain = &console->chain;
	struct virtio_console_control message;
	int left = BATCH;
	unsigned int i;

	while (left-- && virtio_device_pop(&console->device, QUEUE_CONTROL_TX, chain) > 0) {
		if (virtio_read_pieces(chain->iov, chain->out_count, 0, &message,
				       sizeof(message)) == sizeof(message))
			hear_control(console, &message);
		virtio_device_push(&console->device, QUEUE_CONTROL_TX, chain->head, 0);
	}
	for (i = 0; i < console->port_count && tell_port(console, i); i++)
		;
	return left >= 0;
}

/* ---- The device ------------------------------------------------------------------------------ */

/* Returns false when there may be more. */
static bool discard_port0(struct vconsole *console)
{
	int left = BATCH;

	while (left-- && virtio_device_pop(&console->device, QUEUE_PORT0_TX, &console->chain) > 0)
		virtio_device_push(&console->device, QUEUE_PORT0_TX, console->chain.head, 0);
	return left >= 0;
}

static void serve(void *opaque)
{
	struct vconsole *console = opaque;
	bool done;
	unsigned int i;

	pthread_mutex_lock(&console->device.lock);
	done = serve_control(console);
	for (i = 0; i < console->port_count; i++)
		done = virtio_port_serve(&console->port[i]) && done;
	done = discard_port0(console) && done;
	/* Serving may have noticed that a client is gone. */
	done = serve_control(console) && done;
	pthread_mutex_unlock(&console->device.lock);
	if (!done)
		kick_ring(&console->kick);
}

static void vconsole_start(void *opaque)
{
	struct vconsole *console = opaque;

	kick_ring(&console->kick);
}

static void vconsole_stop(void *opaque)
{
	struct vconsole *console = opaque;
	unsigned int i;

	for (i = 0; i < console->port_count; i++) {
		virtio_port_stop(&console->port[i]);
		console->add_pending[i] = console->name_pending[i] = false;
	}
}

static void vconsole_notify(void *opaque, unsigned int queue)
{
	(void)queue;
	vconsole_start(opaque);
}

static const struct virtio_ops vconsole_ops = {
    .name = "console",
    .id = VIRTIO_ID_CONSOLE,
    .class_code = 0x078000,
    .start = vconsole_start,
    .stop = vconsole_stop,
    .notify = vconsole_notify,
};

static void vconsole_destroy(void *state)
{
	struct vconsole *console = state;
	unsigned int i;

	for (i = 0; i < console->port_count; i++)
		virtio_port_destroy(&console->port[i]);
	/* After the ports, whose handlers ring it. */
	kick_destroy(&console->kick);
	virtio_device_destroy(&console->device);
	free(console);
}

static int create_ports(struct vconsole *console, const struct vmm_options *options,
			struct gmig_error *err)
{
	unsigned int i;
	int ret = 0;

	/*
	 * Create all of them before the first one listens: after that the I/O thread serves them.
	 */
	for (i = 0; i < options->port_count; i++)
		console->port[i] = (struct virtio_port){
		    .device = &console->device,
		    .rx_queue = QUEUE_PORT1_RX + 2 * i,
		    .tx_queue = QUEUE_PORT1_RX + 2 * i + 1,
		    .name = options->port[i].name,
		    .path = options->port[i].path,
		    .serve = serve,
		    .opaque = console,
		    .listen_fd = -1,
		    .client_fd = -1,
		};
	console->port_count = options->port_count;
	for (i = 0; !ret && i < options->port_count; i++)
		ret = virtio_port_create(&console->port[i], err);
	return ret;
}

static int vconsole_create(struct device_context *context, unsigned int index, void **state,
			   struct gmig_error *err)
{
	const struct vmm_options *options = context->options;
	struct vconsole *console = calloc(1, sizeof(*console));
	uint16_t queue_sizes[VIRTIO_MAX_QUEUES];
	struct virtio_spec spec = {
	    .ops = &vconsole_ops,
	    .opaque = console,
	    .features = 1ull << VIRTIO_CONSOLE_F_MULTIPORT,
	    .config_bytes = sizeof(console->config),
	    .queue_sizes = queue_sizes,
	    .queue_count = 2 * (options->port_count + 2),
	};
	unsigned int i;
	int ret;

	(void)index;
	if (!console)
		return gmig_fail(err, -ENOMEM, "console: out of memory");
	for (i = 0; i < VIRTIO_MAX_QUEUES; i++)
		queue_sizes[i] = QUEUE_SIZE;
	console->kick.fd = -1;
	console->config.max_nr_ports = options->port_count + 1;
	spec.config = &console->config;
	ret = virtio_device_create(&console->device, context->vmm, context->pci, &spec, err);
	if (!ret) {
		ret = kick_create(&console->kick, context->vmm, serve, console);
		if (ret)
			gmig_fail(err, ret, "console: %s", strerror(-ret));
	}
	if (!ret)
		ret = create_ports(console, options, err);
	if (ret) {
		vconsole_destroy(console);
		return ret;
	}
	*state = console;
	return 0;
}

static unsigned int vconsole_count(const struct vmm_options *options)
{
	return options->port_count ? 1 : 0;
}

static void vconsole_reset(void *state)
{
	struct vconsole *console = state;

	virtio_device_reset(&console->device);
}

static int vconsole_pause(void *state, int timeout_ms, struct gmig_error *err)
{
	struct vconsole *console = state;

	return virtio_device_pause(&console->device, timeout_ms, err);
}

static void vconsole_resume(void *state)
{
	struct vconsole *console = state;

	virtio_device_resume(&console->device);
}

const struct device_ops vconsole_device = {
    .name = "console",
    .count = vconsole_count,
    .create = vconsole_create,
    .reset = vconsole_reset,
    .pause = vconsole_pause,
    .resume = vconsole_resume,
    .destroy = vconsole_destroy,
};
