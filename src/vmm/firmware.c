// SPDX-License-Identifier: Apache-2.0
/*
 * The reset vector at F000:FFF0. Linux on hardware-reduced ACPI restarts through EFI, and without EFI by jumping there in real
 * mode: it has to lead to a reset.
 */
#include "vmm/firmware.h"

#include "vmm/layout.h"

#include <string.h>

void firmware_write(struct guest_memory *mem)
{
	static const uint8_t code[] = {
		0xb0, RESET_VALUE,			       /* mov al, RESET_VALUE */
		0xba, PORT_RESET & 0xff, PORT_RESET >> 8,      /* mov dx, PORT_RESET */
		0xee,					       /* out dx, al */
		0xf4,					       /* hlt */
		0xeb, 0xfd,				       /* jmp to the hlt */
	};

	memcpy(memory_place(mem, LAYOUT_RESET_VECTOR, sizeof(code)), code, sizeof(code));
}
