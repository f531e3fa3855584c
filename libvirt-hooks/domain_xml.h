/*
 * A libvirt domain as its XML describes it: what gmigd needs of a running QEMU domain to find and place its memory. Pure: reads
 * text, knows no libvirt. The text may come from anywhere, so nothing in it is believed unchecked (xml_read.h).
 *
 * Elements that are not needed, and those in other namespaces, are not looked at. Read-only once parsed; any thread, after
 * xmlInitParser() in the first one.
 */
#ifndef DOMAIN_XML_H
#define DOMAIN_XML_H

#include "id_list.h"
#include "policy.h"

#define DOMAIN_XML_NAME	     1024 /* bytes of a name; files of QEMU's carry it, which ends at 255 */
#define DOMAIN_XML_CELLS     1024u /* of each kind of list: what a document may hold at most */
#define DOMAIN_XML_IOTHREADS 16384u

/* <numatune>'s modes, <memory>'s and <memnode>'s. */
enum domain_numa_mode {
	DOMAIN_NUMA_UNSET, /* no such element, or one without a node set */
	DOMAIN_NUMA_STRICT,
	DOMAIN_NUMA_PREFERRED,
	DOMAIN_NUMA_INTERLEAVE,
	DOMAIN_NUMA_RESTRICTIVE,
};

/* <memoryBacking><source type=..>: what the guest's RAM is made of, unless huge pages say otherwise. */
enum domain_source {
	DOMAIN_SOURCE_UNSET, /* QEMU's default, anonymous memory */
	DOMAIN_SOURCE_ANONYMOUS,
	DOMAIN_SOURCE_FILE,
	DOMAIN_SOURCE_MEMFD,
};

enum domain_sharing {
	DOMAIN_SHARING_UNSET,
	DOMAIN_SHARING_SHARED,
	DOMAIN_SHARING_PRIVATE,
};

/* <memnode cellid= mode= nodeset=> */
struct domain_memnode {
	unsigned int cell;
	enum domain_numa_mode mode;
	struct gmig_node_set nodes;
};

/* <cpu><numa><cell>: a node that the guest sees. */
struct domain_cell {
	unsigned int id;
	struct cpu_mask vcpus; /* word NULL: a cell without CPUs */
	uint64_t memory_bytes;
	enum domain_sharing sharing; /* memAccess */
};

/* <vcpupin vcpu= cpuset=>, <iothreadpin iothread= cpuset=> */
struct domain_pin {
	unsigned int id;
	struct cpu_mask cpus;
};

/* <hugepages><page size= unit= nodeset=> */
struct domain_pages {
	uint64_t size_bytes;
	struct gmig_node_set cells; /* of the guest; empty: all that no other element names */
};

struct domain_xml {
	char *name;    /* at least one byte, no control characters; may hold anything else */
	char uuid[37]; /* lower case with hyphens; "" when the document has none */
	char type[16]; /* "kvm", "qemu", .. */
	bool live;     /* has an id: the document describes a running domain */
	unsigned int id;
	uint64_t memory_bytes;	/* <memory>: with all memory devices */
	uint64_t current_bytes; /* <currentMemory>: after ballooning; memory_bytes when not said */
	unsigned int vcpus;	/* <vcpu>: at most */
	unsigned int vcpus_now; /* its `current`, else all */
	struct cpu_mask vcpu_cpus; /* <vcpu cpuset=>: of vCPUs that have no pin of their own */
	bool vcpu_auto;		   /* <vcpu placement='auto'>: numad chose */

	enum domain_numa_mode numa_mode;
	bool numa_auto; /* <memory placement='auto'> */
	struct gmig_node_set numa_nodes;
	struct domain_memnode *memnodes;
	size_t memnode_count;
	struct domain_cell *cells; /* in the order of the document */
	size_t cell_count;

	struct domain_pin *vcpu_pins;
	size_t vcpu_pin_count;
	struct domain_pin *iothread_pins;
	size_t iothread_pin_count;
	struct cpu_mask emulator_cpus;
	unsigned int iothreads;

	bool huge_pages;	    /* <hugepages>: */
	struct domain_pages *pages; /* none: the host's default size for all cells */
	size_t page_count;
	enum domain_source source;
	enum domain_sharing sharing;
	bool locked;		     /* <locked/>: QEMU calls mlockall() */
	unsigned int vfio_count;     /* devices through which VFIO or vDPA pin all guest RAM */
	unsigned int memory_devices; /* <memory model=..>: DIMMs, NVDIMMs, virtio-mem */
	bool confidential;	     /* <launchSecurity>: SEV, TDX, ..: memory that cannot move */

	char *agent_path; /* host side of channel org.gmig.agent.0; NULL: none, or not known yet */
	bool agent_connected;

	/*
	 * <metadata>'s placement: nothing given when there is none. When it is wrong, policy_error.code is not 0, its text says
	 * what is allowed, and nothing is given either: a domain with a wrong policy has to be reported, never half obeyed.
	 */
	struct placement_policy policy;
	struct gmig_error policy_error;
};

/*
 * Read a domain's XML, inactive or of a running domain, of any libvirt from 1.2 on. -E2BIG: more than XML_READ_BYTES; -EINVAL,
 * -ERANGE: not well-formed, with a document type, not a <domain>, without a name, an element twice, a number, unit or list that
 * is none; -ENOMEM. The text names line and element. The caller destroys *domain, which is set only on success.
 */
int domain_xml_parse(const char *xml, size_t bytes, struct domain_xml **domain,
		     struct gmig_error *err);
/* NULL is allowed. */
void domain_xml_destroy(struct domain_xml *domain);

/* "strict"; "unset". */
const char *domain_numa_mode_name(enum domain_numa_mode mode);

#endif
