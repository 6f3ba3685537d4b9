// SPDX-License-Identifier: Apache-2.0
/* metadata: fields of the module, of TDs and of vCPUs by their ids (TDX ABI, metadata access). */
#include <string.h>

#include "hw/tdx/module.h"

/* Bits that a single-element access ignores: element size, increment size, write mask valid, context. */
#define ID_IGNORED  (3ull << 32 | 3ull << 50 | 7ull << 52)
#define ID_RESERVED (0xffull << 24 | 7ull << 47 | 1ull << 55 | 1ull << 62 | 0x1fffull << 34)
#define ID_CODE	    0xffffffull

u64 tdx_field_canonical(u64 id)
{
	return id & ~ID_IGNORED;
}

bool tdx_field_well_formed(u64 id)
{
	return !(id & ID_RESERVED);
}

/* ---------------------------------------------------------------- TDs */

struct td_field {
	u64 id;
	u8 elements;
	bool guest;	 /* may the guest read it? */
	u64 guest_write; /* bits */
	u64 host_write;
	u64 (*get)(struct tdx_td *td, unsigned int element);
	bool (*set)(struct tdx_td *td, u64 value);
};

static u64 get_uuid(struct tdx_td *td, unsigned int element)
{
	return td->uuid[element];
}
static u64 get_num_vcpus(struct tdx_td *td, unsigned int element)
{
	return __atomic_load_n(&td->num_vcpus, __ATOMIC_ACQUIRE);
}
static u64 get_zero(struct tdx_td *td, unsigned int element)
{
	return 0;
}
static u64 get_attributes(struct tdx_td *td, unsigned int element)
{
	return td->attributes;
}
static u64 get_xfam(struct tdx_td *td, unsigned int element)
{
	return td->xfam;
}
static u64 get_max_vcpus(struct tdx_td *td, unsigned int element)
{
	return td->max_vcpus;
}
static u64 get_gpaw(struct tdx_td *td, unsigned int element)
{
	return td->config_flags & TDX_CONFIG_GPAW_52 ? 1 : 0;
}
static u64 get_tsc_offset(struct tdx_td *td, unsigned int element)
{
	return td->tsc_offset;
}
static u64 get_tsc_mult(struct tdx_td *td, unsigned int element)
{
	return td->tsc_mult;
}
static u64 get_tsc_frequency(struct tdx_td *td, unsigned int element)
{
	return td->tsc_frequency;
}
static u64 get_notify(struct tdx_td *td, unsigned int element)
{
	return __atomic_load_n(&td->notify_enables, __ATOMIC_RELAXED);
}
static bool set_notify(struct tdx_td *td, u64 value)
{
	__atomic_store_n(&td->notify_enables, value, __ATOMIC_RELAXED);
	return true;
}
static u64 get_config_flags(struct tdx_td *td, unsigned int element)
{
	return td->config_flags;
}
static u64 get_td_ctls(struct tdx_td *td, unsigned int element)
{
	return __atomic_load_n(&td->td_ctls, __ATOMIC_RELAXED);
}
static bool set_td_ctls(struct tdx_td *td, u64 value)
{
	if (value != get_td_ctls(td, 0) && !(td->config_flags & TDX_CONFIG_FLEXIBLE_PENDING_VE))
		return false;
	__atomic_store_n(&td->td_ctls, value, __ATOMIC_RELAXED);
	return true;
}

static u64 digest_word(const struct tdx_digest *d, unsigned int element)
{
	u64 word;

	memcpy(&word, d->b + 8 * element, sizeof(word));
	return word;
}
static u64 get_mrtd(struct tdx_td *td, unsigned int element)
{
	return digest_word(&td->mrtd, element);
}
static u64 get_mrconfigid(struct tdx_td *td, unsigned int element)
{
	return digest_word(&td->mrconfigid, element);
}
static u64 get_mrowner(struct tdx_td *td, unsigned int element)
{
	return digest_word(&td->mrowner, element);
}
static u64 get_mrownerconfig(struct tdx_td *td, unsigned int element)
{
	return digest_word(&td->mrownerconfig, element);
}
static u64 get_rtmr(struct tdx_td *td, unsigned int element)
{
	u64 word;

	pthread_mutex_lock(&td->mr_lock);
	word = digest_word(&td->rtmr[element / 6], element % 6);
	pthread_mutex_unlock(&td->mr_lock);
	return word;
}

