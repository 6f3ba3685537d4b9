// SPDX-License-Identifier: Apache-2.0
/*
 * softcvm_monitor: a Unix socket from which the VMs of this process can be looked at while they run. Nothing is read from who
 * connects; it is told the state and let go. One thread, one connection at a time.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kvm/kvm.h"
#include "kvm/snapshot.h"
#include "kvm/thread.h"

#define PATIENCE_SECONDS 5 /* with who connects and does not read */

struct softcvm_monitor {
	pthread_t thread;
	int listener, stop;
	struct sockaddr_un address;
};

/* ---------------------------------------------------------------- what is told */

static unsigned int vm_number(const struct kvm *kvm, unsigned int otherwise) { return kvm->obs ? kvm->obs->vm : otherwise; }

static int tell_vms(FILE *out)
{
	struct kvm_object *told[64], *object;
	unsigned int count = 0;
	int error = 0;

	for (int fd = -1; !error && count < 64 && (object = kvm_fd_next(KVM_FD_VM, &fd));) {
		bool again = false;

		for (unsigned int i = 0; i < count; i++)
			again |= told[i] == object;
		if (again) {
			kvm_object_put(object);
			continue;
		}
		error = kvm_snapshot((struct kvm *)object, vm_number((struct kvm *)object, count), out);
		told[count++] = object;
	}
	for (unsigned int i = 0; i < count; i++)
		kvm_object_put(told[i]);
	return error;
}

static void send_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

		if (n < 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

/* All of it is made before the first byte is sent: a slow reader holds nothing up. */
static void serve(int fd)
{
	const struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int error = out ? tell_vms(out) : -ENOMEM;

	if (out && fclose(out))
		error = -ENOMEM;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!error)
		send_all(fd, text, size);
	free(text);
	close(fd);
}

/* ---------------------------------------------------------------- the thread */

static void *monitor_thread(void *opaque)
{
	struct softcvm_monitor *m = opaque;
	struct pollfd fds[2] = { { .fd = m->listener, .events = POLLIN }, { .fd = m->stop, .events = POLLIN } };

	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		int fd;

		if (fds[1].revents)
			break;
		fd = fds[0].revents ? accept4(m->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd >= 0)
			serve(fd);
	}
	return NULL;
}

/* A socket that nobody listens at is left over from a process that was killed. */
static void remove_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0)
		return;
	if (!stat(address->sun_path, &st) && S_ISSOCK(st.st_mode) &&
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

static int listen_at(struct softcvm_monitor *m)
{
	m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	m->stop = eventfd(0, EFD_CLOEXEC);
	if (m->listener < 0 || m->stop < 0)
		return -errno;
	remove_stale(&m->address);
	/* The mode that bind() gives the file. */
	if (fchmod(m->listener, 0600) || bind(m->listener, (struct sockaddr *)&m->address, sizeof(m->address)))
		return -errno;
	return listen(m->listener, 8) ? -errno : 0;
}

static void close_both(struct softcvm_monitor *m)
{
	if (m->listener >= 0)
		close(m->listener);
	if (m->stop >= 0)
		close(m->stop);
}

int softcvm_monitor_start(const char *path, struct softcvm_monitor **out)
{
	struct softcvm_monitor *m = calloc(1, sizeof(*m));
	int error;

	if (!m)
		return -ENOMEM;
	m->listener = m->stop = -1;
	m->address.sun_family = AF_UNIX;
	error = !*path ? -EINVAL : strlen(path) >= sizeof(m->address.sun_path) ? -ENAMETOOLONG : 0;
	if (!error) {
		memcpy(m->address.sun_path, path, strlen(path));
		error = listen_at(m);
		if (!error && (error = kvm_start_thread(&m->thread, monitor_thread, m)))
			unlink(m->address.sun_path);
	}
	if (error) {
		close_both(m);
		free(m);
		return error;
	}
	*out = m;
	return 0;
}

void softcvm_monitor_stop(struct softcvm_monitor *m)
{
	u64 one = 1;

	if (!m)
		return;
	/* The counter of an eventfd that nobody else writes cannot be full. */
	if (write(m->stop, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_join(m->thread, NULL);
	unlink(m->address.sun_path);
	close_both(m);
	free(m);
}

void softcvm_monitor_abandon(struct softcvm_monitor *m)
{
	if (m)
		close_both(m);
	free(m);
}

int softcvm_map(int vm_fd, int out_fd)
{
	struct kvm_object *object = kvm_fd_get(vm_fd);
	int fd = dup(out_fd), error = -EBADF;
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out && fd >= 0)
		close(fd);
	if (object && object->kind == KVM_FD_VM && !object->foreign && out)
		error = kvm_snapshot((struct kvm *)object, vm_number((struct kvm *)object, 0), out);
	if (out && fclose(out) && !error)
		error = -errno;
	if (object)
		kvm_object_put(object);
	return error;
}
