// SPDX-License-Identifier: Apache-2.0
/*
 * KVM_TDX_INIT_VM, KVM_TDX_INIT_VCPU, KVM_TDX_FINALIZE_VM, and the end of what they make. All under kvm->lock but for the end,
 * when nobody else is left.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/irqchip.h"
#include "kvm/vendor/tdx.h"
#include "kvm/x86/clock.h"
#include "kvm/x86/lapic.h"

#define MAX_CPUID_ENTRIES 256u
#define EPTP_WB		  6u
#define EPTP_LEVELS(n)	  (((n) - 1u) << 3)
/* CPUID 0x80000008 EAX 23:16, where KVM has the width of guest-physical addresses. */
#define GUEST_PHYS_BITS(eax) ((eax) >> 16 & 0xff)

static u8 *alloc_pages(unsigned int count)
{
	u8 *pages = aligned_alloc(HW_PAGE_SIZE, count * HW_PAGE_SIZE);

	if (pages)
		memset(pages, 0, count * HW_PAGE_SIZE);
	return pages;
}

/* ---------------------------------------------------------------- KVM_TDX_INIT_VM: parameters */

struct init_vm {
	struct kvm_tdx_init_vm head;
	struct kvm_cpuid_entry2 *entries; /* head.cpuid.nent of them */
};

static long copy_init_vm(const struct kvm_tdx_cmd *cmd, struct init_vm *in)
{
	size_t size;

	if (hw_copy_from_host(&in->head, hpa(cmd->data), sizeof(in->head)))
		return -EFAULT;
	if (in->head.cpuid.nent > MAX_CPUID_ENTRIES)
		return -E2BIG;
	size = in->head.cpuid.nent * sizeof(*in->entries);
	in->entries = malloc(size ? size : 1);
	if (!in->entries)
		return -ENOMEM;
	if (hw_copy_from_host(in->entries, hpa(cmd->data + sizeof(in->head)), size))
		return -EFAULT;
	for (unsigned int i = 0; i < sizeof(in->head.reserved) / sizeof(in->head.reserved[0]); i++)
		if (in->head.reserved[i])
			return -EINVAL;
	return in->head.cpuid.padding ? -EINVAL : 0;
}

