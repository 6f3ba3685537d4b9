// SPDX-License-Identifier: Apache-2.0
/*
 * The TDREPORT of this trust domain on standard output, its REPORTDATA from standard input (up to 64 bytes, then zeros).
 * Linked statically for the demo's initramfs.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Documentation/virt/coco/tdx-guest.rst */
struct tdx_report_request {
	uint8_t reportdata[64];
	uint8_t tdreport[1024];
};
#define TDX_CMD_GET_REPORT0 _IOWR('T', 1, struct tdx_report_request)

int main(void)
{
	static struct tdx_report_request request;
	int fd = open("/dev/tdx_guest", O_RDWR);
	size_t filled = 0;
	ssize_t n;

	while (filled < sizeof(request.reportdata) &&
	       (n = read(STDIN_FILENO, request.reportdata + filled, sizeof(request.reportdata) - filled)) > 0)
		filled += (size_t)n;
	if (fd < 0 || ioctl(fd, TDX_CMD_GET_REPORT0, &request)) {
		perror("/dev/tdx_guest");
		return 1;
	}
	return write(STDOUT_FILENO, request.tdreport, sizeof(request.tdreport)) != sizeof(request.tdreport);
}
