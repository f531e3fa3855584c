/*
 * What gmig-vmm was asked to do, checked as a whole before anything starts. Pure: no KVM, no
 * engine; only the files named are looked at. Every refusal has a text of its own.
 */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include "vmm.h"

#include <stdbool.h>

struct vmm_node_option {
	uint64_t mem_bytes; /* multiple of 2 MiB */
	uint64_t cpus;	    /* bit mask */
	unsigned int host;  /* host node of first touch */
	bool host_given;    /* else vmm_options_place() may take another than 0 */
};

enum vmm_load { VMM_LOAD_WRITE, VMM_LOAD_IDLE, VMM_LOAD_RANDOM, VMM_LOAD_READ, VMM_LOAD_HALF };

/* What a write does that finds no room on the host. */
enum vmm_on_full { VMM_ON_FULL_PAUSE, VMM_ON_FULL_ERROR };

struct vmm_options {
	char name[65];
	unsigned int cpus, fake_nodes;
	unsigned int node_count; /* 1..VMM_MAX_VNODES */
	uint64_t mem_bytes;
	struct vmm_node_option node[VMM_MAX_VNODES];
	uint8_t distance[VMM_MAX_VNODES][VMM_MAX_VNODES]; /* 10 on the diagonal, 20 unless told */
	uint64_t pool_bytes;  /* --pool SIZE per node, 0 = engine's default */
	uint64_t extra_bytes; /* --extra SIZE, 0 = engine's default */
	bool plain;	      /* --memory plain */
	bool memfd;	      /* --memory memfd: others may map it, too */
	bool memfd_huge;      /* --memory memfd,huge=2M */
	bool hugetlb;	      /* --memory hugetlb */
	bool small_pages;     /* --page 4K */
	bool giant_pages;     /* --page 1G */
	bool mlock;	      /* --mlock */
	bool unsafe_kernel;   /* --unsafe-kernel, or GMIG_UNSAFE_KERNEL=1 in the environment */
	bool no_reboot;	      /* --no-reboot */
	bool no_pin;	      /* --no-pin: vCPU threads may run anywhere */
	bool console_append;  /* --console file:PATH,append */
	bool prealloc;	      /* --prealloc: all memory at the start */
	unsigned int prealloc_threads; /* --prealloc=THREADS; 0: one for each CPU */
	bool sample;		       /* --sample: which memory is used much */
	unsigned int sample_rate;      /* --sample=BLOCKS a second; 0: the engine's default */
	unsigned int grace_s; /* --grace: how long a guest may take to power down at SIGTERM */
	bool dump_guest_core; /* --dump-guest-core: core dumps have the guest's memory */
	bool no_sandbox;      /* --sandbox off */
	bool daemonize;	      /* --daemonize: the command returns when the guest runs */
	/* Linux guest; kernel NULL = probe guest */
	const char *kernel, *initrd, *append;
	bool kernel_kept; /* both files are open (vmm_boot_keep) */
	int kernel_fd, initrd_fd;
	const char *disk[VMM_MAX_DISKS];
	bool disk_readonly[VMM_MAX_DISKS];
	bool disk_direct[VMM_MAX_DISKS]; /* cache=none */
	enum vmm_on_full disk_on_full[VMM_MAX_DISKS];
	unsigned int disk_count;
	const char *tap[VMM_MAX_NETS];
	unsigned int net_count;
	struct {
		char name[32];
		const char *path;
	} port[VMM_MAX_PORTS];
	unsigned int port_count;
	bool balloon;		/* --balloon */
	bool balloon_on_oom;	/* --balloon=deflate-on-oom */
	bool balloon_reporting; /* --balloon=reporting */
	const char *console;	/* --console stdio | file:PATH | pty | none; NULL = stdio for Linux,
				none for probe */
	/* probe guest */
	enum vmm_load load;		  /* --load */
	bool probe_interrupts;		  /* --interrupts */
	unsigned int probe_touch_percent; /* --touch: how much of RAM the probe sweeps, 100 */
	bool help, version;
};

/*
 * 0 and *options; strings point into argv, which is cut up at commas. -EINVAL and a text. With help
 * or version set nothing else counts.
 */
int vmm_options_parse(int argc, char **argv, struct vmm_options *options, struct gmig_error *err);
/*
 * vnodes for which no host node was given: 0, or the nearest one that has memory which this process
 * may use. said: "", or one line that tells of those that are not on node 0.
 */
void vmm_options_place(struct vmm_options *options, const struct gmig_topology *topology,
		       struct gmig_error *said);
/* Checks against the host: nodes there, files readable, sockets' directories; after parse. */
int vmm_options_check_host(const struct vmm_options *options, const struct gmig_topology *topology,
			   struct gmig_error *err);
const char *vmm_options_help(void);

/* "write", "idle", ..: a word's index is its enum's value; NULL-ended. */
const char *const *vmm_load_names(void);
/* One of them; `what` starts the text. -EINVAL. */
int vmm_load_parse(const char *what, const char *text, enum vmm_load *load, struct gmig_error *err);

/* "512M", "1.5G", "4096" (MiB when `plain_is_mib`, else bytes). -EINVAL, -ERANGE. */
int vmm_parse_size(const char *text, bool plain_is_mib, uint64_t *bytes);

#endif
