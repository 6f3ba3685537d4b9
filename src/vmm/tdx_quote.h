// SPDX-License-Identifier: Apache-2.0
/* TDG.VP.VMCALL<GetQuote>: a TD's report goes to whoever signs quotes (vmm_config.quote), and the quote comes back in the same buffer. */
#pragma once

struct vcpu;

/* KVM_EXIT_TDX of TDVMCALL_GET_QUOTE; fills in run->tdx.get_quote.ret. The vCPU's thread. */
void tdx_get_quote(struct vcpu *vcpu);
