#include "virtio_driver.h"

static uint64_t driver_ecam(unsigned int slot)
{
	return VMM_ECAM_GPA + ((uint64_t)slot << 15);
}

static uint64_t driver_bar(struct driver *driver, unsigned int bar)
{
	uint64_t at = driver->config_gpa + PCI_BASE_ADDRESS_0 + 4 * bar;

	return (fake_read(driver->vmm, at, 4) & PCI_BASE_ADDRESS_MEM_MASK & 0xffffffff) |
	       (uint64_t)fake_read(driver->vmm, at + 4, 4) << 32;
}

static void driver_capability(struct driver *driver, uint64_t at)
{
	uint64_t where = driver_bar(driver, fake_read(driver->vmm, at + VIRTIO_PCI_CAP_BAR, 1)) +
			 fake_read(driver->vmm, at + VIRTIO_PCI_CAP_OFFSET, 4);

	switch (fake_read(driver->vmm, at + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		driver->common = where;
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		driver->isr = where;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		driver->device = where;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		driver->notify = where;
		driver->notify_multiplier =
		    fake_read(driver->vmm, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	}
}

void driver_probe(struct driver *driver, struct vmm *vmm, uint16_t type)
{
	unsigned int slot, at, vector, steps = 0;

	*driver = (struct driver){.vmm = vmm};
	for (slot = 0; slot < 32; slot++)
		if (fake_read(vmm, driver_ecam(slot), 4) == (0x1af4u | (0x1040u + type) << 16))
			break;
	ck_assert_uint_lt(slot, 32);
	driver->config_gpa = driver_ecam(slot);
	fake_write(vmm, driver->config_gpa + PCI_COMMAND, 2,
		   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (at = fake_read(vmm, driver->config_gpa + PCI_CAPABILITY_LIST, 1); at;
	     at = fake_read(vmm, driver->config_gpa + at + 1, 1)) {
		ck_assert_uint_lt(steps++, 16);
		if (fake_read(vmm, driver->config_gpa + at, 1) == PCI_CAP_ID_VNDR)
			driver_capability(driver, driver->config_gpa + at);
		else if (fake_read(vmm, driver->config_gpa + at, 1) == PCI_CAP_ID_MSIX)
			driver->msix = at;
	}
	ck_assert_uint_ne(driver->common, 0);
	ck_assert_uint_ne(driver->notify, 0);
	ck_assert_uint_ne(driver->msix, 0);
	fake_write(vmm, driver->config_gpa + driver->msix + PCI_MSIX_FLAGS, 2,
		   PCI_MSIX_FLAGS_ENABLE);
	for (vector = 0; vector <= VIRTIO_MAX_QUEUES; vector++) {
		fake_write(vmm, driver_bar(driver, 2) + 16 * vector, 4, 0xfee00000);
		fake_write(vmm, driver_bar(driver, 2) + 16 * vector + 8, 4, 0x40 + vector);
		fake_write(vmm, driver_bar(driver, 2) + 16 * vector + 12, 4, 0);
	}
}

void driver_bus_master(struct driver *driver, bool on)
{
	fake_write(driver->vmm, driver->config_gpa + PCI_COMMAND, 2,
		   (uint16_t)(PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0)));
}

uint8_t driver_status(struct driver *driver)
{
	return (uint8_t)fake_read(driver->vmm, driver->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

void driver_set_status(struct driver *driver, uint8_t status)
{
	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_STATUS, 1, status);
}

uint64_t driver_offered(struct driver *driver)
{
	uint64_t features;

	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	features = (uint64_t)fake_read(driver->vmm, driver->common + VIRTIO_PCI_COMMON_DF, 4) << 32;
	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	return features | fake_read(driver->vmm, driver->common + VIRTIO_PCI_COMMON_DF, 4);
}

bool driver_negotiate(struct driver *driver, uint64_t features)
{
	driver_set_status(driver, 0);
	ck_assert_uint_eq(driver_status(driver), 0);
	driver_set_status(driver, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_GF, 4, (uint32_t)features);
	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_GF, 4,
		   (uint32_t)(features >> 32));
	driver_set_status(driver, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				      VIRTIO_CONFIG_S_FEATURES_OK);
	return driver_status(driver) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static uint64_t driver_desc_gpa(unsigned int queue)
{
	return DRIVER_RING_GPA + queue * 0x10000ull;
}

struct vring_desc *driver_desc(struct driver *driver, unsigned int queue)
{
	return vmm_guest_ptr(driver->vmm, driver_desc_gpa(queue), 0x1000);
}

struct vring_avail *driver_avail(struct driver *driver, unsigned int queue)
{
	return vmm_guest_ptr(driver->vmm, driver_desc_gpa(queue) + 0x1000, 0x1000);
}

struct vring_used *driver_used_ring(struct driver *driver, unsigned int queue)
{
	return vmm_guest_ptr(driver->vmm, driver_desc_gpa(queue) + 0x2000, 0x1000);
}

void driver_setup_queue(struct driver *driver, unsigned int queue)
{
	struct vmm *vmm = driver->vmm;
	uint64_t common = driver->common, gpa = driver_desc_gpa(queue);

	memset(vmm_guest_ptr(vmm, gpa, 0x3000), 0, 0x3000);
	driver->next_desc[queue] = driver->next_avail[queue] = driver->next_used[queue] = 0;
	fake_write(vmm, common + VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
	fake_write(vmm, common + VIRTIO_PCI_COMMON_Q_SIZE, 2, DRIVER_QUEUE_SIZE);
	fake_write(vmm, common + VIRTIO_PCI_COMMON_Q_MSIX, 2, queue + 1);
	fake_write(vmm, common + VIRTIO_PCI_COMMON_Q_DESCLO, 4, (uint32_t)gpa);
	fake_write(vmm, common + VIRTIO_PCI_COMMON_Q_AVAILLO, 4, (uint32_t)gpa + 0x1000);
	fake_write(vmm, common + VIRTIO_PCI_COMMON_Q_USEDLO, 4, (uint32_t)gpa + 0x2000);
	fake_write(vmm, common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void driver_start(struct driver *driver, uint64_t features, unsigned int queues)
{
	ck_assert(driver_negotiate(driver, features | 1ull << VIRTIO_F_VERSION_1));
	fake_write(driver->vmm, driver->common + VIRTIO_PCI_COMMON_MSIX, 2, 0);
	for (unsigned int i = 0; i < queues; i++)
		driver_setup_queue(driver, i);
	driver_set_status(driver, driver_status(driver) | VIRTIO_CONFIG_S_DRIVER_OK);
	ck_assert(driver_status(driver) & VIRTIO_CONFIG_S_DRIVER_OK);
}

uint16_t driver_add(struct driver *driver, unsigned int queue, const struct driver_piece *piece,
		    unsigned int count)
{
	struct vring_desc *desc = driver_desc(driver, queue);
	struct vring_avail *avail = driver_avail(driver, queue);
	uint16_t head = driver->next_desc[queue] % DRIVER_QUEUE_SIZE;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t index = driver->next_desc[queue]++ % DRIVER_QUEUE_SIZE;

		desc[index] = (struct vring_desc){
		    .addr = piece[i].gpa,
		    .len = piece[i].bytes,
		    .flags = (uint16_t)((piece[i].writable ? VRING_DESC_F_WRITE : 0) |
					(i + 1 < count ? VRING_DESC_F_NEXT : 0)),
		    .next = (uint16_t)((index + 1) % DRIVER_QUEUE_SIZE),
		};
	}
	avail->ring[driver->next_avail[queue]++ % DRIVER_QUEUE_SIZE] = head;
	__atomic_store_n(&avail->idx, driver->next_avail[queue], __ATOMIC_RELEASE);
	return head;
}

void driver_notify(struct driver *driver, unsigned int queue)
{
	fake_write(driver->vmm, driver->notify + queue * driver->notify_multiplier, 2, queue);
}

bool driver_take_used(struct driver *driver, unsigned int queue, struct vring_used_elem *elem)
{
	struct vring_used *used = driver_used_ring(driver, queue);

	if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == driver->next_used[queue])
		return false;
	*elem = used->ring[driver->next_used[queue]++ % DRIVER_QUEUE_SIZE];
	return true;
}

struct vring_used_elem driver_wait_used(struct driver *driver, unsigned int queue)
{
	struct vring_used_elem elem = {0};

	for (unsigned int tries = 0; !driver_take_used(driver, queue, &elem); tries++) {
		ck_assert_uint_lt(tries, 20000);
		poll(NULL, 0, 1);
	}
	return elem;
}
