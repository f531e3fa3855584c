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

/* Fill *err, unless it is NULL. */
__attribute__((format(printf, 3, 4))) static inline void
gmig_error_set(struct gmig_error *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
}

/*
 * Fill *err and give code back, so that a failing function can end in `return gmig_fail(err, -EINVAL, "..")`. code is
 * evaluated first and once. A macro, because a static analyzer does not look into functions with "..." and would take the
 * result for any number.
 */
#define gmig_fail(err, code, ...)                                                                  \
	__extension__({                                                                            \
		const int gmig_fail_code_ = (code);                                                \
		gmig_error_set(err, gmig_fail_code_, __VA_ARGS__);                                 \
		gmig_fail_code_;                                                                   \
	})

#endif
