/*
 * A domain's XML, see domain_xml.h. One reader for each part of the document, run in the order of a table; the first error ends
 * it. Lists are counted before memory is taken, so that a document costs no more than its own size and 2 KiB for each set of CPUs.
 */
#include "domain_xml.h"

#include "domain_policy.h"
#include "xml_read.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define AGENT_CHANNEL "org.gmig.agent.0"
#define UUID_DIGITS   32

typedef int read_part(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err);

static const char *const modes[] = {"unset", "strict", "preferred", "interleave", "restrictive"};
#define MODES (sizeof(modes) / sizeof(modes[0]))

const char *domain_numa_mode_name(enum domain_numa_mode mode)
{
	return modes[mode];
}

static int fail_memory(struct gmig_error *err)
{
	return gmig_fail(err, -ENOMEM, "no memory for a domain's XML");
}

/* An array for all elements of this name from `first` on; NULL and 0 for none. */
static int alloc_list(xmlNode *first, const char *name, size_t max, size_t bytes, void **list,
		      size_t *count, struct gmig_error *err)
{
	size_t found = 0;

	for (xmlNode *node = xml_next(first, name); node; node = xml_next(node->next, name))
		if (++found > max)
			return gmig_fail(err, -E2BIG, "line %ld: more than %zu <%s>",
					 xmlGetLineNo(node), max, name);
	*list = found ? calloc(found, bytes) : NULL;
	if (found && !*list)
		return fail_memory(err);
	*count = found;
	return 0;
}

static int in_element(const xmlNode *node, int ret, const struct gmig_error *why,
		      struct gmig_error *err)
{
	return ret ? gmig_fail(err, ret, "line %ld: <%s>: %.200s", xmlGetLineNo(node),
			       (const char *)node->name, why->text)
		   : 0;
}

static int need_number(const xmlNode *node, const char *name, uint64_t max, uint64_t *number,
		       struct gmig_error *err)
{
	int ret = xml_attribute_number(node, name, max, number, err);

	return ret == -ENOENT ? gmig_fail(err, -EINVAL, "line %ld: <%s> has no %s",
					  xmlGetLineNo(node), (const char *)node->name, name)
			      : ret;
}

/* A set of CPUs from an attribute; stays unset without it. */
static int read_cpus(const xmlNode *node, const char *name, struct cpu_mask *mask,
		     struct gmig_error *err)
{
	char *text = xml_attribute(node, name);
	struct gmig_error why = {0, ""};
	int ret = text ? id_list_cpus(text, mask, &why) : 0;

	free(text);
	return in_element(node, ret, &why, err);
}

/* Nodes of the host, or cells; found tells whether the attribute is there. */
static int read_nodes(const xmlNode *node, struct gmig_node_set *set, bool *found,
		      struct gmig_error *err)
{
	char *text = xml_attribute(node, "nodeset");
	struct gmig_error why = {0, ""};
	int ret = text ? id_list_nodes(text, set, &why) : 0;

	*found = text != NULL;
	free(text);
	return in_element(node, ret, &why, err);
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text) ||
		    ((unsigned char)text[0] == 0xc2 && (unsigned char)text[1] >= 0x80 &&
		     (unsigned char)text[1] < 0xa0))
			return true;
	return false;
}

static int read_name(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	xmlNode *node = NULL;
	size_t bytes;
	int ret = xml_child(root, "name", &node, err);

	if (ret)
		return ret;
	if (!node)
		return gmig_fail(err, -EINVAL, "a domain without <name>");
	domain->name = (char *)xmlNodeGetContent(node);
	if (!domain->name)
		return fail_memory(err);
	bytes = strlen(domain->name);
	if (!bytes || bytes > DOMAIN_XML_NAME)
		return gmig_fail(err, bytes ? -E2BIG : -EINVAL,
				 "line %ld: <name> has %zu bytes, 1 to %d are allowed",
				 xmlGetLineNo(node), bytes, DOMAIN_XML_NAME);
	if (has_control(domain->name))
		return gmig_fail(err, -EINVAL, "line %ld: <name> has control characters",
				 xmlGetLineNo(node));
	return 0;
}

/* libvirt takes hyphens anywhere and either case, and writes the usual form, which is made here. */
static bool normalize_uuid(const char *text, char uuid[37])
{
	size_t digits = 0, used = 0;

	for (; *text; text++) {
		if (*text == '-')
			continue;
		if (!isxdigit((unsigned char)*text) || digits == UUID_DIGITS)
			return false;
		if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
			uuid[used++] = '-';
		uuid[used++] = (char)tolower((unsigned char)*text);
		digits++;
	}
	uuid[used] = '\0';
	return digits == UUID_DIGITS;
}

