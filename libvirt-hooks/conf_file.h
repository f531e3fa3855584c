/* One file in INI syntax, read strictly, over libinih, which by itself cuts what is too long and names no lines. No state. */
#ifndef CONF_FILE_H
#define CONF_FILE_H

#include "../migrate/gmig_error.h"

/*
 * What conf_file_read() calls for each [section], with key and value NULL, and for each `key = value`: where is
 * "NAME:LINE [SECTION]", or without brackets ahead of the first section. 0, or -errno with *err filled, which ends the reading.
 */
typedef int conf_file_value(void *user, const char *where, const char *section, const char *key,
			    const char *value, struct gmig_error *err);

/*
 * Read a file; name is what texts call it. 1: there is none; 0; -errno with *err filled: see gmigd_conf_read(). Lines may be
 * indented; a value never goes on in the next line.
 */
int conf_file_read(const char *path, const char *name, conf_file_value *value, void *user,
		   struct gmig_error *err);

#endif
