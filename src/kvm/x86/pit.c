// SPDX-License-Identifier: Apache-2.0
/* 8254 programmable interval timer (8254 data sheet). Counts are computed from the machine's time when they are looked
 * at. */
#include "kvm/x86/pit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"
#include "kvm/timer.h"
#include "kvm/x86/lapic.h"

#define PIT_HZ	 1193182u
#define NS_PER_S 1000000000u
#define PIT_GSI	 0
/* As KVM's min_timer_period_us. */
#define MIN_PERIOD_NS 200000u

enum { RW_LATCHED = 0, RW_LSB = 1, RW_MSB = 2, RW_WORD0 = 3, RW_WORD1 = 4 };

struct pit_channel {
	u32 count; /* 1..65536 */
	u16 latched_count;
	u8 count_latched; /* RW_* of the latched value still to be read, 0: none */
	bool status_latched;
	u8 status;
	u8 read_state, write_state; /* RW_LSB .. RW_WORD1 */
	u8 write_latch;
	u8 rw_mode, mode, bcd, gate;
	s64 load_time; /* machine time */
};

struct kvm_pit {
	struct kvm_io_device dev, speaker;
	struct kvm *kvm;
	pthread_mutex_t lock;
	struct pit_channel channel[3];
	u32 flags; /* KVM_PIT_FLAGS_* */
	struct kvm_timer timer;
	bool armed;
	u64 target, period;
	bool reinject;
	bool acked;  /* the last tick was acknowledged */
	u32 pending; /* ticks that wait for it */
};

/* ---------------------------------------------------------------- counting, with the lock held */

static u64 now_ns(const struct kvm_pit *pit)
{
	return hw_machine_tsc(pit->kvm->machine);
}

static u64 elapsed_ticks(const struct kvm_pit *pit, const struct pit_channel *ch)
{
	u64 ns = now_ns(pit) - (u64)ch->load_time;

	return (unsigned __int128)ns * PIT_HZ / NS_PER_S;
}

static u16 current_count(const struct kvm_pit *pit, const struct pit_channel *ch)
{
	u64 ticks = elapsed_ticks(pit, ch);

	switch (ch->mode) {
	case 0:
	case 1:
	case 4:
	case 5: /* counts on through zero */
		return ch->count - ticks;
	case 3: /* in steps of two */
		return ch->count - 2 * ticks % ch->count;
	}
	return ch->count - ticks % ch->count;
}

static bool output(const struct kvm_pit *pit, const struct pit_channel *ch)
{
	u64 ticks = elapsed_ticks(pit, ch);

	switch (ch->mode) {
	case 0:
		return ticks >= ch->count;
	case 1:
		return ticks < ch->count;
	case 2:
		return !ticks || ticks % ch->count;
	case 3:
		return ticks % ch->count < (ch->count + 1) / 2;
	}
	return ticks != ch->count;
}

static void arm(struct kvm_pit *pit)
{
	const struct pit_channel *ch = &pit->channel[0];
	u64 ns = (u64)ch->count * NS_PER_S / PIT_HZ;

	pit->pending = 0;
	pit->acked = true;
	pit->period = 0;
	pit->armed = !(pit->flags & KVM_PIT_FLAGS_HPET_LEGACY);
	if (ch->mode == 2 || ch->mode == 3)
		pit->period = ns < MIN_PERIOD_NS ? MIN_PERIOD_NS : ns;
	pit->target = (u64)ch->load_time + (pit->period ? pit->period : ns);
	kvm_timer_start(pit->kvm, &pit->timer, pit->armed ? pit->target : KVM_TIMER_NEVER);
}

static void load_count(struct kvm_pit *pit, unsigned int n, u32 value)
{
	struct pit_channel *ch = &pit->channel[n];

	ch->count = value ? value : 0x10000;
	ch->load_time = (s64)now_ns(pit);
	if (!n)
		arm(pit);
}

