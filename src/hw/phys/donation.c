// SPDX-License-Identifier: Apache-2.0
/* Client memory that guests own: frames in a file of ours, mapped twice. */
#include "hw/phys/donation.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hw/hw.h"

#define MAPS "/proc/self/maps"
#define DISTANCE ((u64)1 << 44)
/* vm.max_map_count where nobody says otherwise */
#define DEFAULT_MAX_MAPS 65530u

struct hw_donation {
	u64 address, pages;
	u8 *frames;   /* our mapping of the file; there is no descriptor, which a client could close */
	dev_t dev;    /* how the file is known in MAPS */
	ino_t ino;
	u64 *taken;   /* a bit a page */
	struct hw_donation *next;
};

/*
 * The pages of this process' memory have one owner each, whatever VM it belongs to: the array that a hypervisor keeps of all host
 * pages. The lock is held from asking whether a page is taken to taking it.
 */
static struct {
	pthread_mutex_t lock;
	struct hw_donation *first;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const u8 zeroes[HW_PAGE_SIZE];

static u64 bytes(u64 pages) { return pages << HW_PAGE_SHIFT; }
static u8 *client_page(const struct hw_donation *d, u64 page) { return hpa_to_ptr(hpa(d->address + bytes(page))); }
hpa_t hw_donation_frame(const struct hw_donation *d, u64 page) { return ptr_to_hpa(d->frames + bytes(page)); }

u64 hw_donation_max_borders(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long count;

	if (!file || fscanf(file, "%lu", &count) != 1)
		count = DEFAULT_MAX_MAPS;
	if (file)
		fclose(file);
	/* The rest is for the client itself. */
	return count / 2;
}

/* ---------------------------------------------------------------- the mappings of the file */

struct mapping {
	u64 start, end; /* addresses */
	u64 first;	/* page of the file */
	bool accessible;
};

/* Its mappings but for our own, in the order of addresses up to `limit`. Mappings may be changed by `visit`. */
static int for_each_mapping(const struct hw_donation *d, u64 limit, int (*visit)(void *opaque, const struct mapping *m),
			    void *opaque)
{
	FILE *file = fopen(MAPS, "re");
	unsigned long start, end, offset, ino;
	unsigned int major, minor;
	char *line = NULL, access[5];
	size_t size = 0;
	int error = 0;

	if (!file)
		return -ENOENT;
	while (!error && getline(&line, &size, file) > 0) {
		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, access, &offset, &major, &minor, &ino) != 7)
			continue;
		if (start >= limit)
			break;
		if (ino != d->ino || makedev(major, minor) != d->dev || start == ptr_to_hpa(d->frames).v)
			continue;
		error = visit(opaque, &(struct mapping){ start, end, offset >> HW_PAGE_SHIFT,
							 access[0] == 'r' || access[1] == 'w' || access[2] == 'x' });
	}
	free(line);
	fclose(file);
	return error;
}

static int protect(u64 start, u64 end, int access)
{
	return mprotect(hpa_to_ptr(hpa(start)), end - start, access) ? -errno : 0;
}

struct change {
	const struct hw_donation *d;
	u64 start, end; /* addresses */
	int access;
};

/* The part of the change that lies in the mapping, if the frames are where they were put. */
static int change_mapping(void *opaque, const struct mapping *m)
{
	const struct change *c = opaque;
	u64 start = m->start > c->start ? m->start : c->start, end = m->end < c->end ? m->end : c->end;

	if (start >= end || m->start - bytes(m->first) != c->d->address)
		return 0;
	return protect(start, end, c->access);
}

static int set_access(const struct hw_donation *d, u64 page, u64 count, int access)
{
	struct change c = { d, d->address + bytes(page), d->address + bytes(page + count), access };

	return for_each_mapping(d, c.end, change_mapping, &c);
}

