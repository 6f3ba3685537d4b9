// SPDX-License-Identifier: Apache-2.0
/* Reading a whole file. */
#include "vmm/blob.h"

#include "vmm/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read, not mapped: a file that is truncated meanwhile must not become a SIGBUS. */
static int read_all(int fd, const char *path, const char *what, struct blob *out)
{
	size_t done = 0;
	ssize_t n;

	while (done < out->size) {
		n = read(fd, out->data + done, out->size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			vmm_error("cannot read %s '%s': %s", what, path, strerror(errno));
			return -EIO;
		}
		if (!n)
			break;
		done += (size_t)n;
	}
	out->size = done;
	return 0;
}

static int read_open(int fd, const char *path, const char *what, uint64_t max, struct blob *out)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		vmm_error("%s '%s' is not a file", what, path);
		return -EINVAL;
	}
	if (!st.st_size || (uint64_t)st.st_size > max) {
		vmm_error("%s '%s' %s (%lld bytes)", what, path, st.st_size ? "is too large" : "is empty", (long long)st.st_size);
		return -EINVAL;
	}
	out->size = (size_t)st.st_size;
	out->data = malloc(out->size);
	if (!out->data) {
		vmm_error("no memory for %s '%s'", what, path);
		return -ENOMEM;
	}
	return read_all(fd, path, what, out);
}

int blob_read(const char *path, const char *what, uint64_t max, struct blob *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	*out = (struct blob){};
	if (fd < 0) {
		vmm_error("cannot open %s '%s': %s", what, path, strerror(errno));
		return -ENOENT;
	}
	err = read_open(fd, path, what, max, out);
	close(fd);
	if (err)
		blob_free(out);
	return err;
}

void blob_free(struct blob *blob)
{
	free(blob->data);
	*blob = (struct blob){};
}
