#include "copy.h"

#include <immintrin.h>
#include <stdatomic.h>

#define NOT_SANITIZED __attribute__((no_sanitize("thread", "address")))

static int always(void)
{
	return 1;
}

static int has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static int has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}

/* The microcode's own copy; on processors with "erms" it skips reading the target lines. */
NOT_SANITIZED static void copy_rep(void *restrict to, const void *restrict from, size_t bytes)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

/*
 * Non-temporal stores go past the caches: the guest's own lines stay, and no line of the target is
 * read first. The fence orders them before the remap that shows them to the guest.
 */
NOT_SANITIZED __attribute__((target("avx2"))) static void
copy_stream_avx2(void *restrict to, const void *restrict from, size_t bytes)
{
	__m256i *target = to;
	const __m256i *source = from;

	for (size_t i = 0; i < bytes / sizeof(*target); i += 8)
		for (size_t k = 0; k < 8; k++)
			_mm256_stream_si256(target + i + k, _mm256_load_si256(source + i + k));
	_mm_sfence();
}

NOT_SANITIZED __attribute__((target("avx512f"))) static void
copy_stream_avx512(void *restrict to, const void *restrict from, size_t bytes)
{
	__m512i *target = to;
	const __m512i *source = from;

	for (size_t i = 0; i < bytes / sizeof(*target); i += 8)
		for (size_t k = 0; k < 8; k++)
			_mm512_stream_si512(target + i + k, _mm512_load_si512(source + i + k));
	_mm_sfence();
}

NOT_SANITIZED __attribute__((target("avx512f"))) static void
copy_store_avx512(void *restrict to, const void *restrict from, size_t bytes)
{
	__m512i *target = to;
	const __m512i *source = from;

	for (size_t i = 0; i < bytes / sizeof(*target); i += 8)
		for (size_t k = 0; k < 8; k++)
			_mm512_store_si512(target + i + k, _mm512_load_si512(source + i + k));
}

/* Best first. */
const struct copy_way copy_ways[] = {
    {"avx512-stream", copy_stream_avx512, has_avx512},
    {"avx2-stream", copy_stream_avx2, has_avx2},
    {"rep-movsb", copy_rep, always},
    {"avx512-store", copy_store_avx512, has_avx512},
    {NULL, NULL, NULL},
};

static const struct copy_way *best(void)
{
	static _Atomic(const struct copy_way *) chosen;
	const struct copy_way *way = atomic_load_explicit(&chosen, memory_order_relaxed);

	if (way)
		return way;
	for (way = copy_ways; !way->works(); way++)
		;
	atomic_store_explicit(&chosen, way, memory_order_relaxed);
	return way;
}

const char *copy_way_name(void)
{
	return best()->name;
}

void copy_pages(void *restrict to, const void *restrict from, size_t bytes)
{
	best()->copy(to, from, bytes);
}
