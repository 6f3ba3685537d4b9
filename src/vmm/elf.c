// SPDX-License-Identifier: Apache-2.0
/*
 * ELF kernels: with the PVH note (xen/include/public/arch-x86/hvm/start_info.h, elfnote.h) in 32-bit protected mode, without it
 * at the ELF entry in 64-bit mode as the x86 boot protocol has it.
 */
#include "vmm/bytes.h"
#include "vmm/layout.h"
#include "vmm/loader.h"

#include <errno.h>
#include <gelf.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18u
#define MAX_SEGMENTS		 128u

bool elf_probe(const uint8_t *image, size_t size)
{
	return size >= SELFMAG && !memcmp(image, ELFMAG, SELFMAG);
}

/* The PVH entry in one PT_NOTE segment, or 0. */
static uint64_t pvh_entry(Elf *elf, const GElf_Phdr *segment)
{
	Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)segment->p_offset, segment->p_filesz,
					      segment->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	size_t offset = 0, name_at, desc_at;
	GElf_Nhdr note;

	while (data && (offset = gelf_getnote(data, offset, &note, &name_at, &desc_at))) {
		const uint8_t *bytes = data->d_buf;

		if (note.n_type != XEN_ELFNOTE_PHYS32_ENTRY || note.n_namesz != 4 || memcmp(bytes + name_at, "Xen", 4))
			continue;
		if (note.n_descsz == 4)
			return get32(bytes + desc_at);
		if (note.n_descsz == 8)
			return get64(bytes + desc_at);
	}
	return 0;
}

static int place_segment( struct guest_memory *mem, const uint8_t *image, size_t size, const GElf_Phdr *segment,
			 struct boot_error *error)
{
	unsigned long long at = segment->p_paddr, needed = segment->p_memsz;
	void *to;

	if (segment->p_offset > size || segment->p_filesz > size - segment->p_offset)
		return boot_fail(error, "kernel is truncated: a segment of %llu bytes at offset %llu in a file of %zu bytes",
				 (unsigned long long)segment->p_filesz, (unsigned long long)segment->p_offset, size);
	if (segment->p_filesz > segment->p_memsz)
		return boot_fail(error, "kernel's segment at %#llx is larger in the file than in memory", at);
	to = at >= LAYOUT_HIGH_MEMORY ? memory_at(mem, at, needed) : NULL;
	if (!to || !memory_place(mem, at, segment->p_filesz))
		return boot_fail(error, "kernel's segment of %llu bytes at %#llx is not in the guest's memory", needed, at);
	memcpy(to, image + segment->p_offset, segment->p_filesz);
	memset((uint8_t *)to + segment->p_filesz, 0, segment->p_memsz - segment->p_filesz);
	return 0;
}

/* The ELF entry may be virtual: then the segment that holds it tells the physical address. */
static uint64_t physical_entry(uint64_t entry, const GElf_Phdr *segment)
{
	if (entry >= segment->p_vaddr && entry - segment->p_vaddr < segment->p_memsz)
		return entry - segment->p_vaddr + segment->p_paddr;
	return 0;
}

static int place_segments(Elf *elf, struct guest_memory *mem, const uint8_t *image, size_t size, uint64_t elf_entry,
			  struct boot_image *out, struct boot_error *error)
{
	uint64_t pvh = 0, plain = elf_entry;
	GElf_Phdr segment;
	size_t count;

	if (elf_getphdrnum(elf, &count) || !count || count > MAX_SEGMENTS)
		return boot_fail(error, "kernel is an ELF file without usable program headers");
	*out = (struct boot_image){ .start = ~0ull, .initrd_max = UINT32_MAX, .cmdline_max = LAYOUT_EBDA };
	for (size_t i = 0; i < count; i++) {
		if (!gelf_getphdr(elf, (int)i, &segment))
			return boot_fail(error, "kernel's program headers: %s", elf_errmsg(-1));
		if (segment.p_type == PT_NOTE && !pvh)
			pvh = pvh_entry(elf, &segment);
		if (segment.p_type != PT_LOAD || !segment.p_memsz)
			continue;
		if (place_segment(mem, image, size, &segment, error))
			return -EINVAL;
		if (segment.p_paddr < out->start)
			out->start = segment.p_paddr;
		if (segment.p_paddr + segment.p_memsz > out->end)
			out->end = segment.p_paddr + segment.p_memsz;
		if (elf_entry >= MEMORY_HIGH_START && physical_entry(elf_entry, &segment))
			plain = physical_entry(elf_entry, &segment);
	}
	out->entry.mode = pvh ? BOOT_PVH : BOOT_LINUX_64;
	out->entry.entry = pvh ? pvh : plain;
	if (out->entry.entry < out->start || out->entry.entry >= out->end || out->entry.entry >= MEMORY_LOW_LIMIT)
		return boot_fail(error, "kernel's entry point %#llx is outside its segments",
				 (unsigned long long)out->entry.entry);
	return 0;
}

int elf_place( struct guest_memory *mem, const uint8_t *image, size_t size, struct boot_image *out,
	      struct boot_error *error)
{
	GElf_Ehdr header;
	Elf *elf;
	int err;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return boot_fail(error, "libelf is too old");
	/* libelf does not write through the image: ELF_C_READ semantics without a copy. */
	elf = elf_memory((char *)(uintptr_t)image, size);
	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header)) {
		err = boot_fail(error, "kernel is a damaged ELF file: %s", elf_errmsg(-1));
		goto out;
	}
	if (header.e_machine != EM_X86_64 && header.e_machine != EM_386)
		err = boot_fail(error, "kernel is an ELF file for machine %u, not x86", header.e_machine);
	else
		err = place_segments(elf, mem, image, size, header.e_entry, out, error);
	if (!err && out->entry.mode != BOOT_PVH && header.e_machine != EM_X86_64)
		err = boot_fail(error, "kernel is a 32-bit ELF file without a PVH entry");
out:
	elf_end(elf);
	return err;
}
