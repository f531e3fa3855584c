#include "log_name.h"

#include <stdio.h>
#include <string.h>

struct log_name log_name(const char *name)
{
	struct log_name shown;

	if (!name[strcspn(name, " \"\t\n")]) {
		snprintf(shown.text, sizeof(shown.text), "%s", name);
		return shown;
	}
	snprintf(shown.text, sizeof(shown.text) - 1, "\"%s", name);
	for (char *at = shown.text + 1; (at = strchr(at, '"')); at++)
		*at = '\'';
	strcat(shown.text, "\"");
	return shown;
}