static int read_uuid(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	char *text = NULL;
	xmlNode *node = NULL;
	int ret = xml_child(root, "uuid", &node, err);

	if (ret || !node)
		return ret;
	text = xml_text(node);
	if (!text)
		return fail_memory(err);
	if (!normalize_uuid(text, domain->uuid)) {
		domain->uuid[0] = '\0';
		ret = gmig_fail(err, -EINVAL, "line %ld: <uuid> is 32 hexadecimal digits",
				xmlGetLineNo(node));
	}
	free(text);
	return ret;
}

static int read_root(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	char *type = xml_attribute(root, "type");
	uint64_t id;
	int ret;

	if (!type || strlen(type) >= sizeof(domain->type)) {
		free(type);
		return gmig_fail(err, -EINVAL,
				 "<domain> has no type, or one of more than %zu bytes",
				 sizeof(domain->type) - 1);
	}
	memcpy(domain->type, type, strlen(type) + 1);
	free(type);
	ret = xml_attribute_number(root, "id", INT_MAX, &id, err);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	domain->live = true;
	domain->id = (unsigned int)id;
	return 0;
}

static int read_memory(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	xmlNode *memory = NULL, *current = NULL;
	int ret = xml_child(root, "memory", &memory, err);

	if (!ret)
		ret = xml_child(root, "currentMemory", &current, err);
	if (!ret && !memory)
		ret = gmig_fail(err, -EINVAL, "a domain without <memory>");
	if (!ret)
		ret = xml_bytes(memory, &domain->memory_bytes, err);
	domain->current_bytes = domain->memory_bytes;
	if (!ret && current)
		ret = xml_bytes(current, &domain->current_bytes, err);
	return ret;
}

static int read_vcpus(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	uint64_t all = 1, now;
	xmlNode *node = NULL;
	char *text;
	int ret = xml_child(root, "vcpu", &node, err);

	domain->vcpus = domain->vcpus_now = 1;
	if (ret || !node)
		return ret;
	text = xml_text(node);
	ret = text ? xml_number(node, text, ID_LIST_CPUS, &all, err) : fail_memory(err);
	free(text);
	if (ret)
		return ret;
	ret = xml_attribute_number(node, "current", all, &now, err);
	if (ret && ret != -ENOENT)
		return ret;
	domain->vcpus = (unsigned int)all;
	domain->vcpus_now = ret ? domain->vcpus : (unsigned int)now;
	domain->vcpu_auto = xml_attribute_is(node, "placement", "auto");
	return read_cpus(node, "cpuset", &domain->vcpu_cpus, err);
}

static int read_iothreads(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	uint64_t count = 0;
	xmlNode *node = NULL;
	char *text;
	int ret = xml_child(root, "iothreads", &node, err);

	if (ret || !node)
		return ret;
	text = xml_text(node);
	ret = text ? xml_number(node, text, DOMAIN_XML_IOTHREADS, &count, err) : fail_memory(err);
	free(text);
	domain->iothreads = (unsigned int)count;
	return ret;
}

static int compare_pins(const void *one, const void *other)
{
	unsigned int a = ((const struct domain_pin *)one)->id;
	unsigned int b = ((const struct domain_pin *)other)->id;

	return (a > b) - (a < b);
}

/* <vcpupin> or <iothreadpin>, sorted by id, so that a second one of an id is seen. */
static int read_pins(const xmlNode *tune, const char *element, const char *attribute, uint64_t max,
		     struct domain_pin **pins, size_t *count, struct gmig_error *err)
{
	xmlNode *node = xml_next(tune->children, element);
	uint64_t id;
	int ret =
	    alloc_list(node, element, ID_LIST_CPUS, sizeof(**pins), (void **)pins, count, err);

	for (size_t i = 0; !ret && i < *count; i++, node = xml_next(node->next, element)) {
		ret = need_number(node, attribute, max, &id, err);
		if (!ret)
			ret = read_cpus(node, "cpuset", &(*pins)[i].cpus, err);
		if (!ret && !(*pins)[i].cpus.word)
			ret = gmig_fail(err, -EINVAL, "line %ld: <%s> has no cpuset",
					xmlGetLineNo(node), element);
		if (!ret)
			(*pins)[i].id = (unsigned int)id;
	}
	if (ret || !*count)
		return ret;
	qsort(*pins, *count, sizeof(**pins), compare_pins);
	for (size_t i = 1; i < *count; i++)
		if ((*pins)[i].id == (*pins)[i - 1].id)
			return gmig_fail(err, -EINVAL, "a second <%s> for %s %u", element,
					 attribute, (*pins)[i].id);
	return 0;
}

