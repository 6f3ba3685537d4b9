// SPDX-License-Identifier: Apache-2.0
/* Two 8259A, cascaded at pin 2 (8259A data sheet; the ELCR as in the PIIX). */
#include "kvm/x86/pic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"
#include "kvm/x86/lapic.h"

#define CASCADE_PIN 2

struct pic_chip {
	struct kvm_io_device dev, elcr_dev;
	struct kvm_pic *pic;
	bool slave;
	struct kvm_pic_state s; /* the registers, as KVM_GET_IRQCHIP shows them */
};

struct kvm_pic {
	struct kvm *kvm;
	pthread_mutex_t lock;
	struct pic_chip chip[2];
	u32 sources[16]; /* bit: source that drives the pin */
	_Atomic bool output;
	/* done when the lock is dropped */
	u16 acked;
	bool raised;
};

/* ---------------------------------------------------------------- inside a chip, with the lock held */

/* Position of the highest request in rotated order, 8: none. */
static unsigned int priority(const struct kvm_pic_state *s, u8 mask)
{
	unsigned int p = 0;

	if (!mask)
		return 8;
	while (!(mask >> ((p + s->priority_add) & 7) & 1))
		p++;
	return p;
}

/* The pin to be served next, -1: none. */
static int next_pin(const struct pic_chip *chip)
{
	const struct kvm_pic_state *s = &chip->s;
	unsigned int request = priority(s, s->irr & ~s->imr);
	u8 in_service = s->isr;

	if (request == 8)
		return -1;
	if (s->special_mask)
		in_service &= ~s->imr;
	if (s->special_fully_nested_mode && !chip->slave)
		in_service &= ~(1u << CASCADE_PIN);
	return request < priority(s, in_service) ? (int)((request + s->priority_add) & 7) : -1;
}

/* 1: a new request, 0: there was one already, -1: masked. */
static int set_pin(struct pic_chip *chip, unsigned int pin, bool level)
{
	struct kvm_pic_state *s = &chip->s;
	u8 bit = 1u << pin;
	int result = 1;

	if (!level) {
		s->last_irr &= ~bit;
		if (s->elcr & bit)
			s->irr &= ~bit;
	} else {
		if (s->elcr & bit || !(s->last_irr & bit)) {
			result = !(s->irr & bit);
			s->irr |= bit;
		}
		s->last_irr |= bit;
	}
	return s->imr & bit ? -1 : result;
}

/* Propagates the slave's output to the master and the master's to INTR. */
static void update_output(struct kvm_pic *pic)
{
	bool was = atomic_load_explicit(&pic->output, memory_order_relaxed), now;

	if (next_pin(&pic->chip[1]) >= 0) {
		set_pin(&pic->chip[0], CASCADE_PIN, true);
		set_pin(&pic->chip[0], CASCADE_PIN, false);
	}
	now = next_pin(&pic->chip[0]) >= 0;
	atomic_store(&pic->output, now);
	if (now && !was)
		pic->raised = true;
}

static void clear_in_service(struct pic_chip *chip, unsigned int pin)
{
	chip->s.isr &= ~(1u << pin);
	chip->pic->acked |= 1u << (pin + (chip->slave ? 8 : 0));
}

static void acknowledge_pin(struct pic_chip *chip, unsigned int pin)
{
	struct kvm_pic_state *s = &chip->s;

	s->isr |= 1u << pin;
	if (!(s->elcr >> pin & 1))
		s->irr &= ~(1u << pin);
	if (s->auto_eoi) {
		if (s->rotate_on_auto_eoi)
			s->priority_add = (pin + 1) & 7;
		clear_in_service(chip, pin);
	}
}

/* ---------------------------------------------------------------- dropping the lock */

/* What was decided under the lock and calls others: notifiers, which may come back with kvm_set_irq(), and the kick. */
static void pic_unlock(struct kvm_pic *pic)
{
	struct kvm *kvm = pic->kvm;
	u16 acked = pic->acked;
	bool raised = pic->raised;
	struct kvm_vcpu *vcpu;
	unsigned int i;

	pic->acked = 0;
	pic->raised = false;
	pthread_mutex_unlock(&pic->lock);
	for (unsigned int pin = 0; acked; pin++, acked >>= 1) {
		if (acked & 1)
			kvm_notify_acked_irq(kvm, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin & 7);
	}
	if (!raised)
		return;
	kvm_for_each_vcpu(i, vcpu, kvm)
	{
		if (kvm_lapic_accepts_pic(vcpu)) {
			kvm_vcpu_kick(vcpu);
			return;
		}
	}
}

