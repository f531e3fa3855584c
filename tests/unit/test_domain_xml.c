/* A domain's XML: what libvirt really writes, and what it never would. */
#include "suite.h"

#include "../../libvirt-hooks/domain_xml.h"
#include "../../libvirt-hooks/xml_read.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <stdlib.h>
#include <string.h>

#define DOMAINS TEST_SOURCE_DIR "/tests/unit/domains/"
#define HEAD	"<domain type='kvm'><name>a</name><memory>1</memory>"

static struct domain_xml *domain;
static struct gmig_error err;

static void setup(void)
{
	domain = NULL;
	err = (struct gmig_error){0, ""};
}

static void teardown(void)
{
	domain_xml_destroy(domain);
}

static void load(const char *name)
{
	FILE *file = fopen(name, "r");
	char *text = malloc(65536);
	size_t bytes;

	ck_assert_ptr_nonnull(file);
	bytes = fread(text, 1, 65536, file);
	fclose(file);
	ck_assert_msg(!domain_xml_parse(text, bytes, &domain, &err), "%s: %s", name, err.text);
	free(text);
}

static int parse(const char *text)
{
	return domain_xml_parse(text, strlen(text), &domain, &err);
}

static void expect_list(const struct gmig_node_set *set, const char *want)
{
	char text[64];

	ck_assert_str_eq(gmig_node_set_print(set, text, sizeof(text)), want);
}

static void expect_cpus(const struct cpu_mask *mask, uint64_t want)
{
	ck_assert_ptr_nonnull(mask->word);
	ck_assert_uint_eq(mask->words, 1);
	ck_assert_uint_eq(mask->word[0], want);
}

