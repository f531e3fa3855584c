/* Small files below a root, for what looks at /proc, /sys and /run. No state, any thread. */
#ifndef QEMU_FILES_H
#define QEMU_FILES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* At most `max` bytes of the file at root and format, from malloc, with a NUL behind them; *bytes: how many. NULL: errno. */
__attribute__((format(printf, 4, 5))) char *qemu_file_read(const char *root, size_t max,
							   size_t *bytes, const char *format, ...);
/* A decimal number and nothing else but space around it. False: it is none, or over max. */
bool qemu_number_parse(const char *text, uint64_t max, uint64_t *value);

#define QEMU_FREED __attribute__((cleanup(qemu_free)))
void qemu_free(void *pointer); /* of a pointer */

#endif
