// SPDX-License-Identifier: Apache-2.0
/* What stands at fixed ports: COM1, clock, reset and sleep registers, pvpanic, the debug-exit port. */
#pragma once

struct legacy;
struct vm;

int legacy_create(struct vm *vm, struct legacy **out); /* 0 or -errno */
void legacy_destroy(struct legacy *legacy);