START_TEST(live_domain_of_libvirt_9_is_read)
{
	load(DOMAINS "live-9.0.xml");
	ck_assert_str_eq(domain->name, "web1");
	ck_assert_str_eq(domain->uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
	ck_assert_str_eq(domain->type, "kvm");
	ck_assert(domain->live);
	ck_assert_uint_eq(domain->id, 7);
	ck_assert_uint_eq(domain->memory_bytes, 4ull << 30);
	ck_assert_uint_eq(domain->current_bytes, 3ull << 30);
	ck_assert_uint_eq(domain->vcpus, 4);
	ck_assert_uint_eq(domain->vcpus_now, 3);
	expect_cpus(&domain->vcpu_cpus, 0xdf);
	ck_assert(!domain->vcpu_auto && !domain->numa_auto && !domain->confidential);
	ck_assert_uint_eq(domain->vfio_count, 1);
	ck_assert_uint_eq(domain->memory_devices, 0);
	ck_assert_str_eq(domain->agent_path, "/run/libvirt/qemu/channel/7-web1/org.gmig.agent.0");
	ck_assert(domain->agent_connected);
}
END_TEST

START_TEST(live_domain_has_its_nodes_and_cells)
{
	load(DOMAINS "live-9.0.xml");
	ck_assert_int_eq(domain->numa_mode, DOMAIN_NUMA_RESTRICTIVE);
	ck_assert_str_eq(domain_numa_mode_name(domain->numa_mode), "restrictive");
	expect_list(&domain->numa_nodes, "0-1");
	ck_assert_uint_eq(domain->memnode_count, 2);
	ck_assert_uint_eq(domain->memnodes[1].cell, 1);
	ck_assert_int_eq(domain->memnodes[1].mode, DOMAIN_NUMA_RESTRICTIVE);
	expect_list(&domain->memnodes[1].nodes, "1");
	ck_assert_uint_eq(domain->cell_count, 2);
	ck_assert_uint_eq(domain->cells[1].id, 1);
	expect_cpus(&domain->cells[1].vcpus, 0xc);
	ck_assert_uint_eq(domain->cells[1].memory_bytes, 2ull << 30);
	ck_assert_int_eq(domain->cells[0].sharing, DOMAIN_SHARING_SHARED);
	ck_assert_int_eq(domain->cells[1].sharing, DOMAIN_SHARING_UNSET);
}
END_TEST

START_TEST(live_domain_has_its_pins_by_number)
{
	load(DOMAINS "live-9.0.xml");
	ck_assert_uint_eq(domain->vcpu_pin_count, 2);
	ck_assert_uint_eq(domain->vcpu_pins[0].id, 0);
	expect_cpus(&domain->vcpu_pins[0].cpus, 0x101);
	ck_assert_uint_eq(domain->vcpu_pins[1].id, 1);
	expect_cpus(&domain->vcpu_pins[1].cpus, 0x202);
	expect_cpus(&domain->emulator_cpus, 0xc);
	ck_assert_uint_eq(domain->iothreads, 2);
	ck_assert_uint_eq(domain->iothread_pin_count, 1);
	ck_assert_uint_eq(domain->iothread_pins[0].id, 4);
}
END_TEST

START_TEST(live_domain_has_its_backing_and_policy)
{
	load(DOMAINS "live-9.0.xml");
	ck_assert(domain->huge_pages && domain->locked);
	ck_assert_uint_eq(domain->page_count, 2);
	ck_assert_uint_eq(domain->pages[0].size_bytes, 2 << 20);
	expect_list(&domain->pages[0].cells, "0");
	ck_assert_uint_eq(domain->pages[1].size_bytes, 1 << 30);
	ck_assert_int_eq(domain->source, DOMAIN_SOURCE_MEMFD);
	ck_assert_int_eq(domain->sharing, DOMAIN_SHARING_SHARED);
	ck_assert_int_eq(domain->policy_error.code, 0);
	ck_assert_int_eq(domain->policy.placement, POLICY_FOLLOW_VCPUS);
	expect_list(&domain->policy.nodes, "0-1,3");
	ck_assert_uint_eq(domain->policy.rate_bytes, 3ull << 29);
	ck_assert_uint_eq(domain->policy.quiet_count, 2);
	ck_assert_str_eq(domain->policy.where[POLICY_KEY_RATE], "metadata of web1");
}
END_TEST

START_TEST(live_domain_of_libvirt_10_is_read)
{
	load(DOMAINS "live-10.x.xml");
	ck_assert_str_eq(domain->name, "db 2/gro\xc3\x9f"
				       "er Knoten");
	ck_assert_str_eq(domain->uuid, "0c1a7e54-42b5-4dc1-a0e0-c4b8a9a5b0f1");
	ck_assert_uint_eq(domain->memory_bytes, 9ull << 30);
	ck_assert_uint_eq(domain->current_bytes, 9000000000);
	ck_assert(domain->vcpu_auto && domain->numa_auto && domain->confidential);
	ck_assert_int_eq(domain->numa_mode, DOMAIN_NUMA_PREFERRED);
	ck_assert(gmig_node_set_empty(&domain->numa_nodes));
	ck_assert(domain->huge_pages);
	ck_assert_uint_eq(domain->page_count, 0);
	ck_assert_uint_eq(domain->cell_count, 2);
	ck_assert_ptr_null(domain->cells[1].vcpus.word);
	ck_assert_uint_eq(domain->cells[1].memory_bytes, 0);
	ck_assert_uint_eq(domain->vfio_count, 3);
	ck_assert_uint_eq(domain->memory_devices, 1);
	ck_assert_ptr_null(domain->agent_path);
}
END_TEST

START_TEST(inactive_domain_without_most_elements_is_read)
{
	load(DOMAINS "inactive-minimal.xml");
	ck_assert_int_eq(err.code, 0);
	ck_assert(!domain->live);
	ck_assert_str_eq(domain->uuid, "");
	ck_assert_uint_eq(domain->memory_bytes, 64 << 20);
	ck_assert_uint_eq(domain->current_bytes, 64 << 20);
	ck_assert_uint_eq(domain->vcpus_now, 1);
	ck_assert_int_eq(domain->numa_mode, DOMAIN_NUMA_UNSET);
	for (int key = 0; key < POLICY_KEYS; key++)
		ck_assert_str_eq(domain->policy.where[key], "");
}
END_TEST

START_TEST(elements_of_other_namespaces_are_not_seen)
{
	ck_assert_int_eq(parse("<domain type='kvm' xmlns:x='urn:x'><x:name>b</x:name><name>a</name>"
			       "<x:memory>7</x:memory><memory>1</memory></domain>"),
			 0);
	ck_assert_str_eq(domain->name, "a");
	ck_assert_uint_eq(domain->memory_bytes, 1024);
}
END_TEST

static const struct {
	const char *unit;
	uint64_t bytes; /* of 3 of them; 0: refused */
} units[] = {
    {"", 3 << 10},
    {"b", 3},
    {"Byte", 3},
    {"bytes", 3},
    {"k", 3 << 10},
    {"K", 3 << 10},
    {"KiB", 3 << 10},
    {"kib", 3 << 10},
    {"KB", 3000},
    {"kb", 3000},
    {"M", 3 << 20},
    {"MiB", 3 << 20},
    {"MB", 3000000},
    {"G", 3ull << 30},
    {"GB", 3000000000},
    {"TiB", 3ull << 40},
    {"TB", 3000000000000},
    {"P", 3ull << 50},
    {"E", 3ull << 60},
    {"EB", 3000000000000000000},
    {"KBi", 0},
    {"KiBs", 0},
    {"Kilo", 0},
    {"Z", 0},
    {" ", 0},
    {"KB ", 0},
    {"%", 0},
    {"bb", 0},
};
#define UNITS (int)(sizeof(units) / sizeof(units[0]))

START_TEST(memory_has_libvirts_units)
{
	char text[200];

	snprintf(text, sizeof(text),
		 "<domain type='kvm'><name>a</name><memory unit='%s'>3</memory></domain>",
		 units[_i].unit);
	ck_assert_int_eq(parse(text), units[_i].bytes ? 0 : -EINVAL);
	if (units[_i].bytes)
		ck_assert_uint_eq(domain->memory_bytes, units[_i].bytes);
	else
		ck_assert_msg(strstr(err.text, "line 1: <memory>: unknown unit") != NULL, "%s",
			      err.text);
}
END_TEST

static const struct {
	const char *text;
	int error;
	const char *says;
} hostile[] = {
    {"", -EINVAL, "not well-formed"},
    {"<", -EINVAL, "not well-formed"},
    {"<domain", -EINVAL, "not well-formed"},
    {"plain text", -EINVAL, "not well-formed"},
    {"<domain type='kvm'><name>a\x01</name></domain>", -EINVAL, "not well-formed"},
    {"<domain type='kvm'><name>&#1;</name></domain>", -EINVAL, "not well-formed"},
    {"<domain type='kvm'><name>\xff\xfe</name></domain>", -EINVAL, "not well-formed"},
    {"<domain type='kvm'><name>&undeclared;</name></domain>", -EINVAL, "not well-formed"},
    {"<!DOCTYPE domain><domain type='kvm'/>", -EINVAL, "document type"},
    {"<!DOCTYPE domain SYSTEM 'http://localhost/x.dtd'><domain/>", -EINVAL, "document type"},
    {"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>",
     -EINVAL, "document type"},
    {"<!DOCTYPE l [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
     "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>]>"
     "<domain><name>&d;</name></domain>",
     -EINVAL, "document type"},
    {"<domstatus><domain type='kvm'/></domstatus>", -EINVAL, "is a <domstatus>"},
    {"<domain xmlns='urn:x' type='kvm'/>", -EINVAL, "not a <domain>"},
    {"<domain type='kvm'/>", -EINVAL, "without <name>"},
    {"<domain type='kvm'><name/></domain>", -EINVAL, "0 bytes"},
    {"<domain type='kvm'><name>a</name><name>b</name></domain>", -EINVAL, "second <name>"},
    {"<domain type='kvm'><name>a\nb</name></domain>", -EINVAL, "control characters"},
    {"<domain type='kvm'><name>a&#9;b</name></domain>", -EINVAL, "control characters"},
    {"<domain type='kvm'><name>a\x7f</name></domain>", -EINVAL, "control characters"},
    {"<domain type='kvm'><name>a&#x9b;31m</name></domain>", -EINVAL, "control characters"},
    {"<domain type='kvm'><name>a</name></domain>", -EINVAL, "without <memory>"},
    {"<domain><name>a</name><memory>1</memory></domain>", -EINVAL, "no type"},
    {"<domain type='kvm-with-a-long-name'><name>a</name><memory>1</memory></domain>", -EINVAL,
     "no type"},
    {"<domain type='kvm' id='-1'><name>a</name><memory>1</memory></domain>", -EINVAL,
     "not a number"},
    {"<domain type='kvm' id='2147483648'><name>a</name><memory>1</memory></domain>", -ERANGE,
     "2147483647"},
    {HEAD "<memory>2</memory></domain>", -EINVAL, "second <memory>"},
    {"<domain type='kvm'><name>a</name><memory>18446744073709551615</memory></domain>", -ERANGE,
     "over 64 bits"},
    {"<domain type='kvm'><name>a</name><memory>18446744073709551616</memory></domain>", -ERANGE,
     "is more than"},
    {"<domain type='kvm'><name>a</name><memory>-1</memory></domain>", -EINVAL, "not a number"},
    {"<domain type='kvm'><name>a</name><memory>1e3</memory></domain>", -EINVAL, "not a number"},
    {"<domain type='kvm'><name>a</name><memory></memory></domain>", -EINVAL, "not a number"},
    {HEAD "<currentMemory unit='furlong'>1</currentMemory></domain>", -EINVAL, "unknown unit"},
    {HEAD "<uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa</uuid></domain>", -EINVAL, "32 hex"},
    {HEAD "<uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa00</uuid></domain>", -EINVAL, "32 hex"},
    {HEAD "<uuid>gdea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid></domain>", -EINVAL, "32 hex"},
    {HEAD "<vcpu>0x4</vcpu></domain>", -EINVAL, "not a number"},
    {HEAD "<vcpu>16385</vcpu></domain>", -ERANGE, "16384"},
    {HEAD "<vcpu current='5'>4</vcpu></domain>", -ERANGE, "more than 4"},
    {HEAD "<vcpu cpuset='4-0'>4</vcpu></domain>", -EINVAL, "<vcpu>: a range of CPUs"},
    {HEAD "<iothreads>99999</iothreads></domain>", -ERANGE, "16384"},
    {HEAD "<cputune><vcpupin cpuset='0'/></cputune></domain>", -EINVAL, "has no vcpu"},
    {HEAD "<cputune><vcpupin vcpu='0'/></cputune></domain>", -EINVAL, "has no cpuset"},
    {HEAD "<cputune><vcpupin vcpu='16384' cpuset='0'/></cputune></domain>", -ERANGE, "16383"},
    {HEAD "<cputune><vcpupin vcpu='1' cpuset='0'/><vcpupin vcpu='1' cpuset='1'/></cputune>"
	  "</domain>",
     -EINVAL, "second <vcpupin> for vcpu 1"},
    {HEAD "<cputune/><cputune/></domain>", -EINVAL, "second <cputune>"},
    {HEAD "<numatune><memory mode='best'/></numatune></domain>", -EINVAL, "mode is strict"},
    {HEAD "<numatune><memory mode='unset' nodeset='0'/></numatune></domain>", -EINVAL,
     "mode is strict"},
    {HEAD "<numatune><memory nodeset='1024'/></numatune></domain>", -ERANGE, "0 to 1023"},
    {HEAD "<numatune><memnode nodeset='0'/></numatune></domain>", -EINVAL, "no cellid"},
    {HEAD "<numatune><memnode cellid='0' mode='strict'/></numatune></domain>", -EINVAL,
     "no nodeset"},
    {HEAD "<numatune><memnode cellid='0' nodeset='0'/><memnode cellid='0' nodeset='0'/>"
	  "</numatune></domain>",
     -EINVAL, "second <memnode> for cell 0"},
    {HEAD "<cpu><numa><cell cpus='0'/></numa></cpu></domain>", -EINVAL, "no memory"},
    {HEAD "<cpu><numa><cell id='0' memory='1'/><cell id='0' memory='1'/></numa></cpu></domain>",
     -EINVAL, "second <cell> with id 0"},
    {HEAD "<cpu><numa><cell id='1024' memory='1'/></numa></cpu></domain>", -ERANGE, "1023"},
    {HEAD "<cpu><numa><cell id='0' memory='1' memAccess='public'/></numa></cpu></domain>", -EINVAL,
     "shared or private"},
    {HEAD "<memoryBacking><hugepages><page unit='M'/></hugepages></memoryBacking></domain>",
     -EINVAL, "no size"},
    {HEAD "<memoryBacking><source type='disk'/></memoryBacking></domain>", -EINVAL, "memfd"},
    {HEAD "<devices><channel type='unix'><target name='org.gmig.agent.0'/></channel>"
	  "<channel type='unix'><source path='/x'/><target name='org.gmig.agent.0'/></channel>"
	  "<channel type='unix'><source path='/y'/><target name='org.gmig.agent.0'/></channel>"
	  "</devices></domain>",
     -EINVAL, "second channel"},
};
#define HOSTILE (int)(sizeof(hostile) / sizeof(hostile[0]))

START_TEST(hostile_document_gets_a_clear_error)
{
	ck_assert_int_eq(parse(hostile[_i].text), hostile[_i].error);
	ck_assert_ptr_null(domain);
	ck_assert_int_eq(err.code, hostile[_i].error);
	ck_assert_msg(strstr(err.text, hostile[_i].says) != NULL, "%s", err.text);
}
END_TEST

/* head, count times middle, tail */
static char *repeat(const char *head, const char *middle, size_t count, const char *tail)
{
	size_t bytes = strlen(middle);
	char *text = malloc(strlen(head) + bytes * count + strlen(tail) + 1);
	char *at = stpcpy(text, head);

	for (size_t i = 0; i < count; i++, at += bytes)
		memcpy(at, middle, bytes);
	strcpy(at, tail);
	return text;
}

START_TEST(name_of_a_megabyte_is_refused_with_its_size)
{
	char *text = repeat("<domain type='kvm'><name>", "x", 1 << 20, "</name></domain>");

	ck_assert_int_eq(parse(text), -E2BIG);
	ck_assert_ptr_nonnull(strstr(err.text, "1048576 bytes"));
	free(text);
	text = repeat("<domain type='kvm'><name>", "x", 1024, "</name><memory>1</memory></domain>");
	ck_assert_int_eq(parse(text), 0);
	free(text);
}
END_TEST

START_TEST(document_over_16_mib_or_too_deep_is_refused)
{
	char *text = repeat(HEAD, "<!--0123456789abcdef-->", 1 << 20, "</domain>");

	ck_assert_int_eq(parse(text), -E2BIG);
	ck_assert_ptr_nonnull(strstr(err.text, "16777216"));
	free(text);
	text = repeat("<domain>", "<a>", 100000, "");
	ck_assert_int_eq(parse(text), -EINVAL);
	free(text);
}
END_TEST

/* Of the rest of a document that ends: how many bytes of a tag are taken. */
START_TEST(tag_of_more_than_16_kib_is_refused_wherever_its_quotes_are)
{
	char *text = repeat(HEAD "<a", " b='>'", 1 << 16, "/></domain>");

	ck_assert_int_eq(parse(text), -E2BIG);
	ck_assert_msg(strstr(err.text, "tag of more than 16384 bytes") != NULL, "%s", err.text);
	free(text);
	text = repeat(HEAD "<a b='", ">", 16384 - strlen("<a b=''/"), "'/></domain>");
	ck_assert_msg(!parse(text), "%s", err.text);
	domain_xml_destroy(domain);
	domain = NULL;
	free(text);
	text = repeat(HEAD "<a b='", ">", 16384 - strlen("<a b=''/") + 1, "'/></domain>");
	ck_assert_int_eq(parse(text), -E2BIG);
	free(text);
	text = repeat(HEAD "<a b=\"", "'>", 8192, "\"/></domain>");
	ck_assert_int_eq(parse(text), -E2BIG);
	free(text);
}
END_TEST

START_TEST(comments_and_sections_may_be_longer_than_a_tag)
{
	char *text =
	    repeat(HEAD "<!-- \" <x", " y='", 20000, " --><title><![CDATA[<\"]]></title></domain>");

	ck_assert_msg(!parse(text), "%s", err.text);
	free(text);
}
END_TEST

START_TEST(elements_and_attributes_without_end_are_refused)
{
	char *text = repeat(HEAD, "<a/>", 131072, "</domain>");

	ck_assert_int_eq(parse(text), -E2BIG);
	ck_assert_msg(strstr(err.text, "131072 elements") != NULL, "%s", err.text);
	free(text);
	text = repeat(HEAD, "<a b='' c='' d=''/>", 32768, "</domain>");
	ck_assert_int_eq(parse(text), -E2BIG);
	free(text);
	text = repeat(HEAD, "<a/>", 131000, "</domain>");
	ck_assert_msg(!parse(text), "%s", err.text);
	free(text);
}
END_TEST

START_TEST(document_in_another_encoding_is_refused)
{
	static const char utf16[] = "\xff\xfe<\0d\0o\0m\0a\0i\0n\0/\0>\0";
	static const char latin1[] = "<?xml version='1.0' encoding='ISO-8859-1'?><domain "
				     "type='kvm'><name>\xe4</name></domain>";

	ck_assert_int_eq(domain_xml_parse(utf16, sizeof(utf16) - 1, &domain, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "only UTF-8 is read"));
	ck_assert_int_eq(parse(latin1), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "not well-formed"));
}
END_TEST