static int read_cputune(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	xmlNode *tune = NULL, *emulator = NULL;
	int ret = xml_child(root, "cputune", &tune, err);

	if (ret || !tune)
		return ret;
	ret = read_pins(tune, "vcpupin", "vcpu", ID_LIST_CPUS - 1, &domain->vcpu_pins,
			&domain->vcpu_pin_count, err);
	if (!ret)
		ret = read_pins(tune, "iothreadpin", "iothread", UINT_MAX, &domain->iothread_pins,
				&domain->iothread_pin_count, err);
	if (!ret)
		ret = xml_child(tune, "emulatorpin", &emulator, err);
	if (!ret && emulator)
		ret = read_cpus(emulator, "cpuset", &domain->emulator_cpus, err);
	return ret;
}

/* Strict is libvirt's default. */
static int read_mode(const xmlNode *node, enum domain_numa_mode *mode, struct gmig_error *err)
{
	char *text = xml_attribute(node, "mode");
	size_t i = DOMAIN_NUMA_STRICT;

	while (text && i < MODES && strcmp(text, modes[i]) != 0)
		i++;
	free(text);
	if (i == MODES)
		return gmig_fail(err, -EINVAL,
				 "line %ld: <%s>: mode is strict, preferred, interleave or "
				 "restrictive",
				 xmlGetLineNo(node), (const char *)node->name);
	*mode = (enum domain_numa_mode)i;
	return 0;
}

static int read_memnode(const xmlNode *node, struct domain_memnode *memnode, struct gmig_error *err)
{
	uint64_t cell;
	bool found;
	int ret = need_number(node, "cellid", DOMAIN_XML_CELLS - 1, &cell, err);

	if (ret)
		return ret;
	memnode->cell = (unsigned int)cell;
	ret = read_mode(node, &memnode->mode, err);
	if (!ret)
		ret = read_nodes(node, &memnode->nodes, &found, err);
	if (!ret && !found)
		return gmig_fail(err, -EINVAL, "line %ld: <memnode> has no nodeset",
				 xmlGetLineNo(node));
	return ret;
}

static int read_memnodes(struct domain_xml *domain, const xmlNode *tune, struct gmig_error *err)
{
	struct gmig_node_set seen = {{0}};
	xmlNode *node = xml_next(tune->children, "memnode");
	int ret = alloc_list(node, "memnode", DOMAIN_XML_CELLS, sizeof(*domain->memnodes),
			     (void **)&domain->memnodes, &domain->memnode_count, err);

	for (size_t i = 0; !ret && i < domain->memnode_count; i++) {
		unsigned int cell;

		ret = read_memnode(node, &domain->memnodes[i], err);
		cell = domain->memnodes[i].cell;
		if (!ret && gmig_node_set_has(&seen, cell))
			ret = gmig_fail(err, -EINVAL, "line %ld: a second <memnode> for cell %u",
					xmlGetLineNo(node), cell);
		gmig_node_set_add(&seen, cell);
		node = xml_next(node->next, "memnode");
	}
	return ret;
}

static int read_numatune(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	xmlNode *tune = NULL, *memory = NULL;
	bool found;
	int ret = xml_child(root, "numatune", &tune, err);

	if (!ret)
		ret = xml_child(tune, "memory", &memory, err);
	if (ret || !tune)
		return ret;
	if (memory) {
		domain->numa_auto = xml_attribute_is(memory, "placement", "auto");
		ret = read_mode(memory, &domain->numa_mode, err);
		if (!ret)
			ret = read_nodes(memory, &domain->numa_nodes, &found, err);
		if (!ret && !found && !domain->numa_auto)
			domain->numa_mode = DOMAIN_NUMA_UNSET;
	}
	return ret ? ret : read_memnodes(domain, tune, err);
}

static int read_sharing(const xmlNode *node, const char *attribute, enum domain_sharing *sharing,
			struct gmig_error *err)
{
	char *text = xml_attribute(node, attribute);
	int ret = 0;

	if (text && !strcmp(text, "shared"))
		*sharing = DOMAIN_SHARING_SHARED;
	else if (text && !strcmp(text, "private"))
		*sharing = DOMAIN_SHARING_PRIVATE;
	else if (text)
		ret = gmig_fail(err, -EINVAL, "line %ld: <%s>: %s is shared or private",
				xmlGetLineNo(node), (const char *)node->name, attribute);
	free(text);
	return ret;
}

