// SPDX-License-Identifier: Apache-2.0
/* Private memory of a TD: the mirror's changes as SEAMCALLs, and KVM_TDX_INIT_MEM_REGION. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/vendor/tdx.h"
#include "kvm/x86/x86.h"

#define MEASURED_CHUNK 256u

static u64 at_level(gfn_t f, unsigned int level) { return tdx_gpa_level(gfn_to_gpa(f), level); }

/* A leaf of TDH.MEM.* at the frame. The entry's lock may be the guest's, which accepts it. */
static u64 mem_call(struct kvm *kvm, u64 leaf, gfn_t f, unsigned int level, hpa_t page, const u8 *source)
{
	u64 mask = hw_level_size(level) - 1;

	return kvm_tdx_seamcall(kvm, leaf, at_level(gfn(f.v & ~(mask >> HW_PAGE_SHIFT)), level), kvm_tdx_tdr(kvm), page.v,
				(u64)(uintptr_t)source, NULL);
}

/* ---------------------------------------------------------------- the mirror's operations */

static int sept_link(struct kvm *kvm, gfn_t f, unsigned int level, hpa_t table)
{
	return kvm_tdx_error(kvm, TDH_MEM_SEPT_ADD, mem_call(kvm, TDH_MEM_SEPT_ADD, f, level, table, NULL));
}

/* A page with contents while the TD is built, which is what KVM_TDX_INIT_MEM_REGION does; then pages for the guest to accept. */
static int sept_map(struct kvm *kvm, gfn_t f, hpa_t page)
{
	u64 status;

	if (kvm_td_state(kvm) == TD_RUNNABLE)
		return kvm_tdx_error(kvm, TDH_MEM_PAGE_AUG,
				     mem_call(kvm, TDH_MEM_PAGE_AUG, f, HW_LEVEL_4K, page, NULL));
	if (!kvm->tdx->adding)
		return -EIO;
	status = mem_call(kvm, TDH_MEM_PAGE_ADD, f, HW_LEVEL_4K, page, kvm->tdx->adding);
	return kvm_tdx_error(kvm, TDH_MEM_PAGE_ADD, status);
}

static int sept_block(struct kvm *kvm, gfn_t f)
{
	return kvm_tdx_error(kvm, TDH_MEM_RANGE_BLOCK, mem_call(kvm, TDH_MEM_RANGE_BLOCK, f, HW_LEVEL_4K, hpa(0), NULL));
}

/*
 * Whoever is inside the TD still has translations of the old epoch, so all are made to leave: the next TDH.VP.ENTER is in the
 * new one. A TRACK before that is refused while somebody is in the epoch before the old one.
 */
static int sept_track(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;
	u64 status;

	for (;;) {
		status = kvm_tdx_seamcall(kvm, TDH_MEM_TRACK, kvm_tdx_tdr(kvm), 0, 0, 0, NULL);
		kvm_for_each_vcpu(i, vcpu, kvm)
			hw_cpu_kick(vcpu->cpu);
		if (!kvm_tdx_busy(status) && (status & TDX_STATUS_MASK) != TDX_PREVIOUS_TLB_EPOCH_BUSY)
			return kvm_tdx_error(kvm, TDH_MEM_TRACK, status);
		sched_yield();
	}
}

/* What the page held must not come back to anyone. */
static int sept_remove(struct kvm *kvm, gfn_t f, hpa_t page)
{
	u64 status = mem_call(kvm, TDH_MEM_PAGE_REMOVE, f, HW_LEVEL_4K, hpa(0), NULL);
	int error;

	/* A vCPU that was kicked has not left yet. */
	if ((status & TDX_STATUS_MASK) == TDX_TLB_TRACKING_NOT_DONE)
		return -EAGAIN;
	error = kvm_tdx_error(kvm, TDH_MEM_PAGE_REMOVE, status);
	if (error)
		return error;
	kvm_tdx_seamcall(kvm, TDH_PHYMEM_PAGE_WBINVD, page.v, 0, 0, 0, NULL);
	memset(hpa_to_ptr(page), 0, HW_PAGE_SIZE);
	return 0;
}

/* Before there is a TD its parts come into being under kvm->lock alone; later all its pages come and go under mmu.lock. */
static const char *sept_check(struct kvm *kvm)
{
	return kvm_td_state(kvm) == TD_UNINITIALIZED ? NULL : tdx_module_check(kvm->tdx->module);
}

