#include "virt.h"
#include "virt_call.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS	       5000
#define BACKOFF_MS     100
#define BACKOFF_MS_MAX 5000
#define KEEPALIVE_S    5
#define KEEPALIVES     3
#define EVENTS	       3 /* kinds of them that are asked for */

struct virt {
	struct virt_options options;
	char *uri;
	struct virt_calls *calls;
	pthread_t connector, events;
	pthread_mutex_t lock;
	pthread_cond_t wake;	  /* of the connector */
	virConnectPtr connection; /* guarded by lock, as all below; NULL: none */
	bool lost;		  /* libvirt has closed it */
	bool ending;
	int event[EVENTS];	  /* ids of callbacks on the connection; below 0: none */
	unsigned int subscribing; /* calls that have not come back, with us in their hands */
	unsigned int called_by;	  /* connections that may call us; the connector's */
};

static void say(struct virt *virt, enum gmig_log_level level, const char *text)
{
	if (virt->options.log)
		virt->options.log(virt->options.opaque, level, text);
}

static bool is_ending(struct virt *virt)
{
	bool ending;

	pthread_mutex_lock(&virt->lock);
	ending = virt->ending;
	pthread_mutex_unlock(&virt->lock);
	return ending;
}

static void tell_change(struct virt *virt)
{
	if (virt->options.changed && !is_ending(virt))
		virt->options.changed(virt->options.opaque);
}

/* Its uuid is in the handle: libvirt is not asked. */
static void tell_domain(struct virt *virt, virDomainPtr domain)
{
	char uuid[QEMU_UUID_TEXT];

	if (virt->options.domain_changed && !is_ending(virt) &&
	    !virDomainGetUUIDString(domain, uuid))
		virt->options.domain_changed(virt->options.opaque, uuid);
	tell_change(virt);
}

/* All that was known may be old: the connection is new. */
static void tell_all(struct virt *virt)
{
	if (virt->options.domain_changed && !is_ending(virt))
		virt->options.domain_changed(virt->options.opaque, NULL);
	tell_change(virt);
}

/* ---- The event loop -------------------------------------------------------------------------- */

static void nothing(int timer, void *opaque)
{
	(void)timer, (void)opaque;
}

static void quiet(void *opaque, virErrorPtr error)
{
	(void)opaque, (void)error;
}

static void start_library(void)
{
	virInitialize();
	virSetErrorFunc(NULL, quiet); /* its default is stderr */
	virEventRegisterDefaultImpl();
}

static void *event_thread(void *opaque)
{
	struct virt *virt = opaque;

	pthread_setname_np(pthread_self(), "gmigd-events");
	while (!is_ending(virt))
		if (virEventRunDefaultImpl() < 0)
			sched_yield();
	return NULL;
}

/* A timer wakes the loop. */
static void wake_events(void)
{
	int timer = virEventAddTimeout(0, nothing, NULL, NULL);

	(void)timer;
}

/* ---- Callbacks: they only wake somebody ------------------------------------------------------ */

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
			void *opaque)
{
	(void)connection, (void)event, (void)detail;
	tell_domain(opaque, domain);
	return 0;
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri,
			void *opaque)
{
	(void)connection, (void)type, (void)uri;
	tell_domain(opaque, domain);
}

/* virsh vcpupin, numatune and the like. */
static void on_tunable(virConnectPtr connection, virDomainPtr domain,
		       virTypedParameterPtr parameters, int count, void *opaque)
{
	(void)connection, (void)parameters, (void)count;
	tell_domain(opaque, domain);
}

static void on_close(virConnectPtr connection, int reason, void *opaque)
{
	struct virt *virt = opaque;

	(void)reason;
	pthread_mutex_lock(&virt->lock);
	if (virt->connection == connection)
		virt->lost = true;
	pthread_cond_signal(&virt->wake);
	pthread_mutex_unlock(&virt->lock);
}

/* ---- Connecting ------------------------------------------------------------------------------ */

struct opening {
	char *uri;
	virConnectPtr connection;
};

static void release_opening(void *opaque)
{
	struct opening *opening = opaque;

	if (opening->connection)
		virConnectClose(opening->connection);
	free(opening->uri);
	free(opening);
}

static int open_connection(struct virt_call *call, virConnectPtr none, struct gmig_error *err)
{
	struct opening *opening = call->arguments;

	(void)none;
	opening->connection = virConnectOpen(opening->uri);
	if (!opening->connection)
		return virt_error(call->what, err);
	/* Not every driver has it: a connection within this process cannot be lost. */
	virConnectSetKeepAlive(opening->connection, KEEPALIVE_S, KEEPALIVES);
	return 0;
}

