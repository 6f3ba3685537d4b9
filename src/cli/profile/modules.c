// SPDX-License-Identifier: Apache-2.0
#include "cli/profile/modules.h"

#include <bpf/btf.h>
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MODULES   512u
#define MAX_SYMBOLS   (1u << 18)
#define MAX_STRINGS   (16u << 20)
#define NAME_SIZE     56u /* MODULE_NAME_LEN of a 64-bit kernel */

struct module {
	char name[NAME_SIZE + 1];
	uint64_t text, text_size;
	Elf64_Sym *symbol;
	size_t symbols;
	char *strings; /* terminated */
	size_t strings_size;
};

struct guest_modules {
	unsigned int count;
	struct module module[MAX_MODULES];
};

/* Byte offsets in the kernel's structures (include/linux/module.h). */
struct layout {
	uint32_t list, name, text_base, text_size, kallsyms;
	uint32_t symtab, num_symtab, strtab;
};

/* ---------------------------------------------------------------- layouts from BTF */

static struct btf *btf_of_image(const struct kernel_elf *image)
{
	struct btf *btf = NULL;
	Elf_Scn *section = NULL;
	size_t names;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)image->data, image->size);
	if (!elf || elf_getshdrstrndx(elf, &names))
		names = 0;
	while (elf && names && (section = elf_nextscn(elf, section))) {
		Elf_Data *data = elf_rawdata(section, NULL);
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(section, &header) || !(name = elf_strptr(elf, names, header.sh_name)) || strcmp(name, ".BTF") || !data)
			continue;
		btf = btf__new(data->d_buf, (uint32_t)data->d_size);
		break;
	}
	elf_end(elf);
	return btf;
}

/* Byte offset of a member. */
static bool member(const struct btf *btf, const struct btf_type *s, const char *name, uint32_t *offset)
{
	const struct btf_member *m = btf_members(s);

	for (unsigned int i = 0; i < btf_vlen(s); i++) {
		const char *is = btf__name_by_offset(btf, m[i].name_off);

		if (!is || strcmp(is, name))
			continue;
		*offset = btf_member_bit_offset(s, i) / 8;
		return true;
	}
	return false;
}

static const struct btf_type *structure(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);

	return id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
}

/* The text is mem[MOD_TEXT], of index 0, since Linux 6.4; core_layout before. */
static bool text_layout(const struct btf *btf, const struct btf_type *module, struct layout *l)
{
	static const char *const forms[][2] = { { "mem", "module_memory" }, { "core_layout", "module_layout" } };

	for (unsigned int i = 0; i < 2; i++) {
		const struct btf_type *memory = structure(btf, forms[i][1]);
		uint32_t at, base, size;

		if (!memory || !member(btf, module, forms[i][0], &at) || !member(btf, memory, "base", &base) ||
		    !member(btf, memory, "size", &size))
			continue;
		l->text_base = at + base;
		l->text_size = at + size;
		return true;
	}
	return false;
}

static bool find_layout(const struct kernel_elf *image, struct layout *l)
{
	struct btf *btf = btf_of_image(image);
	const struct btf_type *module = NULL, *kallsyms = NULL;
	bool ok;

	if (btf) {
		module = structure(btf, "module");
		kallsyms = structure(btf, "mod_kallsyms");
	}
	ok = module && kallsyms && member(btf, module, "list", &l->list) && member(btf, module, "name", &l->name) &&
	     member(btf, module, "kallsyms", &l->kallsyms) && member(btf, kallsyms, "symtab", &l->symtab) &&
	     member(btf, kallsyms, "num_symtab", &l->num_symtab) && member(btf, kallsyms, "strtab", &l->strtab) &&
	     text_layout(btf, module, l);
	btf__free(btf);
	return ok;
}

/* ---------------------------------------------------------------- the guest's list */

static bool read_all(const struct guest_reader *r, uint64_t at, void *buf, size_t size)
{
	return r->read(r->opaque, at, buf, size) == size;
}

static size_t longest_name(const struct module *m)
{
	size_t end = 0;

	for (size_t i = 0; i < m->symbols; i++)
		if (m->symbol[i].st_name >= end)
			end = m->symbol[i].st_name + 1u;
	return end;
}

/* Without its symbols a module still has its name. */
static void read_symbols(const struct layout *l, const struct guest_reader *r, uint64_t at, struct module *m)
{
	uint64_t kallsyms, symtab, strtab;
	uint32_t count;

	if (!read_all(r, at + l->kallsyms, &kallsyms, 8) || !read_all(r, kallsyms + l->symtab, &symtab, 8) ||
	    !read_all(r, kallsyms + l->strtab, &strtab, 8) || !read_all(r, kallsyms + l->num_symtab, &count, 4) || count > MAX_SYMBOLS)
		return;
	m->symbol = calloc(count + 1u, sizeof(*m->symbol));
	if (!m->symbol || !read_all(r, symtab, m->symbol, count * sizeof(*m->symbol)))
		return;
	m->symbols = count;
	m->strings_size = longest_name(m) + 256;
	if (m->strings_size > MAX_STRINGS)
		m->strings_size = MAX_STRINGS;
	m->strings = calloc(1, m->strings_size + 1);
	if (m->strings)
		m->strings_size = r->read(r->opaque, strtab, m->strings, m->strings_size);
}

int guest_modules_read(const struct kernel_elf *image, uint64_t list, const struct guest_reader *reader, struct guest_modules **out)
{
	struct guest_modules *modules;
	struct layout l = {};
	uint64_t at;

	if (!find_layout(image, &l))
		return -ENOENT;
	modules = calloc(1, sizeof(*modules));
	if (!modules)
		return -ENOMEM;
	*out = modules;
	if (!read_all(reader, list, &at, 8))
		return 0;
	while (at != list && modules->count < MAX_MODULES) {
		struct module *m = &modules->module[modules->count];
		uint64_t module = at - l.list;
		uint32_t size;

		if (!read_all(reader, module + l.name, m->name, NAME_SIZE) || !read_all(reader, module + l.text_base, &m->text, 8) ||
		    !read_all(reader, module + l.text_size, &size, 4) || !read_all(reader, at, &at, 8))
			break;
		m->text_size = size;
		read_symbols(&l, reader, module, m);
		modules->count++;
	}
	return 0;
}

void guest_modules_free(struct guest_modules *modules)
{
	for (unsigned int i = 0; modules && i < modules->count; i++) {
		free(modules->module[i].symbol);
		free(modules->module[i].strings);
	}
	free(modules);
}

static const char *function_at(const struct module *m, uint64_t address)
{
	const Elf64_Sym *best = NULL;

	for (size_t i = 0; i < m->symbols; i++) {
		const Elf64_Sym *s = &m->symbol[i];

		if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_value <= address && (!best || s->st_value > best->st_value))
			best = s;
	}
	return best && m->strings && best->st_name < m->strings_size ? m->strings + best->st_name : "?";
}

bool guest_modules_find(const struct guest_modules *modules, uint64_t address, const char **module, const char **function)
{
	for (unsigned int i = 0; i < modules->count; i++) {
		const struct module *m = &modules->module[i];

		if (address - m->text >= m->text_size)
			continue;
		*module = m->name;
		*function = function_at(m, address);
		return true;
	}
	return false;
}
