/*
 * A filter of system calls keeps a process from writing its counters: they are written before the filter is there. What such a
 * process does afterwards is not counted.
 */
#include <gcov.h>
#include <seccomp.h>

int __real_seccomp_load(scmp_filter_ctx context);
int __wrap_seccomp_load(scmp_filter_ctx context);

int __wrap_seccomp_load(scmp_filter_ctx context)
{
	__gcov_dump();
	return __real_seccomp_load(context);
}
