/* See cpuid.h. */
#include "cpuid.h"

#include <errno.h>
#include <string.h>

#define BIT(n) (1u << (n))

#define EBX0_AUTH	     0x68747541 /* "AuthenticAMD" */
#define EBX0_HYGO	     0x6f677948 /* "HygonGenuine" */
#define ECX1_VMX	     BIT(5)
#define ECX1_FMA	     BIT(12)
#define ECX1_TSCDEADLINE     BIT(24)
#define ECX1_XSAVE	     BIT(26)
#define ECX1_OSXSAVE	     BIT(27)
#define ECX1_AVX	     BIT(28)
#define ECX1_F16C	     BIT(29)
#define ECX1_HYPERVISOR	     BIT(31)
#define EDX1_HTT	     BIT(28)
#define ECX81_CMPLEGACY	     BIT(1)
#define ECX81_SVM	     BIT(2)
#define EBX87_OVERFLOW_RECOV BIT(0)
#define EBX87_SUCCOR	     BIT(1)
#define ECX81_XOP	     BIT(11)
#define ECX81_FMA4	     BIT(16)

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == function &&
		    (entry->index == index || !(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return entry;
	}
	return NULL;
}

/* Remove the entries of a function from index `from` on. */
static void remove_entries(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t from)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != function || entry->index < from)
			cpuid->entries[kept++] = *entry;
	}
	cpuid->nent = kept;
}

/* ---- Topology -------------------------------------------------------------------------------- */

/*
 * KVM gives no valid leaf 0bh; it leaves the topology to us. Leaves 1fh and 80000026h may be absent,
 * and then kernels read 0bh. Subleaf 0: threads, 1: cores, 2: the end.
 */
static int set_extended_topology(struct kvm_cpuid2 *cpuid, const struct cpu_place *place)
{
	const struct kvm_cpuid_entry2 levels[] = {
	    {.index = 0, .eax = 0, .ebx = 1, .ecx = 0 | 1 << 8},
	    {.index = 1, .eax = place->core_bits, .ebx = place->cores, .ecx = 1 | 2 << 8},
	    {.index = 2, .ecx = 2},
	};
	const struct kvm_cpuid_entry2 *basic = cpuid_find(cpuid, 0, 0);

	remove_entries(cpuid, 0xb, 0);
	remove_entries(cpuid, 0x1f, 0);
	remove_entries(cpuid, 0x80000026, 0);
	if (!basic || basic->eax < 0xb)
		return 0;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent];

		if (cpuid->nent == CPUID_MAX_ENTRIES)
			return -E2BIG;
		cpuid->nent++;
		*entry = levels[i];
		entry->function = 0xb;
		entry->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		entry->edx = place->apic_id;
	}
	return 0;
}

static unsigned int cache_level(uint32_t eax)
{
	return eax >> 5 & 7;
}

/* The highest level of cache that this function describes; never the first, which is a core's. */
static unsigned int last_level(const struct kvm_cpuid2 *cpuid, uint32_t function)
{
	unsigned int level = 2;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == function && entry->eax & 0x1f &&
		    cache_level(entry->eax) > level)
			level = cache_level(entry->eax);
	}
	return level;
}

/* How many APIC ids, less one, share a cache: the package its last level, one core each of the
 * others. */
static uint32_t cache_sharing(const struct kvm_cpuid2 *cpuid, const struct kvm_cpuid_entry2 *entry,
			      const struct cpu_place *place)
{
	bool last = cache_level(entry->eax) == last_level(cpuid, entry->function);

	return last ? (1u << place->core_bits) - 1 : 0;
}

