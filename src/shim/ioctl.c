// SPDX-License-Identifier: Apache-2.0
/* ioctl, and what SOFTCVM_DEBUG prints of it. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shim/shim.h"
#include "softcvm/kvm_abi.h"

/* ---------------------------------------------------------------- names */

enum { SYSTEM = SOFTCVM_FD_SYSTEM, VM, VCPU, DEVICE };

static const struct {
	uint32_t request;
	uint8_t kind;
	const char *name;
} served[] = {
#define IOCTL(request, kind, argument, handler) { (uint32_t)(request), kind, #request },
#include "kvm/ioctls.def"
#undef IOCTL
};

const char *shim_request_name(enum softcvm_fd_kind kind, uint32_t request)
{
	for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++)
		if (served[i].request == request && served[i].kind == kind)
			return served[i].name;
	return NULL;
}

/* One write: lines of several threads stay whole. */
static void say(int fd, enum softcvm_fd_kind kind, uint32_t request, unsigned long argument, int result)
{
	static const char *const kinds[] = { "none", "system", "vm", "vcpu", "device", "guest_memfd" };
	const char *name = shim_request_name(kind, request), *error = result < 0 ? strerrorname_np(-result) : NULL;
	char line[200];
	int length;

	if (!name)
		length = snprintf(line, sizeof(line), "softcvm: %s %d: request %#x (nr %#x, %u bytes) is not served: %s\n",
				  kinds[kind], fd, request, (unsigned int)_IOC_NR(request),
				  (unsigned int)_IOC_SIZE(request), error ? error : "?");
	else
		length = snprintf(line, sizeof(line), "softcvm: %s %d: %s(%#lx) = %d %s\n", kinds[kind], fd, name, argument,
				  result, error ? error : "");
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}

static void debug(int fd, enum softcvm_fd_kind kind, uint32_t request, unsigned long argument, int result)
{
	bool ordinary = result >= 0 || (request == KVM_RUN && (result == -EINTR || result == -EAGAIN));
	int error = errno;

	if (shim_debug() == SHIM_DEBUG_CALLS || (shim_debug() == SHIM_DEBUG_FAILURES && !ordinary))
		say(fd, kind, request, argument, result);
	errno = error;
}

/* ---------------------------------------------------------------- the call */

/* What every kind of file answers, from the descriptor itself. */
static bool is_generic(enum softcvm_fd_kind kind, uint32_t request)
{
	/* The size of a regular file is not the file's business either. */
	if (request == FIONREAD)
		return kind == SOFTCVM_FD_GUEST_MEMFD;
	return request == FIOCLEX || request == FIONCLEX || request == FIONBIO || request == FIOASYNC;
}

/* Behind a success: it can be read. */
static void note_signal_mask(const struct kvm_signal_mask *argument)
{
	uint64_t mask;

	memcpy(&mask, argument->sigset, sizeof(mask));
	shim_uses_signal_mask(mask);
}

/* Requests are 32 bits; programs pass them as a signed int, too. */
static int serve(int fd, enum softcvm_fd_kind kind, uint32_t request, void *argument)
{
	int result;

	if (request == KVM_RUN)
		shim_enter_run();
	else
		shim_enter();
	result = softcvm_ioctl(fd, request, argument);
	if (request == KVM_SET_SIGNAL_MASK && !result && argument)
		note_signal_mask(argument);
	shim_leave();
	debug(fd, kind, request, (unsigned long)argument, result);
	return result;
}

int ioctl(int fd, unsigned long request, ...)
{
	enum softcvm_fd_kind kind = softcvm_fd_kind(fd);
	void *argument;
	va_list ap;
	int result;

	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	if (kind == SOFTCVM_FD_NONE || is_generic(kind, request))
		return __wrap_ioctl(fd, request, argument);
	result = serve(fd, kind, request, argument);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}