START_TEST(lists_of_more_than_libvirts_size_are_refused)
{
	char *text = repeat(HEAD "<cputune>", "<vcpupin vcpu='0' cpuset='16383'/>", 16385,
			    "</cputune></domain>");

	ck_assert_int_eq(parse(text), -E2BIG);
	ck_assert_msg(strstr(err.text, "more than 16384 <vcpupin>") != NULL, "%s", err.text);
	free(text);
	text = repeat(HEAD "<cpu><numa>", "<cell memory='1'/>", 1024, "</numa></cpu></domain>");
	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(domain->cells[1023].id, 1023);
	free(text);
}
END_TEST

static const struct {
	const char *metadata, *says; /* says NULL: well */
} policies[] = {
    {"<g:placement xmlns:g='urn:gmig:placement:1'/>", NULL},
    {"<placement xmlns='urn:gmig:placement:1' rate='1G'/>", NULL},
    {"<g:placement xmlns:g='urn:gmig:placement:1'> <!-- ours --> </g:placement>", NULL},
    {"<placement rate='nonsense'/>", NULL}, /* somebody else's */
    {"<g:placement xmlns:g='urn:other' rate='nonsense'/>", NULL},
    {"<g:placement xmlns:g='urn:gmig:placement:1' mode='pack'/>", "no attribute 'mode'"},
    {"<g:placement xmlns:g='urn:gmig:placement:1' g:rate='1G'/>", "no attribute '..:rate'"},
    {"<g:placement xmlns:g='urn:gmig:placement:1' placement='best'/>",
     "metadata of a: placement = 'best': it is none, fixed"},
    {"<g:placement xmlns:g='urn:gmig:placement:1' rate='1G' nodes='x'/>", "nodes are numbers"},
    {"<g:placement xmlns:g='urn:gmig:placement:1'>pack</g:placement>", "is empty"},
    {"<g:placement xmlns:g='urn:gmig:placement:1'><g:rate>1G</g:rate></g:placement>", "is empty"},
    {"<g:policy xmlns:g='urn:gmig:placement:1'/>", "no element <policy>"},
    {"<g:placement xmlns:g='urn:gmig:placement:2'/>", "another version"},
    {"<g:placement xmlns:g='urn:gmig:placement:1'/><g:placement xmlns:g='urn:gmig:placement:1'/>",
     "a second <placement>"},
};
#define POLICIES (int)(sizeof(policies) / sizeof(policies[0]))

