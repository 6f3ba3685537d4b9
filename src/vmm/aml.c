// SPDX-License-Identifier: Apache-2.0
/* AML encoding, ACPI 6.5 chapter 20, and resource descriptors, 6.4. */
#include "vmm/aml.h"

#include "vmm/bytes.h"

#include <ctype.h>

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_DUAL_NAME = 0x2e,
	OP_MULTI_NAME = 0x2f,
	OP_EXTENDED = 0x5b,
	OP_DEVICE = 0x82, /* after OP_EXTENDED */
	OP_NOTIFY = 0x86,
};

void aml_bytes(struct aml *aml, const void *bytes, size_t n)
{
	if (n > aml->size - aml->used) {
		aml->overflow = true;
		return;
	}
	memcpy(aml->data + aml->used, bytes, n);
	aml->used += n;
}

void aml_byte(struct aml *aml, uint8_t byte)
{
	aml_bytes(aml, &byte, 1);
}

void aml_path(struct aml *aml, const char *path)
{
	size_t segments;

	if (*path == '\\') {
		aml_byte(aml, '\\');
		path++;
	}
	segments = (strlen(path) + 1) / 5;
	if (segments == 2) {
		aml_byte(aml, OP_DUAL_NAME);
	} else if (segments > 2) {
		aml_byte(aml, OP_MULTI_NAME);
		aml_byte(aml, (uint8_t)segments);
	}
	for (size_t i = 0; i < segments; i++)
		aml_bytes(aml, path + i * 5, 4);
}

void aml_integer(struct aml *aml, uint64_t value)
{
	unsigned int size = value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : value <= UINT32_MAX ? 4 : 8;
	uint8_t bytes[8];

	if (value <= 1) {
		aml_byte(aml, value ? OP_ONE : OP_ZERO);
		return;
	}
	aml_byte(aml, size == 1 ? OP_BYTE : size == 2 ? OP_WORD : size == 4 ? OP_DWORD : OP_QWORD);
	put_bytes(bytes, size, value);
	aml_bytes(aml, bytes, size);
}

void aml_string(struct aml *aml, const char *string)
{
	aml_byte(aml, OP_STRING);
	aml_bytes(aml, string, strlen(string) + 1);
}

static unsigned int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? (unsigned int)(c - '0') : (unsigned int)(c - 'A' + 10);
}

/* ACPI 6.5 19.3.4: three letters of five bits and four hex digits, big-endian */
void aml_eisaid(struct aml *aml, const char *id)
{
	unsigned int letters = (unsigned int)(id[0] - 0x40) << 10 | (unsigned int)(id[1] - 0x40) << 5 | (unsigned int)(id[2] - 0x40);

	aml_byte(aml, OP_DWORD);
	aml_byte(aml, (uint8_t)(letters >> 8));
	aml_byte(aml, (uint8_t)letters);
	aml_byte(aml, (uint8_t)(hex_digit(id[3]) << 4 | hex_digit(id[4])));
	aml_byte(aml, (uint8_t)(hex_digit(id[5]) << 4 | hex_digit(id[6])));
}

size_t aml_open_scope(struct aml *aml, const char *path)
{
	size_t start;

	aml_byte(aml, OP_SCOPE);
	start = aml->used;
	aml_path(aml, path);
	return start;
}

size_t aml_open_device(struct aml *aml, const char *name)
{
	size_t start;

	aml_byte(aml, OP_EXTENDED);
	aml_byte(aml, OP_DEVICE);
	start = aml->used;
	aml_path(aml, name);
	return start;
}

size_t aml_open_method(struct aml *aml, const char *name, uint8_t flags)
{
	size_t start;

	aml_byte(aml, OP_METHOD);
	start = aml->used;
	aml_path(aml, name);
	aml_byte(aml, flags);
	return start;
}

size_t aml_open_package(struct aml *aml, uint8_t elements)
{
	size_t start;

	aml_byte(aml, OP_PACKAGE);
	start = aml->used;
	aml_byte(aml, elements);
	return start;
}

