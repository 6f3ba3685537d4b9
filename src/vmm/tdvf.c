// SPDX-License-Identifier: Apache-2.0
#include "vmm/tdvf.h"

#include "vmm/bytes.h"

#include <errno.h>
#include <string.h>

#define SIGNATURE	0x46564454u /* "TDVF" */
#define DESCRIPTOR_SIZE 16u
#define SECTION_SIZE	32u
#define GPA_LIMIT	(1ull << 47) /* the shared bit of the smaller address width */

/* ---------------------------------------------------------------- finding the descriptor */

#define GUID_SIZE	 16u
#define FOOTER_END	 0x20u /* bytes between the footer's end and the image's */
#define ENTRY_HEADER	 (GUID_SIZE + 2u) /* length and GUID stand behind an entry's data */
#define LEGACY_POINTER	 0x20u

/* 96b582de-1fb2-45f7-baea-a366c55a082d: OVMF's table of GUIDed structures */
static const uint8_t footer_guid[GUID_SIZE] = {
	0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
};
/* e47a6535-984a-4798-865e-4685a7bf8ec2: distance of the TDX metadata from the image's end */
static const uint8_t offset_guid[GUID_SIZE] = {
	0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2,
};

static bool is_descriptor(const uint8_t *image, size_t size, uint64_t at)
{
	return at <= size && size - at >= DESCRIPTOR_SIZE && get32(image + at) == SIGNATURE;
}

/* The table grows down from its footer; the footer's length covers itself. */
static bool find_by_guid(const uint8_t *image, size_t size, uint64_t *at)
{
	size_t end, left, length;

	if (size < FOOTER_END + ENTRY_HEADER)
		return false;
	end = size - FOOTER_END - GUID_SIZE;
	if (memcmp(image + end, footer_guid, GUID_SIZE))
		return false;
	left = get16(image + end - 2);
	end -= 2;
	if (left < ENTRY_HEADER || left - ENTRY_HEADER > end)
		return false;
	for (left -= ENTRY_HEADER; left >= ENTRY_HEADER; left -= length, end -= length) {
		length = get16(image + end - ENTRY_HEADER);
		if (length < ENTRY_HEADER || length > left)
			return false;
		if (length == ENTRY_HEADER + 4 && !memcmp(image + end - GUID_SIZE, offset_guid, GUID_SIZE)) {
			*at = size - (uint64_t)get32(image + end - length);
			return is_descriptor(image, size, *at);
		}
	}
	return false;
}

static bool find_legacy(const uint8_t *image, size_t size, uint64_t *at)
{
	if (size < LEGACY_POINTER)
		return false;
	*at = get32(image + size - LEGACY_POINTER);
	return is_descriptor(image, size, *at);
}

/* ---------------------------------------------------------------- sections */

static const struct section_rule {
	const char *name, *cause;
	bool has_data, no_data; /* must; neither: may */
	bool loaded;
} rules[TDVF_TYPES] = {
	[TDVF_BFV] = { "BFV", "firmware code (BFV)", .has_data = true, .loaded = true },
	[TDVF_CFV] = { "CFV", "firmware variables (CFV)", .has_data = true, .loaded = true },
	[TDVF_TD_HOB] = { "TD_HOB", "TD HOB, filled in by the VMM", .no_data = true, .loaded = true },
	[TDVF_TEMP_MEM] = { "TempMem", "zeroed memory (TempMem)", .no_data = true, .loaded = true },
	[TDVF_PERM_MEM] = { "PermMem", "memory that the guest accepts (PermMem)", .no_data = true, .loaded = true },
	[TDVF_PAYLOAD] = { "Payload", "payload", .loaded = true },
	[TDVF_PAYLOAD_PARAM] = { "PayloadParam", "payload parameters, filled in by the VMM", .no_data = true, .loaded = true },
	[TDVF_TD_INFO] = { "TD_INFO", "information inside the BFV", .has_data = true },
	[TDVF_TD_PARAMS] = { "TD_PARAMS", "parameters inside the BFV", .has_data = true },
};

static int check_data(const struct tdvf_section *s, unsigned int index, size_t image_size, struct boot_error *error)
{
	const struct section_rule *rule = &rules[s->type];

	if (rule->has_data && !s->raw_size)
		return boot_fail(error, "TDVF section %u (%s) has no data", index, rule->name);
	if (rule->no_data && s->raw_size)
		return boot_fail(error, "TDVF section %u (%s) must not have data", index, rule->name);
	if (s->data_offset > image_size || s->raw_size > image_size - s->data_offset)
		return boot_fail(error,
				 "TDVF section %u (%s): %u bytes at offset %#x are beyond the image (%zu bytes); "
				 "a CODE image is measured behind its VARS image, as one file",
				 index, rule->name, s->raw_size, s->data_offset, image_size);
	return 0;
}

