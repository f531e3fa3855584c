/* What a file of metrics says, as Prometheus's collector of text files would read it. */
#ifndef TEST_METRICS_FILE_H
#define TEST_METRICS_FILE_H

#include <check.h>
#include <stdio.h>
#include <string.h>

static inline void expect_metric_in(const char *path, const char *line)
{
	char text[16384];
	FILE *file = fopen(path, "r");

	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	ck_assert_msg(strstr(text, line) != NULL, "%s: %s", line, text);
}

#endif
