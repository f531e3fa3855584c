/*
 * A 16550A at COM1. Register layout: the PC16550D data sheet, as <linux/serial_reg.h> names it.
 *
 * The transmitter is "empty" as long as the console has room, so that a kernel that polls never
 * waits. The transmitter interrupt is raised at once for TX_ROUNDS times, and after that when the
 * I/O thread has written the bytes. A driver that always finds room within one interrupt would
 * believe that the device is broken (Linux: "too much work for irq4").
 */
#include "console.h"
#include "device_ops.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RX_BYTES  64u
#define TX_ROUNDS 64u

struct serial {
	struct vmm *vmm;
	struct console *console;
	pthread_mutex_t lock; /* guards all below */
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t rx[RX_BYTES];
	unsigned int rx_head, rx_count;
	bool tx_empty_pending;	/* THRE interrupt not yet seen by the guest */
	unsigned int tx_rounds; /* such interrupts since the I/O thread was last done */
	bool line;		/* level of the interrupt line */
	bool paused;		/* takes no input, and the line stays as it is */
};

static uint8_t serial_iir(const struct serial *serial)
{
	uint8_t fifo = serial->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0;

	if (serial->ier & UART_IER_RDI && serial->rx_count)
		return fifo | UART_IIR_RDI;
	if (serial->ier & UART_IER_THRI && serial->tx_empty_pending)
		return fifo | UART_IIR_THRI;
	return fifo | UART_IIR_NO_INT;
}

static void serial_update_line(struct serial *serial)
{
	bool level = !(serial_iir(serial) & UART_IIR_NO_INT);

	if (level == serial->line || serial->paused)
		return;
	serial->line = level;
	vmm_irq_line(serial->vmm, VMM_SERIAL_GSI, level);
}

static void serial_push(struct serial *serial, uint8_t byte)
{
	if (serial->rx_count == RX_BYTES)
		return;
	serial->rx[(serial->rx_head + serial->rx_count++) % RX_BYTES] = byte;
}

