// SPDX-License-Identifier: Apache-2.0
/*
 * ACPI machine language (ACPI 6, chapter 20) into a buffer. Objects with a package length are opened and closed; the length
 * is put in when they are closed. A buffer that is too small sets `overflow` and the rest is dropped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *data;
	size_t size, used;
	bool overflow;
};

void aml_byte(struct aml *aml, uint8_t byte);
void aml_bytes(struct aml *aml, const void *bytes, size_t n);

/* A path of four-character segments: "_SB_", "\\_SB_", "\\_SB_.PWRB". */
void aml_path(struct aml *aml, const char *path);
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *string);
void aml_eisaid(struct aml *aml, const char *id); /* "PNP0A08" */

/* Each returns what aml_close() takes. */
size_t aml_open_scope(struct aml *aml, const char *path);
size_t aml_open_device(struct aml *aml, const char *name);
size_t aml_open_method(struct aml *aml, const char *name, uint8_t flags); /* arguments 2:0, serialised bit 3 */
size_t aml_open_package(struct aml *aml, uint8_t elements);
void aml_close(struct aml *aml, size_t start);

void aml_name(struct aml *aml, const char *name); /* Name (name, the object that follows) */
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_eisaid(struct aml *aml, const char *name, const char *id);
void aml_name_string(struct aml *aml, const char *name, const char *string);
void aml_notify(struct aml *aml, const char *path, uint8_t value);

/* Name (_CRS, ResourceTemplate () {...}) with the descriptors of ACPI 6, 6.4 in between. */
struct aml_resources {
	uint8_t data[256];
	struct aml aml;
};
void aml_resources_open(struct aml_resources *res);
void aml_resource_io(struct aml_resources *res, uint16_t start, uint8_t length);
void aml_resource_memory32_fixed(struct aml_resources *res, uint32_t start, uint32_t length);
void aml_resource_interrupt_edge(struct aml_resources *res, uint32_t gsi); /* active high, exclusive */
void aml_resource_bus_numbers(struct aml_resources *res, uint16_t first, uint16_t last);
void aml_resource_io_window(struct aml_resources *res, uint16_t first, uint16_t last);
void aml_resource_memory_window(struct aml_resources *res, uint32_t first, uint32_t last);
void aml_resources_close(struct aml *aml, struct aml_resources *res);
