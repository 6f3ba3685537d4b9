// SPDX-License-Identifier: Apache-2.0
/*
 * donation: memory of a client that a guest can come to own, page by page, and that the client cannot reach while it does.
 *
 * One struct hw_donation stands for the client's memory behind one slot. A page that is taken moves, contents and all, into a
 * frame of ours, which the guest uses through a mapping of our own; at the client's address the same frame is mapped, hidden
 * (PROT_NONE: SIGSEGV with SEGV_ACCERR, EFAULT from system calls) or shown. So hiding and showing change no contents, and the
 * frame stays whatever the client does to its mapping.
 *
 * The client's mapping may be of any kind that can be written: what stands in it is copied when it is taken. Other mappings that
 * the client has of the same memory are cut off then: they neither see nor reach what the guest owns or shares. What the client
 * has put in the place of a frame since (munmap, mmap) is left alone: only mappings of our own file are ever changed.
 *
 * Pages are counted from the beginning of the donation. The caller serialises the calls for one donation; different ones may be
 * used at the same time.
 */
#pragma once

#include "hw/addr.h"

struct hw_donation;

/* [address, address + pages * 4 KiB) of the client, nothing of it taken. -ENOMEM; -ENOENT: there is no /proc to look at. */
int hw_donation_create(u64 address, u64 pages, struct hw_donation **out);
/* What was taken and not wiped is the client's again, as it is. No translation of a guest may lead to a frame any more. */
void hw_donation_destroy(struct hw_donation *d);

/* Where the page is once it is taken. */
hpa_t hw_donation_frame(const struct hw_donation *d, u64 page);

/*
 * The pages are hidden frames from here on. -EFAULT: the client has no memory there, or may not write to the first page itself;
 * -EPERM: a page is taken by another donation; -ENOMEM. Nothing has changed then.
 */
int hw_donation_take(struct hw_donation *d, u64 page, u64 count);
/* Taken pages. -ENOMEM, and nothing has changed: the process has too many mappings. */
int hw_donation_show(struct hw_donation *d, u64 page, u64 count);
int hw_donation_hide(struct hw_donation *d, u64 page, u64 count);
/* Zeroes, and nobody's: another donation may take them when they are shown. They stay as visible as they are. */
void hw_donation_wipe(struct hw_donation *d, u64 page, u64 count);

/* What the client can reach of the frames, through whatever mapping. */
void hw_donation_for_each_visible(const struct hw_donation *d, void (*visit)(void *opaque, u64 page, u64 count), void *opaque);

/* Each border between hidden, shown and other pages costs a mapping, of which Linux has so many for a process. */
u64 hw_donation_max_borders(void);
