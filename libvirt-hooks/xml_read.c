/* XML of others, see xml_read.h. */
#include "xml_read.h"

#include "../control/text.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What the parser's callbacks count and see; its _private. */
struct limits {
	bool document_type;
	bool too_many;
	size_t nodes;
};

/* Entities can only be declared in a document type: without one there is nothing to expand. */
static void refuse_document_type(void *ctx, const xmlChar *name, const xmlChar *external,
				 const xmlChar *system)
{
	xmlParserCtxt *parser = ctx;
	struct limits *limits = parser->_private;

	(void)name;
	(void)external;
	(void)system;
	limits->document_type = true;
	xmlStopParser(parser);
}

static void count_element(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
			  int namespace_count, const xmlChar **namespaces, int attribute_count,
			  int defaulted_count, const xmlChar **attributes)
{
	xmlParserCtxt *parser = ctx;
	struct limits *limits = parser->_private;

	limits->nodes += 1 + (size_t)namespace_count + (size_t)attribute_count;
	if (limits->nodes > XML_READ_NODES) {
		limits->too_many = true;
		xmlStopParser(parser);
		return;
	}
	xmlSAX2StartElementNs(ctx, name, prefix, uri, namespace_count, namespaces, attribute_count,
			      defaulted_count, attributes);
}

/* The end of what begins with `<` at `at`. */
static const char *markup_end(const char *at, const char *end)
{
	static const struct {
		const char *begin, *close;
	} sections[] = {{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}};
	const char *close;
	char quote = 0;

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		size_t length = strlen(sections[i].begin);

		if ((size_t)(end - at) < length || memcmp(at, sections[i].begin, length) != 0)
			continue;
		close = memmem(at + length, (size_t)(end - at) - length, sections[i].close,
			       strlen(sections[i].close));
		return close ? close + strlen(sections[i].close) : end;
	}
	for (; at < end && (quote || *at != '>'); at++) {
		if (quote)
			quote = *at == quote ? 0 : quote;
		else if (*at == '"' || *at == '\'')
			quote = *at;
	}
	return at;
}

/*
 * libxml2 compares each attribute of a tag with each other one, and has no limit for them that helps: 50,000 in one tag cost 7 s. So
 * tags are measured first, as bytes, which is why the text has to be UTF-8.
 */
static int check_tags(const char *xml, size_t bytes, struct gmig_error *err)
{
	const char *end = xml + bytes, *at = bytes ? memchr(xml, '<', bytes) : NULL, *next;

	if (bytes && memchr(xml, '\0', bytes))
		return gmig_fail(err, -EINVAL,
				 "not well-formed XML: a zero byte; only UTF-8 is read");
	for (; at; at = next < end ? memchr(next, '<', (size_t)(end - next)) : NULL) {
		next = markup_end(at, end);
		if (next - at > XML_READ_TAG && at[1] != '!' && at[1] != '?')
			return gmig_fail(err, -E2BIG, "XML with a tag of more than %d bytes",
					 XML_READ_TAG);
	}
	return 0;
}

static int fail_parse(xmlParserCtxt *parser, const struct limits *limits, struct gmig_error *err)
{
	const xmlError *last = xmlCtxtGetLastError(parser);
	char text[160];

	if (limits->document_type)
		return gmig_fail(err, -EINVAL, "XML with a document type (DTD) is refused");
	if (limits->too_many)
		return gmig_fail(err, -E2BIG, "XML of more than %d elements and attributes",
				 XML_READ_NODES);
	if (last && last->code == XML_ERR_NO_MEMORY)
		return gmig_fail(err, -ENOMEM, "no memory for XML");
	snprintf(text, sizeof(text), "%s", last && last->message ? last->message : "no reason");
	text[strcspn(text, "\n")] = '\0';
	return gmig_fail(err, -EINVAL, "not well-formed XML, line %d: %s", last ? last->line : 0,
			 control_text_safe(text));
}

/* A parser that makes no nodes of what nobody asks for, and stops at what is refused. NULL: no memory. */
static xmlParserCtxt *create_parser(struct limits *limits)
{
	xmlParserCtxt *parser = xmlNewParserCtxt();

	if (!parser)
		return NULL;
	parser->_private = limits;
	parser->sax->internalSubset = refuse_document_type;
	parser->sax->startElementNs = count_element;
	parser->sax->comment = NULL;
	parser->sax->processingInstruction = NULL;
	return parser;
}

int xml_read(const char *xml, size_t bytes, xmlDoc **doc, struct gmig_error *err)
{
	struct limits limits = {false, false, 0};
	xmlParserCtxt *parser;
	xmlDoc *parsed;
	int ret;

	if (bytes > XML_READ_BYTES)
		return gmig_fail(err, -E2BIG, "XML of %zu bytes, at most %u", bytes,
				 XML_READ_BYTES);
	ret = check_tags(xml, bytes, err);
	if (ret)
		return ret;
	parser = create_parser(&limits);
	if (!parser)
		return gmig_fail(err, -ENOMEM, "no memory for XML");
	parsed = xmlCtxtReadMemory(parser, xml, (int)bytes, NULL, NULL,
				   XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
				       XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC);
	if (!parsed || limits.document_type || limits.too_many || !xmlDocGetRootElement(parsed))
		ret = fail_parse(parser, &limits, err);
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
