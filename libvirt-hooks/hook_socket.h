/*
 * Where the hook's datagrams arrive (hook_message.h). gmigd takes each for one thing: something has changed, libvirt is to be asked. So
 * nothing depends on what stands in one, or on whether it arrives.
 */
#ifndef HOOK_SOCKET_H
#define HOOK_SOCKET_H

#include "../migrate/gmig_error.h"

/* A non-blocking descriptor that is readable when datagrams have come. -errno and a text. A file that an earlier gmigd left is removed. */
int hook_socket_open(const char *path, struct gmig_error *err);
/* Throw away what has come. */
void hook_socket_drain(int fd);
/* Close, and remove the file. fd < 0: nothing. */
void hook_socket_close(int fd, const char *path);

#endif
