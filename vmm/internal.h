/*
 * The inside of struct vmm, for the files that make up the machine: end, bus, loop, memory, kvm,
 * vcpu, probe, machine, report, commands, main. Devices and the loader use vmm.h only.
 *
 * Who may do what when:
 *   main thread     builds, resets and takes down; the only one that changes devices, regions and
 *                   vCPU registers
 *   vCPU threads    run the guest and dispatch its exits; park at the gate when asked to
 *   control thread  runs commands.c: reads, stop and cont; asks main for reset and quit through
 *                   vmm_end()
 * Lock order: state_lock, then gate.lock. control_lock, bus, loop and placement locks are leaves.
 */
#ifndef VMM_INTERNAL_H
#define VMM_INTERNAL_H

#include "../control/guest.h"
#include "bus.h"
#include "cpu_topology.h"
#include "loop.h"
#include "machine_check.h"
#include "options.h"
#include "placement.h"
#include "vmm.h"

#include <pthread.h>
#include <signal.h>

#define VMM_MAX_REGIONS (VMM_MAX_VNODES + 1) /* one vnode lies around the hole */

struct control_server;
struct probe;
struct vcpu_power_on;
struct vmm_devices;

struct vmm_vcpu {
	struct vmm *vmm;
	unsigned int id, vnode;
	int fd;
	struct kvm_run *run;
	size_t run_bytes;
	struct vcpu_power_on *power_on; /* registers after creation, for a reset */
	pthread_t thread;
	bool started;
	_Atomic int tid;
	unsigned int starved;	/* its thread only: KVM_RUN has had no memory, so often in a row */
	bool incomplete;	/* its thread only: KVM has yet to complete the last exit's I/O */
	atomic_bool parked;	/* changed under gate.lock; a crash looks without it */
	atomic_bool held;	/* the same: waits for the end of a hold (hold.c) */
	bool ended;		/* guarded by gate.lock: the thread is past its last KVM_RUN */
	_Atomic uint64_t exits; /* KVM_RUN returns */
	_Atomic uintptr_t
	    broken_hva;	 /* guest memory that cannot be read any more, reported by SIGBUS */
	bool has_checks; /* machine checks with recovery; from its creation on */
	enum machine_check_vendor vendor;
	atomic_bool check_joins; /* another vCPU has a machine check: this one takes part */
};

/* What the vCPU threads are to do; they check it after each KVM_RUN. */
enum vmm_gate_order { VMM_GATE_PARK, VMM_GATE_RUN, VMM_GATE_LEAVE };

struct vmm_gate {
	pthread_mutex_t lock;
	pthread_cond_t order_changed, parked_changed;
	enum vmm_gate_order order; /* guarded by lock */
	/* guarded by lock; hold.c */
	bool hold;
	uint64_t hold_began_ns;
	uint64_t hold_next_ns; /* no earlier */
};

enum vmm_state { VMM_STATE_STARTING, VMM_STATE_RUNNING, VMM_STATE_STOPPED, VMM_STATE_SHUTDOWN };

struct vmm {
	struct vmm_options options;
	struct gmig_topology *topology;
	struct gmig *gmig; /* NULL until vmm_memory_create */
	int kvm_fd, vm_fd;
	struct vmm_region region[VMM_MAX_REGIONS]; /* read-only after vmm_memory_create */
	size_t region_count;
	struct cpu_place place[VMM_MAX_VCPUS]; /* by vCPU; from vmm_vcpus_create on */
	struct vmm_vcpu vcpu[VMM_MAX_VCPUS];
	struct vmm_gate gate;
	struct vmm_bus pio, mmio;
	struct vmm_loop loop;
	struct placement placement;  /* of the threads; from vmm_threads_init on */
	struct vmm_devices *devices; /* Linux guest */
	struct probe *probe;	     /* probe guest */
	pthread_rwlock_t control_lock;
	struct control_server *control;	    /* guarded by control_lock */
	int control_undo;		    /* of its socket, while there is a server */
	struct guest_server guest_server;   /* for the commands over libgmig */
	struct guest_job_states job_states; /* as last reported to clients */
	struct vmm_irqchips *irqchips;	    /* power-on state, for a reset */

	pthread_mutex_t state_lock;	   /* held over a whole stop, cont, reset */
	enum vmm_state state;		   /* guarded by state_lock */
	char stop_reason[GMIG_ERROR_TEXT]; /* guarded by state_lock; "": a command */
	_Atomic int end;		   /* enum vmm_end */
	char end_text[GMIG_ERROR_TEXT];	   /* guarded by end_lock */
	char stop_asked[GMIG_ERROR_TEXT];  /* guarded by end_lock; "": nobody did */
	pthread_mutex_t end_lock;
	_Atomic bool reset_asked; /* over the control socket; applies with --no-reboot, too */
	int end_fd;		  /* eventfd: wakes main */
};

#endif
