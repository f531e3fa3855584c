/*
 * Is an x86-64 instruction one that repeats itself, such as `rep movsb`? Pure.
 */
#ifndef LAB_X86_REPEAT_H
#define LAB_X86_REPEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Not repnz and repz themselves; REX (64-bit code) counts as one. */
static inline bool x86_is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26: /* segments */
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66: /* sizes */
	case 0x67:
	case 0xf0: /* lock */
		return true;
	default:
		return (byte & 0xf0) == 0x40;
	}
}

/* movs, cmps, stos, lods, scas, ins, outs behind a repeat prefix. Elsewhere that prefix means something else. */
static inline bool x86_repeats(const uint8_t *code, size_t bytes)
{
	bool repeat = false;

	for (size_t i = 0; i < bytes; i++) {
		if (code[i] == 0xf2 || code[i] == 0xf3)
			repeat = true;
		else if (!x86_is_prefix(code[i]))
			return repeat && ((code[i] >= 0xa4 && code[i] <= 0xaf && code[i] != 0xa8 &&
					   code[i] != 0xa9) ||
					  (code[i] >= 0x6c && code[i] <= 0x6f));
	}
	return false;
}

#endif