START_TEST(policy_that_is_wrong_is_reported_and_gives_nothing)
{
	char text[400];

	snprintf(text, sizeof(text), HEAD "<metadata>%s</metadata></domain>",
		 policies[_i].metadata);
	ck_assert_int_eq(parse(text), 0);
	ck_assert_str_eq(domain->name, "a");
	if (!policies[_i].says) {
		ck_assert_msg(!domain->policy_error.code, "%s", domain->policy_error.text);
		return;
	}
	ck_assert_int_eq(domain->policy_error.code, -EINVAL);
	ck_assert_msg(strstr(domain->policy_error.text, policies[_i].says) != NULL, "%s",
		      domain->policy_error.text);
	for (int key = 0; key < POLICY_KEYS; key++)
		ck_assert_str_eq(domain->policy.where[key], "");
	ck_assert_uint_eq(domain->policy.rate_bytes, 0);
}
END_TEST

static const struct {
	const char *attributes;
	bool valid; /* for the schema and for the reader, which have to agree */
} schemas[] = {
    {"", true},
    {"placement='none'", true},
    {"placement='fixed' nodes='0-3,^2'", true},
    {"placement='follow-vcpus' rate='1.5G'", true},
    {"placement='pack' rate='none' stall-budget='none' quiet-hours='none' nodes='all'", true},
    {"placement='spread' rate='4096' stall-budget='2ms' slowdown='2.5%' protect='no'", true},
    {"protect='yes' quiet-hours='Mon-Fri 08:00-18:00, Sat 22:00-06:00,00:00-24:00'", true},
    {"nodes=' 0 - 3 , ^ 2'", true},
    {"placement='best'", false},
    {"placement=' pack'", false},
    {"placement=''", false},
    {"mode='pack'", false},
    {"nodes='0,'", false},
    {"nodes='^0-1'", false},
    {"rate='1.5'", false},
    {"rate='fast'", false},
    {"stall-budget='5'", false},
    {"slowdown='5'", false},
    {"protect='true'", false},
    {"quiet-hours='8-18'", false},
    {"quiet-hours='Monday 08:00-18:00'", false},
};
#define SCHEMAS (int)(sizeof(schemas) / sizeof(schemas[0]))

