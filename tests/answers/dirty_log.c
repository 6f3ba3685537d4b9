// SPDX-License-Identifier: Apache-2.0
/* KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, and the requests of encrypted VMs. */
#include <stdio.h>
#include <unistd.h>

#include "machine.h"

static const struct {
	int slot;
	const char *state;
} slots[] = {
	{1, "slot without dirty log"},
	{2, "slot with dirty log"},
	{3, "slot with guest_memfd"},
	{4, "absent slot"},
};

static void ask_get(const struct machine *m, int slot, const char *state)
{
	uint64_t bitmap[1] = {0};
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};

	answer_line(answered(ioctl(m->vm, KVM_GET_DIRTY_LOG, &log)), NULL, "KVM_GET_DIRTY_LOG  vm=%d slot=%d [%s]",
		    m->type, slot, state);
}

static void ask_clear(const struct machine *m, int slot, const char *state)
{
	uint64_t bitmap[1] = {0};
	struct kvm_clear_dirty_log log = {.slot = slot, .num_pages = 4, .dirty_bitmap = bitmap};

	answer_line(answered(ioctl(m->vm, KVM_CLEAR_DIRTY_LOG, &log)), NULL,
		    "KVM_CLEAR_DIRTY_LOG  vm=%d slot=%d first_page=0 "
		    "num_pages=4 [%s, MANUAL_DIRTY_LOG_PROTECT2 not enabled]",
		    m->type, slot, state);
}

static void ask_encryption(const struct machine *m)
{
	struct {
		uint32_t id, pad;
		uint64_t data;
		uint32_t error, fd;
	} init = {.fd = (uint32_t)-1}; /* KVM_SEV_INIT */
	struct kvm_enc_region region = {(uintptr_t)m->memory, PAGE};

	answer_line(answered(ioctl(m->vm, KVM_MEMORY_ENCRYPT_OP, &init)), NULL,
		    "KVM_MEMORY_ENCRYPT_OP  vm=%d id=KVM_SEV_INIT", m->type);
	if (m->type == KVM_X86_SW_PROTECTED_VM)
		answer_line(answered(ioctl(m->vm, KVM_MEMORY_ENCRYPT_OP, NULL)), NULL,
			    "KVM_MEMORY_ENCRYPT_OP  vm=%d argp=NULL", m->type);
	answer_line(answered(ioctl(m->vm, KVM_MEMORY_ENCRYPT_REG_REGION, &region)), NULL,
		    "KVM_MEMORY_ENCRYPT_REG_REGION  vm=%d one page", m->type);
	answer_line(answered(ioctl(m->vm, KVM_MEMORY_ENCRYPT_UNREG_REGION, &region)), NULL,
		    "KVM_MEMORY_ENCRYPT_UNREG_REGION  vm=%d one page", m->type);
}

static void set_slots(const struct machine *m, int gmem)
{
	const struct slot made[] = {
		{1, 0, BASE, 0x4000, (uintptr_t)m->memory, -1, 0},
		{2, KVM_MEM_LOG_DIRTY_PAGES, BASE + 0x10000, 0x4000, (uintptr_t)m->memory + 0x4000, -1, 0},
		{3, KVM_MEM_GUEST_MEMFD, BASE + 0x20000, 0x4000, (uintptr_t)m->memory + 0x8000, gmem, 0},
	};

	for (unsigned int i = 0; i < COUNT(made); i++)
		if (made[i].slot != 3 || gmem >= 0)
			MUST(machine_set_slot(m, &made[i]));
}

/* Of slot 3 the recording has only one of the two on either type, and of slot 1 on type 0. */
static void ask_logs(const struct machine *m)
{
	int plain = m->type == KVM_X86_DEFAULT_VM;

	for (unsigned int i = 0; i < COUNT(slots); i++) {
		const char *state = plain && slots[i].slot == 3 ? "absent slot" : slots[i].state;

		if (!plain || slots[i].slot != 1)
			ask_get(m, slots[i].slot, state);
		if (plain || slots[i].slot != 3)
			ask_clear(m, slots[i].slot, state);
	}
	ask_encryption(m);
}

void ask_dirty_log(void)
{
	struct machine m;
	int gmem;

	puts("## KVM_GET_DIRTY_LOG / KVM_CLEAR_DIRTY_LOG / memory encryption ioctls");
	machine_create(&m, KVM_X86_DEFAULT_VM);
	set_slots(&m, -1);
	ask_logs(&m);
	machine_destroy(&m);

	machine_create(&m, KVM_X86_SW_PROTECTED_VM);
	gmem = machine_gmem(&m, 4 * PAGE);
	set_slots(&m, gmem);
	ask_logs(&m);
	close(gmem);
	machine_destroy(&m);
}