int hw_donation_show(struct hw_donation *d, u64 page, u64 count)
{
	int error = set_access(d, page, count, PROT_READ | PROT_WRITE);

	/* Back to one mapping where there was one. */
	if (error)
		set_access(d, page, count, PROT_NONE);
	return error;
}

int hw_donation_hide(struct hw_donation *d, u64 page, u64 count)
{
	int error = set_access(d, page, count, PROT_NONE);

	if (error)
		set_access(d, page, count, PROT_READ | PROT_WRITE);
	return error;
}

struct visitor {
	void (*visit)(void *opaque, u64 page, u64 count);
	void *opaque;
};

static int visit_visible(void *opaque, const struct mapping *m)
{
	const struct visitor *v = opaque;

	if (m->accessible)
		v->visit(v->opaque, m->first, (m->end - m->start) >> HW_PAGE_SHIFT);
	return 0;
}

void hw_donation_for_each_visible(const struct hw_donation *d, void (*visit)(void *opaque, u64 page, u64 count), void *opaque)
{
	struct visitor v = { visit, opaque };

	for_each_mapping(d, ~0ull, visit_visible, &v);
}

/* ---------------------------------------------------------------- life */

/* If it can be had, as far below the client's memory as always: host addresses appear in traces. */
static void *place(u64 address) { return address > DISTANCE ? hpa_to_ptr(hpa(address - DISTANCE)) : NULL; }

