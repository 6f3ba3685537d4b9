// SPDX-License-Identifier: Apache-2.0
/*
 * APIC virtualisation: SDM 3C 29.1 to 29.6 (intel), APM2 15.29 (amd, where the backing page has the same layout).
 */
#include "hw/apic/apic.h"

/* Offsets in the virtual-APIC page: those of the local APIC's registers (SDM 3A Table 10-1). */
#define APIC_TPR 0x80
#define APIC_PPR 0xa0
#define APIC_ISR 0x100
#define APIC_IRR 0x200

#define X2APIC_FIRST	0x800
#define X2APIC_LAST	0x8ff
#define X2APIC_TPR	0x808
#define X2APIC_EOI	0x80b
#define X2APIC_ICR	0x830
#define X2APIC_SELF_IPI 0x83f

static u32 *page_register(const struct hw_cpu *c, unsigned int offset)
{
	return (u32 *)(c->ctl.vapic + offset);
}

static u32 page_read(const struct hw_cpu *c, unsigned int offset)
{
	return __atomic_load_n(page_register(c, offset), __ATOMIC_RELAXED);
}

static void page_write(struct hw_cpu *c, unsigned int offset, u32 value)
{
	__atomic_store_n(page_register(c, offset), value, __ATOMIC_RELAXED);
}

/* IRR and ISR: eight 32-bit registers, 16 bytes apart. */
static u32 *vector_word(const struct hw_cpu *c, unsigned int base, unsigned int vector)
{
	return page_register(c, base + vector / 32 * 16);
}

static void vector_set(struct hw_cpu *c, unsigned int base, unsigned int vector)
{
	__atomic_fetch_or(vector_word(c, base, vector), 1u << vector % 32, __ATOMIC_RELAXED);
}

static void vector_clear(struct hw_cpu *c, unsigned int base, unsigned int vector)
{
	__atomic_fetch_and(vector_word(c, base, vector), ~(1u << vector % 32), __ATOMIC_RELAXED);
}

