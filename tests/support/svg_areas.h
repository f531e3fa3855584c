/* What a picture shows, by a parser that is not ours: tests/support/svg-areas. */
#ifndef SVG_AREAS_H
#define SVG_AREAS_H

#include <check.h>
#include <jansson.h>
#include <stdio.h>

/* A new reference. support: the directory of svg-areas. */
static inline json_t *svg_areas(const char *support, const char *path)
{
	char command[1024];
	json_t *parsed;
	FILE *pipe;

	snprintf(command, sizeof(command), "python3 %s/svg-areas %s", support, path);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	parsed = json_loadf(pipe, 0, NULL);
	ck_assert_int_eq(pclose(pipe), 0);
	ck_assert_ptr_nonnull(parsed);
	return parsed;
}

#endif
