// SPDX-License-Identifier: Apache-2.0
/* Where things stand in the first MiB of guest memory and in port space, and which interrupt lines they use. */
#pragma once

#define LAYOUT_GDT	   0x500u
#define LAYOUT_PVH_INFO	   0x6000u
#define LAYOUT_ZERO_PAGE   0x7000u
#define LAYOUT_PAGE_TABLES 0x9000u /* PML4, PDPT, four page directories */
#define LAYOUT_CMDLINE	   0x20000u
#define LAYOUT_EBDA	   0x9fc00u
#define LAYOUT_VGA	   0xa0000u
#define LAYOUT_ACPI	   0xe0000u
#define LAYOUT_FIRST_STAGE 0xe8000u /* what the first stage works on, see guest/boot/first_stage.h; the mailbox among it */
#define LAYOUT_FIRST_STAGE_END 0xff000u
#define LAYOUT_RESET_VECTOR 0xffff0u
#define LAYOUT_HIGH_MEMORY 0x100000u
#define LAYOUT_MIN_MEMORY  0x200000u

#define PORT_TIMER	  0x40u /* none is there */
#define PORT_CMOS	  0x70u
#define PORT_I8042_COMMAND 0x64u
#define PORT_DEBUG_EXIT	  0xf4u
#define PORT_COM1	  0x3f8u
#define PORT_PVPANIC	  0x505u
#define PORT_SLEEP_CONTROL 0x600u /* ACPI sleep control and, next to it, sleep status register */
#define PORT_PCI_ADDRESS  0xcf8u
#define PORT_RESET	  0xcf9u
#define PORT_PCI_DATA	  0xcfcu

#define RESET_VALUE	  0x06u /* what FADT tells to write to PORT_RESET: full reset */
#define SLEEP_TYPE_OFF	  5u	/* SLP_TYP of \_S5 */

#define GSI_COM1	  4u
#define GSI_POWER_BUTTON  9u
#define GSI_PCI_FIRST	  16u /* INTA of PCI device d: GSI_PCI_FIRST + d % 4 */
#define GSI_MSI_FIRST	  24u