static int read_cell(const xmlNode *node, size_t index, struct domain_cell *cell,
		     struct gmig_error *err)
{
	char *memory = xml_attribute(node, "memory"), *unit = xml_attribute(node, "unit");
	uint64_t id = index;
	int ret = xml_attribute_number(node, "id", DOMAIN_XML_CELLS - 1, &id, err);

	if (ret == -ENOENT)
		ret = 0;
	cell->id = (unsigned int)id;
	if (!ret)
		ret = read_cpus(node, "cpus", &cell->vcpus, err);
	if (!ret && !memory)
		ret = gmig_fail(err, -EINVAL, "line %ld: <cell> has no memory", xmlGetLineNo(node));
	if (!ret)
		ret = xml_scaled(node, memory, unit, &cell->memory_bytes, err);
	if (!ret)
		ret = read_sharing(node, "memAccess", &cell->sharing, err);
	free(memory);
	free(unit);
	return ret;
}

static int read_cells(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	struct gmig_node_set seen = {{0}};
	xmlNode *cpu = NULL, *numa = NULL, *node = NULL;
	int ret = xml_child(root, "cpu", &cpu, err);

	if (!ret)
		ret = xml_child(cpu, "numa", &numa, err);
	if (ret || !numa)
		return ret;
	node = xml_next(numa->children, "cell");
	ret = alloc_list(node, "cell", DOMAIN_XML_CELLS, sizeof(*domain->cells),
			 (void **)&domain->cells, &domain->cell_count, err);
	for (size_t i = 0; !ret && i < domain->cell_count; i++) {
		ret = read_cell(node, i, &domain->cells[i], err);
		if (!ret && gmig_node_set_has(&seen, domain->cells[i].id))
			ret = gmig_fail(err, -EINVAL, "line %ld: a second <cell> with id %u",
					xmlGetLineNo(node), domain->cells[i].id);
		gmig_node_set_add(&seen, domain->cells[i].id);
		node = xml_next(node->next, "cell");
	}
	return ret;
}

static int read_page(const xmlNode *node, struct domain_pages *page, struct gmig_error *err)
{
	char *size = xml_attribute(node, "size"), *unit = xml_attribute(node, "unit");
	bool found;
	int ret = size
		      ? xml_scaled(node, size, unit, &page->size_bytes, err)
		      : gmig_fail(err, -EINVAL, "line %ld: <page> has no size", xmlGetLineNo(node));

	free(size);
	free(unit);
	return ret ? ret : read_nodes(node, &page->cells, &found, err);
}

static int read_hugepages(struct domain_xml *domain, const xmlNode *backing, struct gmig_error *err)
{
	xmlNode *huge = NULL, *node = NULL;
	int ret = xml_child(backing, "hugepages", &huge, err);

	if (ret || !huge)
		return ret;
	domain->huge_pages = true;
	node = xml_next(huge->children, "page");
	ret = alloc_list(node, "page", DOMAIN_XML_CELLS, sizeof(*domain->pages),
			 (void **)&domain->pages, &domain->page_count, err);
	for (size_t i = 0; !ret && i < domain->page_count; i++) {
		ret = read_page(node, &domain->pages[i], err);
		node = xml_next(node->next, "page");
	}
	return ret;
}

static int read_source(const xmlNode *node, enum domain_source *source, struct gmig_error *err)
{
	static const char *const names[] = {"", "anonymous", "file", "memfd"};
	size_t i = DOMAIN_SOURCE_ANONYMOUS;

	while (i <= DOMAIN_SOURCE_MEMFD && !xml_attribute_is(node, "type", names[i]))
		i++;
	if (i > DOMAIN_SOURCE_MEMFD)
		return gmig_fail(err, -EINVAL,
				 "line %ld: <source>: type is anonymous, file or memfd",
				 xmlGetLineNo(node));
	*source = (enum domain_source)i;
	return 0;
}

static int read_backing(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	xmlNode *backing = NULL, *source = NULL, *access = NULL, *locked = NULL;
	int ret = xml_child(root, "memoryBacking", &backing, err);

	if (ret || !backing)
		return ret;
	ret = read_hugepages(domain, backing, err);
	if (!ret)
		ret = xml_child(backing, "source", &source, err);
	if (!ret && source)
		ret = read_source(source, &domain->source, err);
	if (!ret)
		ret = xml_child(backing, "access", &access, err);
	if (!ret && access)
		ret = read_sharing(access, "mode", &domain->sharing, err);
	if (!ret)
		ret = xml_child(backing, "locked", &locked, err);
	if (!ret)
		domain->locked = locked != NULL;
	return ret;
}

