/*
 * A Linux bzImage, as its boot header describes it. Pure: looks at the bytes it is given, opens
 * nothing.
 *
 * Source: Documentation/arch/x86/boot.rst (protocol 2.12 and later, 64-bit entry point).
 */
#ifndef VMM_BZIMAGE_H
#define VMM_BZIMAGE_H

#include "../migrate/gmig_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BZIMAGE_HEADER_OFFSET 0x1f1 /* of the setup header, in the file and in the zero page */
#define BZIMAGE_HEAD_BYTES    0x290 /* the part of the file that the header can cover */
#define BZIMAGE_ENTRY_OFFSET  0x200 /* of the 64-bit entry point, from the load address */

struct bzimage {
	uint64_t code_offset; /* in the file, of the part that is loaded */
	uint64_t code_bytes;
	uint64_t preferred_gpa;
	uint64_t align_bytes;
	uint64_t init_bytes; /* memory that the kernel needs at its load address before it knows
				     of any other */
	bool relocatable;
	uint64_t initrd_end_gpa;   /* an initrd must end at or below */
	uint64_t command_line_max; /* characters without the final NUL */
	uint8_t
	    header[BZIMAGE_HEAD_BYTES - BZIMAGE_HEADER_OFFSET]; /* for the zero page, zero-padded */
};

/*
 * head: the first min(file_bytes, BZIMAGE_HEAD_BYTES) bytes of a file of file_bytes. -ENOEXEC: not
 * a kernel that can be booted here; the text says why.
 */
int bzimage_parse(const uint8_t *head, uint64_t file_bytes, struct bzimage *image,
		  struct gmig_error *err);

#endif
