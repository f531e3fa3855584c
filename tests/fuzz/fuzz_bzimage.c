/* The head of a kernel image, from a file that may be anything: what is taken lies within the file and fits what a loader does. */
#include "../../vmm/bzimage.h"

#include <stdlib.h>
#include <string.h>

static void need(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct bzimage *image, uint64_t file_bytes)
{
	need(image->code_offset <= file_bytes &&
	     image->code_bytes <= file_bytes - image->code_offset);
	need(image->code_bytes > BZIMAGE_ENTRY_OFFSET);
	need(image->init_bytes >= image->code_bytes);
	need(image->preferred_gpa + image->init_bytes >= image->preferred_gpa);
	need(!image->relocatable ||
	     (image->align_bytes && !(image->align_bytes & (image->align_bytes - 1))));
}

/* The first eight bytes are the file's size, which the head does not know of. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t head[BZIMAGE_HEAD_BYTES] = {0};
	struct gmig_error err = {0, ""};
	struct bzimage image;
	uint64_t file_bytes;
	uint8_t *exact;
	size_t have;
	int ret;

	if (size < sizeof(file_bytes))
		return 0;
	memcpy(&file_bytes, data, sizeof(file_bytes));
	data += sizeof(file_bytes);
	size -= sizeof(file_bytes);
	memcpy(head, data, size < sizeof(head) ? size : sizeof(head));
	have = file_bytes < sizeof(head) ? (size_t)file_bytes : sizeof(head);
	/* Not a byte more than there is, so that a look past it is seen. */
	exact = malloc(have ? have : 1);
	need(exact != NULL);
	memcpy(exact, head, have);
	ret = bzimage_parse(exact, file_bytes, &image, &err);
	free(exact);
	need(ret == err.code);
	if (!ret)
		check(&image, file_bytes);
	return 0;
}
