// SPDX-License-Identifier: Apache-2.0
/*
 * The program's own CPUID and RDTSC instructions. KVM's clients ask the processor that they run on, which must be the platform's:
 * they refuse to start without VMX or SVM, copy its vendor and address width into the guest, and give the guest a TSC that differs
 * from the host's by what they say. In the text of a program that mentions /dev/kvm each CPUID and RDTSC becomes UD2, of the same
 * length, and is answered on SIGILL.
 */
#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/vm.h"
#include "shim/shim.h"

#define LEAF1_ECX_VMX	 (1u << 5)
#define LEAF1_ECX_OSXSAVE (1u << 27)
#define LEAF81_ECX_SVM	 (1u << 2)
#define TOPOLOGY_EBX	 0xffff0000u /* leaf 1: initial APIC id, number of logical processors */

#define INSN_SIZE 2

static const uint8_t ud2_bytes[INSN_SIZE] = { 0x0f, 0x0b };

static const struct replaced {
	uint8_t bytes[INSN_SIZE];
	ZydisMnemonic mnemonic;
} replaced[] = {
	{ { 0x0f, 0xa2 }, ZYDIS_MNEMONIC_CPUID },
	{ { 0x0f, 0x31 }, ZYDIS_MNEMONIC_RDTSC },
};

struct site {
	uintptr_t at;
	ZydisMnemonic was;
};

static struct {
	struct site *site; /* ascending */
	size_t count;
	struct hw_machine *machine;
} patched;

/* ---------------------------------------------------------------- answers */

static struct hw_cpuid native(uint32_t leaf, uint32_t subleaf)
{
	struct hw_cpuid r;

	__cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
	return r;
}

/*
 * The platform as a host that has virtualisation. Features are also the real processor's, as the program acts on them:
 * AVX needs OSXSAVE, and what only the interpreter has cannot be executed here. So is the topology, since threads run there.
 */
static struct hw_cpuid answer(uint32_t leaf, uint32_t subleaf)
{
	bool intel = hw_machine_config(patched.machine)->platform == HW_PLATFORM_INTEL;
	struct hw_cpuid real = native(leaf, subleaf), r;

	hw_cpuid(patched.machine, leaf, subleaf, &r);
	switch (leaf) {
	case 1:
		r.ebx = (r.ebx & ~TOPOLOGY_EBX) | (real.ebx & TOPOLOGY_EBX);
		r.ecx = (r.ecx & real.ecx) | (real.ecx & LEAF1_ECX_OSXSAVE) | (intel ? LEAF1_ECX_VMX : 0);
		r.edx &= real.edx;
		break;
	case 7:
		r.ebx &= real.ebx;
		r.ecx &= real.ecx;
		break;
	case 0xb:
	case 0x1f:
		return real;
	case 0x80000001:
		r.ecx = (r.ecx & real.ecx) | (intel ? 0 : LEAF81_ECX_SVM);
		r.edx &= real.edx;
		break;
	}
	return r;
}

static int compare_sites(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void do_cpuid(greg_t *r)
{
	struct hw_cpuid out = answer((uint32_t)r[REG_RAX], (uint32_t)r[REG_RCX]);

	r[REG_RAX] = out.eax;
	r[REG_RBX] = out.ebx;
	r[REG_RCX] = out.ecx;
	r[REG_RDX] = out.edx;
}

/* The host's TSC, of which those of the guests are offsets. */
static void do_rdtsc(greg_t *r)
{
	uint64_t tsc = hw_machine_tsc(patched.machine) + hw_machine_tsc_base(patched.machine);

	r[REG_RAX] = (uint32_t)tsc;
	r[REG_RDX] = tsc >> 32;
}

bool shim_cpuid_emulate(ucontext_t *context)
{
	greg_t *r = context->uc_mcontext.gregs;
	const struct site key = { .at = r[REG_RIP] }, *site;

	site = patched.count ? bsearch(&key, patched.site, patched.count, sizeof(key), compare_sites) : NULL;
	if (!site)
		return false;
	if (site->was == ZYDIS_MNEMONIC_CPUID)
		do_cpuid(r);
	else
		do_rdtsc(r);
	r[REG_RIP] += INSN_SIZE;
	return true;
}

/* ---------------------------------------------------------------- where they are */

struct text {
	const uint8_t *file; /* the program's file, mapped */
	size_t file_size;
	uint8_t *start;	     /* .text in memory */
	size_t size;
};

/* Section headers are the file's word: nothing outside the file, and no text outside a loaded, executable segment. */
static bool find_section(struct text *t, const struct dl_phdr_info *program)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)t->file;
	const Elf64_Shdr *sh = (const Elf64_Shdr *)(t->file + eh->e_shoff), *names;

	if (eh->e_shentsize != sizeof(*sh) || eh->e_shoff > t->file_size ||
	    eh->e_shnum > (t->file_size - eh->e_shoff) / sizeof(*sh) || eh->e_shstrndx >= eh->e_shnum)
		return false;
	names = &sh[eh->e_shstrndx];
	if (names->sh_offset > t->file_size || names->sh_size > t->file_size - names->sh_offset)
		return false;
	for (int i = 0; i < eh->e_shnum; i++) {
		if (names->sh_size < 6 || sh[i].sh_name > names->sh_size - 6 ||
		    memcmp(t->file + names->sh_offset + sh[i].sh_name, ".text", 6))
			continue;
		t->start = (uint8_t *)program->dlpi_addr + sh[i].sh_addr;
		t->size = sh[i].sh_size;
		for (int n = 0; n < program->dlpi_phnum; n++) {
			const Elf64_Phdr *ph = &program->dlpi_phdr[n];

			if (ph->p_type == PT_LOAD && ph->p_flags & PF_X && sh[i].sh_addr >= ph->p_vaddr &&
			    sh[i].sh_size <= ph->p_filesz && sh[i].sh_addr - ph->p_vaddr <= ph->p_filesz - sh[i].sh_size)
				return true;
		}
	}
	return false;
}

