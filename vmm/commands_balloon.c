/* Commands of the control socket: the balloon. */
#include "balloon.h"
#include "commands.h"
#include "device.h"

#include <errno.h>

/* As QMP names them; `query-balloon` itself has only "actual" there. */
static const char *const stat_names[VIRTIO_BALLOON_S_NR] = {
    [VIRTIO_BALLOON_S_SWAP_IN] = "swap_in_bytes",
    [VIRTIO_BALLOON_S_SWAP_OUT] = "swap_out_bytes",
    [VIRTIO_BALLOON_S_MAJFLT] = "major_faults",
    [VIRTIO_BALLOON_S_MINFLT] = "minor_faults",
    [VIRTIO_BALLOON_S_MEMFREE] = "free_bytes",
    [VIRTIO_BALLOON_S_MEMTOT] = "total_bytes",
    [VIRTIO_BALLOON_S_AVAIL] = "available_bytes",
    [VIRTIO_BALLOON_S_CACHES] = "disk_cache_bytes",
    [VIRTIO_BALLOON_S_HTLB_PGALLOC] = "hugetlb_allocations",
    [VIRTIO_BALLOON_S_HTLB_PGFAIL] = "hugetlb_failures",
};

/* A guest may say anything: JSON has 63 bits for it. */
static json_t *integer(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *report_stats(const struct vmm_balloon *balloon)
{
	json_t *stats = json_object();

	for (unsigned int i = 0; i < VIRTIO_BALLOON_S_NR; i++)
		if (balloon->stats_known >> i & 1)
			json_object_set_new(stats, stat_names[i], integer(balloon->stats[i]));
	return stats;
}

json_t *report_balloon(struct vmm *vmm, struct gmig_error *err)
{
	struct vmm_balloon balloon;
	json_t *object;

	if (vmm_balloon_get(vmm->devices, &balloon, err))
		return NULL;
	object =
	    json_pack("{s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:o, s:o, s:o}", "actual",
		      integer(balloon.actual_bytes), "target", integer(balloon.target_bytes),
		      "maximum", integer(balloon.maximum_bytes), "driver", balloon.driver,
		      "deflate_on_oom", balloon.deflate_on_oom, "reporting", balloon.reporting,
		      "given_back_bytes", integer(balloon.given_bytes), "reported_bytes",
		      integer(balloon.reported_bytes), "kept_bytes", integer(balloon.kept_bytes),
		      "strange_pages", integer(balloon.strange_pages));
	if (!object) {
		gmig_fail(err, -ENOMEM, "no memory for an answer");
		return NULL;
	}
	if (balloon.stats_known) {
		json_object_set_new(object, "stats", report_stats(&balloon));
		json_object_set_new(object, "stats_age_ns", integer(balloon.stats_age_ns));
	}
	return object;
}

int commands_query_balloon(void *opaque, const json_t *arguments, json_t **result,
			   struct gmig_error *err)
{
	struct gmig_error why = {0};

	(void)arguments;
	*result = report_balloon(opaque, &why);
	return *result ? 0 : gmig_fail(err, why.code, "%s", why.text);
}

const struct control_argument commands_balloon_arguments[] = {{"value", CONTROL_INTEGER, true},
							      {0}};

int commands_balloon(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	json_int_t value = json_integer_value(json_object_get(arguments, "value"));
	struct vmm *vmm = opaque;

	(void)result;
	if (value < 0)
		return gmig_fail(err, -EINVAL, "value: %lld bytes are less than nothing",
				 (long long)value);
	return vmm_balloon_set(vmm->devices, (uint64_t)value, err);
}