static const struct td_field td_fields[] = {
	{TDX_FIELD_TD_UUID, 4, true, 0, 0, get_uuid, NULL},
	{TDX_FIELD_NUM_VCPUS, 1, true, 0, 0, get_num_vcpus, NULL},
	{TDX_FIELD_NUM_L2_VMS, 1, true, 0, 0, get_zero, NULL},
	{TDX_FIELD_ATTRIBUTES, 1, true, 0, 0, get_attributes, NULL},
	{TDX_FIELD_XFAM, 1, true, 0, 0, get_xfam, NULL},
	{TDX_FIELD_MAX_VCPUS, 1, true, 0, 0, get_max_vcpus, NULL},
	{TDX_FIELD_GPAW, 1, true, 0, 0, get_gpaw, NULL},
	{TDX_FIELD_TSC_OFFSET, 1, false, 0, 0, get_tsc_offset, NULL},
	{TDX_FIELD_TSC_MULTIPLIER, 1, false, 0, 0, get_tsc_mult, NULL},
	{TDX_FIELD_TSC_FREQUENCY, 1, true, 0, 0, get_tsc_frequency, NULL},
	{TDX_FIELD_NOTIFY_ENABLES, 1, true, 1, 0, get_notify, set_notify},
	{TDX_FIELD_CONFIG_FLAGS, 1, true, 0, 0, get_config_flags, NULL},
	{TDX_FIELD_TD_CTLS, 1, true, TDX_TD_CTLS_PENDING_VE_DISABLE, 0, get_td_ctls, set_td_ctls},
	{TDX_FIELD_MRTD, 6, true, 0, 0, get_mrtd, NULL},
	{TDX_FIELD_MRCONFIGID, 6, true, 0, 0, get_mrconfigid, NULL},
	{TDX_FIELD_MROWNER, 6, true, 0, 0, get_mrowner, NULL},
	{TDX_FIELD_MROWNERCONFIG, 6, true, 0, 0, get_mrownerconfig, NULL},
	{TDX_FIELD_RTMR, 24, true, 0, 0, get_rtmr, NULL},
	{TDX_FIELD_SERVTD_HASH, 6, true, 0, 0, get_zero, NULL},
	{TDX_FIELD_SERVTD_NUM, 1, true, 0, 0, get_zero, NULL},
};

static const struct td_field *find_td_field(u64 id, unsigned int *element)
{
	u64 wanted = tdx_field_canonical(id);

	for (size_t n = 0; n < sizeof(td_fields) / sizeof(td_fields[0]); n++) {
		u64 first = tdx_field_canonical(td_fields[n].id);

		if (wanted < first || wanted - first >= td_fields[n].elements)
			continue;
		*element = wanted - first;
		return &td_fields[n];
	}
	return NULL;
}

/* The virtual CPUID, for the host only. */
#define CPUID_EXTENDED	 (1u << 16)
#define CPUID_NO_SUBLEAF (1u << 8)

static bool is_cpuid(u64 id)
{
	return tdx_field_canonical(id & ~ID_CODE) == tdx_field_canonical(TDX_FIELD_CPUID_VALUES & ~ID_CODE);
}

static u64 cpuid_read(const struct tdx_td *td, u64 id, u64 *value)
{
	u32 leaf = (id >> 9 & 0x7f) | (id & CPUID_EXTENDED ? 0x80000000 : 0), subleaf = id >> 1 & 0x7f;
	bool any = id & CPUID_NO_SUBLEAF;
	const struct td_cpuid_entry *e = td_cpuid_find(td, leaf, subleaf);

	if (id & ID_CODE & ~0x1ffffull || !e || any != (e->subleaf == TD_CPUID_ANY) || (any && subleaf != 0x7f))
		return TDX_METADATA_FIELD_ID_INCORRECT;
	*value = id & 1 ? e->value.ecx | (u64)e->value.edx << 32 : e->value.eax | (u64)e->value.ebx << 32;
	return TDX_SUCCESS;
}

