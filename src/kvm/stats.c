// SPDX-License-Identifier: Apache-2.0
/*
 * api.rst KVM_GET_STATS_FD: a file with a header, the name of its VM or vCPU, a descriptor for each figure, and the figures as
 * they are when they are read. It keeps the VM.
 */
#include "kvm/stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/ioctl.h"

#define NAME_SIZE 48u
#define MAX_STATS 32u

struct described {
	const char *name;
	u32 type;
};

static const struct described vcpu_stats[] = {
#define X(name) { #name, KVM_STATS_TYPE_CUMULATIVE },
	KVM_VCPU_STATS(X)
#undef X
};

/* How many mappings of each size there are. */
static const struct described vm_stats[] = {
	{ "pages_4k", KVM_STATS_TYPE_INSTANT }, { "pages_2m", KVM_STATS_TYPE_INSTANT }, { "pages_1g", KVM_STATS_TYPE_INSTANT },
};

struct stats_file {
	struct kvm_object object;
	struct kvm *kvm;
	struct kvm_vcpu *vcpu; /* NULL: of the VM */
	const struct described *stats;
	unsigned int count;
};

/* The file as a whole. */
struct contents {
	struct kvm_stats_header header;
	char id[NAME_SIZE];
	struct {
		struct kvm_stats_desc desc;
		char name[NAME_SIZE];
	} desc[MAX_STATS];
	u64 value[MAX_STATS];
};

_Static_assert(sizeof(vcpu_stats) / sizeof(vcpu_stats[0]) <= MAX_STATS, "contents");
_Static_assert(sizeof(((struct contents *)0)->desc[0]) == sizeof(struct kvm_stats_desc) + NAME_SIZE, "no padding");

struct mappings {
	enum stage2_format format;
	u64 *value;
};

static void count_mapping(void *opaque, gfn_t f, u64 entry, unsigned int level)
{
	const struct mappings *m = opaque;

	if (level >= HW_LEVEL_4K && level <= HW_LEVEL_1G && !stage2_is_reserved(m->format, entry))
		m->value[level - HW_LEVEL_4K]++;
}

static void fill_values(const struct stats_file *file, u64 *value)
{
	struct mappings mappings = { file->kvm->mmu.s2.format, value };

	if (!file->vcpu) {
		pthread_mutex_lock(&file->kvm->mmu.lock);
		kvm_tdp_for_each(file->kvm, count_mapping, &mappings);
		pthread_mutex_unlock(&file->kvm->mmu.lock);
		return;
	}
	for (unsigned int n = 0; n < file->count; n++)
		value[n] = __atomic_load_n((const u64 *)&file->vcpu->stats + n, __ATOMIC_RELAXED);
}

static void fill(const struct stats_file *file, struct contents *c)
{
	c->header = (struct kvm_stats_header){
		.name_size = NAME_SIZE,
		.num_desc = file->count,
		.id_offset = offsetof(struct contents, id),
		.desc_offset = offsetof(struct contents, desc),
		.data_offset = offsetof(struct contents, value),
	};
	if (file->vcpu)
		snprintf(c->id, sizeof(c->id), "kvm-%d/vcpu-%u", (int)getpid(), file->vcpu->vcpu_id);
	else
		snprintf(c->id, sizeof(c->id), "kvm-%d", (int)getpid());
	for (unsigned int n = 0; n < file->count; n++) {
		c->desc[n].desc.flags = file->stats[n].type | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10;
		c->desc[n].desc.size = 1;
		c->desc[n].desc.offset = n * sizeof(u64);
		snprintf(c->desc[n].name, NAME_SIZE, "%s", file->stats[n].name);
	}
	fill_values(file, c->value);
}

long kvm_stats_read(struct kvm_object *object, void *to, size_t size, off_t offset)
{
	const struct stats_file *file = (const struct stats_file *)object;
	size_t whole = offsetof(struct contents, value) + file->count * sizeof(u64);
	struct contents *c;
	long result;

	if (offset < 0)
		return -EINVAL;
	if ((size_t)offset >= whole)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	fill(file, c);
	size = size < whole - offset ? size : whole - offset;
	result = hw_copy_to_host(ptr_to_hpa(to), (const u8 *)c + offset, size) ? -EFAULT : (long)size;
	free(c);
	return result;
}

static void released(struct kvm_object *object)
{
	struct stats_file *file = (struct stats_file *)object;

	kvm_object_put(&file->kvm->object);
	free(file);
}

static long create(struct kvm *kvm, struct kvm_vcpu *vcpu, const struct described *stats, unsigned int count)
{
	struct stats_file *file = calloc(1, sizeof(*file));
	int fd, error;

	if (!file)
		return -ENOMEM;
	kvm_object_init(&file->object, KVM_FD_STATS, released);
	kvm_object_get(&kvm->object);
	file->kvm = kvm;
	file->vcpu = vcpu;
	file->stats = stats;
	file->count = count;
	fd = kvm_fd_create_carrier(vcpu ? "kvm-vcpu-stats" : "kvm-vm-stats", 0);
	if (fd >= 0 && (error = kvm_fd_install(fd, &file->object))) {
		close(fd);
		fd = error;
	}
	kvm_object_put(&file->object);
	return fd;
}

long kvm_ioctl_vm_get_stats_fd(struct kvm_call *c)
{
	return create(c->kvm, NULL, vm_stats, sizeof(vm_stats) / sizeof(vm_stats[0]));
}

/* The vCPU lives as long as its VM. */
long kvm_ioctl_vcpu_get_stats_fd(struct kvm_call *c)
{
	return create(c->kvm, c->vcpu, vcpu_stats, sizeof(vcpu_stats) / sizeof(vcpu_stats[0]));
}
