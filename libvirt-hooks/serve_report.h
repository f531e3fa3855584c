/* What gmigd says of a domain, as JSON; for serve.c, whose answers these add to. */
#ifndef SERVE_REPORT_H
#define SERVE_REPORT_H

#include "domain.h"

#include <jansson.h>

/* pid, state, guest, uri, uuid, pins. */
void serve_report_identity(json_t *object, const struct domain *domain, const char *uri);
/* One: gmigd knows nothing of the guest's own nodes. A new reference. */
json_t *serve_report_vnodes(const struct domain *domain);
/* page_bytes, vnodes with where they lie, qemu (its own memory), age_seconds, fits. */
void serve_report_look(json_t *object, const struct gmig_topology *topology,
		       const struct domain_look *look);
/* cpuset: {nodes, groups, widened}, and notes; where it cannot be looked at, a note of that. */
void serve_report_cpusets(json_t *object, struct domain *domain);
/*
 * cpus: as query-cpus of gmig-vmm answers, of what the kernel says. All threads or nothing: whoever plans takes a vCPU that is not in the list for one that the
 * domain does not have. -EMFILE, -ENOMEM and the like: one that is there cannot be looked at.
 */
int serve_report_threads(json_t *object, pid_t pid, struct gmig_error *err);
/* vcpus: {state, threads, why} of a job that was to pin them; nothing for others. */
void serve_report_pins(json_t *job, struct domain *domain, const struct gmig_job_info *info);
/* {state, threads, why}. A new reference. */
json_t *serve_report_order(const struct domain_pins *pins);
/* As check-invariants answers: a new reference. An error where something could not be looked at: it is not said to be right. */
int serve_report_check(struct domain *domain, const struct domain_look *look, json_t **result,
		       struct gmig_error *err);

#endif
