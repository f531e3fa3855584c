/* The policies that are beside each other; gmig's planner among them. */
#include "sim.h"

#include <errno.h>

/* ---- The planner as a policy ----------------------------------------------------------------- */

static int carry_out(struct sim *sim, const struct placement_plan *plan,
		     const struct placement_options *options, struct gmig_error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < plan->move_count; i++) {
		const struct placement_move *move = &plan->moves[i];
		double remote = sim_remote(sim, move->guest);
		char why[128];

		if (!fleet_move(&sim->fleet, move, why))
			return gmig_fail(err, -EIO, "the plan is wrong: %s", why);
		if (move->kind == PLACEMENT_MEMORY)
			sim_note_move(sim, move->guest, remote, move->bytes);
		rc = placement_history_record(sim->history, sim->fleet.guests, move, options, err);
	}
	return rc;
}

static int run_planner(struct sim *sim, enum placement_goal goal, unsigned int hold_seconds)
{
	struct placement_options options;
	struct placement_plan *plan;
	struct gmig_error err = {0};
	int rc;

	placement_options_init(&options);
	options.now_seconds = sim->step * SIM_STEP_SECONDS;
	options.hold_seconds = sim->again ? 0 : hold_seconds;
	for (size_t g = 0; g < sim->fleet.count; g++)
		sim->fleet.guests[g].goal = goal;
	rc = placement_history_observe(sim->history, &sim->fleet.host, sim->fleet.guests,
				       sim->fleet.count, &options, &err);
	if (rc)
		return rc;
	options.history = sim->again ? NULL : sim->history;
	rc = placement_plan(&sim->fleet.host, sim->fleet.guests, sim->fleet.count, &options, &plan,
			    &err);
	if (rc)
		return rc;
	rc = carry_out(sim, plan, &options, &err);
	placement_plan_destroy(plan);
	return rc;
}

static int follow(struct sim *sim)
{
	return run_planner(sim, PLACEMENT_FOLLOW, SIM_STEP_SECONDS);
}

static int pack(struct sim *sim)
{
	return run_planner(sim, PLACEMENT_PACK, SIM_STEP_SECONDS);
}

static int pack_at_once(struct sim *sim)
{
	return run_planner(sim, PLACEMENT_PACK, 0);
}

static int nothing(struct sim *sim)
{
	(void)sim;
	return 0;
}

const struct sim_policy sim_policies[] = {
    {"nothing", "memory comes to be on any node, and stays", true, nothing},
    {"first-touch", "memory comes to be where it is touched, and stays", false, nothing},
    {"numad", "numad's rules", false, sim_numad},
    {"esxi", "ESXi's rules", false, sim_esxi},
    {"dpo", "the rules of PowerVM's Dynamic Platform Optimizer", false, sim_dpo},
    {"follow-vcpus", "gmig, goal follow-vcpus, hold time 300 s", false, follow},
    {"pack", "gmig, goal pack, hold time 300 s", false, pack},
    {"pack-at-once", "gmig, goal pack, without a hold time", false, pack_at_once},
};

const size_t sim_policy_count = sizeof(sim_policies) / sizeof(sim_policies[0]);