int kvm_pic_set_irq(struct kvm *kvm, unsigned int pin, unsigned int source, int level)
{
	struct kvm_pic *pic = kvm->irqchip->pic;
	int result;

	observe(kvm->obs, OBSERVE_KVM_PIC_SET_IRQ, -1, pin, level);
	pthread_mutex_lock(&pic->lock);
	result = set_pin(&pic->chip[pin / 8], pin & 7, kvm_irq_line_state(&pic->sources[pin], source, level));
	update_output(pic);
	pic_unlock(pic);
	return result;
}

bool kvm_pic_output(struct kvm *kvm)
{
	return atomic_load(&kvm->irqchip->pic->output);
}

/* A request that has gone in the meantime reads as pin 7 of its chip, with nothing in service (8259A: spurious). */
u8 kvm_pic_acknowledge(struct kvm_vcpu *vcpu)
{
	struct kvm_pic *pic = vcpu->kvm->irqchip->pic;
	struct pic_chip *chip = &pic->chip[0];
	int pin;
	u8 vector;

	pthread_mutex_lock(&pic->lock);
	update_output(pic);
	pin = next_pin(chip);
	if (pin >= 0)
		acknowledge_pin(chip, pin);
	if (pin == CASCADE_PIN) {
		chip = &pic->chip[1];
		pin = next_pin(chip);
		if (pin >= 0)
			acknowledge_pin(chip, pin);
	}
	vector = chip->s.irq_base + (pin >= 0 ? pin : 7);
	update_output(pic);
	pic_unlock(pic);
	return vector;
}

/* ---------------------------------------------------------------- ports */

static void write_icw1(struct pic_chip *chip, u8 value)
{
	struct kvm_pic_state *s = &chip->s;

	s->init4 = value & 1;
	s->last_irr = 0;
	s->irr &= s->elcr;
	s->imr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->poll = 0;
	if (!s->init4) {
		s->special_fully_nested_mode = 0;
		s->auto_eoi = 0;
	}
	s->init_state = 1;
	/* Whoever waits for these to be acknowledged would wait for ever. */
	for (unsigned int pin = 0; pin < 8; pin++) {
		if (s->isr >> pin & 1)
			clear_in_service(chip, pin);
	}
	s->isr = 0;
}

static void write_ocw2(struct pic_chip *chip, u8 value)
{
	struct kvm_pic_state *s = &chip->s;
	unsigned int command = value >> 5, pin = value & 7;

	switch (command) {
	case 0: /* rotate in automatic EOI mode: clear, set */
	case 4:
		s->rotate_on_auto_eoi = command >> 2;
		break;
	case 1: /* non-specific EOI, with rotation */
	case 5:
		pin = priority(s, s->isr);
		if (pin == 8)
			break;
		pin = (pin + s->priority_add) & 7;
		if (command == 5)
			s->priority_add = (pin + 1) & 7;
		clear_in_service(chip, pin);
		break;
	case 3: /* specific EOI, with rotation */
	case 7:
		if (command == 7)
			s->priority_add = (pin + 1) & 7;
		clear_in_service(chip, pin);
		break;
	case 6: /* set priority */
		s->priority_add = (pin + 1) & 7;
		break;
	}
}

static void write_ocw3(struct pic_chip *chip, u8 value)
{
	struct kvm_pic_state *s = &chip->s;

	s->poll = value & 4;
	if (value & 2)
		s->read_reg_select = value & 1;
	if (value & 0x40)
		s->special_mask = value >> 5 & 1;
}

static void write_command(struct pic_chip *chip, u8 value)
{
	if (value & 0x10)
		write_icw1(chip, value);
	else if (value & 8)
		write_ocw3(chip, value);
	else
		write_ocw2(chip, value);
}

static void write_data(struct pic_chip *chip, u8 value)
{
	struct kvm_pic_state *s = &chip->s;

	switch (s->init_state) {
	case 0: /* OCW1 */
		s->imr = value;
		break;
	case 1: /* ICW2 */
		s->irq_base = value & 0xf8;
		s->init_state = 2;
		break;
	case 2: /* ICW3: the cascade is wired */
		s->init_state = s->init4 ? 3 : 0;
		break;
	case 3: /* ICW4 */
		s->special_fully_nested_mode = value >> 4 & 1;
		s->auto_eoi = value >> 1 & 1;
		s->init_state = 0;
		break;
	}
}

/* Poll mode: the read is the acknowledge cycle (8259A data sheet, "Poll Command"). */
static u8 read_poll(struct pic_chip *chip)
{
	int pin = next_pin(chip);

	chip->s.poll = 0;
	if (pin < 0)
		return 0;
	acknowledge_pin(chip, pin);
	if (chip->slave)
		chip->pic->chip[0].s.irr &= ~(1u << CASCADE_PIN);
	return 0x80 | pin;
}