const struct kvm_private_ops kvm_tdx_private_ops = {
	.link = sept_link,
	.map = sept_map,
	.block = sept_block,
	.track = sept_track,
	.remove = sept_remove,
	.check = sept_check,
};

/* ---------------------------------------------------------------- KVM_TDX_INIT_MEM_REGION */

static int measure(struct kvm *kvm, gfn_t f)
{
	u64 gpa = gfn_to_gpa(f).v, status = 0;

	for (unsigned int at = 0; !status && at < HW_PAGE_SIZE; at += MEASURED_CHUNK)
		status = kvm_tdx_seamcall(kvm, TDH_MR_EXTEND, gpa + at, kvm_tdx_tdr(kvm), 0, 0, NULL);
	return kvm_tdx_error(kvm, TDH_MR_EXTEND, status);
}

/* As kvm_gmem_populate() for one page: private by its attribute, with a page in a guest_memfd, not mapped before. */
static int add_page_locked(struct kvm *kvm, gfn_t f, const u8 *contents)
{
	const struct kvm_memslot *slot = kvm_find_slot(kvm, 0, f);
	hpa_t page;
	int result;

	if (!slot || !slot->gmem)
		return -EINVAL;
	if (!kvm_is_private(kvm, f))
		return -EINVAL;
	result = kvm_gmem_get_frame(slot, f, -1, &page);
	if (result)
		return result;
	kvm->tdx->adding = contents;
	pthread_mutex_lock(&kvm->mmu.lock);
	result = kvm_mirror_map(kvm, f, page);
	pthread_mutex_unlock(&kvm->mmu.lock);
	kvm->tdx->adding = NULL;
	if (result == RET_PF_RETRY)
		return -EBUSY;
	if (result == RET_PF_SPURIOUS)
		return -EIO;
	return result < 0 ? result : 0;
}

static int add_page(struct kvm *kvm, const struct kvm_tdx_init_mem_region *region, bool measured)
{
	_Alignas(HW_PAGE_SIZE) u8 contents[HW_PAGE_SIZE];
	gfn_t f = gpa_to_gfn(gpa(region->gpa));
	int error;

	if (!region->source_addr)
		return -EOPNOTSUPP;
	if (hw_copy_from_host(contents, hpa(region->source_addr), sizeof(contents)))
		return -EFAULT;
	kvm_slots_lock(kvm);
	error = add_page_locked(kvm, f, contents);
	kvm_slots_unlock(kvm);
	if (error || !measured)
		return error;
	error = measure(kvm, f);
	return error == -EAGAIN ? -EBUSY : error;
}

static bool region_ok(const struct kvm *kvm, const struct kvm_tdx_init_mem_region *r)
{
	u64 size = r->nr_pages << HW_PAGE_SHIFT, last = r->gpa + size - 1;

	return !(r->source_addr & ~HW_PAGE_MASK) && !(r->gpa & ~HW_PAGE_MASK) && r->nr_pages && r->gpa + size > r->gpa &&
	       last < kvm->gpa_alias;
}

/* Page by page; what is left stands in the structure afterwards. */
static long add_region(struct kvm_vcpu *vcpu, struct kvm_tdx_init_mem_region *region, bool measured)
{
	struct kvm *kvm = vcpu->kvm;
	long error = 0;

	pthread_mutex_lock(&kvm->slots_lock);
	while (region->nr_pages && !error) {
		error = kvm_vcpu_interrupted(vcpu) ? -EINTR : add_page(kvm, region, measured);
		if (error)
			break;
		region->source_addr += HW_PAGE_SIZE;
		region->gpa += HW_PAGE_SIZE;
		region->nr_pages--;
	}
	pthread_mutex_unlock(&kvm->slots_lock);
	return error;
}

long kvm_tdx_init_mem_region(struct kvm_vcpu *vcpu, const struct kvm_tdx_cmd *cmd)
{
	struct kvm_tdx_init_mem_region region;
	long error;

	if (!vcpu->tdx->initialized || cmd->flags & ~KVM_TDX_MEASURE_MEMORY_REGION)
		return -EINVAL;
	if (hw_copy_from_host(&region, hpa(cmd->data), sizeof(region)))
		return -EFAULT;
	if (!region_ok(vcpu->kvm, &region))
		return -EINVAL;
	kvm_vcpu_interruptible(vcpu, true);
	error = add_region(vcpu, &region, cmd->flags & KVM_TDX_MEASURE_MEMORY_REGION);
	kvm_vcpu_interruptible(vcpu, false);
	return hw_copy_to_host(hpa(cmd->data), &region, sizeof(region)) ? -EFAULT : error;
}
