// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses that differ in meaning differ in type; mixing them does not compile.
 *
 * A host physical address is the address of the byte in softcvm's own address space (a client's RAM,
 * or hw/phys' mapping of a guest_memfd): the "host physical" memory of the software machine is this
 * process. Page tables hold it in bits 51:12 like any other machine's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef struct { u64 v; } gva_t; /* guest virtual (linear) address */
typedef struct { u64 v; } gpa_t; /* guest physical address, without the shared bit / C-bit */
typedef struct { u64 v; } gfn_t; /* guest frame number: gpa >> 12 */
typedef struct { u64 v; } hpa_t; /* host physical address, see above */

#define HW_PAGE_SHIFT 12
#define HW_PAGE_SIZE  ((u64)1 << HW_PAGE_SHIFT)
#define HW_PAGE_MASK  (~(HW_PAGE_SIZE - 1))

static inline gpa_t gpa(u64 v) { return (gpa_t){ v }; }
static inline gfn_t gfn(u64 v) { return (gfn_t){ v }; }
static inline gva_t gva(u64 v) { return (gva_t){ v }; }
static inline hpa_t hpa(u64 v) { return (hpa_t){ v }; }
static inline gfn_t gpa_to_gfn(gpa_t a) { return gfn(a.v >> HW_PAGE_SHIFT); }
static inline gpa_t gfn_to_gpa(gfn_t f) { return gpa(f.v << HW_PAGE_SHIFT); }
static inline hpa_t ptr_to_hpa(const void *p) { return hpa((u64)(uintptr_t)p); }
static inline void *hpa_to_ptr(hpa_t a) { return (void *)(uintptr_t)a.v; }

/* Page levels, in Linux's numbering: 1 = 4K, 2 = 2M, 3 = 1G. */
enum hw_level { HW_LEVEL_4K = 1, HW_LEVEL_2M = 2, HW_LEVEL_1G = 3, HW_LEVEL_512G = 4 };
static inline u64 hw_level_size(unsigned int level) { return HW_PAGE_SIZE << (9 * (level - 1)); }