static void say_nothing(void *context, const char *format, ...)
{
	(void)context;
	(void)format;
}

static bool schema_valid(const char *element)
{
	xmlRelaxNGParserCtxt *parser =
	    xmlRelaxNGNewParserCtxt(TEST_SOURCE_DIR "/libvirt-hooks/placement.rng");
	xmlRelaxNG *schema = xmlRelaxNGParse(parser);
	xmlRelaxNGValidCtxt *valid = xmlRelaxNGNewValidCtxt(schema);
	xmlDoc *doc = xmlReadMemory(element, (int)strlen(element), NULL, NULL, XML_PARSE_NONET);
	int ret;

	ck_assert_ptr_nonnull(schema);
	ck_assert_ptr_nonnull(doc);
	xmlRelaxNGSetValidErrors(valid, say_nothing, say_nothing, NULL);
	ret = xmlRelaxNGValidateDoc(valid, doc);
	xmlFreeDoc(doc);
	xmlRelaxNGFreeValidCtxt(valid);
	xmlRelaxNGFree(schema);
	xmlRelaxNGFreeParserCtxt(parser);
	return !ret;
}

START_TEST(schema_and_reader_agree)
{
	char element[300], text[400];

	snprintf(element, sizeof(element), "<g:placement xmlns:g='" POLICY_NAMESPACE "' %s/>",
		 schemas[_i].attributes);
	ck_assert_int_eq(schema_valid(element), schemas[_i].valid);
	snprintf(text, sizeof(text), HEAD "<metadata>%s</metadata></domain>", element);
	ck_assert_int_eq(parse(text), 0);
	ck_assert_msg(!domain->policy_error.code == schemas[_i].valid, "%s",
		      domain->policy_error.text);
}
END_TEST