u64 td_field_read(struct tdx_td *td, u64 id, bool guest, u64 *value)
{
	const struct td_field *f;
	unsigned int element;

	if (!tdx_field_well_formed(id))
		return TDX_METADATA_FIELD_ID_INCORRECT;
	if (is_cpuid(id))
		return guest ? TDX_METADATA_FIELD_NOT_READABLE : cpuid_read(td, id, value);
	f = find_td_field(id, &element);
	if (!f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	if (guest && !f->guest)
		return TDX_METADATA_FIELD_NOT_READABLE;
	*value = f->get(td, element);
	return TDX_SUCCESS;
}

/* TDX ABI TDG.VM.WR: bits of the mask that may not be written must keep their value. */
u64 td_field_write(struct tdx_td *td, u64 id, bool guest, u64 value, u64 mask, u64 *old)
{
	unsigned int element;
	const struct td_field *f = tdx_field_well_formed(id) ? find_td_field(id, &element) : NULL;
	u64 writable, was;

	if (!f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	writable = guest ? f->guest_write : f->host_write;
	if (!(mask & writable))
		return TDX_METADATA_FIELD_NOT_WRITABLE;
	was = f->get(td, element);
	if ((value ^ was) & mask & ~writable || !f->set(td, (was & ~mask) | (value & mask)))
		return TDX_METADATA_FIELD_VALUE_NOT_VALID;
	*old = was;
	return TDX_SUCCESS;
}

/* ---------------------------------------------------------------- the module */

static const struct {
	u64 id, value;
} sys_fields[] = {
	{TDX_FIELD_TDX_FEATURES0, 1ull << 18}, /* NO_RBP_MOD */
	{TDX_FIELD_TDR_BASE_SIZE, HW_PAGE_SIZE},
	{TDX_FIELD_TDCS_BASE_SIZE, TDCS_PAGES *HW_PAGE_SIZE},
	{TDX_FIELD_TDVPS_BASE_SIZE, TDVPS_PAGES *HW_PAGE_SIZE},
	{TDX_FIELD_ATTRIBUTES_FIXED0, TD_ATTRIBUTES_ALLOWED},
	{TDX_FIELD_ATTRIBUTES_FIXED1, 0},
	{TDX_FIELD_XFAM_FIXED0, TD_XFAM_ALLOWED},
	{TDX_FIELD_XFAM_FIXED1, TD_XFAM_REQUIRED},
	{TDX_FIELD_NUM_CPUID_CONFIG, TDX_CPUID_CONFIGS},
	{TDX_FIELD_MAX_VCPUS_PER_TD, TDX_MAX_VCPUS},
};
#define SYS_FIELDS (sizeof(sys_fields) / sizeof(sys_fields[0]))

/* Bits that the host may choose at all: those that are settable, or settable where the processor has them. */
static u64 config_value(unsigned int n, bool second)
{
	const struct tdx_cpuid_config *c = &tdx_cpuid_configs[n];
	const struct hw_cpuid *d = &c->direct, *a = &c->allowed;

	if (second)
		return (d->ecx | a->ecx) | (u64)(d->edx | a->edx) << 32;
	return (d->eax | a->eax) | (u64)(d->ebx | a->ebx) << 32;
}

u64 tdx_sys_field_read(const struct tdx_module *mod, u64 id, u64 *value)
{
	u64 wanted = tdx_field_canonical(id), leaves = tdx_field_canonical(TDX_FIELD_CPUID_CONFIG_LEAVES);
	u64 values = tdx_field_canonical(TDX_FIELD_CPUID_CONFIG_VALUES);

	if (!tdx_field_well_formed(id))
		return TDX_METADATA_FIELD_ID_INCORRECT;
	for (size_t n = 0; n < SYS_FIELDS; n++) {
		if (tdx_field_canonical(sys_fields[n].id) != wanted)
			continue;
		*value = sys_fields[n].value;
		return TDX_SUCCESS;
	}
	if (wanted >= leaves && wanted < leaves + TDX_CPUID_CONFIGS) {
		const struct tdx_cpuid_config *c = &tdx_cpuid_configs[wanted - leaves];

		*value = c->leaf | (u64)c->subleaf << 32;
		return TDX_SUCCESS;
	}
	if (wanted >= values && wanted < values + 2 * TDX_CPUID_CONFIGS) {
		*value = config_value((wanted - values) / 2, (wanted - values) & 1);
		return TDX_SUCCESS;
	}
	return TDX_METADATA_FIELD_ID_INCORRECT;
}

/* RDX: the next field of a walk over all; there is no order to walk in, so each is the last. */
u64 tdh_sys_rd(struct seam_call *s)
{
	u64 value = 0, status = tdx_sys_field_read(s->mod, s->regs->rdx, &value);

	s->regs->r8 = value;
	s->regs->rdx = ~0ull;
	return status;
}
