// SPDX-License-Identifier: Apache-2.0
/* ACPI tables, ACPI 6.5 chapter 5 and PCI Firmware Specification 3.3, 4.1.2 (MCFG). */
#include "vmm/acpi.h"

#include "vmm/aml.h"
#include "vmm/bytes.h"
#include "vmm/layout.h"

#include <errno.h>

#define HEADER_SIZE 36u
#define OEM_ID	    "SOFTCV"
#define OEM_TABLE   "SOFTCVM "
#define CREATOR	    "SCVM"

struct writer {
	struct aml out; /* the whole area; AML's append operations serve for plain bytes too */
	uint32_t base;
};

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum += *p++;
	return (uint8_t)-sum;
}

/* Returns the table's offset; table_end() fills in length and checksum and returns its address. */
static size_t table_begin(struct writer *w, const char *signature, uint8_t revision)
{
	uint8_t header[HEADER_SIZE] = {};
	size_t pad = -w->out.used & 15, start;

	aml_bytes(&w->out, (const uint8_t[16]){}, pad);
	start = w->out.used;
	memcpy(header, signature, 4);
	header[8] = revision;
	memcpy(header + 10, OEM_ID, 6);
	memcpy(header + 16, OEM_TABLE, 8);
	put32(header + 24, 1);
	memcpy(header + 28, CREATOR, 4);
	put32(header + 32, 1);
	aml_bytes(&w->out, header, sizeof(header));
	return start;
}

static uint32_t table_end(struct writer *w, size_t start)
{
	uint8_t *table = w->out.data + start;
	size_t length = w->out.used - start;

	if (w->out.overflow)
		return 0;
	put32(table + 4, (uint32_t)length);
	table[9] = checksum(table, length);
	return w->base + (uint32_t)start;
}

/* ---------------------------------------------------------------- DSDT */

/* PCI devices 0..31, INTA only, straight to the I/O APIC (6.2.13) */
static void pci_routing(struct aml *aml)
{
	size_t table, entry;

	aml_name(aml, "_PRT");
	table = aml_open_package(aml, 32);
	for (unsigned int device = 0; device < 32; device++) {
		entry = aml_open_package(aml, 4);
		aml_integer(aml, device << 16 | 0xffff);
		aml_integer(aml, 0);
		aml_integer(aml, 0);
		aml_integer(aml, GSI_PCI_FIRST + device % 4);
		aml_close(aml, entry);
	}
	aml_close(aml, table);
}

static void pci_host(struct aml *aml)
{
	struct aml_resources res;
	size_t device = aml_open_device(aml, "PCI0");

	aml_name_eisaid(aml, "_HID", "PNP0A08");
	aml_name_eisaid(aml, "_CID", "PNP0A03");
	aml_name_integer(aml, "_SEG", 0);
	aml_name_integer(aml, "_BBN", 0);
	aml_name_integer(aml, "_UID", 0);
	aml_name_integer(aml, "_CCA", 1);
	aml_resources_open(&res);
	aml_resource_bus_numbers(&res, 0, 0);
	aml_resource_io(&res, PORT_PCI_ADDRESS, 8);
	aml_resource_io_window(&res, 0, PORT_PCI_ADDRESS - 1);
	aml_resource_io_window(&res, PORT_PCI_ADDRESS + 8, 0xffff);
	aml_resource_memory_window(&res, PCI_WINDOW_START, PCI_WINDOW_END - 1);
	aml_resources_close(aml, &res);
	pci_routing(aml);
	aml_close(aml, device);

	/* ECAM belongs to the board, not to the bridge (PCI Firmware 3.3, 4.1.2). */
	device = aml_open_device(aml, "MBRD");
	aml_name_eisaid(aml, "_HID", "PNP0C02");
	aml_name_integer(aml, "_UID", 0);
	aml_resources_open(&res);
	aml_resource_memory32_fixed(&res, ECAM_START, ECAM_SIZE);
	aml_resources_close(aml, &res);
	aml_close(aml, device);
}

