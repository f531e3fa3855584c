/*
 * The text that goes with an error code. One struct for the whole project; stands alone, so that control/ and the
 * agent may use it without linking libgmig.
 *
 * Functions return 0 or -errno and, when they fail, fill the struct whose address the caller passed last; NULL is
 * allowed everywhere. The text is one sentence without a full stop or newline and names the thing that was wrong.
 */
#ifndef GMIG_ERROR_H
#define GMIG_ERROR_H

#include <stdarg.h>
#include <stdio.h>

#define GMIG_ERROR_TEXT 320

struct gmig_error {
	int code; /* -errno, 0 = no error */
	char text[GMIG_ERROR_TEXT];
};

/* Fill *err and return code, so that a failing function can end in `return gmig_fail(err, -EINVAL, "..")`. */
__attribute__((format(printf, 3, 4))) static inline int gmig_fail(struct gmig_error *err, int code,
								  const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

#endif