static void set_gate(struct kvm_pit *pit, unsigned int n, bool gate)
{
	struct pit_channel *ch = &pit->channel[n];
	bool triggers = ch->mode == 1 || ch->mode == 2 || ch->mode == 3 || ch->mode == 5;

	if (triggers && gate && !ch->gate)
		ch->load_time = (s64)now_ns(pit);
	ch->gate = gate;
}

/* ---------------------------------------------------------------- ticks, without the lock */

static void raise_interrupt(struct kvm_pit *pit)
{
	kvm_set_irq(pit->kvm, KVM_PIT_IRQ_SOURCE, PIT_GSI, 1);
	kvm_set_irq(pit->kvm, KVM_PIT_IRQ_SOURCE, PIT_GSI, 0);
	/* Linux' NMI watchdog of old: the tick as NMI through LINT0. */
	kvm_lapic_nmi_watchdog(pit->kvm);
}

/* With the lock held: is an interrupt due now? Takes it off the account. */
static bool take_tick(struct kvm_pit *pit)
{
	if (!pit->pending)
		return false;
	if (!pit->reinject) {
		pit->pending = 0;
		return true;
	}
	if (!pit->acked)
		return false;
	pit->acked = false;
	return true;
}

static void timer_expired(struct kvm_timer *timer, u64 now)
{
	struct kvm_pit *pit = (struct kvm_pit *)((char *)timer - offsetof(struct kvm_pit, timer));
	bool due;

	pthread_mutex_lock(&pit->lock);
	due = pit->armed && pit->target <= now;
	if (due) {
		u64 ticks = pit->period ? 1 + (now - pit->target) / pit->period : 1;

		if (pit->pending < 1u << 20)
			pit->pending += ticks < 1000 ? ticks : 1000;
		pit->target += ticks * pit->period;
		pit->armed = pit->period;
		if (pit->armed)
			kvm_timer_start(pit->kvm, &pit->timer, pit->target);
		due = take_tick(pit);
	}
	pthread_mutex_unlock(&pit->lock);
	if (due)
		raise_interrupt(pit);
}

void kvm_pit_acked(struct kvm_pit *pit)
{
	bool due;

	pthread_mutex_lock(&pit->lock);
	if (!pit->acked && pit->pending)
		pit->pending--;
	pit->acked = true;
	due = pit->reinject && take_tick(pit);
	pthread_mutex_unlock(&pit->lock);
	if (due)
		raise_interrupt(pit);
}

bool kvm_pit_wants_ack(struct kvm_pit *pit)
{
	bool wants;

	pthread_mutex_lock(&pit->lock);
	wants = pit->reinject;
	pthread_mutex_unlock(&pit->lock);
	return wants;
}

void kvm_pit_set_reinject(struct kvm_pit *pit, bool reinject)
{
	pthread_mutex_lock(&pit->lock);
	if (pit->reinject != reinject) {
		pit->reinject = reinject;
		pit->pending = 0;
		pit->acked = true;
	}
	pthread_mutex_unlock(&pit->lock);
	kvm_lapic_scan_ioapic(pit->kvm);
}

/* ---------------------------------------------------------------- ports, with the lock held */

static void latch_count(struct kvm_pit *pit, struct pit_channel *ch)
{
	if (ch->count_latched)
		return;
	ch->latched_count = current_count(pit, ch);
	ch->count_latched = ch->rw_mode;
}

static void latch_status(struct kvm_pit *pit, struct pit_channel *ch)
{
	if (ch->status_latched)
		return;
	ch->status = output(pit, ch) << 7 | ch->rw_mode << 4 | ch->mode << 1 | ch->bcd;
	ch->status_latched = true;
}

static void read_back(struct kvm_pit *pit, u8 value)
{
	for (unsigned int n = 0; n < 3; n++) {
		if (!(value >> (n + 1) & 1))
			continue;
		if (!(value & 0x20))
			latch_count(pit, &pit->channel[n]);
		if (!(value & 0x10))
			latch_status(pit, &pit->channel[n]);
	}
}

