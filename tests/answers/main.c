// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the calls of the recorded file and prints what this KVM answers, in the same form and order. A KVM client like
 * any other: it runs on a host's /dev/kvm as it does under `softcvm exec`.
 */
#include <stdio.h>

#include "machine.h"

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	ask_creation();
	ask_gmem_creation();
	ask_slots();
	ask_attributes();
	ask_files();
	ask_prefault();
	ask_dirty_log();
	ask_guests();
	puts("## end");
	return 0;
}
