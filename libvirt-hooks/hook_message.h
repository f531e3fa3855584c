/*
 * The datagram with which libvirt's hook tells gmigd what happens to a domain. libc only, because the hook runs inside the start of
 * a domain; no allocation, no state, any thread.
 *
 * On the wire, each but the last ended by a zero byte: "gmig-hook 1", operation, sub-operation, extra, name, uuid, which XML ("none",
 * "whole", "digest", "cut"), its size in bytes (decimal), its digest (16 hexadecimal digits), and the XML when it is whole.
 */
#ifndef HOOK_MESSAGE_H
#define HOOK_MESSAGE_H

#include "../migrate/gmig_error.h"

#include <stddef.h>
#include <stdint.h>

/* Not *.sock: those are guests. */
#define HOOK_SOCKET_PATH "/run/gmig/gmigd-hook"
#define HOOK_FIELD	 64   /* bytes of operation, sub-operation and extra, with the zero */
#define HOOK_NAME	 1025 /* bytes of a name, likewise; domain_xml.h takes no longer ones */
/* What fits a UNIX datagram with Linux's default net.core.wmem_default of 208 KiB, with room to spare. */
#define HOOK_XML_BYTES	   (128u << 10)
#define HOOK_MESSAGE_BYTES (HOOK_XML_BYTES + 2048)

enum hook_xml {
	HOOK_XML_NONE,	 /* the hook was given none */
	HOOK_XML_WHOLE,	 /* here it is */
	HOOK_XML_DIGEST, /* too long for a datagram: size and digest of all of it */
	HOOK_XML_CUT,	 /* too long, or too late, to be read: size and digest of what was read */
};

/* A field that did not fit, or had control characters, is empty: not told is not false. */
struct hook_message {
	char operation[HOOK_FIELD]; /* "prepare"; unknown ones are passed on */
	char sub_operation[HOOK_FIELD];
	char extra[HOOK_FIELD]; /* "-", or from libvirt 10.5 on why a domain was released */
	char name[HOOK_NAME];
	char uuid[37]; /* as the XML has it, found without parsing: a hint */
	enum hook_xml which;
	uint64_t xml_bytes;
	uint64_t xml_digest;
	const char *xml; /* not ended by a zero; after hook_message_read() within the datagram */
};

/* FNV-1a, 64 bits (Fowler, Noll, Vo): tells documents apart, and is no proof against one who wants two to look alike. */
#define HOOK_DIGEST_START 0xcbf29ce484222325ull
uint64_t hook_digest(uint64_t digest, const char *bytes, size_t count);

/* Copy an argument into a field of `room` bytes; empty when it is NULL, too long, or has control characters. */
void hook_field(char *field, size_t room, const char *argument);
/* The text of the first <uuid> in the first bytes of a domain's XML, if it has the usual form, else "". */
void hook_uuid(const char *xml, size_t bytes, char uuid[37]);

/* Write a message, at most HOOK_MESSAGE_BYTES. Returns the bytes written; 0: it does not fit. */
size_t hook_message_write(const struct hook_message *message, char *datagram, size_t room);
/*
 * Read a datagram, which has to be exactly as hook_message_write() makes it. -EINVAL: it is not; *message is then undefined.
 * message->xml points into the datagram.
 */
int hook_message_read(const char *datagram, size_t bytes, struct hook_message *message,
		      struct gmig_error *err);

#endif