static void adjust_entry(const struct kvm_cpuid2 *cpuid, struct kvm_cpuid_entry2 *entry,
			 const struct cpu_place *place, bool tsc_deadline)
{
	uint32_t ids = 1u << place->core_bits; /* APIC ids of a package */
	bool cache = entry->eax & 0x1f;

	switch (entry->function) {
	case 1:
		entry->ebx = (entry->ebx & 0xffff) | ids << 16 | place->apic_id << 24;
		entry->ecx &= ~ECX1_VMX;
		entry->ecx |= ECX1_HYPERVISOR | (tsc_deadline ? ECX1_TSCDEADLINE : 0);
		entry->edx = (entry->edx & ~EDX1_HTT) | (ids > 1 ? EDX1_HTT : 0);
		break;
	case 4: /* Intel: caches, and cores of a package */
		if (cache)
			entry->eax = (entry->eax & 0x3fff) |
				     cache_sharing(cpuid, entry, place) << 14 | (ids - 1) << 26;
		break;
	case 0x80000001:
		entry->ecx &= ~(ECX81_SVM | ECX81_CMPLEGACY);
		entry->ecx |= ids > 1 ? ECX81_CMPLEGACY : 0;
		break;
	case 0x80000008: /* AMD: cores of a package, bits of the core's number */
		entry->ecx = (place->cores - 1) | place->core_bits << 12;
		break;
	case 0x8000000a: /* SVM */
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case 0x8000001d: /* AMD: caches */
		if (cache)
			entry->eax = (entry->eax & 0xfc003fff) | cache_sharing(cpuid, entry, place)
								     << 14;
		break;
	case 0x8000001e: /* AMD: one node a package, one thread a core */
		entry->eax = place->apic_id;
		entry->ebx = place->core;
		entry->ecx = place->package;
		break;
	}
}

/* ---- Extended state (XSAVE) ------------------------------------------------------------------ */

#define COMPONENTS_LEGACY 3ull /* x87, SSE */
#define COMPONENT_AVX	  4ull
#define COMPONENTS_AVX512 0xe0ull

enum cpuid_register { EAX, EBX, ECX, EDX };

struct feature {
	uint32_t function, index;
	enum cpuid_register in;
	uint32_t bits;
};

/*
 * The components of a state, and the features that are of no use without it. A state is offered
 * when the first of its features is.
 */
static const struct state {
	uint64_t components; /* bits of XCR0, or of XSS */
	bool supervisor;     /* of XSS */
	struct feature feature[7];
} states[] = {
    {COMPONENT_AVX,
     false,
     {{1, 0, ECX, ECX1_AVX},
      {1, 0, ECX, ECX1_FMA | ECX1_F16C},
      {7, 0, EBX, BIT(5)},	     /* AVX2 */
      {7, 0, ECX, BIT(9) | BIT(10)}, /* VAES, VPCLMULQDQ */
      {7, 1, EAX, BIT(4) | BIT(23)}, /* AVX-VNNI, AVX-IFMA */
      {7, 1, EDX, BIT(4) | BIT(5) | BIT(10)},
      {0x80000001, 0, ECX, ECX81_XOP | ECX81_FMA4}}},
    {BIT(3) | BIT(4), false, {{7, 0, EBX, BIT(14)}}}, /* MPX */
    {COMPONENTS_AVX512,
     false,
     {{7, 0, EBX, BIT(16)},
      {7, 0, EBX, BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)},
      {7, 0, ECX, BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14)},
      {7, 0, EDX, BIT(2) | BIT(3) | BIT(8) | BIT(23)},
      {7, 1, EAX, BIT(5)},
      {7, 1, EDX, BIT(19)}}},		    /* AVX10 */
    {BIT(9), false, {{7, 0, ECX, BIT(3)}}}, /* protection keys */
    {BIT(17) | BIT(18),			    /* AMX */
     false,
     {{7, 0, EDX, BIT(24)},
      {7, 0, EDX, BIT(22) | BIT(25)},
      {7, 1, EAX, BIT(21)},
      {7, 1, EDX, BIT(8)}}},
    {BIT(19), false, {{7, 1, EDX, BIT(21)}}},				    /* APX */
    {BIT(8), true, {{7, 0, EBX, BIT(25)}}},				    /* processor trace */
    {BIT(11) | BIT(12), true, {{7, 0, ECX, BIT(7)}, {7, 0, EDX, BIT(20)}}}, /* shadow stacks, IBT */
    {BIT(15), true, {{7, 0, EDX, BIT(19)}}},				    /* branch records */
};

#define STATES (sizeof(states) / sizeof(states[0]))

static uint32_t *word_of(struct kvm_cpuid2 *cpuid, const struct feature *feature)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, feature->function, feature->index);

	if (!entry || !feature->bits)
		return NULL;
	return (uint32_t *[]){&entry->eax, &entry->ebx, &entry->ecx, &entry->edx}[feature->in];
}

static void drop_features(struct kvm_cpuid2 *cpuid, const struct state *state)
{
	for (size_t i = 0; i < sizeof(state->feature) / sizeof(state->feature[0]); i++) {
		uint32_t *word = word_of(cpuid, &state->feature[i]);

		if (word)
			*word &= ~state->feature[i].bits;
	}
}

