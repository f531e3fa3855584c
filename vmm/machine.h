/*
 * The inside of struct vmm: for the files that make up the machine (machine, memory, vcpu, bus,
 * loop, probe, commands, main). Devices and the loader use vmm.h only.
 *
 * Who may do what when:
 *   main thread     builds, resets and takes down; the only one that changes `guest`, regions and
 * vCPU registers. vCPU threads    run the guest and dispatch its exits; park at the gate when asked
 * to. control thread  runs commands.c: reads, stop and cont; asks main for reset and quit through
 * vmm_end(). Lock order: state_lock, then gate.lock. control_lock, bus and loop locks are leaves.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "../control/guest.h"
#include "options.h"
#include "vmm.h"

#include <pthread.h>
#include <signal.h>

#define VMM_MAX_REGIONS (VMM_MAX_VNODES + 1) /* one vnode lies around the hole */
#define VMM_MAX_IO	64
#define VMM_MAX_FDS	64
#define VMM_KICK_SIGNAL SIGUSR1
#define VMM_JOBS_END_MS 5000 /* how long cancelled jobs may take to put back what they hold */
#define VMM_PARK_MS	5000 /* how long a vCPU may take to park before that is reported */

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
	struct vcpu_power_on *power_on; /* registers after creation, to go back to */
	pthread_t thread;
	bool started;
	_Atomic int tid;
	bool parked;		/* guarded by gate.lock */
	bool ended;		/* guarded by gate.lock: the thread is past its last KVM_RUN */
	_Atomic uint64_t exits; /* KVM_RUN returns */
	_Atomic uintptr_t
	    broken_hva; /* guest memory that cannot be read any more, as SIGBUS said */
};

/* What the vCPU threads are to do; they look each time they come back from KVM_RUN. */
enum vmm_gate_order { VMM_GATE_PARK, VMM_GATE_RUN, VMM_GATE_LEAVE };

struct vmm_gate {
	pthread_mutex_t lock;
	pthread_cond_t order_changed, parked_changed;
	enum vmm_gate_order order; /* guarded by lock */
};

struct vmm_bus {
	pthread_rwlock_t lock;
	struct vmm_io io[VMM_MAX_IO]; /* guarded by lock */
	unsigned int count;
};

struct vmm_loop_handler {
	int fd; /* -1: free */
	uint32_t generation;
	vmm_loop_ready *ready;
	void *opaque;
};

struct vmm_loop {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	int epoll_fd, stop_fd;
	struct vmm_loop_handler handler[VMM_MAX_FDS]; /* guarded by lock */
	int running_fd; /* guarded by lock: whose handler runs now, -1 none */
	uint32_t next_generation;
	pthread_t thread;
	bool started;
};

enum vmm_state { VMM_STATE_STARTING, VMM_STATE_RUNNING, VMM_STATE_STOPPED, VMM_STATE_SHUTDOWN };

struct vmm {
	struct vmm_options options;
	struct gmig_topology *topology;
	struct gmig *gmig; /* NULL until vmm_memory_create */
	int kvm_fd, vm_fd;
	struct vmm_region region[VMM_MAX_REGIONS]; /* read-only after vmm_memory_create */
	size_t region_count;
	struct vmm_vcpu vcpu[VMM_MAX_VCPUS];
	struct vmm_gate gate;
	struct vmm_bus pio, mmio;
	struct vmm_loop loop;
	struct vmm_devices *devices; /* Linux guest */
	struct probe *probe;	     /* probe guest */
	pthread_rwlock_t control_lock;
	struct control_server *control;	    /* guarded by control_lock */
	struct guest_server guest_server;   /* for the commands over libgmig */
	struct guest_job_states job_states; /* last told to clients */
	struct vmm_irqchips *irqchips;	    /* power-on state, to go back to */

	pthread_mutex_t state_lock;	/* held over a whole stop, cont, reset */
	enum vmm_state state;		/* guarded by state_lock */
	_Atomic int end;		/* enum vmm_end */
	char end_text[GMIG_ERROR_TEXT]; /* guarded by end_lock */
	pthread_mutex_t end_lock;
	_Atomic bool reset_asked; /* over the control socket: also with --no-reboot */
	int end_fd;		  /* eventfd: wakes main */
};

/* ---- memory.c -------------------------------------------------------------------------------- */

/*
 * Lay vnodes out around the hole: regions without hva, sorted by gpa. Pure. Returns how many.
 */
size_t vmm_memory_layout(const struct vmm_options *options, struct vmm_region *region);
/* Engine and regions. Before vmm_kvm_create: see there for why. */
int vmm_memory_create(struct vmm *vmm, struct gmig_error *err);
/* Tell KVM about the regions: one slot each. */
int vmm_memory_plug(struct vmm *vmm, struct gmig_error *err);
/* No vCPU runs, the VM's descriptors are closed. */
void vmm_memory_destroy(struct vmm *vmm);

