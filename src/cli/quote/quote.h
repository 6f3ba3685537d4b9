// SPDX-License-Identifier: Apache-2.0
/* Quotes: made from a TD's report, as a platform's quoting enclave does, and verified, as a relying party does. */
#pragma once

#include "cli/quote/authority.h"
#include "cli/quote/format.h"

/* What a quote says of the TD that the report is of. */
struct quote_body quote_body_of(const struct tdx_report *report);

/*
 * The report must be of this platform (its MAC is checked). out: QUOTE_MAX bytes. 0; -EBADMSG: not a report that this model made;
 * -EMSGSIZE, -ENOMEM.
 */
int quote_make(const struct quote_authority *a, const struct tdx_report *report, u8 *out, size_t *size);

/*
 * Everything is checked: structure, the chain up to `root`, the quoting enclave's report, the attestation key, the signature. The
 * root must say that it is a test's. 0 and what was quoted, or -EBADMSG and why. The quote is hostile input.
 */
int quote_verify(const u8 *quote, size_t size, X509 *root, struct quote_body *out, char why[QUOTE_WHY]);
