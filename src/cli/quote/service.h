// SPDX-License-Identifier: Apache-2.0
/* The quoting service of one run: the test authority is opened when a guest first asks. Any thread, one at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct quote_service;

/* folder NULL: the user's default. 0 or -ENOMEM. */
int quote_service_create(const char *folder, struct quote_service **out);
void quote_service_destroy(struct quote_service *service); /* NULL is allowed */
/* vmm_config.quote */
int quote_service_quote(void *service, const void *report, uint8_t *out, size_t *size);