/* Devices that work on guest RAM by themselves: VFIO and vDPA pin all of it. */
static bool pins_memory(const xmlNode *node)
{
	static const struct {
		const char *element, *type;
	} pinning[] = {{"hostdev", "pci"},    {"hostdev", "mdev"}, {"interface", "hostdev"},
		       {"interface", "vdpa"}, {"disk", "nvme"},	   {"disk", "vhostvdpa"}};

	for (size_t i = 0; i < sizeof(pinning) / sizeof(pinning[0]); i++)
		if (!strcmp((const char *)node->name, pinning[i].element) &&
		    xml_attribute_is(node, "type", pinning[i].type))
			return true;
	return false;
}

static int read_channel(struct domain_xml *domain, const xmlNode *node, struct gmig_error *err)
{
	xmlNode *source = NULL, *target = NULL;
	int ret = xml_child(node, "target", &target, err);

	if (ret || !target || !xml_attribute_is(target, "name", AGENT_CHANNEL))
		return ret;
	ret = xml_child(node, "source", &source, err);
	if (ret)
		return ret;
	if (domain->agent_path)
		return gmig_fail(err, -EINVAL, "line %ld: a second channel " AGENT_CHANNEL,
				 xmlGetLineNo(node));
	if (source && xml_attribute_is(node, "type", "unix"))
		domain->agent_path = xml_attribute(source, "path");
	domain->agent_connected = xml_attribute_is(target, "state", "connected");
	return 0;
}

static int read_devices(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	xmlNode *devices = NULL, *node = NULL;
	int ret = xml_child(root, "devices", &devices, err);

	for (node = devices ? devices->children : NULL; node && !ret; node = node->next) {
		if (node->type != XML_ELEMENT_NODE || node->ns)
			continue;
		if (!strcmp((const char *)node->name, "channel"))
			ret = read_channel(domain, node, err);
		domain->memory_devices += !strcmp((const char *)node->name, "memory");
		domain->vfio_count += pins_memory(node);
	}
	return ret;
}

static int read_metadata(struct domain_xml *domain, const xmlNode *root, struct gmig_error *err)
{
	xmlNode *metadata = NULL, *security = NULL;
	int ret = xml_child(root, "metadata", &metadata, err);

	if (!ret)
		ret = xml_child(root, "launchSecurity", &security, err);
	if (ret)
		return ret;
	domain->confidential = security != NULL;
	/* A wrong policy is the domain's trouble, not the document's. */
	(void)domain_policy_read(metadata, domain->name, &domain->policy, &domain->policy_error);
	return 0;
}

static read_part *const parts[] = {
    read_name,	  read_uuid,  read_root,     read_memory,  read_vcpus,	 read_iothreads,
    read_cputune, read_cells, read_numatune, read_backing, read_devices, read_metadata,
};

int domain_xml_parse(const char *xml, size_t bytes, struct domain_xml **domain,
		     struct gmig_error *err)
{
	struct domain_xml *parsed;
	const xmlNode *root;
	xmlDoc *doc;
	int ret = xml_read(xml, bytes, &doc, err);

	if (ret)
		return ret;
	root = xmlDocGetRootElement(doc);
	parsed = calloc(1, sizeof(*parsed));
	if (!parsed)
		ret = fail_memory(err);
	else if (root->ns || strcmp((const char *)root->name, "domain") != 0)
		ret = gmig_fail(err, -EINVAL, "the document is a <%.40s>, not a <domain>",
				(const char *)root->name);
	for (size_t i = 0; !ret && i < sizeof(parts) / sizeof(parts[0]); i++)
		ret = parts[i](parsed, root, err);
	xmlFreeDoc(doc);
	if (ret)
		domain_xml_destroy(parsed);
	else
		*domain = parsed;
	return ret;
}

static void free_pins(struct domain_pin *pins, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(pins[i].cpus.word);
	free(pins);
}

void domain_xml_destroy(struct domain_xml *domain)
{
	if (!domain)
		return;
	free_pins(domain->vcpu_pins, domain->vcpu_pin_count);
	free_pins(domain->iothread_pins, domain->iothread_pin_count);
	for (size_t i = 0; i < domain->cell_count; i++)
		free(domain->cells[i].vcpus.word);
	free(domain->vcpu_cpus.word);
	free(domain->emulator_cpus.word);
	free(domain->memnodes);
	free(domain->cells);
	free(domain->pages);
	free(domain->agent_path);
	free(domain->name);
	free(domain);
}