static uint8_t serial_msr(const struct serial *serial)
{
	uint8_t msr = 0;

	if (!(serial->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	if (serial->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (serial->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (serial->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (serial->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

static uint8_t serial_read(struct serial *serial, unsigned int reg)
{
	uint8_t value;

	switch (reg) {
	case UART_RX:
		if (serial->lcr & UART_LCR_DLAB)
			return serial->dll;
		if (!serial->rx_count)
			return 0;
		value = serial->rx[serial->rx_head];
		serial->rx_head = (serial->rx_head + 1) % RX_BYTES;
		serial->rx_count--;
		return value;
	case UART_IER:
		return serial->lcr & UART_LCR_DLAB ? serial->dlm : serial->ier;
	case UART_IIR:
		value = serial_iir(serial);
		if ((value & UART_IIR_ID) == UART_IIR_THRI) {
			serial->tx_empty_pending = false;
			serial->tx_rounds++;
		}
		return value;
	case UART_LCR:
		return serial->lcr;
	case UART_MCR:
		return serial->mcr;
	case UART_LSR:
		value = serial->rx_count ? UART_LSR_DR : 0;
		if (console_has_room(serial->console))
			value |= UART_LSR_THRE | UART_LSR_TEMT;
		return value;
	case UART_MSR:
		return serial_msr(serial);
	default:
		return serial->scr;
	}
}

static void serial_write_tx(struct serial *serial, uint8_t value)
{
	if (serial->lcr & UART_LCR_DLAB) {
		serial->dll = value;
		return;
	}
	serial->tx_empty_pending = false;
	if (serial->mcr & UART_MCR_LOOP) {
		serial_push(serial, value);
		serial->tx_empty_pending = true;
		return;
	}
	console_put(serial->console, value);
	serial->tx_empty_pending =
	    serial->tx_rounds < TX_ROUNDS && console_has_room(serial->console);
}

static void serial_write(struct serial *serial, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case UART_TX:
		serial_write_tx(serial, value);
		break;
	case UART_IER:
		if (serial->lcr & UART_LCR_DLAB) {
			serial->dlm = value;
			break;
		}
		/* Enabling it with an empty transmitter interrupts at once: this is how drivers
		 * start a transfer. */
		if (value & ~serial->ier & UART_IER_THRI)
			serial->tx_empty_pending = true;
		serial->ier = value & 0x0f;
		break;
	case UART_FCR:
		serial->fcr = value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK);
		if (value & UART_FCR_CLEAR_RCVR)
			serial->rx_count = 0;
		break;
	case UART_LCR:
		serial->lcr = value;
		break;
	case UART_MCR:
		serial->mcr = value & 0x1f;
		break;
	case UART_SCR:
		serial->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static void serial_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			  bool write)
{
	struct serial *serial = opaque;
	bool was_full, full;
	unsigned int i;

	pthread_mutex_lock(&serial->lock);
	was_full = serial->rx_count == RX_BYTES;
	for (i = 0; i < bytes; i++) {
		unsigned int reg = (unsigned int)(offset + i) & 7;

		if (write)
			serial_write(serial, reg, data[i]);
		else
			data[i] = serial_read(serial, reg);
	}
	full = serial->rx_count == RX_BYTES;
	serial_update_line(serial);
	pthread_mutex_unlock(&serial->lock);
	if (was_full && !full)
		console_resume_input(serial->console);
}

/* ---- The console's calls: I/O thread --------------------------------------------------------- */

static size_t serial_room(void *opaque)
{
	struct serial *serial = opaque;
	size_t room;

	pthread_mutex_lock(&serial->lock);
	room = serial->paused ? 0 : RX_BYTES - serial->rx_count;
	pthread_mutex_unlock(&serial->lock);
	return room;
}

static void serial_input(void *opaque, const uint8_t *data, size_t bytes)
{
	struct serial *serial = opaque;
	size_t i;

	pthread_mutex_lock(&serial->lock);
	for (i = 0; i < bytes; i++)
		serial_push(serial, data[i]);
	serial_update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_drained(void *opaque)
{
	struct serial *serial = opaque;

	pthread_mutex_lock(&serial->lock);
	serial->tx_rounds = 0;
	serial->tx_empty_pending = true;
	if (serial->line && !serial->paused &&
	    (serial_iir(serial) & UART_IIR_ID) == UART_IIR_THRI) {
		/* A driver that stopped in the middle needs an edge to continue. */
		serial->line = false;
		vmm_irq_line(serial->vmm, VMM_SERIAL_GSI, false);
	}
	serial_update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

/* ---- Start, reset, end ----------------------------------------------------------------------- */

static void serial_power_on(struct serial *serial)
{
	pthread_mutex_lock(&serial->lock);
	serial->ier = serial->fcr = serial->lcr = serial->mcr = serial->scr = serial->dlm = 0;
	serial->dll = 0x0c; /* 9600 baud */
	serial->rx_head = serial->rx_count = 0;
	serial->tx_empty_pending = false;
	serial->tx_rounds = 0;
	serial_update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_reset(void *state)
{
	struct serial *serial = state;

	console_flush(serial->console, 1000);
	serial_power_on(serial);
	console_resume_input(serial->console);
}

static int serial_pause(void *state, int timeout_ms, struct gmig_error *err)
{
	struct serial *serial = state;

	(void)timeout_ms;
	(void)err;
	pthread_mutex_lock(&serial->lock);
	serial->paused = true;
	pthread_mutex_unlock(&serial->lock);
	return 0;
}

static void serial_resume(void *state)
{
	struct serial *serial = state;

	pthread_mutex_lock(&serial->lock);
	serial->paused = false;
	/* An edge for whatever happened in the meantime. */
	if (serial->line) {
		serial->line = false;
		vmm_irq_line(serial->vmm, VMM_SERIAL_GSI, false);
	}
	serial_update_line(serial);
	pthread_mutex_unlock(&serial->lock);
	console_resume_input(serial->console);
}

static void serial_destroy(void *state)
{
	struct serial *serial = state;

	console_destroy(serial->console);
	pthread_mutex_destroy(&serial->lock);
	free(serial);
}

static int serial_create(struct device_context *context, unsigned int index, void **state,
			 struct gmig_error *err)
{
	const char *spec = context->options->console;
	struct serial *serial = calloc(1, sizeof(*serial));
	const struct console_device device = {serial_room, serial_input, serial_drained, serial};
	const struct vmm_io io = {"serial", VMM_SERIAL_PORT, 8, serial_access, serial};
	int ret;

	(void)index;
	if (!serial)
		return gmig_fail(err, -ENOMEM, "serial: out of memory");
	if (!spec)
		spec = context->options->kernel ? "stdio" : "none";
	serial->vmm = context->vmm;
	pthread_mutex_init(&serial->lock, NULL);
	serial_power_on(serial);
	ret = console_create(context->vmm, spec, context->options->console_append, &device,
			     &serial->console, err);
	if (!ret)
		ret = vmm_pio_add(context->vmm, &io, err);
	if (ret) {
		serial_destroy(serial);
		return ret;
	}
	*state = serial;
	return 0;
}

const struct device_ops serial_device = {
    .name = "serial",
    .create = serial_create,
    .reset = serial_reset,
    .pause = serial_pause,
    .resume = serial_resume,
    .destroy = serial_destroy,
};
