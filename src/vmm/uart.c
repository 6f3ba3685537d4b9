// SPDX-License-Identifier: Apache-2.0
/* 16550A UART. */
#include "vmm/uart.h"

#include <pthread.h>
#include <stdlib.h>

enum { RBR_THR_DLL, IER_DLM, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define FIFO_SIZE 16u
/* Status reads in a row, nothing being sent, that show a guest that polls for input. */
#define POLLING	  16u

#define IER_RDA	 0x01u
#define IER_THRE 0x02u
#define IER_RLS	 0x04u
#define IER_MS	 0x08u
#define IIR_NONE 0x01u
#define IIR_MS	 0x00u
#define IIR_THRE 0x02u
#define IIR_RDA	 0x04u
#define IIR_RLS	 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO 0xc0u
#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define LCR_DLAB 0x80u
#define MCR_LOOP 0x10u
#define MCR_OUT2 0x08u
#define MCR_OUT1 0x04u
#define MCR_RTS	 0x02u
#define MCR_DTR	 0x01u
#define LSR_DR	 0x01u
#define LSR_OE	 0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u
#define MSR_CTS	 0x10u
#define MSR_DSR	 0x20u
#define MSR_RI	 0x40u
#define MSR_DCD	 0x80u

struct uart {
	struct uart_host host;
	pthread_mutex_t lock;
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	uint8_t modem_delta; /* MSR 3:0 */
	bool overrun, thre_pending, irq;
	bool was_full;
	unsigned int status_reads;
	uint8_t rx[FIFO_SIZE];
	unsigned int rx_head, rx_count;
};

static unsigned int capacity(const struct uart *u)
{
	return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

/*
 * Input waits outside until the guest shows that it listens: a driver that opens the port clears the FIFO, and what a pipe
 * delivered before that would be lost.
 */
static size_t room(const struct uart *u)
{
	bool listening = (u->ier & IER_RDA) || u->status_reads >= POLLING;

	return listening && u->rx_count < capacity(u) ? capacity(u) - u->rx_count : 0;
}

static unsigned int trigger_level(const struct uart *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* In the order of priority of the data sheet's table IV. Below the trigger level the character time-out applies at once. */
static uint8_t identify(const struct uart *u)
{
	if ((u->ier & IER_RLS) && u->overrun)
		return IIR_RLS;
	if ((u->ier & IER_RDA) && u->rx_count)
		return u->rx_count >= trigger_level(u) ? IIR_RDA : IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MS) && u->modem_delta)
		return IIR_MS;
	return IIR_NONE;
}

/* OUT2 gates the interrupt line on a PC. */
static void update_irq(struct uart *u)
{
	bool irq = identify(u) != IIR_NONE && (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);

	if (irq == u->irq)
		return;
	u->irq = irq;
	u->host.set_irq(u->host.opaque, irq);
}

static void receive(struct uart *u, uint8_t byte)
{
	if (u->rx_count >= capacity(u)) {
		u->overrun = true;
		return;
	}
	u->rx[(u->rx_head + u->rx_count++) % FIFO_SIZE] = byte;
}

static uint8_t read_rbr(struct uart *u)
{
	uint8_t byte = 0;

	if (u->rx_count) {
		byte = u->rx[u->rx_head];
		u->rx_head = (u->rx_head + 1) % FIFO_SIZE;
		u->rx_count--;
	}
	return byte;
}

static uint8_t read_iir(struct uart *u)
{
	uint8_t iir = identify(u);

	if (iir == IIR_THRE)
		u->thre_pending = false;
	return iir | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart *u)
{
	uint8_t lsr;

	if (u->status_reads < POLLING)
		u->status_reads++;
	lsr = LSR_THRE | LSR_TEMT | (u->rx_count ? LSR_DR : 0) | (u->overrun ? LSR_OE : 0);

	u->overrun = false;
	return lsr;
}

static uint8_t modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
	       (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static uint8_t read_register(struct uart *u, unsigned int reg)
{
	uint8_t value;

	switch (reg) {
	case RBR_THR_DLL:
		return u->lcr & LCR_DLAB ? u->dll : read_rbr(u);
	case IER_DLM:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case IIR_FCR:
		return read_iir(u);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		return read_lsr(u);
	case MSR:
		value = modem_lines(u) | u->modem_delta;
		u->modem_delta = 0;
		return value;
	default:
		return u->scr;
	}
}

/* True: the host is to be told that there is room. */
static bool leave(struct uart *u)
{
	bool tell = u->was_full && room(u);

	if (tell)
		u->was_full = false;
	update_irq(u);
	return tell;
}

uint8_t uart_read(struct uart *u, unsigned int reg)
{
	uint8_t value;
	bool tell;

	pthread_mutex_lock(&u->lock);
	value = read_register(u, reg);
	tell = leave(u);
	pthread_mutex_unlock(&u->lock);
	if (tell)
		u->host.room(u->host.opaque);
	return value;
}

/* True: `value` goes out. */
static bool write_thr(struct uart *u, uint8_t value)
{
	u->thre_pending = true;
	u->status_reads = 0;
	if (u->mcr & MCR_LOOP) {
		receive(u, value);
		return false;
	}
	return true;
}

static void write_ier(struct uart *u, uint8_t value)
{
	/* Enabling the interrupt while the transmitter is empty raises it (data sheet 8.6.4 bit 1). */
	if (!(u->ier & IER_THRE) && (value & IER_THRE))
		u->thre_pending = true;
	u->ier = value & 0x0f;
}

static void write_fcr(struct uart *u, uint8_t value)
{
	if ((value ^ u->fcr) & FCR_ENABLE || value & FCR_CLEAR_RX)
		u->rx_count = 0;
	u->fcr = value & (0xc0 | FCR_ENABLE);
}

static void write_mcr(struct uart *u, uint8_t value)
{
	uint8_t before = modem_lines(u), changed;

	u->mcr = value & 0x1f;
	changed = before ^ modem_lines(u);
	/* Delta bits: CTS, DSR, DCD on any change, RI at its trailing edge. */
	u->modem_delta |= (changed & MSR_CTS ? 1 : 0) | (changed & MSR_DSR ? 2 : 0) | (changed & before & MSR_RI ? 4 : 0) |
			  (changed & MSR_DCD ? 8 : 0);
}

static bool write_register(struct uart *u, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case RBR_THR_DLL:
		if (!(u->lcr & LCR_DLAB))
			return write_thr(u, value);
		u->dll = value;
		break;
	case IER_DLM:
		if (u->lcr & LCR_DLAB)
			u->dlm = value;
		else
			write_ier(u, value);
		break;
	case IIR_FCR:
		write_fcr(u, value);
		break;
	case LCR:
		u->lcr = value;
		break;
	case MCR:
		write_mcr(u, value);
		break;
	case SCR:
		u->scr = value;
		break;
	}
	return false;
}

void uart_write(struct uart *u, unsigned int reg, uint8_t value)
{
	bool out, tell;

	pthread_mutex_lock(&u->lock);
	out = write_register(u, reg, value);
	tell = leave(u);
	pthread_mutex_unlock(&u->lock);
	if (tell)
		u->host.room(u->host.opaque);
	if (out)
		u->host.output(u->host.opaque, value);
}

size_t uart_room(struct uart *u)
{
	size_t n;

	pthread_mutex_lock(&u->lock);
	n = room(u);
	u->was_full = !n;
	pthread_mutex_unlock(&u->lock);
	return n;
}

void uart_input(struct uart *u, const uint8_t *bytes, size_t n)
{
	pthread_mutex_lock(&u->lock);
	while (n--)
		receive(u, *bytes++);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

struct uart *uart_create(const struct uart_host *host)
{
	struct uart *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->host = *host;
	u->dll = 1; /* 115200 */
	pthread_mutex_init(&u->lock, NULL);
	return u;
}

void uart_destroy(struct uart *u)
{
	if (!u)
		return;
	pthread_mutex_destroy(&u->lock);
	free(u);
}
