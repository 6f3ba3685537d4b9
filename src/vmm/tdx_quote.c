// SPDX-License-Identifier: Apache-2.0
#include "vmm/tdx_quote.h"

#include "vmm/bytes.h"
#include "vmm/vm.h"

#include <stdlib.h>
#include <string.h>

/* The buffer that the guest shares (GHCI 3.3): header, then the report, which the quote replaces. */
enum { QUOTE_VERSION = 0, QUOTE_STATUS = 8, QUOTE_IN_LENGTH = 16, QUOTE_OUT_LENGTH = 20, QUOTE_DATA = 24 };
#define VERSION		   1u
#define STATUS_READY	   0ull
#define STATUS_ERROR	   0x8000000000000000ull
#define STATUS_UNAVAILABLE 0x8000000000000001ull
#define REPORT_SIZE	   1024u
#define MAX_BUFFER	   (128u << 10)

/* A copy of the report is what counts: the guest may go on writing into the buffer. */
static uint64_t quote(const struct vmm_config *config, uint8_t *buffer, size_t size)
{
	uint8_t report[REPORT_SIZE], *out;
	size_t length = size - QUOTE_DATA;
	uint64_t status = STATUS_ERROR;

	if (!config->quote)
		return STATUS_UNAVAILABLE;
	if (get32(buffer + QUOTE_IN_LENGTH) != REPORT_SIZE || length < REPORT_SIZE)
		return STATUS_ERROR;
	memcpy(report, buffer + QUOTE_DATA, REPORT_SIZE);
	out = malloc(length);
	if (!out)
		return STATUS_ERROR;
	if (!config->quote(config->quote_opaque, report, out, &length)) {
		memcpy(buffer + QUOTE_DATA, out, length);
		put32(buffer + QUOTE_OUT_LENGTH, (uint32_t)length);
		status = STATUS_READY;
	}
	free(out);
	return status;
}

void tdx_get_quote(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t size = run->tdx.get_quote.size;
	uint8_t *buffer = size && size <= MAX_BUFFER ? memory_at(&vcpu->vm->memory, run->tdx.get_quote.gpa, size) : NULL;

	run->tdx.get_quote.ret = TDVMCALL_STATUS_INVALID_OPERAND;
	if (!buffer || size < MEMORY_PAGE || get64(buffer + QUOTE_VERSION) != VERSION)
		return;
	put32(buffer + QUOTE_OUT_LENGTH, 0);
	put64(buffer + QUOTE_STATUS, quote(vcpu->vm->config, buffer, size));
	run->tdx.get_quote.ret = TDVMCALL_STATUS_SUCCESS;
}