/* ---- machine.c ------------------------------------------------------------------------------- */

/* Empty machine: locks, end_fd, options copied. Then in this order: memory, kvm, plug, vcpus, loop,
 * guest. */
int vmm_create(const struct vmm_options *options, struct vmm **out, struct gmig_error *err);
void vmm_destroy(struct vmm *vmm);

/*
 * /dev/kvm, the VM, its interrupt controllers. After the memory: when the process dies with a fault
 * unanswered, its files are closed in order of their numbers, and KVM's wait for asynchronous
 * faults that sleep in the userfaultfd ends only once that one is closed.
 */
int vmm_kvm_create(struct vmm *vmm, struct gmig_error *err);

/* Put the guest into RAM and the vCPUs at its start; vCPUs are parked or not started. Start-up and
 * reset. */
int vmm_guest_load(struct vmm *vmm, struct gmig_error *err);

/* stop, cont: -EALREADY; stop: -ETIMEDOUT a vCPU did not park (text names it; the others stay
 * parked). */
int vmm_stop(struct vmm *vmm, struct gmig_error *err);
int vmm_cont(struct vmm *vmm, struct gmig_error *err);
/* Back to power-on and on again; RAM keeps its content, as on a warm reset. Main thread. */
int vmm_reset(struct vmm *vmm, struct gmig_error *err);
/* No command changes the state any more, no job starts. */
void vmm_shut_down(struct vmm *vmm);
enum vmm_state vmm_state(struct vmm *vmm);
/* Why main was woken, and its text; VMM_END_NONE: it was not. */
enum vmm_end vmm_ended(struct vmm *vmm, char *text, size_t bytes);
/* A reboot was carried out: the next end may come. */
void vmm_end_clear(struct vmm *vmm);
const char *vmm_end_name(enum vmm_end why);

/* ---- vcpu.c ---------------------------------------------------------------------------------- */

/* Before the engine is created, whose own handler passes on to this one what it does not know. */
void vmm_vcpus_handle_sigbus(void);
int vmm_vcpus_create(struct vmm *vmm, struct gmig_error *err);
void vmm_vcpus_destroy(struct vmm *vmm);
/* Start the threads; they park until the gate opens. */
int vmm_vcpus_start(struct vmm *vmm, struct gmig_error *err);
/* Order all vCPUs to park and wait up to timeout_ms until they have. -ETIMEDOUT. */
int vmm_vcpus_park(struct vmm *vmm, int timeout_ms, struct gmig_error *err);
void vmm_vcpus_resume(struct vmm *vmm);
/* Make a vCPU that sits in KVM_RUN come out. */
void vmm_vcpu_kick(struct vmm_vcpu *vcpu);
/* End the threads. -ETIMEDOUT: one does not come back; then nothing below the threads may be taken
 * down. */
int vmm_vcpus_join(struct vmm *vmm, int timeout_ms, struct gmig_error *err);
/* ---- vcpu_state.c ---------------------------------------------------------------------------- */

int vmm_vcpu_save_power_on(struct vmm_vcpu *vcpu, struct gmig_error *err);
void vmm_vcpu_free_power_on(struct vmm_vcpu *vcpu);
/* Registers to power-on. vCPUs are parked. */
int vmm_vcpu_power_on(struct vmm_vcpu *vcpu, struct gmig_error *err);
/* Segments and control registers of long mode at privilege level `cpl` (0 or 3). */
struct vmm_long_mode {
	uint64_t cr3, gdt_gpa, idt_gpa;
	uint16_t gdt_limit, idt_limit;
	unsigned int cpl;
};
int vmm_vcpu_set_long_mode(struct vmm_vcpu *vcpu, const struct vmm_long_mode *mode,
			   struct gmig_error *err);

/* ---- cpuid.c --------------------------------------------------------------------------------- */

int vmm_cpuid_set(struct vmm_vcpu *vcpu, struct gmig_error *err);

/* ---- commands.c ------------------------------------------------------------------------------ */

/* From the engine: tell all clients. Jobs' threads. */
void vmm_job_event(void *opaque, const struct gmig_job_info *info);

/* ---- bus.c ----------------------------------------------------------------------------------- */

void vmm_bus_init(struct vmm_bus *bus);
void vmm_bus_destroy(struct vmm_bus *bus);
/* One access; false: nobody there (reads were filled with ones). */
bool vmm_bus_access(struct vmm_bus *bus, uint64_t address, uint8_t *data, unsigned int bytes,
		    bool write);

/* ---- loop.c ---------------------------------------------------------------------------------- */

int vmm_loop_create(struct vmm_loop *loop, struct gmig_error *err);
/* Ends the thread; handlers that are still there are forgotten. */
void vmm_loop_destroy(struct vmm_loop *loop);

#endif
