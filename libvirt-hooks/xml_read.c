/* XML of others, see xml_read.h. */
#include "xml_read.h"

#include "../control/text.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Entities can only be declared in a document type: without one there is nothing to expand. */
static void refuse_document_type(void *ctx, const xmlChar *name, const xmlChar *external,
				 const xmlChar *system)
{
	xmlParserCtxt *parser = ctx;

	(void)name;
	(void)external;
	(void)system;
	*(bool *)parser->_private = true;
	xmlStopParser(parser);
}

static int fail_parse(xmlParserCtxt *parser, bool document_type, struct gmig_error *err)
{
	const xmlError *last = xmlCtxtGetLastError(parser);
	char text[160];

	if (document_type)
		return gmig_fail(err, -EINVAL, "XML with a document type (DTD) is refused");
	if (last && last->code == XML_ERR_NO_MEMORY)
		return gmig_fail(err, -ENOMEM, "no memory for XML");
	snprintf(text, sizeof(text), "%s", last && last->message ? last->message : "no reason");
	text[strcspn(text, "\n")] = '\0';
	return gmig_fail(err, -EINVAL, "not well-formed XML, line %d: %s", last ? last->line : 0,
			 control_text_safe(text));
}

int xml_read(const char *xml, size_t bytes, xmlDoc **doc, struct gmig_error *err)
{
	bool document_type = false;
	xmlParserCtxt *parser;
	xmlDoc *parsed;
	int ret = 0;

	if (bytes > XML_READ_BYTES)
		return gmig_fail(err, -E2BIG, "XML of %zu bytes, at most %u", bytes,
				 XML_READ_BYTES);
	parser = xmlNewParserCtxt();
	if (!parser)
		return gmig_fail(err, -ENOMEM, "no memory for XML");
	parser->_private = &document_type;
	parser->sax->internalSubset = refuse_document_type;
	parsed = xmlCtxtReadMemory(parser, xml, (int)bytes, NULL, NULL,
				   XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
				       XML_PARSE_NOCDATA);
	if (!parsed || document_type || !xmlDocGetRootElement(parsed))
		ret = fail_parse(parser, document_type, err);
	xmlFreeParserCtxt(parser);
	if (ret)
		xmlFreeDoc(parsed);
	else
		*doc = parsed;
	return ret;
}

xmlNode *xml_next(xmlNode *node, const char *name)
{
	for (; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE && !node->ns &&
		    !strcmp((const char *)node->name, name))
			return node;
	return NULL;
}

int xml_child(const xmlNode *parent, const char *name, xmlNode **child, struct gmig_error *err)
{
	xmlNode *second;

	*child = parent ? xml_next(parent->children, name) : NULL;
	second = *child ? xml_next((*child)->next, name) : NULL;
	if (second)
		return gmig_fail(err, -EINVAL, "line %ld: a second <%s>", xmlGetLineNo(second),
				 name);
	return 0;
}

char *xml_text(const xmlNode *node)
{
	char *text = (char *)xmlNodeGetContent(node);
	size_t begin, end;

	if (!text)
		return NULL;
	begin = strspn(text, " \t\r\n");
	end = strlen(text);
	while (end > begin && strchr(" \t\r\n", text[end - 1]))
		end--;
	memmove(text, text + begin, end - begin);
	text[end - begin] = '\0';
	return text;
}

char *xml_attribute(const xmlNode *node, const char *name)
{
	return (char *)xmlGetNoNsProp(node, (const xmlChar *)name);
}

bool xml_attribute_is(const xmlNode *node, const char *name, const char *value)
{
	char *text = xml_attribute(node, name);
	bool is = text && !strcmp(text, value);

	free(text);
	return is;
}

/* The text as an error may show it. */
static char *shown(const char *text, char buffer[41])
{
	snprintf(buffer, 41, "%s", text);
	return control_text_safe(buffer);
}

int xml_number(const xmlNode *node, const char *text, uint64_t max, uint64_t *number,
	       struct gmig_error *err)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long value;
	char buffer[41];

	if (!digits || text[digits])
		return gmig_fail(err, -EINVAL, "line %ld: <%s>: '%s' is not a number",
				 xmlGetLineNo(node), (const char *)node->name, shown(text, buffer));
	errno = 0;
	value = strtoull(text, NULL, 10);
	if (errno || value > max)
		return gmig_fail(err, -ERANGE, "line %ld: <%s>: %s is more than %llu",
				 xmlGetLineNo(node), (const char *)node->name, shown(text, buffer),
				 (unsigned long long)max);
	*number = value;
	return 0;
}

int xml_attribute_number(const xmlNode *node, const char *name, uint64_t max, uint64_t *number,
			 struct gmig_error *err)
{
	char *text = xml_attribute(node, name);
	int ret;

	if (!text)
		return -ENOENT;
	ret = xml_number(node, text, max, number, err);
	free(text);
	return ret;
}

/* What one of a unit is in bytes; 0: no such unit, or more than 64 bits (none of libvirt's is). */
static uint64_t unit_bytes(const char *unit)
{
	static const char letters[] = "kmgtpe";
	const char *letter = *unit ? strchr(letters, tolower((unsigned char)*unit)) : NULL;
	uint64_t base = 0, bytes = 1;

	if (!strcasecmp(unit, "b") || !strcasecmp(unit, "byte") || !strcasecmp(unit, "bytes"))
		return 1;
	if (!letter)
		return 0;
	if (!unit[1] || !strcasecmp(unit + 1, "iB"))
		base = 1024;
	else if (!strcasecmp(unit + 1, "B"))
		base = 1000;
	else
		return 0;
	for (const char *at = letters; at <= letter; at++)
		bytes *= base;
	return bytes;
}

int xml_scaled(const xmlNode *node, const char *number, const char *unit, uint64_t *bytes,
	       struct gmig_error *err)
{
	uint64_t value, scale = unit_bytes(unit && *unit ? unit : "KiB");
	char buffer[41];
	int ret;

	if (!scale)
		return gmig_fail(err, -EINVAL,
				 "line %ld: <%s>: unknown unit '%s'; libvirt's are bytes, k, KiB, "
				 "KB and so on with M, G, T, P, E",
				 xmlGetLineNo(node), (const char *)node->name, shown(unit, buffer));
	ret = xml_number(node, number, UINT64_MAX, &value, err);
	if (ret)
		return ret;
	if (__builtin_mul_overflow(value, scale, bytes))
		return gmig_fail(err, -ERANGE, "line %ld: <%s>: %s %s is over 64 bits",
				 xmlGetLineNo(node), (const char *)node->name,
				 shown(number, buffer), unit && *unit ? unit : "KiB");
	return 0;
}

int xml_bytes(const xmlNode *node, uint64_t *bytes, struct gmig_error *err)
{
	char *number = xml_text(node), *unit = xml_attribute(node, "unit");
	int ret = number ? xml_scaled(node, number, unit, bytes, err)
			 : gmig_fail(err, -ENOMEM, "no memory for XML");

	free(number);
	free(unit);
	return ret;
}
