// SPDX-License-Identifier: Apache-2.0
/* Reading a whole file. */
#include "vmm/blob.h"

#include "vmm/loader.h"
#include "vmm/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define fail(error, err, ...) (boot_fail(error, __VA_ARGS__), err)

/* Read, not mapped: a file that is truncated meanwhile must not become a SIGBUS. */
static int read_all(int fd, const char *path, const char *what, struct blob *out, struct boot_error *error)
{
	size_t done = 0;
	ssize_t n;

	while (done < out->size) {
		n = read(fd, out->data + done, out->size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(error, -EIO, "cannot read %s '%s': %s", what, path, strerror(errno));
		if (!n)
			break;
		done += (size_t)n;
	}
	out->size = done;
	return 0;
}

static int read_open(int fd, const char *path, const char *what, uint64_t max, struct blob *out, struct boot_error *error)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return fail(error, -EINVAL, "%s '%s' is not a file", what, path);
	if (!st.st_size || (uint64_t)st.st_size > max)
		return fail(error, -EINVAL, "%s '%s' %s (%lld bytes)", what, path, st.st_size ? "is too large" : "is empty",
			    (long long)st.st_size);
	out->size = (size_t)st.st_size;
	out->data = malloc(out->size);
	if (!out->data)
		return fail(error, -ENOMEM, "no memory for %s '%s'", what, path);
	return read_all(fd, path, what, out, error);
}

int blob_read_why(const char *path, const char *what, uint64_t max, struct blob *out, struct boot_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	*out = (struct blob){};
	if (fd < 0)
		return fail(error, -ENOENT, "cannot open %s '%s': %s", what, path, strerror(errno));
	err = read_open(fd, path, what, max, out, error);
	close(fd);
	if (err)
		blob_free(out);
	return err;
}

int blob_read(const char *path, const char *what, uint64_t max, struct blob *out)
{
	struct boot_error error;
	int err = blob_read_why(path, what, max, out, &error);

	if (err)
		vmm_error("%s", error.text);
	return err;
}

void blob_free(struct blob *blob)
{
	free(blob->data);
	*blob = (struct blob){};
}