static const struct kvm_cpuid_entry2 *find_entry(const struct init_vm *in, u32 function, u32 index)
{
	for (unsigned int i = 0; i < in->head.cpuid.nent; i++) {
		const struct kvm_cpuid_entry2 *e = &in->entries[i];

		if (e->function == function && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

/* The width of guest-physical addresses, which is KVM's interface and not the module's. */
static long set_eptp(const struct kvm *kvm, const struct init_vm *in, struct tdx_td_params *p)
{
	const struct kvm_cpuid_entry2 *sizes = find_entry(in, 0x80000008, 0);
	unsigned int bits = sizes ? GUEST_PHYS_BITS(sizes->eax) : 0;

	if (bits != 48 && bits != 52)
		return -EINVAL;
	if (bits == 52 && kvm->mmu.s2.levels < 5)
		return -EINVAL;
	p->eptp_controls = EPTP_WB | (bits == 52 ? EPTP_LEVELS(5) : EPTP_LEVELS(4));
	if (bits == 52)
		p->config_flags |= TDX_CONFIG_GPAW_52;
	return 0;
}

/* TSX and WAITPKG would need MSRs switched that KVM does not switch. */
static bool has_unsupported(const struct kvm_cpuid_entry2 *e)
{
	return e->function == 7 && e->index == 0 && (e->ebx & (1u << 4 | 1u << 11) || e->ecx & 1u << 5);
}

/* Each entry must have its place: what has none would be lost without a word. */
static long set_cpuid(const struct kvm *kvm, const struct init_vm *in, struct tdx_td_params *p)
{
	u64 configs = kvm_tdx_sys_field(kvm, TDX_FIELD_NUM_CPUID_CONFIG);
	unsigned int copied = 0;

	for (unsigned int n = 0; n < configs && n < sizeof(p->cpuid) / sizeof(p->cpuid[0]); n++) {
		struct kvm_cpuid_entry2 config;
		const struct kvm_cpuid_entry2 *e;

		kvm_tdx_cpuid_config(kvm, n, &config);
		e = find_entry(in, config.function, config.index);
		if (!e)
			continue;
		if (has_unsupported(e))
			return -EINVAL;
		copied++;
		p->cpuid[n] = (struct tdx_cpuid_value){ e->eax, e->ebx, e->ecx, e->edx };
		if (config.function == 0x80000008)
			p->cpuid[n].eax &= ~0xff0000u;
	}
	return copied == in->head.cpuid.nent ? 0 : -EINVAL;
}

/* What does not fit stays out of the module's range. */
static u16 tsc_units(struct kvm *kvm)
{
	unsigned int units = (unsigned int)kvm_vm_ioctl_get_tsc_khz(kvm) / TDX_TSC_UNIT_KHZ;

	return units < UINT16_MAX ? units : UINT16_MAX;
}

static long make_params(struct kvm *kvm, const struct init_vm *in, struct tdx_td_params *p)
{
	long error;

	if (kvm_vcpu_count(kvm))
		return -EBUSY;
	if (in->head.attributes & ~kvm_tdx_supported_attributes(kvm))
		return -EINVAL;
	if (in->head.xfam & ~kvm_tdx_supported_xfam(kvm))
		return -EINVAL;
	p->max_vcpus = kvm->max_vcpus;
	p->attributes = in->head.attributes | kvm_tdx_sys_field(kvm, TDX_FIELD_ATTRIBUTES_FIXED1);
	p->xfam = in->head.xfam | kvm_tdx_sys_field(kvm, TDX_FIELD_XFAM_FIXED1);
	p->config_flags = TDX_CONFIG_NO_RBP_MOD;
	p->tsc_frequency = tsc_units(kvm);
	error = set_eptp(kvm, in, p);
	error = error ? error : set_cpuid(kvm, in, p);
	memcpy(p->mrconfigid, in->head.mrconfigid, sizeof(p->mrconfigid));
	memcpy(p->mrowner, in->head.mrowner, sizeof(p->mrowner));
	memcpy(p->mrownerconfig, in->head.mrownerconfig, sizeof(p->mrownerconfig));
	return error;
}

/* ---------------------------------------------------------------- KVM_TDX_INIT_VM: the TD */

static long create_td(struct kvm *kvm)
{
	struct kvm_tdx *tdx = kvm->tdx;
	u64 status;
	int error;

	/* One module serves one VM: the first of its keys is free. */
	status = kvm_tdx_seamcall(kvm, TDH_MNG_CREATE, kvm_tdx_tdr(kvm), TDX_HKID_START, 0, 0, NULL);
	if (status)
		return -EIO;
	tdx->has_td = true;
	error = kvm_tdx_error(kvm, TDH_MNG_KEY_CONFIG,
			      kvm_tdx_seamcall(kvm, TDH_MNG_KEY_CONFIG, kvm_tdx_tdr(kvm), 0, 0, 0, NULL));
	for (unsigned int n = 1; !error && n < tdx->control_pages; n++)
		if (kvm_tdx_seamcall(kvm, TDH_MNG_ADDCX, kvm_tdx_tdr(kvm) + n * HW_PAGE_SIZE, kvm_tdx_tdr(kvm), 0, 0, NULL))
			error = -EIO;
	return error;
}

/* The parameters are the user's, so an operand that is refused is told in hw_error. */
static long init_td(struct kvm *kvm, const struct tdx_td_params *params, u64 *hw_error)
{
	u64 status = kvm_tdx_seamcall(kvm, TDH_MNG_INIT, kvm_tdx_tdr(kvm), (u64)(uintptr_t)params, 0, 0, NULL);

	if ((status & TDX_STATUS_MASK) == TDX_OPERAND_INVALID) {
		*hw_error = status;
		return -EINVAL;
	}
	return status ? -EIO : 0;
}

static u64 td_field(const struct kvm *kvm, u64 field)
{
	struct tdx_regs out;

	return kvm_tdx_seamcall(kvm, TDH_MNG_RD, kvm_tdx_tdr(kvm), field, 0, 0, &out) ? 0 : out.r8;
}

static u64 shared_bit(const struct tdx_td_params *p)
{
	return 1ull << (p->config_flags & TDX_CONFIG_GPAW_52 ? 51 : 47);
}

static long start_td(struct kvm *kvm, const struct tdx_td_params *params, u64 *hw_error)
{
	struct kvm_tdx *tdx = kvm->tdx;
	long error;

	tdx->control_pages = 1 + kvm_tdx_sys_field(kvm, TDX_FIELD_TDCS_BASE_SIZE) / HW_PAGE_SIZE;
	tdx->vp_pages = kvm_tdx_sys_field(kvm, TDX_FIELD_TDVPS_BASE_SIZE) / HW_PAGE_SIZE;
	tdx->control = alloc_pages(tdx->control_pages);
	if (!tdx->control)
		return -ENOMEM;
	error = create_td(kvm);
	error = error ? error : init_td(kvm, params, hw_error);
	error = error ? error : kvm_mirror_create(kvm, (params->eptp_controls >> 3 & 7) + 1,
						  gpa_to_gfn(gpa(shared_bit(params))));
	if (error)
		kvm_tdx_free_td(kvm);
	return error;
}

long kvm_tdx_init_vm(struct kvm *kvm, struct kvm_tdx_cmd *cmd)
{
	_Alignas(TDX_TD_PARAMS_ALIGN) struct tdx_td_params params = { 0 };
	struct init_vm in = { .entries = NULL };
	long error;

	if (kvm_td_state(kvm) != TD_UNINITIALIZED || cmd->flags)
		return -EINVAL;
	error = copy_init_vm(cmd, &in);
	error = error ? error : make_params(kvm, &in, &params);
	error = error ? error : start_td(kvm, &params, &cmd->hw_error);
	free(in.entries);
	if (error)
		return error;
	kvm->tdx->tsc_offset = td_field(kvm, TDX_FIELD_TSC_OFFSET);
	kvm->tdx->tsc_mult = td_field(kvm, TDX_FIELD_TSC_MULTIPLIER);
	kvm->gpa_alias = shared_bit(&params);
	atomic_store(&kvm->tdx->state, TD_INITIALIZED);
	return 0;
}

/* ---------------------------------------------------------------- KVM_TDX_INIT_VCPU */

static u64 create_vp(struct kvm_vcpu *vcpu, u64 rcx, u64 *leaf)
{
	const struct kvm *kvm = vcpu->kvm;
	u64 vp = kvm_tdx_tdvpr(vcpu), status;

	*leaf = TDH_VP_CREATE;
	status = kvm_tdx_seamcall(kvm, *leaf, vp, kvm_tdx_tdr(kvm), 0, 0, NULL);
	for (unsigned int n = 1; !status && n < kvm->tdx->vp_pages; n++) {
		*leaf = TDH_VP_ADDCX;
		status = kvm_tdx_seamcall(kvm, *leaf, vp + n * HW_PAGE_SIZE, vp, 0, 0, NULL);
	}
	if (status)
		return status;
	*leaf = TDH_VP_INIT;
	return kvm_tdx_seamcall(kvm, *leaf, vp, rcx, vcpu->vcpu_id, 0, NULL);
}

static u64 write_vp_field(struct kvm_vcpu *vcpu, u64 field, u64 value)
{
	return kvm_tdx_seamcall(vcpu->kvm, TDH_VP_WR, kvm_tdx_tdvpr(vcpu), field, value, ~0ull, NULL);
}

/* Where the processor finds interrupts, and what of the guest's memory is shared. */
static u64 set_vp_fields(struct kvm_vcpu *vcpu)
{
	u64 status = write_vp_field(vcpu, TDX_FIELD_POSTED_INTR_DESC, (u64)(uintptr_t)hw_cpu_ctl(vcpu->cpu)->pi);

	return status ? status : write_vp_field(vcpu, TDX_FIELD_SHARED_EPT, (u64)(uintptr_t)&vcpu->kvm->mmu.s2);
}

static u8 *alloc_vp_pages(struct kvm *kvm)
{
	struct kvm_tdx_pages *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	p->pages = alloc_pages(kvm->tdx->vp_pages);
	if (!p->pages) {
		free(p);
		return NULL;
	}
	p->next = kvm->tdx->vps;
	kvm->tdx->vps = p;
	return p->pages;
}

long kvm_tdx_init_vcpu(struct kvm_vcpu *vcpu, const struct kvm_tdx_cmd *cmd)
{
	u64 base = APICBASE_DEFAULT | APICBASE_ENABLE | APICBASE_X2APIC | (kvm_is_bsp(vcpu) ? APICBASE_BSP : 0);
	u64 leaf = TDH_VP_WR, status;
	int error;

	if (cmd->flags || vcpu->tdx->initialized)
		return -EINVAL;
	/* A TD's APIC is an x2APIC: user space has given the vCPU a CPUID that says so. */
	if (kvm_lapic_set_base(vcpu, base, true))
		return -EINVAL;
	if (vcpu->tdx->control)
		return -EIO; /* a call that failed before */
	vcpu->tdx->control = alloc_vp_pages(vcpu->kvm);
	if (!vcpu->tdx->control)
		return -ENOMEM;
	status = create_vp(vcpu, cmd->data, &leaf);
	status = status ? status : set_vp_fields(vcpu);
	error = kvm_tdx_error(vcpu->kvm, leaf, status);
	if (error)
		return error == -EAGAIN ? -EBUSY : error;
	vcpu->tdx->initialized = true;
	__atomic_store_n(&vcpu->mp_state, KVM_MP_STATE_RUNNABLE, __ATOMIC_RELEASE);
	return 0;
}

/* ---------------------------------------------------------------- KVM_TDX_FINALIZE_VM */

long kvm_tdx_finalize(struct kvm *kvm, struct kvm_tdx_cmd *cmd)
{
	long error;

	if (kvm_td_state(kvm) != TD_INITIALIZED)
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	cmd->hw_error = kvm_tdx_seamcall(kvm, TDH_MR_FINALIZE, kvm_tdx_tdr(kvm), 0, 0, 0, NULL);
	error = kvm_tdx_error(kvm, TDH_MR_FINALIZE, cmd->hw_error);
	if (!error) {
		atomic_store(&kvm->tdx->state, TD_RUNNABLE);
		__atomic_store_n(&kvm->pre_fault_allowed, true, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&kvm->slots_lock);
	return error == -EAGAIN ? -EBUSY : error;
}

/* ---------------------------------------------------------------- the end */

/* The processor lets go of the guest's state; it may be destroyed now. */
void kvm_tdx_free_vcpu(struct kvm_vcpu *vcpu)
{
	if (vcpu->tdx && vcpu->tdx->control)
		kvm_tdx_seamcall(vcpu->kvm, TDH_VP_FLUSH, kvm_tdx_tdvpr(vcpu), 0, 0, 0, NULL);
}

/*
 * The key is given up, then the pages of the TD may be taken back, the TDR's last. Those of vCPUs and tables are the owners' to
 * free, after the module has gone.
 */
void kvm_tdx_free_td(struct kvm *kvm)
{
	struct kvm_tdx *tdx = kvm->tdx;

	if (tdx->has_td) {
		kvm_tdx_seamcall(kvm, TDH_MNG_VPFLUSHDONE, kvm_tdx_tdr(kvm), 0, 0, 0, NULL);
		kvm_tdx_seamcall(kvm, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0, NULL);
		kvm_tdx_seamcall(kvm, TDH_MNG_KEY_FREEID, kvm_tdx_tdr(kvm), 0, 0, 0, NULL);
		for (unsigned int n = tdx->control_pages; n--;)
			kvm_tdx_seamcall(kvm, TDH_PHYMEM_PAGE_RECLAIM, kvm_tdx_tdr(kvm) + n * HW_PAGE_SIZE, 0, 0, 0, NULL);
		tdx->has_td = false;
	}
	free(tdx->control);
	tdx->control = NULL;
}

void kvm_tdx_free_pages(struct kvm *kvm)
{
	struct kvm_tdx_pages *p = kvm->tdx->vps, *next;

	for (; p; p = next) {
		next = p->next;
		free(p->pages);
		free(p);
	}
	kvm->tdx->vps = NULL;
	free(kvm->tdx->control);
	kvm->tdx->control = NULL;
}
