// SPDX-License-Identifier: Apache-2.0
/*
 * Firmware images for trust domains (TDVF design guide, "TDVF metadata"; td-shim specification): the list of sections that tells
 * a VMM what to put where. An image is hostile input: the worst it can do is an error in words.
 */
#pragma once

#include "vmm/launch.h"
#include "vmm/loader.h"

#define TDVF_MAX_SECTIONS 64u
#define TDVF_MAX_MEMORY	  (1ull << 30) /* of all sections together */

enum tdvf_type {
	TDVF_BFV, TDVF_CFV, TDVF_TD_HOB, TDVF_TEMP_MEM, TDVF_PERM_MEM, TDVF_PAYLOAD, TDVF_PAYLOAD_PARAM, TDVF_TD_INFO,
	TDVF_TD_PARAMS,
	TDVF_TYPES
};

#define TDVF_MR_EXTEND 1u /* attributes: contents are measured */
#define TDVF_PAGE_AUG  2u /* the guest accepts it, nothing is added */

struct tdvf_section {
	uint32_t data_offset, raw_size; /* in the image */
	uint64_t gpa, size;
	uint32_t type; /* enum tdvf_type */
	uint32_t attributes;
};

struct tdvf {
	struct tdvf_section section[TDVF_MAX_SECTIONS];
	unsigned int count;
};

/* 0, or -EINVAL and the reason. Every section lies in the image, is page-aligned, private and apart from the others. */
int tdvf_parse(const uint8_t *image, size_t size, struct tdvf *out, struct boot_error *error);

/*
 * The regions that a VMM adds, in the order of the metadata. They point into `image`. What the VMM itself fills in (the TD HOB,
 * a payload's parameters) is measured by address only, and its data is NULL here. Returns how many.
 */
unsigned int tdvf_regions(const struct tdvf *tdvf, const uint8_t *image, struct launch_region out[TDVF_MAX_SECTIONS]);
