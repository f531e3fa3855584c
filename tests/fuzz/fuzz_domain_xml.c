/*
 * What libvirt, a hook's message or a stranger may say of a domain: bytes through the XML reader. What it takes is walked, so that a
 * sanitizer sees each list, and has to keep what the header promises.
 */
#include "../../libvirt-hooks/domain_xml.h"

#include <stdlib.h>
#include <string.h>

static void need(bool holds)
{
	if (!holds)
		abort();
}

static unsigned int count_cpus(const struct cpu_mask *mask)
{
	unsigned int count = 0;

	for (unsigned int cpu = 0; mask->word && cpu < ID_LIST_CPUS; cpu++)
		count += cpu_mask_has(mask, cpu);
	need(!mask->word || count);
	return count;
}

static void walk_pins(const struct domain_pin *pins, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		need(count_cpus(&pins[i].cpus) > 0);
		need(!i || pins[i - 1].id < pins[i].id);
	}
}

static void walk(const struct domain_xml *domain)
{
	size_t length = strlen(domain->name);

	need(length > 0 && length <= DOMAIN_XML_NAME);
	for (size_t i = 0; i < length; i++)
		need((unsigned char)domain->name[i] >= ' ' && domain->name[i] != 0x7f);
	need(!domain->uuid[0] || strlen(domain->uuid) == 36);
	need(domain->vcpus <= ID_LIST_CPUS && domain->vcpus_now <= domain->vcpus);
	walk_pins(domain->vcpu_pins, domain->vcpu_pin_count);
	walk_pins(domain->iothread_pins, domain->iothread_pin_count);
	(void)count_cpus(&domain->vcpu_cpus);
	(void)count_cpus(&domain->emulator_cpus);
	need(domain->cell_count <= DOMAIN_XML_CELLS);
	for (size_t i = 0; i < domain->cell_count; i++)
		(void)count_cpus(&domain->cells[i].vcpus);
	for (size_t i = 0; i < domain->memnode_count; i++)
		need(!gmig_node_set_empty(&domain->memnodes[i].nodes) &&
		     domain->memnodes[i].mode != DOMAIN_NUMA_UNSET);
	for (int key = 0; domain->policy_error.code && key < POLICY_KEYS; key++)
		need(!domain->policy.where[key][0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct domain_xml *domain = NULL;
	struct gmig_error err = {0, ""};
	int ret = domain_xml_parse((const char *)data, size, &domain, &err);

	need(ret <= 0 && ret == err.code);
	need(!ret == (domain != NULL));
	for (const char *at = err.text; *at; at++)
		need(*at != '\x1b' && *at != '\n');
	if (domain)
		walk(domain);
	domain_xml_destroy(domain);
	return 0;
}
