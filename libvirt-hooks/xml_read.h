/*
 * Reading XML that others wrote, over libxml2: no network, no document type (so no entities of its own), bounded size and depth,
 * numbers and units that are checked. Elements are found by name within their parent, in no namespace: what other programs keep
 * in namespaces of theirs is not seen. No state; any thread, after xmlInitParser() in the first one.
 */
#ifndef XML_READ_H
#define XML_READ_H

#include "../migrate/gmig_error.h"

#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

#define XML_READ_BYTES (16u << 20)
#define XML_READ_TAG   16384  /* bytes from < to > */
#define XML_READ_NODES 131072 /* elements and attributes; 4,096 pinned vCPUs take 12,288 */

/*
 * Parse a document of `bytes` bytes, in UTF-8. -E2BIG: more than one of the limits above, which together keep the cost of any
 * document below half a second and 100 MiB (measured); -EINVAL: not well-formed, a document type, deeper than libxml2's 256
 * elements, or a text of more than its 10 MB, with line and reason; -ENOMEM. The tree has no comments and no processing
 * instructions. The caller frees with xmlFreeDoc().
 */
int xml_read(const char *xml, size_t bytes, xmlDoc **doc, struct gmig_error *err);

/* The next element of this name at or after `node`, among its siblings; NULL: none. */
xmlNode *xml_next(xmlNode *node, const char *name);
/* The only child of this name; *child is NULL when there is none, and when parent is NULL. -EINVAL: more than one. */
int xml_child(const xmlNode *parent, const char *name, xmlNode **child, struct gmig_error *err);

/* The text of an element without the space around it, "" for none; NULL: no memory. The caller frees. */
char *xml_text(const xmlNode *node);
/* The value of an attribute; NULL: not there, or no memory. The caller frees. */
char *xml_attribute(const xmlNode *node, const char *name);
/* Whether the attribute is there and has this value. */
bool xml_attribute_is(const xmlNode *node, const char *name, const char *value);

/* A decimal number of at most max. -EINVAL, -ERANGE; the error text names line, element and text. */
int xml_number(const xmlNode *node, const char *text, uint64_t max, uint64_t *number,
	       struct gmig_error *err);
/* The same of an attribute; -ENOENT without it, and *err is then not filled. */
int xml_attribute_number(const xmlNode *node, const char *name, uint64_t max, uint64_t *number,
			 struct gmig_error *err);
/*
 * A number with a unit, into bytes. libvirt's rules (virScaleInteger): b, byte and bytes; k, M, G, T, P, E and KiB, MiB, .. are
 * powers of 1024; KB, MB, .. powers of 1000; upper or lower case; without a unit KiB. -EINVAL, -ERANGE (over 64 bits).
 */
int xml_scaled(const xmlNode *node, const char *number, const char *unit, uint64_t *bytes,
	       struct gmig_error *err);
/* <memory unit='KiB'>1048576</memory> */
int xml_bytes(const xmlNode *node, uint64_t *bytes, struct gmig_error *err);

#endif