static int check_memory(const struct tdvf_section *s, unsigned int index, struct boot_error *error)
{
	const char *name = rules[s->type].name;
	unsigned long long gpa = s->gpa, size = s->size;

	if (gpa % LAUNCH_PAGE || size % LAUNCH_PAGE || !size)
		return boot_fail(error, "TDVF section %u (%s): %#llx bytes at %#llx are not whole pages", index, name, size, gpa);
	if (size < s->raw_size)
		return boot_fail(error, "TDVF section %u (%s): %#x bytes of data for %#llx bytes of memory", index, name,
				 s->raw_size, size);
	if (size > TDVF_MAX_MEMORY)
		return boot_fail(error, "TDVF section %u (%s): %#llx bytes are too many", index, name, size);
	if (gpa >= GPA_LIMIT || size > GPA_LIMIT - gpa)
		return boot_fail(error, "TDVF section %u (%s): %#llx is no private address", index, name, gpa);
	return 0;
}

static int check_overlap(const struct tdvf *tdvf, const struct tdvf_section *s, struct boot_error *error)
{
	for (unsigned int i = 0; i < tdvf->count; i++) {
		const struct tdvf_section *other = &tdvf->section[i];

		if (rules[other->type].loaded && s->gpa < other->gpa + other->size && other->gpa < s->gpa + s->size)
			return boot_fail(error, "TDVF sections %u and %u overlap at %#llx", i, tdvf->count,
					 (unsigned long long)(s->gpa > other->gpa ? s->gpa : other->gpa));
	}
	return 0;
}

static int add_section(struct tdvf *out, const uint8_t *raw, size_t image_size, struct boot_error *error)
{
	struct tdvf_section *s = &out->section[out->count];
	int err;

	*s = (struct tdvf_section){
		.data_offset = get32(raw), .raw_size = get32(raw + 4), .gpa = get64(raw + 8), .size = get64(raw + 16),
		.type = get32(raw + 24), .attributes = get32(raw + 28),
	};
	if (s->type >= TDVF_TYPES)
		return boot_fail(error, "TDVF section %u has the unknown type %u", out->count, s->type);
	if (s->attributes & ~(TDVF_MR_EXTEND | TDVF_PAGE_AUG))
		return boot_fail(error, "TDVF section %u has unknown attributes %#x", out->count, s->attributes);
	if (s->attributes == (TDVF_MR_EXTEND | TDVF_PAGE_AUG))
		return boot_fail(error, "TDVF section %u is to be measured, but not added", out->count);
	err = check_data(s, out->count, image_size, error);
	if (!err && rules[s->type].loaded) {
		err = check_memory(s, out->count, error);
		if (!err)
			err = check_overlap(out, s, error);
	}
	if (!err)
		out->count++;
	return err;
}

int tdvf_parse(const uint8_t *image, size_t size, struct tdvf *out, struct boot_error *error)
{
	uint64_t at, memory = 0;
	uint32_t count;
	bool code = false;
	int err;

	out->count = 0;
	if (!find_by_guid(image, size, &at) && !find_legacy(image, size, &at))
		return boot_fail(error, "firmware has no TDX metadata");
	if (get32(image + at + 8) != 1)
		return boot_fail(error, "TDVF metadata has version %u, not 1", get32(image + at + 8));
	count = get32(image + at + 12);
	if (!count || count > TDVF_MAX_SECTIONS)
		return boot_fail(error, "TDVF metadata has %u sections", count);
	if (get32(image + at + 4) != DESCRIPTOR_SIZE + SECTION_SIZE * count || size - at < DESCRIPTOR_SIZE + SECTION_SIZE * count)
		return boot_fail(error, "TDVF metadata of %u sections cannot be %u bytes long", count, get32(image + at + 4));
	for (uint32_t i = 0; i < count; i++) {
		err = add_section(out, image + at + DESCRIPTOR_SIZE + SECTION_SIZE * i, size, error);
		if (err)
			return err;
		if (rules[out->section[i].type].loaded)
			memory += out->section[i].size;
		code |= out->section[i].type == TDVF_BFV;
	}
	if (!code)
		return boot_fail(error, "TDVF metadata names no firmware code (BFV)");
	if (memory > TDVF_MAX_MEMORY)
		return boot_fail(error, "TDVF sections of %llu bytes together are too large", (unsigned long long)memory);
	return 0;
}

unsigned int tdvf_regions(const struct tdvf *tdvf, const uint8_t *image, struct launch_region out[TDVF_MAX_SECTIONS])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < tdvf->count; i++) {
		const struct tdvf_section *s = &tdvf->section[i];

		if (!rules[s->type].loaded || s->attributes & TDVF_PAGE_AUG)
			continue;
		out[count++] = (struct launch_region){
			.gpa = s->gpa,
			.size = s->size,
			.data = s->raw_size ? image + s->data_offset : NULL,
			.data_size = s->raw_size,
			.measured = s->attributes & TDVF_MR_EXTEND,
			.cause = rules[s->type].cause,
		};
	}
	return count;
}
