/*
 * See hold.h. A vCPU clears immediate_exit under the gate's lock before it looks for a hold, and a hold begins under that
 * lock before it kicks: as with parking (vcpu.c), no kick is lost. A thread that does not come in time is not in the
 * guest, so that its CPU needs no interrupt either.
 */
#include "hold.h"
#include "deadline.h"

#include <signal.h>

#define NS 1000000000ull

void vmm_vcpu_kick(struct vmm_vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, VMM_KICK_SIGNAL);
}

/* gate.lock held. One hold at a time, and the guest gets half of the time. */
static void await_turn(struct vmm_gate *gate)
{
	while (gate->hold ||
	       (gate->order == VMM_GATE_RUN && deadline_now_ns() < gate->hold_next_ns)) {
		const struct timespec next = {(time_t)(gate->hold_next_ns / NS),
					      (long)(gate->hold_next_ns % NS)};

		if (gate->hold)
			pthread_cond_wait(&gate->parked_changed, &gate->lock);
		else
			deadline_wait(&gate->parked_changed, &gate->lock, &next);
	}
}

static bool is_out(const struct vmm_vcpu *vcpu)
{
	return !vcpu->started || vcpu->ended || vcpu->parked || vcpu->held;
}

/* gate.lock held. */
static bool all_out(const struct vmm *vmm)
{
	for (unsigned int i = 0; i < vmm->options.cpus; i++)
		if (!is_out(&vmm->vcpu[i]))
			return false;
	return true;
}

void vmm_vcpus_hold(struct vmm *vmm)
{
	struct vmm_gate *gate = &vmm->gate;
	struct timespec until;

	pthread_mutex_lock(&gate->lock);
	await_turn(gate);
	gate->hold = true;
	gate->hold_began_ns = deadline_now_ns();
	if (gate->order == VMM_GATE_RUN) {
		for (unsigned int i = 0; i < vmm->options.cpus; i++)
			if (!is_out(&vmm->vcpu[i]))
				vmm_vcpu_kick(&vmm->vcpu[i]);
		until = deadline_in(HOLD_WAIT_MS);
		while (gate->order == VMM_GATE_RUN && !all_out(vmm))
			if (deadline_wait(&gate->parked_changed, &gate->lock, &until))
				break;
	}
	pthread_mutex_unlock(&gate->lock);
}

void vmm_vcpus_release(struct vmm *vmm)
{
	struct vmm_gate *gate = &vmm->gate;
	uint64_t now = deadline_now_ns();

	pthread_mutex_lock(&gate->lock);
	gate->hold = false;
	gate->hold_next_ns = now + (now - gate->hold_began_ns);
	pthread_cond_broadcast(&gate->order_changed);
	pthread_cond_broadcast(&gate->parked_changed);
	pthread_mutex_unlock(&gate->lock);
}