static bool offers(struct kvm_cpuid2 *cpuid, const struct state *state)
{
	const uint32_t *word = word_of(cpuid, &state->feature[0]);

	return word && *word & state->feature[0].bits;
}

/*
 * Which components of XCR0 the features ask for and leaf 0dh has. Features whose state is not there,
 * or not whole, go. AVX-512 builds on AVX.
 */
static uint64_t user_components(struct kvm_cpuid2 *cpuid, uint64_t there)
{
	uint64_t kept = 0;

	for (size_t i = 0; i < STATES; i++) {
		const struct state *state = &states[i];
		uint64_t needed = state->components;

		if (state->supervisor)
			continue;
		if (needed == COMPONENTS_AVX512)
			needed |= COMPONENT_AVX;
		if ((there & needed) == needed && offers(cpuid, state) &&
		    (kept | state->components | ~needed) == UINT64_MAX)
			kept |= state->components;
		else
			drop_features(cpuid, state);
	}
	return kept;
}

/* The same of XSS. Their features work without XSAVES, too. */
static uint64_t supervisor_components(struct kvm_cpuid2 *cpuid, uint64_t there)
{
	uint64_t kept = 0;

	for (size_t i = 0; i < STATES; i++)
		if (states[i].supervisor && offers(cpuid, &states[i]))
			kept |= there & states[i].components;
	return kept;
}

/* The size of an uncompacted area with all of these components. */
static uint32_t area_bytes(struct kvm_cpuid2 *cpuid, uint64_t components)
{
	uint32_t bytes = 512 + 64; /* legacy area and header */

	for (uint32_t i = 2; i < 63; i++) {
		const struct kvm_cpuid_entry2 *entry =
		    components >> i & 1 ? cpuid_find(cpuid, 0xd, i) : NULL;

		if (entry && entry->ebx + entry->eax > bytes)
			bytes = entry->ebx + entry->eax;
	}
	return bytes;
}

static void remove_components(struct kvm_cpuid2 *cpuid, uint64_t kept)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != 0xd || entry->index < 2 ||
		    (entry->index < 63 && kept >> entry->index & 1))
			cpuid->entries[left++] = *entry;
	}
	cpuid->nent = left;
}

void cpuid_adjust_xstate(struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 1, 0);
	bool xsave = features && features->ecx & ECX1_XSAVE;
	struct kvm_cpuid_entry2 *head = cpuid_find(cpuid, 0xd, 0), *more;
	uint64_t user, supervisor;

	if (!xsave || !head) {
		user_components(cpuid, 0);
		remove_entries(cpuid, 0xd, 0);
		return;
	}
	more = cpuid_find(cpuid, 0xd, 1);
	user = user_components(cpuid, head->eax | (uint64_t)head->edx << 32) | COMPONENTS_LEGACY;
	supervisor = more ? supervisor_components(cpuid, more->ecx | (uint64_t)more->edx << 32) : 0;
	head->eax = (uint32_t)user;
	head->edx = (uint32_t)(user >> 32);
	head->ebx = 512 + 64; /* of what XCR0 has at power-on; KVM follows it */
	head->ecx = area_bytes(cpuid, user);
	if (more) {
		more->ecx = (uint32_t)supervisor;
		more->edx = (uint32_t)(supervisor >> 32);
		more->ebx = more->eax & (BIT(1) | BIT(3)) ? 512 + 64 : 0; /* XSAVEC, XSAVES */
	}
	remove_components(cpuid, user | supervisor);
}

/* ---- Broken memory ------------------------------------------------------------------------------ */

bool cpuid_is_amd(struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0, 0);

	return leaf && (leaf->ebx == EBX0_AUTH || leaf->ebx == EBX0_HYGO);
}

void cpuid_offer_recovery(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0x80000007, 0);

	if (leaf && cpuid_is_amd(cpuid))
		leaf->ebx |= EBX87_OVERFLOW_RECOV | EBX87_SUCCOR;
}

/* ---- All of it ------------------------------------------------------------------------------- */

int cpuid_adjust(struct kvm_cpuid2 *cpuid, const struct cpu_place *place, bool tsc_deadline)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		adjust_entry(cpuid, &cpuid->entries[i], place, tsc_deadline);
	cpuid_adjust_xstate(cpuid);
	return set_extended_topology(cpuid, place);
}
