/*
 * Pieces of option text: sizes, numbers, CPU lists, `key=value,key=value`. Pure; used by options.c
 * only. Each refusal names the option, and the text that was wrong.
 */
#ifndef VMM_OPTIONS_TEXT_H
#define VMM_OPTIONS_TEXT_H

#include "options.h"

/*
 * Text that others will print and put into JSON: UTF-8 without control characters, line separators
 * and characters that change the direction of writing. -EINVAL; the error names the character and
 * does not repeat it.
 */
int options_plain_text(const char *what, const char *text, struct gmig_error *err);
/* Decimal digits only, low..high. -EINVAL with a text that starts with `what`. */
int options_number(const char *what, const char *text, const uint64_t range[2], uint64_t *value,
		   struct gmig_error *err);
/* A size of guest memory: > 0, a multiple of 2 MiB, within the address space. Plain numbers are
 * MiB. */
int options_memory(const char *what, const char *text, uint64_t *bytes, struct gmig_error *err);
/* "0-1" or "3"; adds to *mask. */
int options_cpu_range(const char *what, const char *text, uint64_t *mask, struct gmig_error *err);

/* One key of a sub-option list. */
struct options_key {
	const char *name; /* NULL ends the table */
	bool required, repeatable;
	int (*set)(void *into, const char *value, struct gmig_error *err);
};
/* Cut `text` at commas, hand each value to its key. `what` is the option's name for texts. */
int options_list(const char *what, char *text, const struct options_key *keys, void *into,
		 struct gmig_error *err);

#endif
