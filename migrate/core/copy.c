#include "copy.h"

#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define PAGE_BYTES 4096

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

/* ---- Memory that cannot be read ------------------------------------------------------------ */

static struct sigaction previous;
static _Thread_local sigjmp_buf
    *volatile guard; /* where to go on after a SIGBUS of this thread's copy */

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	/* AO: memory broke that nobody has touched, and no copy. */
	bool told = info->si_code == BUS_MCEERR_AO;

	if (guard && !told)
		siglongjmp(*guard, 1);
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(signal, info, context);
	} else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(signal);
	} else if (!told) {
		/* As if we were not there: the instruction faults again, and this time it counts.
		 */
		sigaction(SIGBUS, &previous, NULL);
	}
}

static void guard_install(void)
{
	/* SA_NODEFER: the handler is left by a jump that restores no mask. */
	struct sigaction action = {.sa_sigaction = on_sigbus,
				   .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};

	sigaction(SIGBUS, &action, &previous);
}

void copy_guard(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, guard_install);
}

/* A SIGBUS that is blocked kills. Threads of a program that blocks signals inherit that. */
static void unblock(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool copy_try(void (*touch)(void *arg), void *arg)
{
	static _Thread_local bool unblocked;
	sigjmp_buf here;

	if (!unblocked)
		unblock();
	unblocked = true;
	if (sigsetjmp(here, 0)) {
		guard = NULL;
		unblock(); /* the thread sanitizer runs handlers with all signals blocked */
		return false;
	}
	guard = &here;
	atomic_signal_fence(memory_order_seq_cst);
	touch(arg);
	atomic_signal_fence(memory_order_seq_cst);
	guard = NULL;
	return true;
}

struct part {
	char *to;
	const char *from; /* NULL: zeros */
	size_t bytes;
};

NOT_SANITIZED static void part_write(void *arg)
{
	const struct part *part = arg;

	if (part->from)
		best()->copy(part->to, part->from, part->bytes);
	else
		memset(part->to, 0, part->bytes);
}

/* All at once; page by page only when that failed, so as to know how far it went. */
static size_t write_guarded(struct part whole)
{
	struct part page = {whole.to, whole.from, PAGE_BYTES};
	size_t done = 0;

	if (copy_try(part_write, &whole))
		return whole.bytes;
	while (done < whole.bytes && copy_try(part_write, &page)) {
		done += PAGE_BYTES;
		page.to += PAGE_BYTES;
		if (page.from)
			page.from += PAGE_BYTES;
	}
	return done;
}

size_t copy_pages(void *restrict to, const void *restrict from, size_t bytes)
{
	return write_guarded((struct part){to, from, bytes});
}

size_t copy_zero(void *to, size_t bytes)
{
	return write_guarded((struct part){to, NULL, bytes});
}
