// SPDX-License-Identifier: Apache-2.0
/* The queue of a VM's timers: a binary heap, and under real time the thread that waits for its top. */
#include "kvm/timer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "kvm/kvm.h"
#include "kvm/thread.h"

struct kvm_timers {
	struct hw_machine *machine;
	pthread_mutex_t lock;	 /* everything below */
	pthread_cond_t changed;	 /* the thread: an earlier deadline, or stop */
	pthread_cond_t finished; /* kvm_timer_release(): a callback returned */
	struct kvm_timer **heap;
	size_t count, capacity, reserved;
	u64 next_sequence;
	u64 sleeping_until; /* what the thread waits for; 0: it is awake */
	struct kvm_timer *running;
	bool has_thread, stop;
	pthread_t thread;
};

/* ---------------------------------------------------------------- the heap */

static bool earlier(const struct kvm_timer *a, const struct kvm_timer *b)
{
	return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static void place(struct kvm_timers *t, struct kvm_timer *timer, size_t at)
{
	t->heap[at] = timer;
	timer->slot = at + 1;
}

static void sift_up(struct kvm_timers *t, struct kvm_timer *timer, size_t at)
{
	while (at && earlier(timer, t->heap[(at - 1) / 2])) {
		place(t, t->heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	place(t, timer, at);
}

static void sift_down(struct kvm_timers *t, struct kvm_timer *timer, size_t at)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= t->count)
			break;
		if (child + 1 < t->count && earlier(t->heap[child + 1], t->heap[child]))
			child++;
		if (!earlier(t->heap[child], timer))
			break;
		place(t, t->heap[child], at);
		at = child;
	}
	place(t, timer, at);
}

static void dequeue(struct kvm_timers *t, struct kvm_timer *timer)
{
	size_t at = timer->slot - 1;
	struct kvm_timer *last;

	if (!timer->slot)
		return;
	timer->slot = 0;
	last = t->heap[--t->count];
	if (last == timer)
		return;
	if (at && earlier(last, t->heap[(at - 1) / 2]))
		sift_up(t, last, at);
	else
		sift_down(t, last, at);
}

static void enqueue(struct kvm_timers *t, struct kvm_timer *timer, u64 deadline)
{
	dequeue(t, timer);
	if (deadline == KVM_TIMER_NEVER)
		return;
	timer->deadline = deadline;
	timer->sequence = t->next_sequence++;
	sift_up(t, timer, t->count++);
}

/* ---------------------------------------------------------------- expiry */

/* With the lock held, which is released around each callback. */
static void run_expired(struct kvm_timers *t, u64 now)
{
	while (!t->stop && t->count && t->heap[0]->deadline <= now) {
		struct kvm_timer *timer = t->heap[0];

		dequeue(t, timer);
		t->running = timer;
		pthread_mutex_unlock(&t->lock);
		timer->expire(timer, now);
		pthread_mutex_lock(&t->lock);
		t->running = NULL;
		pthread_cond_broadcast(&t->finished);
	}
}

static struct timespec monotonic_after(u64 ns)
{
	struct timespec ts;
	const u64 far = 1000000000ull * 3600 * 24;

	if (ns > far)
		ns = far;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns += (u64)ts.tv_nsec;
	ts.tv_sec += (time_t)(ns / 1000000000u);
	ts.tv_nsec = (long)(ns % 1000000000u);
	return ts;
}

static void *timer_thread(void *opaque)
{
	struct kvm_timers *t = opaque;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		u64 now = hw_machine_tsc(t->machine);

		run_expired(t, now);
		if (t->stop)
			break;
		if (!t->count) {
			t->sleeping_until = KVM_TIMER_NEVER;
			pthread_cond_wait(&t->changed, &t->lock);
		} else if (t->heap[0]->deadline > now) {
			struct timespec until = monotonic_after(t->heap[0]->deadline - now);

			t->sleeping_until = t->heap[0]->deadline;
			pthread_cond_timedwait(&t->changed, &t->lock, &until);
		}
		t->sleeping_until = 0;
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ---------------------------------------------------------------- interface */

int kvm_timers_create(struct kvm *kvm)
{
	struct kvm_timers *t = calloc(1, sizeof(*t));
	pthread_condattr_t attr;
	int err;

	if (!t)
		return -ENOMEM;
	t->machine = kvm->machine;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&t->finished, NULL);
	kvm->timers = t;
	if (kvm_icount(kvm))
		return 0;
	err = kvm_start_thread(&t->thread, timer_thread, t);
	t->has_thread = !err;
	if (err)
		kvm_timers_destroy(kvm);
	return err;
}

void kvm_timers_stop(struct kvm *kvm)
{
	struct kvm_timers *t = kvm->timers;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	if (t->has_thread)
		pthread_join(t->thread, NULL);
	t->has_thread = false;
}

void kvm_timers_destroy(struct kvm *kvm)
{
	struct kvm_timers *t = kvm->timers;

	if (!t)
		return;
	kvm_timers_stop(kvm);
	pthread_cond_destroy(&t->finished);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t->heap);
	free(t);
	kvm->timers = NULL;
}

int kvm_timer_init(struct kvm *kvm, struct kvm_timer *timer, void (*expire)(struct kvm_timer *timer, u64 now))
{
	struct kvm_timers *t = kvm->timers;
	int err = 0;

	*timer = (struct kvm_timer){.expire = expire};
	pthread_mutex_lock(&t->lock);
	if (t->reserved == t->capacity) {
		size_t capacity = t->capacity ? 2 * t->capacity : 16;
		struct kvm_timer **heap = realloc(t->heap, capacity * sizeof(*heap));

		if (heap) {
			t->heap = heap;
			t->capacity = capacity;
		} else {
			err = -ENOMEM;
		}
	}
	if (!err)
		t->reserved++;
	pthread_mutex_unlock(&t->lock);
	return err;
}

void kvm_timer_release(struct kvm *kvm, struct kvm_timer *timer)
{
	struct kvm_timers *t = kvm->timers;

	if (!timer->expire)
		return;
	pthread_mutex_lock(&t->lock);
	dequeue(t, timer);
	while (t->running == timer)
		pthread_cond_wait(&t->finished, &t->lock);
	/* The callback may have started it again before it returned. */
	dequeue(t, timer);
	t->reserved--;
	pthread_mutex_unlock(&t->lock);
	timer->expire = NULL;
}

void kvm_timer_start(struct kvm *kvm, struct kvm_timer *timer, u64 deadline)
{
	struct kvm_timers *t = kvm->timers;

	pthread_mutex_lock(&t->lock);
	enqueue(t, timer, deadline);
	/* A later deadline needs no wake: the thread finds out when it wakes for the old one. */
	if (deadline < t->sleeping_until)
		pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

void kvm_timer_cancel(struct kvm *kvm, struct kvm_timer *timer)
{
	kvm_timer_start(kvm, timer, KVM_TIMER_NEVER);
}

u64 kvm_timer_next(struct kvm *kvm)
{
	struct kvm_timers *t = kvm->timers;
	u64 next;

	pthread_mutex_lock(&t->lock);
	next = t->count ? t->heap[0]->deadline : KVM_TIMER_NEVER;
	pthread_mutex_unlock(&t->lock);
	return next;
}

void kvm_timers_run(struct kvm *kvm, u64 now)
{
	struct kvm_timers *t = kvm->timers;

	pthread_mutex_lock(&t->lock);
	run_expired(t, now);
	pthread_mutex_unlock(&t->lock);
}