static void legacy_devices(struct aml *aml)
{
	struct aml_resources res;
	size_t device = aml_open_device(aml, "COM1");

	aml_name_eisaid(aml, "_HID", "PNP0501");
	aml_name_integer(aml, "_UID", 1);
	aml_resources_open(&res);
	aml_resource_io(&res, PORT_COM1, 8);
	aml_resource_interrupt_edge(&res, GSI_COM1);
	aml_resources_close(aml, &res);
	aml_close(aml, device);

	device = aml_open_device(aml, "RTC0");
	aml_name_eisaid(aml, "_HID", "PNP0B00");
	aml_resources_open(&res);
	aml_resource_io(&res, PORT_CMOS, 2);
	aml_resources_close(aml, &res);
	aml_close(aml, device);

	/* pvpanic: the name that Linux's driver looks for */
	device = aml_open_device(aml, "PEVT");
	aml_name_string(aml, "_HID", "QEMU0001");
	aml_name_integer(aml, "_STA", 0xf);
	aml_resources_open(&res);
	aml_resource_io(&res, PORT_PVPANIC, 1);
	aml_resources_close(aml, &res);
	aml_close(aml, device);
}

/* Power button through a generic event device: hardware-reduced ACPI has no fixed events (5.6.9). */
static void power_button(struct aml *aml)
{
	struct aml_resources res;
	size_t device = aml_open_device(aml, "PWRB"), method;

	aml_name_eisaid(aml, "_HID", "PNP0C0C");
	aml_name_integer(aml, "_UID", 0);
	aml_close(aml, device);

	device = aml_open_device(aml, "GED0");
	aml_name_string(aml, "_HID", "ACPI0013");
	aml_name_integer(aml, "_UID", 0);
	aml_resources_open(&res);
	aml_resource_interrupt_edge(&res, GSI_POWER_BUTTON);
	aml_resources_close(aml, &res);
	method = aml_open_method(aml, "_EVT", 1 | 8);
	aml_notify(aml, "\\_SB_.PWRB", 0x80);
	aml_close(aml, method);
	aml_close(aml, device);
}

static uint32_t write_dsdt(struct writer *w)
{
	size_t table = table_begin(w, "DSDT", 2);
	size_t scope = aml_open_scope(&w->out, "\\_SB_"), package;

	pci_host(&w->out);
	legacy_devices(&w->out);
	power_button(&w->out);
	aml_close(&w->out, scope);
	aml_name(&w->out, "\\_S5_");
	package = aml_open_package(&w->out, 4);
	aml_integer(&w->out, SLEEP_TYPE_OFF);
	for (unsigned int i = 0; i < 3; i++)
		aml_integer(&w->out, 0);
	aml_close(&w->out, package);
	return table_end(w, table);
}

/* ---------------------------------------------------------------- the other tables */

enum { /* FADT by offset, 5.2.9 */
	FADT_DSDT = 40,
	FADT_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_MINOR = 131,
	FADT_X_DSDT = 140,
	FADT_SLEEP_CONTROL = 244,
	FADT_SLEEP_STATUS = 256,
	FADT_HYPERVISOR = 268,
	FADT_SIZE = 276,
};
#define FADT_WBINVD	  (1u << 0)
#define FADT_PWR_BUTTON	  (1u << 4) /* no fixed power button */
#define FADT_SLP_BUTTON	  (1u << 5)
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HW_REDUCED	  (1u << 20)
#define BOOT_NO_VGA	  (1u << 2)
#define BOOT_NO_ASPM	  (1u << 4)

/* Generic address structure, one byte in port space, 5.2.3.2 */
static void put_port(uint8_t *gas, uint16_t port)
{
	gas[0] = 1;
	gas[1] = 8;
	gas[3] = 1;
	put64(gas + 4, port);
}

