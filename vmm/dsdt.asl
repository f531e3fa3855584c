/*
 * What the guest cannot find by itself: the PCI host bridge with the addresses it may hand out, the memory-mapped
 * configuration space, the serial port, the power button, and how to power off. The numbers are those of vmm.h,
 * device.h and boot.h; tests/unit/test_acpi.c compares them.
 *
 * Compiled form: dsdt.c, made by `vmm/dsdt-compile vmm/dsdt.asl > vmm/dsdt.c`.
 */
DefinitionBlock ("", "DSDT", 2, "GMIG", "GMIGVMM", 1)
{
	/* SLP_TYP 5 into the sleep control register of the FADT. */
	Name (\_S5, Package () { 5, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_SEG, 0)
			Name (_BBN, 0)
			Name (_UID, 0)
			/* No _PRT: devices interrupt by MSI-X only. No _OSC: no native PCIe features. */
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0, 0, 1)
				IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0000, 0x0CF7, 0, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0D00, 0xFFFF, 0, 0xF300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0, 0xE1000000, 0xE1FFFFFF, 0, 0x01000000)
			})
		}

		/* The kernel uses the memory-mapped configuration space only when somebody has reserved it. */
		Device (MBRD)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0xE0000000, 0x00100000)
				IO (Decode16, 0x0600, 0x0600, 1, 2)
				IO (Decode16, 0x0608, 0x0608, 1, 4)
			})
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 1, 8)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
			})
		}

		Device (PWRB)
		{
			Name (_HID, EisaId ("PNP0C0C"))
			Name (_UID, 0)
		}

		/* A hardware-reduced machine has no fixed power button: an interrupt runs _EVT. It has one cause. */
		Device (GED)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 5 }
			})
			Method (_EVT, 1, Serialized)
			{
				Notify (\_SB.PWRB, 0x80)
			}
		}
	}
}