static void write_control(struct kvm_pit *pit, u8 value)
{
	struct pit_channel *ch;
	unsigned int access = value >> 4 & 3, mode = value >> 1 & 7;

	if (value >> 6 == 3) {
		read_back(pit, value);
		return;
	}
	ch = &pit->channel[value >> 6];
	if (access == RW_LATCHED) {
		latch_count(pit, ch);
		return;
	}
	ch->rw_mode = access;
	ch->read_state = access;
	ch->write_state = access;
	ch->mode = mode > 5 ? mode - 4 : mode; /* the top bit of modes 2 and 3 is not decoded */
	ch->bcd = value & 1;
}

static void write_channel(struct kvm_pit *pit, unsigned int n, u8 value)
{
	struct pit_channel *ch = &pit->channel[n];

	switch (ch->write_state) {
	case RW_LSB:
		load_count(pit, n, value);
		break;
	case RW_MSB:
		load_count(pit, n, value << 8);
		break;
	case RW_WORD0:
		ch->write_latch = value;
		ch->write_state = RW_WORD1;
		break;
	case RW_WORD1:
		load_count(pit, n, ch->write_latch | value << 8);
		ch->write_state = RW_WORD0;
		break;
	}
}

static u8 read_latched(struct pit_channel *ch)
{
	u8 state = ch->count_latched;

	ch->count_latched = state == RW_WORD0 ? RW_MSB : 0;
	return state == RW_MSB ? ch->latched_count >> 8 : ch->latched_count;
}

static u8 read_channel(struct kvm_pit *pit, struct pit_channel *ch)
{
	u16 count;

	if (ch->status_latched) {
		ch->status_latched = false;
		return ch->status;
	}
	if (ch->count_latched)
		return read_latched(ch);
	count = current_count(pit, ch);
	switch (ch->read_state) {
	case RW_MSB:
		return count >> 8;
	case RW_WORD0:
		ch->read_state = RW_WORD1;
		return count;
	case RW_WORD1:
		ch->read_state = RW_WORD0;
		return count >> 8;
	}
	return count;
}