static int pic_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, void *data)
{
	struct pic_chip *chip = (struct pic_chip *)dev;
	const struct kvm_pic_state *s = &chip->s;
	u8 value;

	memset(data, 0, len);
	if (len != 1)
		return 0;
	pthread_mutex_lock(&chip->pic->lock);
	if (s->poll)
		value = read_poll(chip);
	else if (addr & 1)
		value = s->imr;
	else
		value = s->read_reg_select ? s->isr : s->irr;
	update_output(chip->pic);
	pic_unlock(chip->pic);
	*(u8 *)data = value;
	return 0;
}

static int pic_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, const void *data)
{
	struct pic_chip *chip = (struct pic_chip *)dev;
	u8 value = *(const u8 *)data;

	if (len != 1)
		return 0;
	pthread_mutex_lock(&chip->pic->lock);
	if (addr & 1)
		write_data(chip, value);
	else
		write_command(chip, value);
	update_output(chip->pic);
	pic_unlock(chip->pic);
	return 0;
}

static struct pic_chip *elcr_chip(struct kvm_io_device *dev)
{
	return (struct pic_chip *)((char *)dev - offsetof(struct pic_chip, elcr_dev));
}

static int elcr_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, void *data)
{
	struct pic_chip *chip = elcr_chip(dev);

	memset(data, 0, len);
	pthread_mutex_lock(&chip->pic->lock);
	*(u8 *)data = chip->s.elcr;
	pthread_mutex_unlock(&chip->pic->lock);
	return 0;
}

static int elcr_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, const void *data)
{
	struct pic_chip *chip = elcr_chip(dev);

	pthread_mutex_lock(&chip->pic->lock);
	chip->s.elcr = *(const u8 *)data & chip->s.elcr_mask;
	pthread_mutex_unlock(&chip->pic->lock);
	return 0;
}

static const struct kvm_io_ops pic_ops = {.read = pic_read, .write = pic_write};
static const struct kvm_io_ops elcr_ops = {.read = elcr_read, .write = elcr_write};

/* ---------------------------------------------------------------- life, state */

int kvm_pic_create(struct kvm *kvm, struct kvm_pic **out)
{
	static const struct {
		u16 port, elcr_port;
		u8 elcr_mask; /* timer, keyboard, cascade, RTC and FPU stay edge-triggered */
	} wiring[2] = {{0x20, 0x4d0, 0xf8}, {0xa0, 0x4d1, 0xde}};
	struct kvm_pic *pic = calloc(1, sizeof(*pic));
	int err = 0;

	if (!pic)
		return -ENOMEM;
	pic->kvm = kvm;
	pthread_mutex_init(&pic->lock, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		struct pic_chip *chip = &pic->chip[i];

		chip->dev.ops = &pic_ops;
		chip->elcr_dev.ops = &elcr_ops;
		chip->pic = pic;
		chip->slave = i;
		chip->s.elcr_mask = wiring[i].elcr_mask;
		err = err ? err : kvm_io_bus_register(&kvm->pio_bus, wiring[i].port, 2, &chip->dev);
		err = err ? err : kvm_io_bus_register(&kvm->pio_bus, wiring[i].elcr_port, 1, &chip->elcr_dev);
	}
	if (err) {
		kvm_pic_destroy(kvm, pic);
		return err;
	}
	*out = pic;
	return 0;
}

void kvm_pic_destroy(struct kvm *kvm, struct kvm_pic *pic)
{
	if (!pic)
		return;
	for (unsigned int i = 0; i < 2; i++) {
		kvm_io_bus_unregister(&kvm->pio_bus, &pic->chip[i].dev);
		kvm_io_bus_unregister(&kvm->pio_bus, &pic->chip[i].elcr_dev);
	}
	pthread_mutex_destroy(&pic->lock);
	free(pic);
}

void kvm_pic_get(struct kvm_pic *pic, unsigned int chip, struct kvm_pic_state *state)
{
	pthread_mutex_lock(&pic->lock);
	*state = pic->chip[chip].s;
	pthread_mutex_unlock(&pic->lock);
}

void kvm_pic_set(struct kvm_pic *pic, unsigned int chip, const struct kvm_pic_state *state)
{
	struct kvm_pic_state *s = &pic->chip[chip].s;
	u8 elcr_mask = s->elcr_mask;

	pthread_mutex_lock(&pic->lock);
	*s = *state;
	/* Hostile values: what the code uses as an index or a shift stays in range. */
	s->priority_add &= 7;
	s->init_state &= 3;
	s->elcr_mask = elcr_mask;
	s->elcr &= elcr_mask;
	update_output(pic);
	pic_unlock(pic);
}