/* -1: none */
static int vector_highest(const struct hw_cpu *c, unsigned int base)
{
	for (int word = 7; word >= 0; word--) {
		u32 bits = page_read(c, base + word * 16);

		if (bits)
			return word * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

/* SDM 3C 29.6: the sender sets PIR, then ON; so ON goes first here, and no bit is left behind with ON clear. */
static void merge_posted(struct hw_cpu *c)
{
	struct hw_pi_desc *pi = c->ctl.pi;

	if (!pi || !__atomic_load_n(&pi->on, __ATOMIC_ACQUIRE))
		return;
	__atomic_exchange_n(&pi->on, 0, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < 4; i++) {
		u64 bits = __atomic_load_n(&pi->pir[i], __ATOMIC_RELAXED);

		if (!bits)
			continue;
		bits = __atomic_exchange_n(&pi->pir[i], 0, __ATOMIC_SEQ_CST);
		__atomic_fetch_or(vector_word(c, APIC_IRR, i * 64), (u32)bits, __ATOMIC_RELAXED);
		__atomic_fetch_or(vector_word(c, APIC_IRR, i * 64 + 32), (u32)(bits >> 32), __ATOMIC_RELAXED);
	}
}

/* PPR virtualisation, SDM 3C 29.1.3. */
static u32 update_ppr(struct hw_cpu *c)
{
	int servicing = vector_highest(c, APIC_ISR);
	u32 tpr = page_read(c, APIC_TPR) & 0xff;
	u32 class = servicing < 0 ? 0 : servicing & 0xf0;
	u32 ppr = (tpr & 0xf0) >= class ? tpr : class;

	if (page_read(c, APIC_PPR) != ppr)
		page_write(c, APIC_PPR, ppr);
	return ppr;
}

/* The vCPU's own thread: looked at before the next block. */
static void request_evaluation(struct hw_cpu *c)
{
	__atomic_fetch_or(&c->request, REQ_EVENT, __ATOMIC_RELAXED);
}

bool vapic_pending(struct hw_cpu *c, u8 *vector)
{
	if (!c->ctl.vapic)
		return false;
	merge_posted(c);

	int requested = vector_highest(c, APIC_IRR);
	u32 ppr = update_ppr(c);

	if (requested < 0 || (requested & 0xf0) <= (int)(ppr & 0xf0))
		return false;
	*vector = requested;
	return true;
}

void vapic_accept(struct hw_cpu *c, u8 vector)
{
	if (!c->ctl.vapic)
		return;
	vector_set(c, APIC_ISR, vector);
	vector_clear(c, APIC_IRR, vector);
	update_ppr(c);
	/* The next lower vector waits for EOI; one of a higher class may be there already. */
	request_evaluation(c);
}

bool hw_cpu_has_virtual_interrupt(struct hw_cpu *c)
{
	u8 vector;

	return vapic_pending(c, &vector);
}

/* EOI virtualisation, SDM 3C 29.1.4. */
static void write_eoi(struct hw_cpu *c)
{
	int vector = vector_highest(c, APIC_ISR);

	if (vector < 0)
		return;
	vector_clear(c, APIC_ISR, vector);
	update_ppr(c);
	if (c->ctl.eoi_exit_bitmap[vector / 64] >> vector % 64 & 1) {
		c->eoi_exit = true;
		c->eoi_vector = vector;
	}
	request_evaluation(c);
}

static void write_tpr(struct hw_cpu *c, u32 tpr)
{
	page_write(c, APIC_TPR, tpr);
	c->arch.cr8 = tpr >> 4;
	update_ppr(c);
	request_evaluation(c);
}

/*
 * Registers that the page holds as they read. The current timer count runs, the write-only ones and holes #GP: those
 * are kvm's answer.
 */
static bool readable(u32 msr)
{
	switch (msr) {
	case 0x802: /* ID */
	case 0x803: /* version */
	case X2APIC_TPR:
	case 0x80a:	      /* PPR */
	case 0x80d:	      /* LDR */
	case 0x80f:	      /* SVR */
	case 0x810 ... 0x827: /* ISR, TMR, IRR */
	case 0x828:	      /* ESR */
	case X2APIC_ICR:
	case 0x832 ... 0x838: /* LVT, initial count */
	case 0x83e:	      /* divide configuration */
		return true;
	}
	return false;
}

int vapic_rdmsr(struct hw_cpu *c, u32 msr, u64 *value)
{
	if (!c->ctl.vapic || !c->ctl.x2apic_virt || msr < X2APIC_FIRST || msr > X2APIC_LAST || !readable(msr))
		return EXEC_EXIT;

	unsigned int offset = (msr & 0xff) << 4;

	*value = page_read(c, offset);
	/* SDM 3C 29.5: the one 64-bit register lies in the page as one 64-bit value. */
	if (msr == X2APIC_ICR)
		*value |= (u64)page_read(c, offset + 4) << 32;
	return EXEC_OK;
}

/* SDM 3C 29.5: reserved bits are checked by the processor. */
int vapic_wrmsr(struct hw_cpu *c, u32 msr, u64 value)
{
	if (!c->ctl.vapic || !c->ctl.x2apic_virt)
		return EXEC_EXIT;
	switch (msr) {
	case X2APIC_TPR:
		if (value >> 8)
			return cpu_gp(c, 0);
		write_tpr(c, value);
		return EXEC_OK;
	case X2APIC_EOI:
		if (value)
			return cpu_gp(c, 0);
		write_eoi(c);
		return EXEC_OK;
	case X2APIC_SELF_IPI:
		if (value >> 8)
			return cpu_gp(c, 0);
		/* Vectors 0..15 are errors that the ESR records: kvm's. */
		if (value < 16)
			return EXEC_EXIT;
		vector_set(c, APIC_IRR, value);
		request_evaluation(c);
		return EXEC_OK;
	}
	return EXEC_EXIT;
}

u64 vapic_get_cr8(const struct hw_cpu *c)
{
	return c->ctl.vapic ? page_read(c, APIC_TPR) >> 4 & 0xf : c->arch.cr8;
}

void vapic_set_cr8(struct hw_cpu *c, u64 value)
{
	if (c->ctl.vapic)
		write_tpr(c, (value & 0xf) << 4);
	else
		c->arch.cr8 = value & 0xf;
}

int vapic_check_exit(struct hw_cpu *c)
{
	if (!c->eoi_exit)
		return EXEC_OK;
	c->eoi_exit = false;
	return cpu_exit_eoi(c, c->eoi_vector);
}