static bool map_program(struct text *t)
{
	int fd = __wrap_open("/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	struct stat st;
	void *at;

	if (fd < 0)
		return false;
	at = __wrap_fstat(fd, &st) || st.st_size < (off_t)sizeof(Elf64_Ehdr) ?
		     MAP_FAILED :
		     __wrap_mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	__wrap_close(fd);
	if (at == MAP_FAILED)
		return false;
	t->file = at;
	t->file_size = st.st_size;
	return !memcmp(t->file, ELFMAG, SELFMAG) && t->file[EI_CLASS] == ELFCLASS64;
}

static int first_object(struct dl_phdr_info *info, size_t size, void *out)
{
	*(struct dl_phdr_info *)out = *info;
	return 1;
}

/* ---------------------------------------------------------------- patching */

/* The two bytes may lie inside another instruction: a linear decode from the start of .text tells. */
static bool add_site(uintptr_t at, ZydisMnemonic was)
{
	struct site *site = realloc(patched.site, (patched.count + 1) * sizeof(*site));

	if (!site)
		return false;
	patched.site = site;
	site[patched.count++] = (struct site){ at, was };
	return true;
}

static const struct replaced *replaced_at(const uint8_t *at)
{
	for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++)
		if (!memcmp(at, replaced[i].bytes, INSN_SIZE))
			return &replaced[i];
	return NULL;
}

static const uint8_t *next_candidate(const struct text *t, size_t from)
{
	const uint8_t *end = t->start + t->size, *at = t->start + from;

	/* All of them begin with 0f. */
	while (at < end && (at = memchr(at, 0x0f, end - at)) && at + INSN_SIZE <= end) {
		if (replaced_at(at))
			return at;
		at++;
	}
	return NULL;
}

static bool collect_sites(const struct text *t)
{
	const uint8_t *candidate = next_candidate(t, 0);
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;
	size_t at = 0;

	if (ZYAN_FAILED(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	while (candidate) { /* what follows the last one need not be decoded */
		if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(&decoder, NULL, t->start + at, t->size - at, &insn)))
			insn.length = 1;
		else if (t->start + at == candidate && insn.mnemonic == replaced_at(candidate)->mnemonic &&
			 !add_site((uintptr_t)candidate, insn.mnemonic))
			return false;
		at += insn.length;
		if (t->start + at > candidate)
			candidate = next_candidate(t, candidate + 1 - t->start);
	}
	return patched.count;
}

static bool write_sites(const struct text *t)
{
	uintptr_t page = getpagesize(), start = (uintptr_t)t->start & ~(page - 1);
	size_t length = (uintptr_t)t->start + t->size - start;

	if (mprotect((void *)start, length, PROT_READ | PROT_WRITE | PROT_EXEC))
		return false;
	for (size_t i = 0; i < patched.count; i++)
		memcpy((void *)patched.site[i].at, ud2_bytes, sizeof(ud2_bytes));
	return !mprotect((void *)start, length, PROT_READ | PROT_EXEC);
}

static void patch(const struct text *t)
{
	struct softcvm_config config;

	if (!shim_config_read(&config) || !collect_sites(t))
		return;
	if (kvm_create_machine(&config, &patched.machine)) {
		patched.count = 0;
		return;
	}
	shim_take_illegal();
	if (!write_sites(t))
		fprintf(stderr, "softcvm: CPUID and RDTSC instructions of the program cannot be replaced: %s\n", strerror(errno));
}

/* Before the program runs, so with one thread. */
__attribute__((constructor)) static void replace_cpuid(void)
{
	struct dl_phdr_info program = { 0 };
	struct text t = { 0 };

	if (!shim_cpuid_wanted())
		return;
	dl_iterate_phdr(first_object, &program);
	if (map_program(&t) && memmem(t.file, t.file_size, "/dev/kvm", 8) && find_section(&t, &program))
		patch(&t);
	if (t.file)
		munmap((void *)t.file, t.file_size);
}