/* On a connection, which may be an earlier one by the time that libvirt answers. */
struct subscription {
	struct virt *virt;
	int event[EVENTS];
};

static struct subscription *subscription_create(struct virt *virt)
{
	struct subscription *subscription = calloc(1, sizeof(*subscription));

	if (!subscription)
		return NULL;
	subscription->virt = virt;
	for (size_t i = 0; i < EVENTS; i++)
		subscription->event[i] = -1;
	return subscription;
}

/* The callbacks hold no reference to us, but each one to the connection: they are taken away before we go, and before it can. */
static void give_back(virConnectPtr connection, const struct subscription *subscription)
{
	for (size_t i = 0; i < EVENTS; i++)
		if (subscription->event[i] >= 0)
			virConnectDomainEventDeregisterAny(connection, subscription->event[i]);
	virConnectUnregisterCloseCallback(connection,
					  on_close); /* an error: it was not registered */
}

/* False: the connection has been given up meanwhile, and nobody else knows of these. */
static bool keep_events(const struct subscription *subscription, virConnectPtr connection)
{
	struct virt *virt = subscription->virt;
	bool current;

	pthread_mutex_lock(&virt->lock);
	current = virt->connection == connection;
	if (current)
		memcpy(virt->event, subscription->event, sizeof(virt->event));
	pthread_mutex_unlock(&virt->lock);
	return current;
}

