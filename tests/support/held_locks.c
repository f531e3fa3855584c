/*
 * Nobody gives a lock back that he has not got. These functions come before the C library's in a test program that has this file, for
 * the engine and for libraries as well: there, such a call does nothing, so that a lock that is not taken shows only where two threads
 * meet. Here it ends the program. Sanitizers have functions of their own in that place; ThreadSanitizer says the same.
 */
#include "held_locks.h"

#ifdef GMIG_SANITIZED

unsigned int held_locks(void)
{
	return 0;
}

#else

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 256u

static __thread void *held[MOST];
static __thread unsigned int count;

unsigned int held_locks(void)
{
	return count;
}

static int took(int ret, void *lock)
{
	if (ret && ret != EOWNERDEAD)
		return ret;
	if (count == MOST)
		abort();
	held[count++] = lock;
	return ret;
}

static void give(void *lock)
{
	unsigned int i = count;

	while (i && held[i - 1] != lock)
		i--;
	if (!i) {
		fprintf(stderr, "a lock is given back that this thread has not got\n");
		abort();
	}
	for (count--; i <= count; i++)
		held[i - 1] = held[i];
}

/* The C library's functions: all are known before a second thread begins, and libraries take locks even before that. */
static struct {
	__typeof__(&pthread_mutex_lock) pthread_mutex_lock;
	__typeof__(&pthread_mutex_trylock) pthread_mutex_trylock;
	__typeof__(&pthread_mutex_timedlock) pthread_mutex_timedlock;
	__typeof__(&pthread_mutex_clocklock) pthread_mutex_clocklock;
	__typeof__(&pthread_mutex_unlock) pthread_mutex_unlock;
	__typeof__(&pthread_rwlock_rdlock) pthread_rwlock_rdlock;
	__typeof__(&pthread_rwlock_tryrdlock) pthread_rwlock_tryrdlock;
	__typeof__(&pthread_rwlock_wrlock) pthread_rwlock_wrlock;
	__typeof__(&pthread_rwlock_trywrlock) pthread_rwlock_trywrlock;
	__typeof__(&pthread_rwlock_unlock) pthread_rwlock_unlock;
} next;

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))
#define FIND(name) next.name = REAL(name)
#define NEXT(name) (next.name ? next.name : REAL(name))
#define OWN	   __attribute__((visibility("default")))

__attribute__((constructor)) static void find(void)
{
	FIND(pthread_mutex_lock);
	FIND(pthread_mutex_trylock);
	FIND(pthread_mutex_timedlock);
	FIND(pthread_mutex_clocklock);
	FIND(pthread_mutex_unlock);
	FIND(pthread_rwlock_rdlock);
	FIND(pthread_rwlock_tryrdlock);
	FIND(pthread_rwlock_wrlock);
	FIND(pthread_rwlock_trywrlock);
	FIND(pthread_rwlock_unlock);
}

OWN int pthread_mutex_lock(pthread_mutex_t *lock)
{
	return took(NEXT(pthread_mutex_lock)(lock), lock);
}

OWN int pthread_mutex_trylock(pthread_mutex_t *lock)
{
	return took(NEXT(pthread_mutex_trylock)(lock), lock);
}

OWN int pthread_mutex_timedlock(pthread_mutex_t *lock, const struct timespec *until)
{
	return took(NEXT(pthread_mutex_timedlock)(lock, until), lock);
}

OWN int pthread_mutex_clocklock(pthread_mutex_t *lock, clockid_t clock,
				const struct timespec *until)
{
	return took(NEXT(pthread_mutex_clocklock)(lock, clock, until), lock);
}

OWN int pthread_mutex_unlock(pthread_mutex_t *lock)
{
	give(lock);
	return NEXT(pthread_mutex_unlock)(lock);
}

OWN int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	return took(NEXT(pthread_rwlock_rdlock)(lock), lock);
}

OWN int pthread_rwlock_tryrdlock(pthread_rwlock_t *lock)
{
	return took(NEXT(pthread_rwlock_tryrdlock)(lock), lock);
}

OWN int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	return took(NEXT(pthread_rwlock_wrlock)(lock), lock);
}

OWN int pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
	return took(NEXT(pthread_rwlock_trywrlock)(lock), lock);
}

OWN int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	give(lock);
	return NEXT(pthread_rwlock_unlock)(lock);
}

#endif
