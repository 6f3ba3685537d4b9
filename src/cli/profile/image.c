// SPDX-License-Identifier: Apache-2.0
#include "cli/profile/image.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* No kernel is larger. */
#define MAX_FILE (512u << 20)

/* boot.rst: fields of the setup header */
enum { HDR_SETUP_SECTS = 0x1f1, HDR_BOOT_FLAG = 0x1fe, HDR_MAGIC = 0x202, HDR_PAYLOAD_OFFSET = 0x248, HDR_PAYLOAD_LENGTH = 0x24c };
#define SECTOR 512u

struct span {
	const uint8_t *data;
	size_t size;
};

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* ---------------------------------------------------------------- compressions; `out` has the size that the kernel says */

static int unpack_zstd(struct span in, struct kernel_elf *out)
{
	size_t n = ZSTD_decompress(out->data, out->size, in.data, in.size);

	return ZSTD_isError(n) || n != out->size ? -EBADMSG : 0;
}

static int unpack_xz(struct span in, struct kernel_elf *out)
{
	size_t in_at = 0, out_at = 0;
	uint64_t limit = 256u << 20;
	lzma_ret r = lzma_stream_buffer_decode(&limit, 0, NULL, in.data, &in_at, in.size, out->data, &out_at, out->size);

	return r != LZMA_OK || out_at != out->size ? -EBADMSG : 0;
}

static int unpack_gzip(struct span in, struct kernel_elf *out)
{
	z_stream z = { .next_in = (uint8_t *)in.data, .avail_in = (uInt)in.size, .next_out = out->data, .avail_out = (uInt)out->size };
	int r;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return r != Z_STREAM_END || z.total_out != out->size ? -EBADMSG : 0;
}

/* The legacy frame: after the magic, blocks of 8 MiB, each behind its compressed size. */
static int unpack_lz4(struct span in, struct kernel_elf *out)
{
	size_t at = 4, done = 0;

	while (in.size - at >= 4 && done < out->size) {
		uint32_t block = get32(in.data + at);
		int n;

		at += 4;
		if (block > in.size - at || block > INT32_MAX)
			return -EBADMSG;
		n = LZ4_decompress_safe((const char *)in.data + at, (char *)out->data + done, (int)block, (int)(out->size - done));
		if (n < 0)
			return -EBADMSG;
		at += block;
		done += (size_t)n;
	}
	return done == out->size ? 0 : -EBADMSG;
}

static const struct {
	uint8_t magic[6];
	unsigned int length;
	int (*unpack)(struct span in, struct kernel_elf *out);
} compressions[] = {
	{ { 0x28, 0xb5, 0x2f, 0xfd }, 4, unpack_zstd },
	{ { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, unpack_xz },
	{ { 0x1f, 0x8b }, 2, unpack_gzip },
	{ { 0x02, 0x21, 0x4c, 0x18 }, 4, unpack_lz4 },
};

/* ---------------------------------------------------------------- files */

/* The payload ends with the size of the image, except that gzip has it in its own trailer, at the same place. */
static int unpack(struct span payload, struct kernel_elf *out)
{
	for (unsigned int i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
		bool gzip = compressions[i].unpack == unpack_gzip;
		struct span in = { payload.data, payload.size - (gzip ? 0 : 4) };
		int err;

		if (payload.size < 16 || memcmp(payload.data, compressions[i].magic, compressions[i].length))
			continue;
		out->size = get32(payload.data + payload.size - 4);
		if (out->size > MAX_FILE)
			return -EBADMSG;
		out->data = malloc(out->size + 1);
		if (!out->data)
			return -ENOMEM;
		err = compressions[i].unpack(in, out);
		if (err)
			free(out->data);
		return err;
	}
	return -ENOTSUP;
}

static int from_bzimage(struct span file, struct kernel_elf *out)
{
	size_t start, length;

	if (file.size < HDR_PAYLOAD_LENGTH + 4)
		return -ENOEXEC;
	start = ((file.data[HDR_SETUP_SECTS] ? file.data[HDR_SETUP_SECTS] : 4u) + 1u) * SECTOR + get32(file.data + HDR_PAYLOAD_OFFSET);
	length = get32(file.data + HDR_PAYLOAD_LENGTH);
	if (start > file.size || length > file.size - start)
		return -EBADMSG;
	return unpack((struct span){ file.data + start, length }, out);
}

static int from_file(struct span file, struct kernel_elf *out)
{
	if (file.size > HDR_MAGIC + 4 && !memcmp(file.data + HDR_MAGIC, "HdrS", 4))
		return from_bzimage(file, out);
	if (file.size < 64 || memcmp(file.data, "\177ELF", 4))
		return -ENOEXEC;
	out->data = malloc(file.size);
	if (!out->data)
		return -ENOMEM;
	memcpy(out->data, file.data, file.size);
	out->size = file.size;
	return 0;
}

int kernel_elf_read(const char *path, struct kernel_elf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct stat st;
	void *at;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_size <= 0 || st.st_size > MAX_FILE) {
		close(fd);
		return -ENOEXEC;
	}
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return -errno;
	err = from_file((struct span){ at, (size_t)st.st_size }, out);
	munmap(at, (size_t)st.st_size);
	return err;
}
