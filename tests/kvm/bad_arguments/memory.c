// SPDX-License-Identifier: Apache-2.0
/* Slots, guest_memfd, attributes, dirty logs, pre-fault: api.rst, and the order of the checks in kvm_main.c. */
#include <errno.h>

#include "bad.h"

#define REGION1	     .on = VM, .request = KVM_SET_USER_MEMORY_REGION, .in = PLAIN
#define REGION	     .on = VM, .request = KVM_SET_USER_MEMORY_REGION2, .in = PLAIN
#define CREATE_GMEM  .on = VM, .request = KVM_CREATE_GUEST_MEMFD, .in = PLAIN
#define ATTRIBUTES   .on = VM, .request = KVM_SET_MEMORY_ATTRIBUTES, .in = PLAIN
#define GET_LOG	     .on = VM, .request = KVM_GET_DIRTY_LOG
#define CLEAR_LOG    .on = VM, .request = KVM_CLEAR_DIRTY_LOG
#define PRE_FAULT    .on = VCPU, .request = KVM_PRE_FAULT_MEMORY, .in = PLAIN
#define SLOT1(...)   ARGUMENT(struct kvm_userspace_memory_region, __VA_ARGS__)
#define SLOT(...)    ARGUMENT(struct kvm_userspace_memory_region2, __VA_ARGS__)
#define GMEM(...)    ARGUMENT(struct kvm_create_guest_memfd, __VA_ARGS__)
#define CHANGE(...)  ARGUMENT(struct kvm_memory_attributes, __VA_ARGS__)
#define LOG(...)     ARGUMENT(struct kvm_dirty_log, __VA_ARGS__)
#define CLEAR(...)   ARGUMENT(struct kvm_clear_dirty_log, __VA_ARGS__)
#define RANGE(...)   ARGUMENT(struct kvm_pre_fault_memory, __VA_ARGS__)

#define G	   KVM_MEM_GUEST_MEMFD
#define NEW	   .slot = 9, .guest_phys_addr = FREE_GPA, .userspace_addr = MEMORY
#define NEW_PAGE   NEW, .memory_size = 0x1000
#define NEW_GMEM   NEW, .flags = G, .guest_memfd = GMEM_FD, .guest_memfd_offset = 0x8000, .memory_size = 0x1000
#define AS_SLOT_1  .slot = 1, .guest_phys_addr = SLOT_1, .userspace_addr = MEMORY, .memory_size = 0x10000
#define AS_SLOT_3                                                                                                       \
	.slot = 3, .flags = G, .guest_phys_addr = SLOT_3, .userspace_addr = MEMORY + 0x80000, .memory_size = 0x4000,   \
	.guest_memfd = GMEM_FD

#define BITMAP (void *)MEMORY

