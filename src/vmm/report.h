// SPDX-License-Identifier: Apache-2.0
/* Messages to the user, one line each on standard error. Any thread. */
#pragma once

/* Whose messages they are, before the first one; otherwise "softcvm run". */
void vmm_report_as(const char *command);
void vmm_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
