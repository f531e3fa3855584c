/*
 * What valgrind does not know of Linux, told to it: loaded before a program that runs under memcheck. PAGEMAP_SCAN (Linux 6.7) fills
 * an array of its caller's; to valgrind, which knows of the argument alone, what it says would be values that nobody has set.
 */
#include "../../migrate/core/sys.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <valgrind/memcheck.h>

int ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int, unsigned long, void *) =
	    (int (*)(int, unsigned long, void *))(uintptr_t)dlsym(RTLD_NEXT, "ioctl");
	const struct pm_scan_arg *scan;
	va_list arguments;
	void *argument;
	int ret;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	ret = real(fd, request, argument);
	scan = argument;
	if (request == PAGEMAP_SCAN && ret > 0)
		VALGRIND_MAKE_MEM_DEFINED((uintptr_t)scan->vec,
					  (size_t)ret * sizeof(struct page_region));
	return ret;
}
