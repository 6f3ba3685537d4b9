// SPDX-License-Identifier: Apache-2.0
/* Messages to the user, one line each on standard error. Any thread. */
#pragma once

void vmm_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
