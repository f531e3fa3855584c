/* A datagram from anybody: what is taken has to be, byte for byte, what the hook would have written. */
#include "../../libvirt-hooks/hook_message.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void need(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char again[HOOK_MESSAGE_BYTES];
	struct hook_message message;
	struct gmig_error err = {0, ""};
	int ret = hook_message_read((const char *)data, size, &message, &err);
	char uuid[37];

	hook_uuid((const char *)data, size, uuid);
	need(!uuid[0] || strlen(uuid) == 36);
	need(ret == err.code);
	if (ret)
		return 0;
	need(hook_message_write(&message, again, sizeof(again)) == size);
	need(!memcmp(again, data, size));
	return 0;
}
