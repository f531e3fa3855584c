/*
 * Which Linux kernels have a UFFDIO_MOVE that is known to damage memory. Pure: a kernel's name in, a verdict out; any
 * thread.
 *
 * A version number says what a kernel contains only where a distribution follows the stable releases and shows it:
 * "6.12.48+deb13-amd64", "6.18.3-200.fc43". Others freeze the number and add fixes of their own: "6.8.0-45-generic",
 * "5.14.0-503.el9". These are judged by what else they say of themselves, and else UNKNOWN when a fault is possible.
 */
#ifndef GMIG_KERNELS_H
#define GMIG_KERNELS_H

#include "../gmig.h"

struct kernel_name {
	char release[128]; /* uname -r */
	char version[128]; /* uname -v: Debian's names the stable release */
	char signature
	    [128]; /* /proc/version_signature, of Ubuntu: the last word is the stable release; "" elsewhere */
};

enum kernel_verdict {
	KERNEL_SAFE,
	KERNEL_RISKY,	/* can crash the host in a rare case; what is moved is not damaged */
	KERNEL_UNSAFE,	/* damages memory that is moved, or other memory */
	KERNEL_UNKNOWN, /* its number is within a faulty range, but it may have the fix */
};

/* text (NULL: not wanted): one line with the fault, its commit and the releases that fix it; "" when SAFE. */
enum kernel_verdict kernel_judge(const struct kernel_name *name, char text[GMIG_ERROR_TEXT]);

#endif