static const struct bad rows[] = {
	/* Of the first version: two flags only. */
	{ "v1: GUEST_MEMFD", REGION1, SLOT1(NEW_PAGE, .flags = G), .error = EINVAL },
	{ "v1: unknown flag", REGION1, SLOT1(NEW_PAGE, .flags = 1u << 3), .error = EINVAL },
	{ "v1: slot number", REGION1, SLOT1(NEW_PAGE, .slot = 32764), .error = EINVAL },
	{ "v1: overlap", REGION1, SLOT1(NEW_PAGE, .guest_phys_addr = SLOT_1 + 0xf000), .error = EEXIST },

	/* Arguments. */
	{ "slot number", REGION, SLOT(NEW_PAGE, .slot = 32764), .error = EINVAL },
	{ "slot number of a TSS", REGION, SLOT(NEW_PAGE, .slot = 0xffff), .error = EINVAL },
	{ "flag 3", REGION, SLOT(NEW_PAGE, .flags = 1u << 3), .error = EINVAL },
	{ "flag 16, which is internal", REGION, SLOT(NEW_PAGE, .flags = 1u << 16), .error = EINVAL },
	{ "flag 31", REGION, SLOT(NEW_PAGE, .flags = 1u << 31), .error = EINVAL },
	{ "GUEST_MEMFD and READONLY", REGION, SLOT(NEW_GMEM, .flags = G | KVM_MEM_READONLY), .error = EINVAL },
	{ "GUEST_MEMFD and LOG_DIRTY", REGION, SLOT(NEW_GMEM, .flags = G | KVM_MEM_LOG_DIRTY_PAGES), .error = EINVAL },
	{ "size", REGION, SLOT(NEW, .memory_size = 0x1001), .error = EINVAL },
	{ "address", REGION, SLOT(NEW_PAGE, .guest_phys_addr = FREE_GPA + 1), .error = EINVAL },
	{ "client address", REGION, SLOT(NEW_PAGE, .userspace_addr = MEMORY + 1), .error = EINVAL },
	{ "client address of the kernel", REGION, SLOT(NEW_PAGE, .userspace_addr = 0xffff800000000000), .error = EINVAL },
	{ "client address not canonical", REGION, SLOT(NEW_PAGE, .userspace_addr = 1ull << 63), .error = EINVAL },
	{ "end behind user space", REGION, SLOT(NEW, .userspace_addr = 0x7ffffffff000, .memory_size = 0x2000), .error = EINVAL },
	{ "address space 2", REGION, SLOT(NEW_PAGE, .slot = 2u << 16 | 9), .error = EINVAL },
	{ "address space 1", REGION, SLOT(NEW_PAGE, .slot = 1u << 16 | 9), .error = EINVAL, PROTECTED_ONLY },
	{ "end wraps", REGION, SLOT(NEW, .guest_phys_addr = ~0xfffull, .memory_size = 0x2000), .error = EINVAL },
	{ "2^31 pages", REGION, SLOT(NEW, .memory_size = 1ull << 43), .error = EINVAL },
	{ "last frame beyond the address width", REGION, SLOT(NEW_PAGE, .guest_phys_addr = 1ull << 40), .error = EINVAL },
	{ "reaches beyond the address width", REGION, SLOT(NEW, .guest_phys_addr = (1ull << 40) - 0x1000, .memory_size = 0x2000),
	  .error = EINVAL },

	/* What is there. */
	{ "delete a slot that is not there", REGION, SLOT(NEW), .error = EINVAL },
	{ "delete with a bad flag", REGION, SLOT(.slot = 1, .flags = 1u << 3), .error = EINVAL },
	{ "delete with a bad address", REGION, SLOT(.slot = 1, .guest_phys_addr = 1), .error = EINVAL },
	{ "overlap at the end", REGION, SLOT(NEW_PAGE, .guest_phys_addr = SLOT_1 + 0xf000), .error = EEXIST },
	{ "overlap at the beginning", REGION, SLOT(NEW, .guest_phys_addr = SLOT_1 - 0x1000, .memory_size = 0x2000),
	  .error = EEXIST },
	{ "around a slot", REGION, SLOT(NEW, .guest_phys_addr = SLOT_1 - 0x1000, .memory_size = 0x20000), .error = EEXIST },
	{ "overlap before the address width", REGION,
	  SLOT(NEW, .guest_phys_addr = SLOT_1, .memory_size = (1ull << 40)), .error = EEXIST },
	{ "grow", REGION, SLOT(AS_SLOT_1, .memory_size = 0x11000), .error = EINVAL },
	{ "shrink", REGION, SLOT(AS_SLOT_1, .memory_size = 0xf000), .error = EINVAL },
	{ "other client address", REGION, SLOT(AS_SLOT_1, .userspace_addr = MEMORY + 0x1000), .error = EINVAL },
	{ "becomes read-only", REGION, SLOT(AS_SLOT_1, .flags = KVM_MEM_READONLY), .error = EINVAL },
	{ "gets a guest_memfd", REGION, SLOT(AS_SLOT_1, .flags = G, .guest_memfd = GMEM_FD), .error = EINVAL },
	{ "moves onto another", REGION, SLOT(AS_SLOT_1, .guest_phys_addr = SLOT_2 + 0x1000), .error = EEXIST },
	{ "moves beyond the address width", REGION, SLOT(AS_SLOT_1, .guest_phys_addr = 1ull << 40), .error = EINVAL },

	/* guest_memfd: the overlap comes first. */
	{ "GUEST_MEMFD", REGION, SLOT(NEW_GMEM), .error = 0, .error_6_12 = EINVAL, DEFAULT_ONLY },
	{ "no descriptor", REGION, SLOT(NEW_GMEM, .guest_memfd = (uint32_t)-1), .error = EBADF, .error_6_12 = EINVAL, DEFAULT_ONLY },
	{ "no descriptor", REGION, SLOT(NEW_GMEM, .guest_memfd = (uint32_t)-1), .error = EBADF, PROTECTED_ONLY },
	{ "closed descriptor", REGION, SLOT(NEW_GMEM, .guest_memfd = CLOSED_FD), .error = EBADF, PROTECTED_ONLY },
	{ "closed descriptor and overlap", REGION, SLOT(NEW_GMEM, .guest_memfd = CLOSED_FD, .guest_phys_addr = SLOT_1),
	  .error = EEXIST, PROTECTED_ONLY },
	{ "another file", REGION, SLOT(NEW_GMEM, .guest_memfd = PLAIN_FILE), .error = EINVAL },
	{ "another VM's guest_memfd", REGION, SLOT(NEW_GMEM, .guest_memfd = OTHER_FD), .error = EINVAL },
	{ "offset", REGION, SLOT(NEW_GMEM, .guest_memfd_offset = 1), .error = EINVAL },
	{ "offset wraps", REGION, SLOT(NEW_GMEM, .guest_memfd_offset = ~0xfffull), .error = EINVAL },
	{ "offset is negative", REGION, SLOT(NEW_GMEM, .guest_memfd_offset = 1ull << 63), .error = EINVAL },
	{ "offset at the end", REGION, SLOT(NEW_GMEM, .guest_memfd_offset = 0x10000), .error = EINVAL },
	{ "longer than the file", REGION, SLOT(NEW_GMEM, .memory_size = 0x11000, .guest_memfd_offset = 0), .error = EINVAL },
	{ "bound twice", REGION, SLOT(NEW_GMEM, .guest_memfd_offset = 0x3000), .error = EEXIST, .error_6_12 = EINVAL,
	  PROTECTED_ONLY },
	{ "the same again", REGION, SLOT(AS_SLOT_3), .error = EINVAL, PROTECTED_ONLY },
	{ "without its guest_memfd", REGION, SLOT(AS_SLOT_3, .flags = 0), .error = EINVAL, PROTECTED_ONLY },
	{ "a guest_memfd slot moves", REGION, SLOT(AS_SLOT_3, .guest_phys_addr = FREE_GPA), .error = EINVAL, PROTECTED_ONLY },

	{ "file of no bytes", CREATE_GMEM, GMEM(.size = 0), .error = EINVAL },
	{ "file of a byte", CREATE_GMEM, GMEM(.size = 1), .error = EINVAL },
	{ "file of 2^63 bytes", CREATE_GMEM, GMEM(.size = 1ull << 63), .error = EINVAL },
	{ "file with flag 2", CREATE_GMEM, GMEM(.size = 4096, .flags = 1u << 2), .error = EINVAL },
	{ "file with flag 63", CREATE_GMEM, GMEM(.size = 4096, .flags = 1ull << 63), .error = EINVAL },
	{ "file with INIT_SHARED", CREATE_GMEM, GMEM(.size = 4096, .flags = GUEST_MEMFD_FLAG_INIT_SHARED), .error = EINVAL,
	  PROTECTED_ONLY },

	{ "attribute 0", ATTRIBUTES, CHANGE(SLOT_1, 0x1000, 1, 0), .error = EINVAL },
	{ "attribute 63", ATTRIBUTES, CHANGE(SLOT_1, 0x1000, 1ull << 63, 0), .error = EINVAL },
	{ "private", ATTRIBUTES, CHANGE(SLOT_1, 0x1000, KVM_MEMORY_ATTRIBUTE_PRIVATE, 0), .error = EINVAL, DEFAULT_ONLY },
	{ "flags", ATTRIBUTES, CHANGE(SLOT_1, 0x1000, 0, 1), .error = EINVAL },
	{ "no size", ATTRIBUTES, CHANGE(SLOT_1, 0, 0, 0), .error = EINVAL },
	{ "size", ATTRIBUTES, CHANGE(SLOT_1, 0x1001, 0, 0), .error = EINVAL },
	{ "address", ATTRIBUTES, CHANGE(SLOT_1 + 1, 0x1000, 0, 0), .error = EINVAL },
	{ "end at 2^64", ATTRIBUTES, CHANGE(~0xfffull, 0x1000, 0, 0), .error = EINVAL },
	{ "end wraps", ATTRIBUTES, CHANGE(~0xfffull, 0x2000, 0, 0), .error = EINVAL },

	{ "log of a slot without", GET_LOG, .in = PLAIN, LOG(.slot = 1, .dirty_bitmap = BITMAP), .error = ENOENT },
	{ "log of no slot", GET_LOG, .in = PLAIN, LOG(.slot = 77, .dirty_bitmap = BITMAP), .error = ENOENT },
	{ "log: slot number", GET_LOG, .in = PLAIN, LOG(.slot = 32764, .dirty_bitmap = BITMAP), .error = EINVAL },
	{ "log: address space", GET_LOG, .in = PLAIN, LOG(.slot = 2u << 16 | 2, .dirty_bitmap = BITMAP), .error = EINVAL },
	{ "log: address space 1", GET_LOG, .in = PLAIN, LOG(.slot = 1u << 16 | 2, .dirty_bitmap = BITMAP), .error = EINVAL,
	  PROTECTED_ONLY },
	{ "log: address space 1", GET_LOG, .in = PLAIN, LOG(.slot = 1u << 16 | 2, .dirty_bitmap = BITMAP), .error = ENOENT,
	  DEFAULT_ONLY },
	{ "log to nowhere", GET_LOG, .in = PLAIN, LOG(.slot = 2), .error = EFAULT },
	{ "log where there are rings", GET_LOG, .in = RING, LOG(.slot = 32764), .error = ENXIO },

	{ "clear: slot without", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 1, .num_pages = 16, .dirty_bitmap = BITMAP), .error = ENOENT },
	{ "clear: no slot", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 77, .num_pages = 64, .dirty_bitmap = BITMAP), .error = ENOENT },
	{ "clear: slot number", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 32764, .dirty_bitmap = BITMAP), .error = EINVAL },
	{ "clear: first page", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 2, .num_pages = 64, .first_page = 1, .dirty_bitmap = BITMAP),
	  .error = EINVAL },
	{ "clear: first page of no slot", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 77, .first_page = 1, .dirty_bitmap = BITMAP),
	  .error = EINVAL },
	{ "clear: number of pages", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 2, .num_pages = 63, .dirty_bitmap = BITMAP),
	  .error = EINVAL },
	{ "clear: beyond the slot", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 2, .num_pages = 128, .dirty_bitmap = BITMAP),
	  .error = EINVAL },
	{ "clear: from beyond the slot", CLEAR_LOG, .in = PLAIN,
	  CLEAR(.slot = 2, .first_page = 128, .num_pages = 64, .dirty_bitmap = BITMAP), .error = EINVAL },
	{ "clear: from 2^63", CLEAR_LOG, .in = PLAIN,
	  CLEAR(.slot = 2, .first_page = 1ull << 63, .num_pages = 64, .dirty_bitmap = BITMAP), .error = EINVAL },
	{ "clear from nowhere", CLEAR_LOG, .in = PLAIN, CLEAR(.slot = 2, .num_pages = 64), .error = EFAULT },
	{ "clear where there are rings", CLEAR_LOG, .in = RING, CLEAR(.slot = 32764, .first_page = 1), .error = ENXIO },
	{ "reset of rings that are not there", .on = VM, .request = KVM_RESET_DIRTY_RINGS, .in = PLAIN, .error = EINVAL },

	{ "pre-fault: flags", PRE_FAULT, RANGE(.gpa = SLOT_1, .size = 0x1000, .flags = 1), .error = EINVAL },
	{ "pre-fault: address", PRE_FAULT, RANGE(.gpa = SLOT_1 + 1, .size = 0x1000), .error = EINVAL },
	{ "pre-fault: size", PRE_FAULT, RANGE(.gpa = SLOT_1, .size = 0x1001), .error = EINVAL },
	{ "pre-fault: no size", PRE_FAULT, RANGE(.gpa = SLOT_1), .error = EINVAL },
	{ "pre-fault: end wraps", PRE_FAULT, RANGE(.gpa = ~0xfffull, .size = 0x1000), .error = EINVAL },
	{ "pre-fault: a structure that cannot be written", PRE_FAULT, .value = READ_ONLY, .error = EFAULT },
	{ "pre-fault: no slot", PRE_FAULT, RANGE(.gpa = FREE_GPA, .size = 0x1000), .error = ENOENT },
	{ "pre-fault on the VM", .on = VM, .request = KVM_PRE_FAULT_MEMORY, .in = PLAIN, RANGE(.gpa = SLOT_1, .size = 0x1000),
	  .error = ENOTTY },

	{ "MMU pages", .on = VM, .request = KVM_SET_NR_MMU_PAGES, .in = PLAIN, .value = 63, .error = EINVAL },
	{ "MMU pages asked for", .on = VM, .request = KVM_GET_NR_MMU_PAGES, .in = PLAIN, .error = EINVAL },
	{ "TSS address", .on = VM, .request = KVM_SET_TSS_ADDR, .in = PLAIN, .value = 0xffffd001, .error = EINVAL },
	{ "TSS address of 64 bits", .on = VM, .request = KVM_SET_TSS_ADDR, .in = PLAIN, .value = 1ull << 32, .error = EINVAL },
	{ "identity map behind vCPUs", .on = VM, .request = KVM_SET_IDENTITY_MAP_ADDR, .in = PLAIN,
	  ARGUMENT(uint64_t, 0xfffbc000), .error = EINVAL },
};

const struct bad_table bad_memory = TABLE(rows);
