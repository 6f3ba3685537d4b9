// SPDX-License-Identifier: Apache-2.0
/* snapshot: what a VM's memory is, as the events that would lead there. */
#pragma once

#include <stdio.h>

struct kvm;

/*
 * Lines of a trace, with `vm` as the VM's number. Takes slots_lock and what is inside it, and holds nothing while the text is made.
 * 0, -ENOMEM, or what stdio says.
 */
int kvm_snapshot(struct kvm *kvm, unsigned int vm, FILE *out);