static int subscribe(struct virt_call *call, virConnectPtr connection, struct gmig_error *err)
{
	/* Without those behind the first, what they tell is seen later. */
	static const struct {
		int id;
		virConnectDomainEventGenericCallback call;
	} events[EVENTS] = {
	    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
	    {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
	    {VIR_DOMAIN_EVENT_ID_TUNABLE, VIR_DOMAIN_EVENT_CALLBACK(on_tunable)},
	};
	struct subscription *subscription = call->arguments;
	int ret = 0;

	virConnectRegisterCloseCallback(connection, on_close, subscription->virt, NULL);
	for (size_t i = 0; i < EVENTS && !ret; i++) {
		subscription->event[i] = virConnectDomainEventRegisterAny(
		    connection, NULL, events[i].id, events[i].call, subscription->virt, NULL);
		if (subscription->event[i] < 0 && !i)
			ret = virt_error(call->what, err);
	}
	if (!keep_events(subscription, connection))
		give_back(connection, subscription);
	return ret;
}

/* The last that it does with us: then we may go. */
static void release_subscription(void *opaque)
{
	struct subscription *subscription = opaque;
	struct virt *virt = subscription->virt;

	pthread_mutex_lock(&virt->lock);
	virt->subscribing--;
	pthread_mutex_unlock(&virt->lock);
	free(subscription);
}

static int ask_for_events(struct virt *virt, virConnectPtr connection, struct gmig_error *err)
{
	struct subscription *subscription = subscription_create(virt);
	const struct virt_call call = {.what = "ask for events",
				       .run = subscribe,
				       .release = release_subscription,
				       .arguments = subscription};
	int ret;

	if (!subscription)
		return gmig_fail(err, -ENOMEM, "out of memory");
	pthread_mutex_lock(&virt->lock);
	virt->subscribing++;
	pthread_mutex_unlock(&virt->lock);
	ret = virt_call(virt->calls, connection, &call, virt->options.call_ms, err);
	if (!ret)
		release_subscription(subscription);
	return ret;
}

static int unsubscribe(struct virt_call *call, virConnectPtr connection, struct gmig_error *err)
{
	(void)err;
	give_back(connection, call->arguments);
	return 0;
}

static int connect_once(struct virt *virt, struct gmig_error *err)
{
	struct opening *opening = calloc(1, sizeof(*opening));
	const struct virt_call call = {.what = "connect",
				       .run = open_connection,
				       .release = release_opening,
				       .arguments = opening};
	virConnectPtr connection;
	int ret;

	if (!opening || !(opening->uri = strdup(virt->uri))) {
		free(opening);
		return gmig_fail(err, -ENOMEM, "out of memory");
	}
	ret = virt_call(virt->calls, NULL, &call, virt->options.call_ms, err);
	if (ret)
		return ret;
	connection = opening->connection;
	opening->connection = NULL;
	release_opening(opening);
	pthread_mutex_lock(&virt->lock);
	virt->connection = connection;
	virt->lost = false;
	pthread_mutex_unlock(&virt->lock);
	virt->called_by++;
	return ask_for_events(virt, connection, err);
}

/* A call of its own: what still hangs on the connection may not hold us up. */
static void disconnect(struct virt *virt)
{
	struct subscription *subscription = subscription_create(virt);
	const struct virt_call call = {
	    .what = "disconnect", .run = unsubscribe, .release = free, .arguments = subscription};
	virConnectPtr connection;

	pthread_mutex_lock(&virt->lock);
	connection = virt->connection;
	virt->connection = NULL;
	for (size_t i = 0; i < EVENTS; i++) {
		if (subscription)
			subscription->event[i] = virt->event[i];
		virt->event[i] = -1;
	}
	pthread_mutex_unlock(&virt->lock);
	if (connection && subscription &&
	    !virt_call(virt->calls, connection, &call, virt->options.call_ms, NULL)) {
		virt->called_by--;
		free(subscription);
	} else if (!connection) {
		free(subscription);
	}
	if (connection)
		virConnectClose(connection);
}

static struct timespec in_ms(unsigned int ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += (long)(ms % 1000) * 1000000l;
	if (at.tv_nsec >= 1000000000l) {
		at.tv_nsec -= 1000000000l;
		at.tv_sec++;
	}
	return at;
}

/* Until we end; while_connected: or until the connection is lost; else at most `ms`. True: we end. */
static bool rest(struct virt *virt, bool while_connected, unsigned int ms)
{
	const struct timespec until = in_ms(ms);
	bool ending;
	int ret = 0;

	pthread_mutex_lock(&virt->lock);
	while (!virt->ending && (while_connected ? !virt->lost : ret != ETIMEDOUT))
		ret = while_connected ? pthread_cond_wait(&virt->wake, &virt->lock)
				      : pthread_cond_timedwait(&virt->wake, &virt->lock, &until);
	ending = virt->ending;
	pthread_mutex_unlock(&virt->lock);
	return ending;
}

static void *connect_thread(void *opaque)
{
	struct virt *virt = opaque;
	unsigned int backoff_ms = BACKOFF_MS;
	bool ending = false, said = false;

	pthread_setname_np(pthread_self(), "gmigd-connect");
	while (!ending) {
		struct gmig_error err = {0};

		if (connect_once(virt, &err)) {
			disconnect(virt);
			/* Once for each time that it is away. */
			if (!said)
				say(virt, GMIG_LOG_WARNING, err.text);
			said = true;
			ending = rest(virt, false, backoff_ms);
			backoff_ms =
			    backoff_ms * 2 > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : backoff_ms * 2;
			continue;
		}
		said = false;
		backoff_ms = BACKOFF_MS;
		say(virt, GMIG_LOG_INFO, "connected to libvirt");
		tell_all(virt);
		ending = rest(virt, true, 0);
		if (!ending)
			say(virt, GMIG_LOG_WARNING, "libvirt has closed the connection");
		disconnect(virt);
		if (!ending)
			tell_change(virt);
	}
	return NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void free_virt(struct virt *virt)
{
	virt_calls_put(virt->calls);
	pthread_cond_destroy(&virt->wake);
	pthread_mutex_destroy(&virt->lock);
	free(virt->uri);
	free(virt);
}

static void end_thread(struct virt *virt, pthread_t thread)
{
	pthread_mutex_lock(&virt->lock);
	virt->ending = true;
	pthread_cond_signal(&virt->wake);
	pthread_mutex_unlock(&virt->lock);
	wake_events();
	pthread_join(thread, NULL);
}

static int start_threads(struct virt *virt)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&virt->events, NULL, event_thread, virt);
	if (!ret) {
		ret = pthread_create(&virt->connector, NULL, connect_thread, virt);
		if (ret)
			end_thread(virt, virt->events);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -ret;
}

int virt_create(const struct virt_options *options, struct virt **out, struct gmig_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct virt *virt = calloc(1, sizeof(*virt));
	pthread_condattr_t monotonic;
	int ret = -ENOMEM;

	if (!virt)
		return gmig_fail(err, -ENOMEM, "out of memory");
	pthread_once(&once, start_library);
	virt->options = *options;
	for (size_t i = 0; i < EVENTS; i++)
		virt->event[i] = -1;
	if (!virt->options.call_ms)
		virt->options.call_ms = CALL_MS;
	pthread_mutex_init(&virt->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&virt->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	virt->uri = strdup(options->uri);
	virt->calls = virt_calls_create(options);
	if (virt->uri && virt->calls)
		ret = start_threads(virt);
	if (ret) {
		free_virt(virt);
		return gmig_fail(err, ret, "no threads for libvirt: %s", strerror(-ret));
	}
	*out = virt;
	return 0;
}

void virt_end_calls(struct virt *virt)
{
	if (virt)
		virt_calls_end(virt->calls, virt->options.call_ms);
}

void virt_destroy(struct virt *virt)
{
	bool used;

	if (!virt)
		return;
	end_thread(virt, virt->connector);
	end_thread(virt, virt->events);
	pthread_mutex_lock(&virt->lock);
	used = virt->called_by || virt->subscribing;
	pthread_mutex_unlock(&virt->lock);
	/* A connection that did not even let its callback go may call it yet: some memory is lost rather than used again. */
	if (!used)
		free_virt(virt);
}

bool virt_is_connected(struct virt *virt)
{
	bool connected;

	pthread_mutex_lock(&virt->lock);
	connected = virt->connection && !virt->lost;
	pthread_mutex_unlock(&virt->lock);
	return connected;
}

/* A call over the connection, which cannot go away before the call has its own reference. */
int virt_call_connected(struct virt *virt, const struct virt_call *call, struct gmig_error *err)
{
	virConnectPtr connection;
	int ret;

	pthread_mutex_lock(&virt->lock);
	connection = virt->lost ? NULL : virt->connection;
	if (connection)
		virConnectRef(connection);
	pthread_mutex_unlock(&virt->lock);
	if (!connection) {
		if (call->release)
			call->release(call->arguments);
		return gmig_fail(err, -ENOTCONN, "there is no connection to libvirt (%.100s)",
				 virt->uri);
	}
	ret = virt_call(virt->calls, connection, call, virt->options.call_ms, err);
	virConnectClose(connection);
	return ret;
}

/* ---- Domains --------------------------------------------------------------------------------- */

bool virt_parse_uid(const char *label, uid_t *uid)
{
	char user[64], *end, buffer[4096];
	size_t length = strcspn(label, ":");
	struct passwd entry, *found = NULL;
	unsigned long number;

	if (!length || length >= sizeof(user))
		return false;
	snprintf(user, sizeof(user), "%.*s", (int)length, label);
	number = strtoul(user + (*user == '+'), &end, 10);
	if (!*end && end != user + (*user == '+') && number < UINT32_MAX) {
		*uid = (uid_t)number;
		return true;
	}
	if (getpwnam_r(user, &entry, buffer, sizeof(buffer), &found) || !found)
		return false;
	*uid = found->pw_uid;
	return true;
}

struct listing {
	struct virt_domain *domain;
	int count;
};

void virt_list_free(struct virt_domain *list, int count)
{
	for (int i = 0; i < count; i++)
		free(list[i].name);
	free(list);
}

static void release_listing(void *opaque)
{
	struct listing *listing = opaque;

	virt_list_free(listing->domain, listing->count);
	free(listing);
}

/* As whom libvirt runs it: the label of the driver that is always there when libvirtd runs as root. */
static void ask_uid(virDomainPtr domain, struct virt_domain *out)
{
	virSecurityLabelPtr labels = NULL;
	int count = virDomainGetSecurityLabelList(domain, &labels);
	const virError *last = count < 0 ? virGetLastError() : NULL;

	/* A driver without labels has nobody in particular. */
	out->uid_untold = count < 0 && (!last || last->code != VIR_ERR_NO_SUPPORT);
	/* The list does not say which model a label is of: DAC's is the one that is two users. */
	for (int i = 0; i < count && !out->has_uid; i++)
		if (labels[i].label[0] == '+' && strchr(labels[i].label, ':'))
			out->has_uid = virt_parse_uid(labels[i].label, &out->uid);
	free(labels);
}

/* False: it has gone in the meantime. */
static bool ask_domain(virDomainPtr domain, struct virt_domain *out)
{
	const char *name = virDomainGetName(domain);
	virDomainInfo info;

	if (!name || virDomainGetUUIDString(domain, out->uuid) || virDomainGetInfo(domain, &info))
		return false;
	out->name = strdup(name);
	out->id = (int)virDomainGetID(domain);
	out->memory_bytes = (uint64_t)info.maxMem << 10;
	out->vcpus = info.nrVirtCpu;
	out->paused = info.state == VIR_DOMAIN_PAUSED;
	ask_uid(domain, out);
	return out->name;
}

static int by_uuid(const void *a, const void *b)
{
	return strcmp(((const struct virt_domain *)a)->uuid, ((const struct virt_domain *)b)->uuid);
}

static int list_domains(struct virt_call *call, virConnectPtr connection, struct gmig_error *err)
{
	struct listing *listing = call->arguments;
	virDomainPtr *domains = NULL;
	int count = virConnectListAllDomains(connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

	if (count < 0)
		return virt_error(call->what, err);
	listing->domain = calloc((size_t)count + 1, sizeof(*listing->domain));
	for (int i = 0; i < count; i++) {
		if (listing->domain && ask_domain(domains[i], &listing->domain[listing->count]))
			listing->count++;
		virDomainFree(domains[i]);
	}
	free(domains);
	if (!listing->domain)
		return gmig_fail(err, -ENOMEM, "out of memory");
	qsort(listing->domain, (size_t)listing->count, sizeof(*listing->domain), by_uuid);
	return 0;
}

int virt_list(struct virt *virt, struct virt_domain **list, struct gmig_error *err)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	const struct virt_call call = {.what = "list the domains",
				       .run = list_domains,
				       .release = release_listing,
				       .arguments = listing};
	int ret;

	if (!listing)
		return gmig_fail(err, -ENOMEM, "out of memory");
	ret = virt_call_connected(virt, &call, err);
	if (ret)
		return ret;
	*list = listing->domain;
	ret = listing->count;
	free(listing);
	return ret;
}

struct nodeset {
	char uuid[QEMU_UUID_TEXT];
	char nodes[4096];
};

static int set_nodeset(struct virt_call *call, virConnectPtr connection, struct gmig_error *err)
{
	struct nodeset *nodeset = call->arguments;
	virDomainPtr domain = virDomainLookupByUUIDString(connection, nodeset->uuid);
	virTypedParameterPtr parameters = NULL;
	int count = 0, room = 0, ret = 0;

	if (!domain)
		return virt_error(call->what, err);
	if (virTypedParamsAddString(&parameters, &count, &room, VIR_DOMAIN_NUMA_NODESET,
				    nodeset->nodes) ||
	    virDomainSetNumaParameters(domain, parameters, count, VIR_DOMAIN_AFFECT_LIVE))
		ret = virt_error(call->what, err);
	virTypedParamsFree(parameters, count);
	virDomainFree(domain);
	return ret;
}

int virt_set_nodeset(struct virt *virt, const char *uuid, const struct gmig_node_set *nodes,
		     struct gmig_error *err)
{
	struct nodeset *nodeset = calloc(1, sizeof(*nodeset));
	const struct virt_call call = {
	    .what = "set the nodeset", .run = set_nodeset, .release = free, .arguments = nodeset};
	int ret;

	if (!nodeset)
		return gmig_fail(err, -ENOMEM, "out of memory");
	snprintf(nodeset->uuid, sizeof(nodeset->uuid), "%s", uuid);
	gmig_node_set_print(nodes, nodeset->nodes, sizeof(nodeset->nodes));
	ret = virt_call_connected(virt, &call, err);
	if (!ret)
		free(nodeset);
	return ret;
}

struct reading {
	char uuid[QEMU_UUID_TEXT];
	char *xml;
};

static void release_reading(void *opaque)
{
	struct reading *reading = opaque;

	free(reading->xml);
	free(reading);
}

static int read_xml(struct virt_call *call, virConnectPtr connection, struct gmig_error *err)
{
	struct reading *reading = call->arguments;
	virDomainPtr domain = virDomainLookupByUUIDString(connection, reading->uuid);

	if (!domain)
		return virt_error(call->what, err);
	reading->xml = virDomainGetXMLDesc(domain, 0);
	virDomainFree(domain);
	return reading->xml ? 0 : virt_error(call->what, err);
}

int virt_domain_xml(struct virt *virt, const char *uuid, char **xml, struct gmig_error *err)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	const struct virt_call call = {.what = "read a domain's XML",
				       .run = read_xml,
				       .release = release_reading,
				       .arguments = reading};
	int ret;

	if (!reading)
		return gmig_fail(err, -ENOMEM, "out of memory");
	snprintf(reading->uuid, sizeof(reading->uuid), "%s", uuid);
	ret = virt_call_connected(virt, &call, err);
	if (ret)
		return ret;
	*xml = reading->xml;
	free(reading);
	return 0;
}