/* What the documentation shows is what it should be. */
START_TEST(placement_in_the_documentation_is_valid)
{
	static char text[65536], document[2048];
	FILE *file = fopen(TEST_SOURCE_DIR "/docs/libvirt.md", "r");
	const char *begin, *end;

	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	begin = strstr(text, "<gmig:placement");
	ck_assert_ptr_nonnull(begin);
	end = strstr(begin, "/>");
	ck_assert_ptr_nonnull(end);
	snprintf(document, sizeof(document), "%.*s", (int)(end + 2 - begin), begin);
	ck_assert(schema_valid(document));
	snprintf(document, sizeof(document), HEAD "<metadata>%.*s</metadata></domain>",
		 (int)(end + 2 - begin), begin);
	ck_assert_int_eq(parse(document), 0);
	ck_assert_msg(!domain->policy_error.code, "%s", domain->policy_error.text);
	ck_assert_int_eq(domain->policy.placement, POLICY_FOLLOW_VCPUS);
	ck_assert_uint_eq(domain->policy.quiet_count, 2);
}
END_TEST

static TCase *simple_case(void)
{
	TCase *tcase = tcase_create("domain");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, live_domain_of_libvirt_9_is_read);
	tcase_add_test(tcase, live_domain_has_its_nodes_and_cells);
	tcase_add_test(tcase, live_domain_has_its_pins_by_number);
	tcase_add_test(tcase, live_domain_has_its_backing_and_policy);
	tcase_add_test(tcase, live_domain_of_libvirt_10_is_read);
	tcase_add_test(tcase, inactive_domain_without_most_elements_is_read);
	tcase_add_test(tcase, placement_in_the_documentation_is_valid);
	tcase_add_test(tcase, elements_of_other_namespaces_are_not_seen);
	tcase_add_test(tcase, name_of_a_megabyte_is_refused_with_its_size);
	tcase_add_test(tcase, document_over_16_mib_or_too_deep_is_refused);
	tcase_add_test(tcase, tag_of_more_than_16_kib_is_refused_wherever_its_quotes_are);
	tcase_add_test(tcase, comments_and_sections_may_be_longer_than_a_tag);
	tcase_add_test(tcase, elements_and_attributes_without_end_are_refused);
	tcase_add_test(tcase, document_in_another_encoding_is_refused);
	tcase_add_test(tcase, lists_of_more_than_libvirts_size_are_refused);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("domain_xml");
	TCase *tables = tcase_create("tables");

	tcase_add_checked_fixture(tables, setup, teardown);
	tcase_add_loop_test(tables, memory_has_libvirts_units, 0, UNITS);
	tcase_add_loop_test(tables, hostile_document_gets_a_clear_error, 0, HOSTILE);
	tcase_add_loop_test(tables, policy_that_is_wrong_is_reported_and_gives_nothing, 0,
			    POLICIES);
	tcase_add_loop_test(tables, schema_and_reader_agree, 0, SCHEMAS);
	suite_add_tcase(suite, simple_case());
	suite_add_tcase(suite, tables);
	return run_suite(suite);
}
