#include "virt_pin.h"
#include "virt_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST_VCPUS 16384 /* of a domain that libvirt's protocol carries */

static void from_map(const unsigned char *map, size_t bytes, struct pin_cpus *cpus)
{
	for (size_t i = 0; i < bytes && i < PIN_CPUS / 8; i++)
		cpus->word[i / 8] |= (uint64_t)map[i] << (i % 8 * 8);
}

/* How many bytes are needed. */
static size_t to_map(const struct pin_cpus *cpus, unsigned char *map)
{
	size_t bytes = 0;

	for (size_t i = 0; i < PIN_CPUS / 8; i++) {
		map[i] = (unsigned char)(cpus->word[i / 8] >> (i % 8 * 8));
		if (map[i])
			bytes = i + 1;
	}
	return bytes;
}

/* A driver without them has none. */
static bool is_without(void)
{
	const virError *last = virGetLastError();

	return last && last->code == VIR_ERR_NO_SUPPORT;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

struct asking {
	char uuid[QEMU_UUID_TEXT];
	struct pin_set *set;
};

static void release_asking(void *opaque)
{
	struct asking *asking = opaque;

	pin_set_free(asking->set);
	free(asking);
}

/* What is asked of one domain. */
struct answer {
	unsigned char *vcpu_maps, emulator_map[PIN_CPUS / 8];
	size_t map_bytes; /* of a vCPU */
	int vcpus, iothreads;
	bool emulator;
	virDomainIOThreadInfoPtr *iothread;
};

static void free_answer(struct answer *answer)
{
	for (int i = 0; i < answer->iothreads; i++)
		virDomainIOThreadInfoFree(answer->iothread[i]);
	free(answer->iothread);
	free(answer->vcpu_maps);
}

static int ask_vcpus(virDomainPtr domain, struct answer *answer)
{
	int most = virDomainGetVcpusFlags(domain, VIR_DOMAIN_VCPU_MAXIMUM | VIR_DOMAIN_AFFECT_LIVE);
	int cpus = virNodeGetCPUMap(virDomainGetConnect(domain), NULL, NULL, 0);

	if (most < 1 || most > MOST_VCPUS || cpus < 1)
		return -1;
	if (cpus > (int)PIN_CPUS)
		cpus = PIN_CPUS;
	answer->map_bytes = (size_t)VIR_CPU_MAPLEN(cpus);
	answer->vcpu_maps = calloc((size_t)most, answer->map_bytes);
	if (!answer->vcpu_maps)
		return -1;
	answer->vcpus = virDomainGetVcpuPinInfo(domain, most, answer->vcpu_maps,
						(int)answer->map_bytes, VIR_DOMAIN_AFFECT_LIVE);
	return answer->vcpus < 0 ? -1 : 0;
}

static int ask_others(virDomainPtr domain, struct answer *answer)
{
	int got = virDomainGetEmulatorPinInfo(domain, answer->emulator_map, (int)answer->map_bytes,
					      VIR_DOMAIN_AFFECT_LIVE);

	if (got < 0 && !is_without())
		return -1;
	answer->emulator = got > 0;
	got = virDomainGetIOThreadInfo(domain, &answer->iothread, VIR_DOMAIN_AFFECT_LIVE);
	if (got < 0 && !is_without())
		return -1;
	answer->iothreads = got < 0 ? 0 : got;
	return 0;
}

static struct pin_set *set_of(const struct answer *answer, int domain)
{
	struct pin_set *set =
	    pin_set_create((size_t)answer->vcpus + answer->emulator + (size_t)answer->iothreads);
	struct pin *pin = set ? set->pin : NULL;

	if (!set)
		return NULL;
	set->domain = domain;
	for (int i = 0; i < answer->vcpus; i++, pin++) {
		*pin = (struct pin){.kind = PIN_VCPU, .id = (unsigned int)i};
		from_map(answer->vcpu_maps + (size_t)i * answer->map_bytes, answer->map_bytes,
			 &pin->before);
	}
	if (answer->emulator) {
		*pin = (struct pin){.kind = PIN_EMULATOR};
		from_map(answer->emulator_map, answer->map_bytes, &pin->before);
		pin++;
	}
	for (int i = 0; i < answer->iothreads; i++, pin++) {
		*pin = (struct pin){.kind = PIN_IOTHREAD, .id = answer->iothread[i]->iothread_id};
		from_map(answer->iothread[i]->cpumap, (size_t)answer->iothread[i]->cpumaplen,
			 &pin->before);
	}
	return set;
}

static int get_pins(struct virt_call *call, virConnectPtr connection, struct gmig_error *err)
{
	struct asking *asking = call->arguments;
	virDomainPtr domain = virDomainLookupByUUIDString(connection, asking->uuid);
	struct answer answer = {0};
	int id, ret = 0;

	if (!domain)
		return virt_error(call->what, err);
	id = (int)virDomainGetID(domain);
	if (id < 0)
		ret = gmig_fail(err, -ESRCH, "libvirt, %s: the domain does not run", call->what);
	else if (ask_vcpus(domain, &answer) || ask_others(domain, &answer))
		ret = virt_error(call->what, err);
	else if (!(asking->set = set_of(&answer, id)))
		ret = gmig_fail(err, -ENOMEM, "out of memory");
	free_answer(&answer);
	virDomainFree(domain);
	return ret;
}

int virt_get_pins(struct virt *virt, const char *uuid, struct pin_set **set, struct gmig_error *err)
{
	struct asking *asking = calloc(1, sizeof(*asking));
	const struct virt_call call = {.what = "ask for the pins",
				       .run = get_pins,
				       .release = release_asking,
				       .arguments = asking};
	int ret;

	if (!asking)
		return gmig_fail(err, -ENOMEM, "out of memory");
	snprintf(asking->uuid, sizeof(asking->uuid), "%s", uuid);
	ret = virt_call_connected(virt, &call, err);
	if (ret)
		return ret;
	*set = asking->set;
	free(asking);
	return 0;
}

/* ---- Pinning --------------------------------------------------------------------------------- */

struct pinning {
	char uuid[QEMU_UUID_TEXT];
	int domain;
	enum pin_kind kind;
	unsigned int id;
	unsigned char map[PIN_CPUS / 8];
	size_t bytes;
};

/* A driver that knows the older call only, or its flags not: for a domain that runs it does the same. */
static int pin_vcpu(virDomainPtr domain, struct pinning *pinning)
{
	int ret = virDomainPinVcpuFlags(domain, pinning->id, pinning->map, (int)pinning->bytes,
					VIR_DOMAIN_AFFECT_LIVE);

	const virError *last = ret ? virGetLastError() : NULL;

	return last && (last->code == VIR_ERR_NO_SUPPORT || last->code == VIR_ERR_INVALID_ARG)
		   ? virDomainPinVcpu(domain, pinning->id, pinning->map, (int)pinning->bytes)
		   : ret;
}

static int set_pin(struct virt_call *call, virConnectPtr connection, struct gmig_error *err)
{
	struct pinning *pinning = call->arguments;
	virDomainPtr domain = virDomainLookupByUUIDString(connection, pinning->uuid);
	int ret;

	if (!domain)
		return virt_error(call->what, err);
	if ((int)virDomainGetID(domain) != pinning->domain)
		ret = gmig_fail(err, -ESRCH, "libvirt, %s: the domain has ended", call->what);
	else if (pinning->kind == PIN_VCPU)
		ret = pin_vcpu(domain, pinning);
	else if (pinning->kind == PIN_EMULATOR)
		ret = virDomainPinEmulator(domain, pinning->map, (int)pinning->bytes,
					   VIR_DOMAIN_AFFECT_LIVE);
	else
		ret = virDomainPinIOThread(domain, pinning->id, pinning->map, (int)pinning->bytes,
					   VIR_DOMAIN_AFFECT_LIVE);
	if (ret == -1)
		ret = virt_error(call->what, err);
	virDomainFree(domain);
	return ret;
}

static const char *what_of(enum pin_kind kind)
{
	static const char *const what[] = {[PIN_VCPU] = "pin a vCPU",
					   [PIN_EMULATOR] = "pin the emulator",
					   [PIN_IOTHREAD] = "pin an I/O thread"};

	return what[kind];
}

int virt_set_pin(struct virt *virt, const char *uuid, int domain, const struct pin *pin,
		 const struct pin_cpus *cpus, struct gmig_error *err)
{
	struct pinning *pinning = calloc(1, sizeof(*pinning));
	const struct virt_call call = {
	    .what = what_of(pin->kind), .run = set_pin, .release = free, .arguments = pinning};
	int ret;

	if (!pinning)
		return gmig_fail(err, -ENOMEM, "out of memory");
	snprintf(pinning->uuid, sizeof(pinning->uuid), "%s", uuid);
	pinning->domain = domain;
	pinning->kind = pin->kind;
	pinning->id = pin->id;
	pinning->bytes = to_map(cpus, pinning->map);
	if (!pinning->bytes) {
		free(pinning);
		return gmig_fail(err, -EINVAL, "no CPU to pin to");
	}
	ret = virt_call_connected(virt, &call, err);
	if (!ret)
		free(pinning);
	return ret;
}