/* PkgLength (20.2.4) counts itself; it goes in front of what was written since the object was opened. */
void aml_close(struct aml *aml, size_t start)
{
	size_t body = aml->used - start;
	unsigned int extra = body + 1 <= 0x3f ? 0 : body + 2 <= 0xfff ? 1 : 2;
	size_t length = body + 1 + extra;
	uint8_t encoded[3] = {};

	if (aml->overflow || aml->size - aml->used < 1 + extra) {
		aml->overflow = true;
		return;
	}
	if (!extra) {
		encoded[0] = (uint8_t)length;
	} else {
		encoded[0] = (uint8_t)(extra << 6 | (length & 0xf));
		encoded[1] = (uint8_t)(length >> 4);
		encoded[2] = (uint8_t)(length >> 12);
	}
	memmove(aml->data + start + 1 + extra, aml->data + start, body);
	memcpy(aml->data + start, encoded, 1 + extra);
	aml->used += 1 + extra;
}

void aml_name(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_NAME);
	aml_path(aml, name);
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
	aml_name(aml, name);
	aml_integer(aml, value);
}

void aml_name_eisaid(struct aml *aml, const char *name, const char *id)
{
	aml_name(aml, name);
	aml_eisaid(aml, id);
}

void aml_name_string(struct aml *aml, const char *name, const char *string)
{
	aml_name(aml, name);
	aml_string(aml, string);
}

void aml_notify(struct aml *aml, const char *path, uint8_t value)
{
	aml_byte(aml, OP_NOTIFY);
	aml_path(aml, path);
	aml_integer(aml, value);
}

/* ---------------------------------------------------------------- resource descriptors */

#define DECODE_POSITIVE_FIXED 0x0c /* _MAF and _MIF, 6.4.3.5 */

void aml_resources_open(struct aml_resources *res)
{
	res->aml = (struct aml){ .data = res->data, .size = sizeof(res->data) };
}

void aml_resource_io(struct aml_resources *res, uint16_t start, uint8_t length)
{
	uint8_t d[8] = { 0x47, 1 /* 16-bit decode */, 0, 0, 0, 0, 1, length };

	put16(d + 2, start);
	put16(d + 4, start);
	aml_bytes(&res->aml, d, sizeof(d));
}

void aml_resource_memory32_fixed(struct aml_resources *res, uint32_t start, uint32_t length)
{
	uint8_t d[12] = { 0x86, 9, 0, 1 /* writable */ };

	put32(d + 4, start);
	put32(d + 8, length);
	aml_bytes(&res->aml, d, sizeof(d));
}

void aml_resource_interrupt_edge(struct aml_resources *res, uint32_t gsi)
{
	uint8_t d[9] = { 0x89, 6, 0, 0x03 /* consumer, edge */, 1 };

	put32(d + 5, gsi);
	aml_bytes(&res->aml, d, sizeof(d));
}

static void address_space_16(struct aml_resources *res, uint8_t type, uint8_t type_flags, uint16_t first, uint16_t last)
{
	uint8_t d[16] = { 0x88, 13, 0, type, DECODE_POSITIVE_FIXED, type_flags };

	put16(d + 8, first);
	put16(d + 10, last);
	put16(d + 14, (uint16_t)(last - first + 1));
	aml_bytes(&res->aml, d, sizeof(d));
}

void aml_resource_bus_numbers(struct aml_resources *res, uint16_t first, uint16_t last)
{
	address_space_16(res, 2, 0, first, last);
}

void aml_resource_io_window(struct aml_resources *res, uint16_t first, uint16_t last)
{
	address_space_16(res, 1, 3 /* whole range */, first, last);
}

void aml_resource_memory_window(struct aml_resources *res, uint32_t first, uint32_t last)
{
	uint8_t d[26] = { 0x87, 23, 0, 0, DECODE_POSITIVE_FIXED, 1 /* writable, not cacheable */ };

	put32(d + 10, first);
	put32(d + 14, last);
	put32(d + 22, last - first + 1);
	aml_bytes(&res->aml, d, sizeof(d));
}

void aml_resources_close(struct aml *aml, struct aml_resources *res)
{
	static const uint8_t end_tag[2] = { 0x79, 0 };
	size_t start;

	aml_bytes(&res->aml, end_tag, sizeof(end_tag));
	aml->overflow |= res->aml.overflow;
	aml_name(aml, "_CRS");
	aml_byte(aml, OP_BUFFER);
	start = aml->used;
	aml_integer(aml, res->aml.used);
	aml_bytes(aml, res->data, res->aml.used);
	aml_close(aml, start);
}