static int pit_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, void *data)
{
	struct kvm_pit *pit = (struct kvm_pit *)dev;

	memset(data, 0, len);
	if ((addr & 3) == 3)
		return 0;
	pthread_mutex_lock(&pit->lock);
	*(u8 *)data = read_channel(pit, &pit->channel[addr & 3]);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static int pit_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, const void *data)
{
	struct kvm_pit *pit = (struct kvm_pit *)dev;
	u8 value = *(const u8 *)data;

	pthread_mutex_lock(&pit->lock);
	if ((addr & 3) == 3)
		write_control(pit, value);
	else
		write_channel(pit, addr & 3, value);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static struct kvm_pit *speaker_pit(struct kvm_io_device *dev)
{
	return (struct kvm_pit *)((char *)dev - offsetof(struct kvm_pit, speaker));
}

/* Port 0x61: gate of channel 2, speaker data, the refresh clock (about 15 us) and the output of channel 2. */
static int speaker_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, void *data)
{
	struct kvm_pit *pit = speaker_pit(dev);

	memset(data, 0, len);
	pthread_mutex_lock(&pit->lock);
	*(u8 *)data = pit->channel[2].gate | (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? 2 : 0) |
		      (now_ns(pit) >> 14 & 1) << 4 | output(pit, &pit->channel[2]) << 5;
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static int speaker_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, const void *data)
{
	struct kvm_pit *pit = speaker_pit(dev);
	u8 value = *(const u8 *)data;

	pthread_mutex_lock(&pit->lock);
	pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (value & 2)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	set_gate(pit, 2, value & 1);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static const struct kvm_io_ops pit_ops = {.read = pit_read, .write = pit_write};
static const struct kvm_io_ops speaker_ops = {.read = speaker_read, .write = speaker_write};

/* ---------------------------------------------------------------- life */

int kvm_pit_create(struct kvm *kvm, u32 flags, struct kvm_pit **out)
{
	struct kvm_pit *pit = calloc(1, sizeof(*pit));
	int err;

	if (!pit)
		return -ENOMEM;
	pit->dev.ops = &pit_ops;
	pit->speaker.ops = &speaker_ops;
	pit->kvm = kvm;
	pit->reinject = true;
	pit->acked = true;
	pthread_mutex_init(&pit->lock, NULL);
	for (unsigned int n = 0; n < 3; n++) {
		pit->channel[n] = (struct pit_channel){
			.count = 0x10000,
			.mode = 3,
			.gate = n != 2,
			.load_time = (s64)now_ns(pit),
			.rw_mode = RW_WORD0,
			.read_state = RW_WORD0,
			.write_state = RW_WORD0,
		};
	}
	err = kvm_timer_init(kvm, &pit->timer, timer_expired);
	err = err ? err : kvm_io_bus_register(&kvm->pio_bus, 0x40, 4, &pit->dev);
	if (!err && flags & KVM_PIT_SPEAKER_DUMMY)
		err = kvm_io_bus_register(&kvm->pio_bus, 0x61, 1, &pit->speaker);
	if (err) {
		kvm_pit_destroy(kvm, pit);
		return err;
	}
	*out = pit;
	return 0;
}

void kvm_pit_destroy(struct kvm *kvm, struct kvm_pit *pit)
{
	if (!pit)
		return;
	kvm_io_bus_unregister(&kvm->pio_bus, &pit->dev);
	kvm_io_bus_unregister(&kvm->pio_bus, &pit->speaker);
	kvm_timer_release(kvm, &pit->timer);
	pthread_mutex_destroy(&pit->lock);
	free(pit);
}

/* ---------------------------------------------------------------- state */

void kvm_pit_get(struct kvm_pit *pit, struct kvm_pit_state2 *state)
{
	memset(state, 0, sizeof(*state));
	pthread_mutex_lock(&pit->lock);
	for (unsigned int n = 0; n < 3; n++) {
		const struct pit_channel *ch = &pit->channel[n];

		state->channels[n] = (struct kvm_pit_channel_state){
			.count = ch->count,
			.latched_count = ch->latched_count,
			.count_latched = ch->count_latched,
			.status_latched = ch->status_latched,
			.status = ch->status,
			.read_state = ch->read_state,
			.write_state = ch->write_state,
			.write_latch = ch->write_latch,
			.rw_mode = ch->rw_mode,
			.mode = ch->mode,
			.bcd = ch->bcd,
			.gate = ch->gate,
			.count_load_time = ch->load_time,
		};
	}
	state->flags = pit->flags;
	pthread_mutex_unlock(&pit->lock);
}

/* Hostile values are brought into range: counts are divisors. The count starts again now, as in KVM. */
void kvm_pit_set(struct kvm_pit *pit, const struct kvm_pit_state2 *state)
{
	pthread_mutex_lock(&pit->lock);
	pit->flags = state->flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	for (unsigned int n = 0; n < 3; n++) {
		const struct kvm_pit_channel_state *from = &state->channels[n];

		pit->channel[n] = (struct pit_channel){
			.latched_count = from->latched_count,
			.count_latched = from->count_latched & 3,
			.status_latched = from->status_latched,
			.status = from->status,
			.read_state = from->read_state <= RW_WORD1 ? from->read_state : RW_WORD0,
			.write_state = from->write_state <= RW_WORD1 ? from->write_state : RW_WORD0,
			.write_latch = from->write_latch,
			.rw_mode = from->rw_mode & 3,
			.mode = from->mode > 5 ? 3 : from->mode,
			.bcd = from->bcd & 1,
			.gate = from->gate & 1,
		};
		load_count(pit, n, from->count > 0x10000 ? 0x10000 : from->count);
	}
	pthread_mutex_unlock(&pit->lock);
}
