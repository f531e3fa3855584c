/* Another process as a memory with jobs: what create.c is for guests. */
#include "core/reserved.h"
#include "jobs/job_list.h"
#include "memory/process_memory.h"

#include <errno.h>
#include <stdlib.h>

int gmig_process_open(const struct gmig_process_options *options, struct gmig_process **out,
		      struct gmig_error *err)
{
	struct gmig_process *process;
	int ret;

	ret = RESERVED_UNUSED(options, err);
	if (ret)
		return ret;
	if (!options->topology || gmig_topology_is_fake(options->topology))
		return gmig_fail(err, -EINVAL,
				 "processes are moved between real nodes only, not fake ones");
	process = calloc(1, sizeof(*process));
	if (!process)
		return gmig_fail(err, -ENOMEM, "out of memory");
	process->memory = (struct memory){
	    .ops = &process_ops,
	    .sys = options->sys ? options->sys : &gmig_sys_real,
	    .pid = options->pid,
	    .job_event = options->job_event,
	    .opaque = options->opaque,
	    .next_job_id = 1,
	};
	ret = process_open(process->memory.sys, options->pid, &process->process, err);
	if (ret) {
		free(process);
		return ret;
	}
	process->counts = options->counts;
	process->shared = process->process->can_shared && !options->private_only;
	process->memory.topology = gmig_topology_get(options->topology);
	pthread_mutex_init(&process->memory.topology_lock, NULL);
	pthread_mutex_init(&process->memory.jobs_lock, NULL);
	pthread_cond_init(&process->memory.followed, NULL);
	pthread_mutex_init(&process->memory.slowdown_lock, NULL);
	pthread_rwlock_init(&process->lock, NULL);
	*out = process;
	return 0;
}

void gmig_process_close(struct gmig_process *process)
{
	if (!process)
		return;
	job_end_all(&process->memory);
	process_close(process->process);
	process_maps_free(&process->maps);
	gmig_topology_put(process->memory.topology);
	pthread_mutex_destroy(&process->memory.topology_lock);
	pthread_rwlock_destroy(&process->lock);
	pthread_mutex_destroy(&process->memory.slowdown_lock);
	pthread_cond_destroy(&process->memory.followed);
	pthread_mutex_destroy(&process->memory.jobs_lock);
	free(process);
}

const char *gmig_process_name(const struct gmig_process *process)
{
	return process->process->name;
}

int gmig_process_job_start(struct gmig_process *process, const struct gmig_job_spec *spec,
			   struct gmig_job **out, struct gmig_error *err)
{
	struct gmig_job_spec own = *spec;

	if (!own.mover || !own.mover[0])
		own.mover = mover_kernel.name;
	return job_start(&process->memory, &own, NULL, out, err);
}

struct gmig_job *gmig_process_job_find(struct gmig_process *process, uint64_t id)
{
	return job_find(&process->memory, id);
}

size_t gmig_process_job_list(struct gmig_process *process, uint64_t *ids, size_t max)
{
	return job_list(&process->memory, ids, max);
}