static int map_frames(struct hw_donation *d)
{
	int fd = memfd_create("softcvm-guest-owned", MFD_CLOEXEC);
	struct stat st;
	void *map = MAP_FAILED;

	if (fd < 0)
		return -ENOMEM;
	/* A client that locks all memory it will have (mlockall) does not mean this: it would all be allocated at once. */
	if (!ftruncate(fd, bytes(d->pages)) && !fstat(fd, &st))
		map = mmap(place(d->address), bytes(d->pages), PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return -ENOMEM;
	d->frames = map;
	munlock(map, bytes(d->pages));
	madvise(map, bytes(d->pages), MADV_DONTDUMP);
	if (mprotect(map, bytes(d->pages), PROT_READ | PROT_WRITE)) {
		munmap(map, bytes(d->pages));
		return -ENOMEM;
	}
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	return 0;
}

int hw_donation_create(u64 address, u64 pages, struct hw_donation **out)
{
	struct hw_donation *d = calloc(1, sizeof(*d));
	int error = -ENOMEM;

	if (!d)
		return -ENOMEM;
	*d = (struct hw_donation){ .address = address, .pages = pages, .taken = calloc((pages + 63) / 64, sizeof(u64)) };
	if (d->taken)
		error = map_frames(d);
	if (!error && access(MAPS, R_OK)) {
		munmap(d->frames, bytes(pages));
		error = -ENOENT;
	}
	if (error) {
		free(d->taken);
		free(d);
		return error;
	}
	pthread_mutex_lock(&all.lock);
	d->next = all.first;
	all.first = d;
	pthread_mutex_unlock(&all.lock);
	*out = d;
	return 0;
}

static int open_mapping(void *opaque, const struct mapping *m)
{
	if (!m->accessible)
		protect(m->start, m->end, PROT_READ | PROT_WRITE);
	return 0;
}

void hw_donation_destroy(struct hw_donation *d)
{
	struct hw_donation **at;

	for_each_mapping(d, ~0ull, open_mapping, NULL);
	pthread_mutex_lock(&all.lock);
	for (at = &all.first; *at != d; at = &(*at)->next)
		;
	*at = d->next;
	pthread_mutex_unlock(&all.lock);
	munmap(d->frames, bytes(d->pages));
	free(d->taken);
	free(d);
}

/* ---------------------------------------------------------------- taking */

static bool is_taken(const struct hw_donation *d, u64 page) { return d->taken[page / 64] >> page % 64 & 1; }

static void mark_taken(struct hw_donation *d, u64 page, u64 count, bool taken)
{
	for (u64 i = page; i < page + count; i++)
		if (taken)
			d->taken[i / 64] |= (u64)1 << i % 64;
		else
			d->taken[i / 64] &= ~((u64)1 << i % 64);
}

/* Under all.lock. */
static bool taken_by_another(const struct hw_donation *d, u64 page, u64 count)
{
	u64 start = d->address + bytes(page), end = start + bytes(count);

	for (const struct hw_donation *o = all.first; o; o = o->next) {
		u64 from = start > o->address ? start : o->address;
		u64 to = end < o->address + bytes(o->pages) ? end : o->address + bytes(o->pages);

		for (u64 at = from; o != d && at < to; at += HW_PAGE_SIZE)
			if (is_taken(o, (at - o->address) >> HW_PAGE_SHIFT))
				return true;
	}
	return false;
}

/*
 * As a kernel that pins the page to write to it: there, and the client's to write. It changes nothing in the page. Only the first
 * one is asked for by a guest; to write to the others would allocate them all.
 */
static int probe(const struct hw_donation *d, u64 page)
{
	hpa_t at = ptr_to_hpa(client_page(d, page));
	u64 old;

	return hw_load_host(at, sizeof(old), &old) || hw_cmpxchg_host(at, &old, old) < 0 ? -EFAULT : 0;
}

/* Nothing is allocated for what is zero, as frames are from the beginning. */
static int copy_in(struct hw_donation *d, u64 page, u64 count)
{
	u8 copy[HW_PAGE_SIZE];

	for (u64 i = page; i < page + count; i++) {
		if (hw_copy_from_host(copy, ptr_to_hpa(client_page(d, i)), sizeof(copy)))
			return -EFAULT;
		if (memcmp(copy, zeroes, sizeof(copy)) && hw_copy_to_host(hw_donation_frame(d, i), copy, sizeof(copy)))
			return -EFAULT;
	}
	return 0;
}

static void clear(struct hw_donation *d, u64 page, u64 count)
{
	/* Gives the memory back, too. Not where the client has locked all that it has. */
	if (!madvise(d->frames + bytes(page), bytes(count), MADV_REMOVE))
		return;
	for (u64 i = page; i < page + count; i++)
		hw_copy_to_host(hw_donation_frame(d, i), zeroes, sizeof(zeroes));
}

/* A second mapping of the frames where the client has its pages: what mremap() of no bytes of a shared one makes (mremap(2)). */
static int map_at_client(struct hw_donation *d, u64 page, u64 count)
{
	void *from = d->frames + bytes(page), *to = client_page(d, page);

	return mremap(from, 0, bytes(count), MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED ? -errno : 0;
}

/*
 * From the first mprotect() on the client's writes fail, so none is lost behind the copy. Before it is hidden the client reaches
 * the frame for a moment; it is not the guest's yet.
 */
static int move(struct hw_donation *d, u64 page, u64 count)
{
	u64 start = d->address + bytes(page), end = start + bytes(count);
	int error = protect(start, end, PROT_READ);

	error = error ? error : copy_in(d, page, count);
	error = error ? error : map_at_client(d, page, count);
	if (error)
		clear(d, page, count);
	else
		error = protect(start, end, PROT_NONE);
	if (error)
		protect(start, end, PROT_READ | PROT_WRITE);
	return error && error != -ENOMEM ? -EFAULT : error;
}

int hw_donation_take(struct hw_donation *d, u64 page, u64 count)
{
	int error;

	pthread_mutex_lock(&all.lock);
	error = taken_by_another(d, page, count) ? -EPERM : probe(d, page);
	error = error ? error : move(d, page, count);
	if (!error)
		mark_taken(d, page, count, true);
	pthread_mutex_unlock(&all.lock);
	return error;
}

void hw_donation_wipe(struct hw_donation *d, u64 page, u64 count)
{
	clear(d, page, count);
	pthread_mutex_lock(&all.lock);
	mark_taken(d, page, count, false);
	pthread_mutex_unlock(&all.lock);
}
