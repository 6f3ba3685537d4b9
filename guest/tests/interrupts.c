// SPDX-License-Identifier: Apache-2.0
/* Interrupts: shadow of STI and MOV SS, priorities, IPIs, APIC timer, HLT, task priority (SDM 3A ch. 6 and 10). */
#include "lib/guest.h"

static volatile int count[256], order[16], order_n;
static volatile u64 last_rip;

static void on_irq(struct frame *f)
{
	count[f->vector]++;
	last_rip = f->rip;
	if (order_n < 16)
		order[order_n++] = (int)f->vector;
	apic_eoi();
}

static void enable(void) { asm volatile("sti; nop; nop" : : : "memory"); }
static void disable(void) { asm volatile("cli" : : : "memory"); }
static void reset_counts(void)
{
	order_n = 0;
	for (int i = 0; i < 256; i++)
		count[i] = 0;
}

static bool wait_for(volatile int *what, int value)
{
	for (u64 start = rdtsc(); rdtsc() - start < 10000000000ull;)
		if (*what >= value)
			return true;
	return false;
}

static void self_ipi(u8 vector) { apic_write(0x300, 0x44000u | vector); }

static void shadows(void)
{
	extern char sti_after[];
	u16 ss;

	reset_counts();
	self_ipi(0x40);
	asm volatile("sti\nnop\nsti_after: nop\ncli" : : : "memory");
	report(count[0x40] == 1 && last_rip == (u64)sti_after, "STI holds interrupts back for one instruction (rip %lx)", last_rip);
	asm volatile("mov %%ss, %0" : "=r"(ss));
	reset_counts();
	asm volatile("sti\nnop" : : : "memory");
	asm volatile("cli" : : : "memory");
	self_ipi(0x41);
	asm volatile("sti\nmov %w0, %%ss\nnop\nnop\nnop\ncli" : : "r"(ss) : "memory");
	report(count[0x41] == 1, "an interrupt arrives behind STI and MOV SS (%d)", count[0x41]);
}

static void priorities(void)
{
	reset_counts();
	disable();
	self_ipi(0x45);
	self_ipi(0x95);
	self_ipi(0x65);
	enable();
	wait_for(&count[0x45], 1);
	disable();
	report(order[0] == 0x95 && order[1] == 0x65 && order[2] == 0x45, "the highest vector first (%x %x %x)", order[0], order[1], order[2]);

	reset_counts();
	asm volatile("mov %0, %%cr8" : : "r"(6ull));
	self_ipi(0x55);
	enable();
	for (int i = 0; i < 1000; i++)
		cpu_relax();
	report(count[0x55] == 0, "the task priority holds a lower class back");
	self_ipi(0x75);
	report(wait_for(&count[0x75], 1), "and lets a higher one through");
	asm volatile("mov %0, %%cr8" : : "r"(0ull));
	report(wait_for(&count[0x55], 1), "lowering it delivers the one held back");
	disable();
	report((apic_read(0x80) & 0xf0) == 0, "CR8 and the TPR register agree");
}

static void timer(void)
{
	reset_counts();
	apic_write(0x3e0, 0xb); /* divide by 1 */
	apic_write(0x320, 0x50);
	apic_write(0x380, 1000000);
	enable();
	report(wait_for(&count[0x50], 1), "one-shot timer");
	report(apic_read(0x390) == 0, "the count has run down");
	disable();
	reset_counts();
	apic_write(0x320, 0x20050);
	apic_write(0x380, 1000000);
	enable();
	report(wait_for(&count[0x50], 5), "periodic timer");
	disable();
	apic_write(0x320, 0x10050);
	apic_write(0x380, 0);
}

static void halted(void)
{
	reset_counts();
	apic_write(0x320, 0x51);
	apic_write(0x380, 20000000);
	asm volatile("sti; hlt; cli" : : : "memory");
	/* A last period of the timer before may have been on its way. */
	if (count[0x50] && !count[0x51])
		asm volatile("sti; hlt; cli" : : : "memory");
	report(count[0x51] == 1, "the timer wakes HLT");
	apic_write(0x320, 0x10051);
}

static volatile int ap_count, ap_ready, ap_quit;
static void on_ap_irq(struct frame *f)
{
	ap_count++;
	apic_eoi();
}
static void ap_sleeper(void *arg)
{
	ap_ready = 1;
	while (!ap_quit)
		asm volatile("sti; hlt; cli" : : : "memory");
	ap_ready = 2;
}

static void other_cpu(void)
{
	bool ok = true;

	set_handler(0x70, on_ap_irq);
	if (!start_cpu(1, ap_sleeper, NULL)) {
		print("no second processor\n");
		return;
	}
	ok &= wait_for(&ap_ready, 1);
	for (int i = 1; i <= 1000 && ok; i++) {
		send_ipi(1, 0x70);
		ok = wait_for(&ap_count, i);
	}
	report(ok, "1000 IPIs wake the other processor from HLT (%d)", ap_count);
	ap_quit = 1;
	send_ipi(1, 0x70);
	report(wait_for(&ap_ready, 2), "the last one lets it leave");
}

static volatile int nmi_count;
static void on_nmi(struct frame *f) { nmi_count++; }
static void nmi(void)
{
	set_handler(2, on_nmi);
	disable();
	apic_write(0x310, apic_id() << 24);
	apic_write(0x300, 0x4400); /* NMI */
	report(wait_for(&nmi_count, 1), "an NMI is delivered with interrupts off");
	set_handler(2, NULL);
}

int main(void);
int main(void)
{
	idt_init();
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	apic_init();
	for (int v = 0x40; v < 0x100; v++)
		if (v != 0x81)
			set_handler((u8)v, on_irq);
	shadows();
	priorities();
	timer();
	halted();
	nmi();
	other_cpu();
	return report_failures();
}