static uint32_t write_fadt(struct writer *w, uint32_t dsdt)
{
	size_t table = table_begin(w, "FACP", 6);
	uint8_t t[FADT_SIZE] = {};

	put32(t + FADT_DSDT, dsdt);
	put64(t + FADT_X_DSDT, dsdt);
	put16(t + FADT_BOOT_ARCH, BOOT_NO_VGA | BOOT_NO_ASPM);
	put32(t + FADT_FLAGS, FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG_SUP | FADT_HW_REDUCED);
	put_port(t + FADT_RESET_REG, PORT_RESET);
	t[FADT_RESET_VALUE] = RESET_VALUE;
	t[FADT_MINOR] = 5;
	put_port(t + FADT_SLEEP_CONTROL, PORT_SLEEP_CONTROL);
	put_port(t + FADT_SLEEP_STATUS, PORT_SLEEP_CONTROL + 1);
	memcpy(t + FADT_HYPERVISOR, OEM_TABLE, 8);
	aml_bytes(&w->out, t + HEADER_SIZE, sizeof(t) - HEADER_SIZE);
	return table_end(w, table);
}

/* 5.2.12; without PCAT_COMPAT there is no PIC to look for */
static uint32_t write_madt(struct writer *w, const struct acpi_config *config)
{
	size_t table = table_begin(w, "APIC", 5);
	uint8_t start[8] = {}, ioapic[12] = { 1, 12, (uint8_t)config->cpus };
	uint8_t wakeup[16] = { 0x10, 16 }; /* 5.2.12.19 */

	put32(start, 0xfee00000);
	aml_bytes(&w->out, start, sizeof(start));
	for (unsigned int i = 0; i < config->cpus; i++) {
		const uint8_t lapic[8] = { 0, 8, (uint8_t)i, (uint8_t)i, 1 /* enabled */ };

		aml_bytes(&w->out, lapic, sizeof(lapic));
	}
	put32(ioapic + 4, IOAPIC_START);
	aml_bytes(&w->out, ioapic, sizeof(ioapic));
	if (config->mailbox) {
		put64(wakeup + 8, config->mailbox);
		aml_bytes(&w->out, wakeup, sizeof(wakeup));
	}
	return table_end(w, table);
}

static uint32_t write_mcfg(struct writer *w)
{
	size_t table = table_begin(w, "MCFG", 1);
	uint8_t body[24] = {};

	put64(body + 8, ECAM_START);
	aml_bytes(&w->out, body, sizeof(body)); /* segment 0, buses 0..0 */
	return table_end(w, table);
}

static uint32_t write_xsdt(struct writer *w, const uint32_t *tables, unsigned int n)
{
	size_t table = table_begin(w, "XSDT", 1);

	for (unsigned int i = 0; i < n; i++) {
		uint8_t entry[8];

		put64(entry, tables[i]);
		aml_bytes(&w->out, entry, sizeof(entry));
	}
	return table_end(w, table);
}

static void write_rsdp(uint8_t *rsdp, uint32_t xsdt)
{
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, OEM_ID, 6);
	rsdp[15] = 2;
	put32(rsdp + 20, HEADER_SIZE);
	put64(rsdp + 24, xsdt);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, HEADER_SIZE);
}

int acpi_write( struct guest_memory *mem, const struct acpi_config *config)
{
	struct writer w = {
		.base = LAYOUT_ACPI,
		.out.size = LAYOUT_FIRST_STAGE - LAYOUT_ACPI,
		.out.used = HEADER_SIZE, /* the RSDP's room */
	};
	uint32_t tables[3];

	w.out.data = memory_at(mem, LAYOUT_ACPI, w.out.size);
	if (!w.out.data)
		return -ENOSPC;
	memset(w.out.data, 0, w.out.size);
	tables[0] = write_fadt(&w, write_dsdt(&w));
	tables[1] = write_madt(&w, config);
	tables[2] = write_mcfg(&w);
	write_rsdp(w.out.data, write_xsdt(&w, tables, 3));
	return w.out.overflow || !memory_place(mem, LAYOUT_ACPI, w.out.used) ? -ENOSPC : 0;
}
